//! Steps.

use std::collections::HashMap;

use crate::diagnostic::Diagnostic;
use crate::span::Spanned;

use super::codes;
use super::read::{Field, Fields, Reader};
use super::tables::STEP;
use super::{Step, StepAction, Text};

/// Shells that need no `{0}`.
const SHELLS: [&str; 6] = ["bash", "sh", "python", "pwsh", "powershell", "cmd"];

impl Reader {
    /// `steps`.
    pub(super) fn steps(&mut self, field: Field<'_>) -> Vec<Step> {
        let Some(items) = field.node.items() else {
            self.wrong_kind(field.node, "\"steps\" is a list");
            return Vec::new();
        };
        let mut seen = HashMap::new();
        let mut steps = Vec::with_capacity(items.len());
        for item in items {
            let Some(fields) = self.fields(item, &STEP) else { continue };
            let step = self.step(&fields);
            if let Some(id) =
                fields.get("id").filter(|id| !id.node.is_null()).and_then(|id| self.literal("id", id.node))
                && self.check_id("a step", &id)
            {
                self.check_unique("steps of this job", &mut seen, &id);
            }
            steps.extend(step);
        }
        steps
    }

    fn step(&mut self, fields: &Fields<'_>) -> Option<Step> {
        let id = fields
            .get("id")
            .and_then(|id| id.node.scalar().map(|(text, _)| Spanned::new(text.to_string(), id.node.span)));
        let name = self.optional_text(fields.get("name"));
        let condition = self.condition(fields.get("if"));
        let env = self.env(fields.get("env"));
        let continue_on_error = fields.get("continue-on-error").and_then(|field| self.late_bool(field));
        let timeout_minutes = self.minutes(fields.get("timeout-minutes"));
        let action = self.action(fields)?;
        Some(Step {
            id: id.filter(|id| !id.value.is_empty()),
            name,
            condition,
            env,
            action,
            continue_on_error,
            timeout_minutes,
            span: fields.span,
        })
    }

    fn action(&mut self, fields: &Fields<'_>) -> Option<StepAction> {
        let (run, uses) = (fields.get("run"), fields.get("uses"));
        let shell = self.optional_text(fields.get("shell"));
        self.check_shell(shell.as_ref());
        let working_directory = self.optional_text(fields.get("working-directory"));
        let with = self.text_data(fields.get("with"));
        match (run, uses) {
            (Some(run), Some(uses)) => {
                self.conflict(run, uses, "a step runs a script or uses an action");
                None
            }
            (Some(run), None) => {
                if let Some(with) = fields.get("with") {
                    self.conflict(run, with, "\"with\" gives an action its inputs; a script reads \"env\"");
                }
                let script = self.text(run)?;
                Some(StepAction::Run { script, shell, working_directory })
            }
            (None, Some(uses)) => {
                for name in ["shell", "working-directory"] {
                    if let Some(other) = fields.get(name) {
                        self.conflict(uses, other, "an action brings its own");
                    }
                }
                let uses = self.literal("uses", uses.node)?;
                self.check_uses(&uses);
                Some(StepAction::Uses { uses, with })
            }
            (None, None) => {
                let span = fields.iter().next().map_or(fields.span, |first| first.span);
                let wanted = if fields.get("shell").is_some() || fields.get("working-directory").is_some() {
                    "a step with \"shell\" or \"working-directory\" needs the key \"run\""
                } else if fields.get("with").is_some() {
                    "a step with \"with\" needs the key \"uses\""
                } else {
                    "a step needs one of the keys \"run\" and \"uses\""
                };
                self.push(Diagnostic::error(codes::MISSING, span, wanted));
                None
            }
        }
    }

    fn check_uses(&mut self, uses: &Spanned<String>) {
        let text = uses.value.as_str();
        let local = text.starts_with("./") || text.starts_with("docker://");
        let remote = || {
            let mut at = text.split('@');
            let (Some(path), Some(reference), None) = (at.next(), at.next(), at.next()) else { return false };
            let mut parts = path.split('/');
            let owner_and_name = [parts.next(), parts.next()].iter().all(|part| part.is_some_and(|p| !p.is_empty()));
            owner_and_name && !reference.is_empty()
        };
        if local || remote() {
            return;
        }
        let message = format!("\"{text}\" names no action: expected \"owner/repository[/path]@ref\"");
        let help = if text.starts_with("../") || text.starts_with('/') {
            "a local action is \"./path\" from the repository's root"
        } else if text.contains('/') && !text.contains('@') {
            "add the version, such as \"@v4\""
        } else {
            "it is \"owner/repository@ref\", \"./path\" or \"docker://image\""
        };
        self.push(Diagnostic::error(codes::USES, uses.span, message).help(help));
    }

    /// A shell that is known now is a name of the known ones, or holds `{0}`.
    pub(super) fn check_shell(&mut self, shell: Option<&Text>) {
        let Some(shell) = shell else { return };
        let Some(text) = shell.template.as_literal() else { return };
        if text.contains("{0}") || SHELLS.contains(&text.trim()) {
            return;
        }
        let message = format!("the shell \"{text}\" does not say where the script's file goes");
        let help = format!("write \"{text} {{0}}\"; {} go without", SHELLS.join(", "));
        self.push(Diagnostic::error(codes::SHELL, shell.span, message).help(help));
    }
}
