//! A whole file: its keys, its jobs or stages.

use std::collections::HashMap;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, suggest};
use crate::span::{Span, Spanned};

use super::codes;
use super::read::{Field, Fields, Reader, start_of};
use super::tables::{ANY_FILE, CONCURRENCY, PERMISSIONS, PIPELINE, WORKFLOW};
use super::{Concurrency, Defaults, Dialect, Entry, Job, Node, NodeKind, Pipeline, check};

/// So many waits a list of stages may come to: each item waits for all before it.
const MAX_LIST_NEEDS: usize = 1_000_000;

impl Reader {
    /// The pipeline at the root. `None` when nothing can be made of it; the reasons are in the collector.
    pub(super) fn pipeline(&mut self, root: &Node) -> Option<Pipeline> {
        if root.is_null() {
            self.empty(root.span);
            return None;
        }
        let (has_jobs, has_stages) = (root.get("jobs").is_some(), root.get("stages").is_some());
        self.dialect = if has_stages { Dialect::Stages } else { Dialect::Workflow };
        let table = match (has_jobs, has_stages) {
            (false, false) => &ANY_FILE,
            (true, true) => &ANY_FILE,
            (_, true) => &PIPELINE,
            _ => &WORKFLOW,
        };
        let fields = self.fields(root, table)?;
        if let (true, true) = (has_jobs, has_stages)
            && let (Some(jobs), Some(stages)) = (fields.get("jobs"), fields.get("stages"))
        {
            self.conflict(jobs, stages, "a file is written in one of the two languages");
        }
        if !has_jobs && !has_stages {
            self.push(
                Diagnostic::error(codes::MISSING, start_of(root), "there is neither \"jobs\" nor \"stages\"")
                    .help("a pipeline is a map of stages: \"stages: {test: {run: make test}}\""),
            );
        }
        if self.dialect == Dialect::Workflow && has_jobs && fields.get("on").is_none() {
            let message = "a workflow needs the key \"on\"";
            self.push(Diagnostic::error(codes::MISSING, start_of(root), message).help("for example: on: push"));
        }
        let slipway =
            |name| if has_stages { fields.get(name).map(|field: Field<'_>| field.node.clone()) } else { None };
        let mut pipeline = Pipeline {
            source: self.source.clone(),
            dialect: self.dialect,
            name: None,
            run_name: self.optional_text(fields.get("run-name")),
            on: fields.get("on").map(|field| self.triggers(field)),
            env: self.env(fields.get("env")),
            defaults: self.defaults(fields.get("defaults"), false),
            concurrency: fields.get("concurrency").and_then(|field| self.concurrency(field)),
            permissions: self.permissions(fields.get("permissions")),
            environments: slipway("environments"),
            notify: slipway("notify"),
            incident: slipway("incident"),
            jobs: Vec::new(),
        };
        if let Some(name) = fields.get("name").filter(|field| !field.node.is_null()) {
            pipeline.name = self.literal("name", name.node);
        }
        if let Some(description) = fields.get("description") {
            self.literal("description", description.node);
        }
        pipeline.jobs = self.all_jobs(&fields, has_jobs, has_stages);
        Some(pipeline)
    }

    /// Says that there is no pipeline in the file.
    pub(super) fn empty(&mut self, span: Span) {
        self.push(
            Diagnostic::error(codes::EMPTY, span, "the file holds no pipeline")
                .help("begin with \"stages:\", or with \"on:\" and \"jobs:\" as GitHub has it"),
        );
    }

    fn all_jobs(&mut self, fields: &Fields<'_>, has_jobs: bool, has_stages: bool) -> Vec<Arc<Job>> {
        let field = match (has_jobs, has_stages) {
            (_, true) => fields.get("stages"),
            (true, _) => fields.get("jobs"),
            _ => None,
        };
        let Some(field) = field else { return Vec::new() };
        let mut jobs = match &*field.node.kind {
            NodeKind::Sequence(items) if has_stages => self.stage_list(items),
            NodeKind::Mapping(entries) => entries.iter().map(|entry| Arc::new(self.job(entry))).collect(),
            _ => {
                let wanted =
                    if has_stages { "\"stages\" is a map or a list of stages" } else { "\"jobs\" is a map of jobs" };
                self.wrong_kind(field.node, wanted);
                return Vec::new();
            }
        };
        if jobs.is_empty() {
            let message = if has_stages { "there is no stage" } else { "there is no job" };
            self.push(
                Diagnostic::error(codes::NO_JOBS, field.node.span, message)
                    .note("GitHub: The workflow must contain at least one job with no dependencies."),
            );
        }
        check::jobs(&mut jobs, self.dialect, &mut self.diagnostics);
        jobs
    }

    /// A list of stages: each waits for all of the items before, so that `needs` holds every earlier stage.
    fn stage_list(&mut self, items: &[Node]) -> Vec<Arc<Job>> {
        let mut jobs: Vec<Arc<Job>> = Vec::new();
        let mut total = 0;
        for item in items {
            let Some(entries) = item.entries() else {
                self.wrong_kind(item, "an item of \"stages\" is a map: the stage's id and what it does");
                continue;
            };
            let before: Vec<Spanned<String>> = jobs.iter().map(|job| job.id.clone()).collect();
            total += before.len() * entries.len();
            if total > MAX_LIST_NEEDS {
                let message = format!("this list of stages has more than {MAX_LIST_NEEDS} waits within it");
                self.push(
                    Diagnostic::error(codes::TOO_MANY, start_of(item), message)
                        .help("write \"stages\" as a map, with \"needs\""),
                );
                break;
            }
            let same_keys = looks_like_one_stage(entries);
            if let Some(key) = same_keys {
                self.push(
                    Diagnostic::error(codes::MISSING, entries[0].key_span, "the stage has no id")
                        .help(format!("write the id before it: \"- my-stage: {{{key}: ...}}\"")),
                );
                continue;
            }
            for entry in entries {
                let mut job = self.job(entry);
                let own = std::mem::take(&mut job.needs);
                job.needs = before.iter().map(|id| Spanned::new(id.value.clone(), job.id.span)).collect();
                job.needs.extend(own);
                jobs.push(Arc::new(job));
            }
        }
        jobs
    }

    /// `defaults`, of a job or of the file.
    pub(super) fn defaults(&mut self, field: Option<Field<'_>>, of_job: bool) -> Defaults {
        let Some(field) = field.filter(|field| !field.node.is_null()) else { return Defaults::default() };
        let table = if of_job { &super::tables::JOB_DEFAULTS } else { &super::tables::DEFAULTS };
        let run_table = if of_job { &super::tables::JOB_DEFAULTS_RUN } else { &super::tables::DEFAULTS_RUN };
        let run = self.fields(field.node, table).and_then(|fields| fields.get("run"));
        let Some(run) = run.and_then(|run| self.fields(run.node, run_table)) else { return Defaults::default() };
        let shell = self.optional_text(run.get("shell"));
        self.check_shell(shell.as_ref());
        Defaults { shell, working_directory: self.optional_text(run.get("working-directory")) }
    }

    /// `concurrency`, as a text or a map.
    pub(super) fn concurrency(&mut self, field: Field<'_>) -> Option<Concurrency> {
        let mut concurrency = if field.node.entries().is_some() {
            let fields = self.fields(field.node, &CONCURRENCY)?;
            let group = fields.get("group").and_then(|group| self.text(group.within(field.contexts)));
            let cancel_in_progress =
                fields.get("cancel-in-progress").and_then(|cancel| self.late_bool(cancel.within(field.contexts)));
            let queue = fields.get("queue").and_then(|queue| self.choice("queue", queue.node, &["single", "max"]));
            if let (Some("max"), Some(super::Late::Known(cancel))) = (queue, &cancel_in_progress)
                && cancel.value
                && let (Some(a), Some(b)) = (fields.get("queue"), fields.get("cancel-in-progress"))
            {
                self.conflict(a, b, "a newcomer cannot wait and cancel at once");
            }
            Concurrency { group: group?, cancel_in_progress, queue_max: queue == Some("max"), span: field.node.span }
        } else {
            let group = self.text(field)?;
            Concurrency { group, cancel_in_progress: None, queue_max: false, span: field.node.span }
        };
        if let Some(group) = concurrency.group.template.as_literal()
            && (group.trim().is_empty() || group.chars().count() > 400)
        {
            let message = "the concurrency group must be a text of 1 to 400 characters";
            self.push(Diagnostic::error(codes::CONCURRENCY, concurrency.group.span, message));
        }
        concurrency.span = field.node.span;
        Some(concurrency)
    }

    /// `permissions`: checked, kept as written.
    pub(super) fn permissions(&mut self, field: Option<Field<'_>>) -> Option<Node> {
        let field = field?;
        match &*field.node.kind {
            NodeKind::Scalar { text, .. } if !field.node.is_null() => {
                if !["read-all", "write-all"].contains(&&**text) {
                    let message = format!("\"permissions\" cannot be \"{text}\"");
                    let help = match suggest(text, ["read-all", "write-all"]) {
                        Some(near) => format!("did you mean \"{near}\"?"),
                        None => "it is read-all, write-all, or a map of scopes".to_owned(),
                    };
                    self.push(Diagnostic::error(codes::PERMISSION, field.node.span, message).help(help));
                }
            }
            NodeKind::Scalar { .. } => {}
            _ => {
                for scope in self.fields(field.node, &PERMISSIONS)?.iter() {
                    self.permission(scope);
                }
            }
        }
        Some(field.node.clone())
    }

    fn permission(&mut self, scope: Field<'_>) {
        const ACCESS: [&str; 3] = ["read", "write", "none"];
        let Some(value) = self.literal(scope.name, scope.node) else { return };
        if !ACCESS.contains(&value.as_str()) {
            let message = format!("\"{}\" cannot be \"{}\"", scope.name, value.value);
            let help = match suggest(&value.value, ACCESS) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("it is one of {}", ACCESS.join(", ")),
            };
            self.push(Diagnostic::error(codes::PERMISSION, value.span, message).help(help));
        } else if scope.name == "id-token" && value.value == "read" {
            let message = "\"id-token\" is write or none";
            self.push(Diagnostic::error(codes::PERMISSION, value.span, message));
        } else if scope.name == "models" && value.value == "write" {
            self.push(Diagnostic::error(codes::PERMISSION, value.span, "\"models\" is read or none"));
        }
    }

    /// Ids are legal names; an empty one, too long ones and others are reported.
    pub(super) fn check_id(&mut self, what: &str, id: &Spanned<String>) -> bool {
        let text = &id.value;
        let mut chars = text.chars();
        let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if first && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') && text.len() <= 100 {
            return true;
        }
        let legal: String = text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' })
            .take(90)
            .collect();
        let legal = legal.trim_matches('-');
        let message = if text.is_empty() {
            format!("the id of {what} is empty")
        } else if text.len() > 100 {
            format!("the id of {what} has {} characters, more than 100", text.len())
        } else {
            format!("\"{text}\" cannot be the id of {what}")
        };
        let mut diagnostic = Diagnostic::error(codes::ID, id.span, message)
            .note("an id begins with a letter or \"_\"; behind it stand letters, digits, \"-\" and \"_\"");
        if legal.starts_with(|c: char| c.is_ascii_digit()) {
            diagnostic = diagnostic.help(format!("for example \"_{legal}\""));
        } else if !legal.is_empty() && legal != text {
            diagnostic = diagnostic.help(format!("for example \"{legal}\""));
        }
        self.push(diagnostic);
        false
    }

    /// Two names of one list that differ at most by case.
    pub(super) fn check_unique(&mut self, what: &str, seen: &mut HashMap<String, Span>, id: &Spanned<String>) {
        if let Some(first) = seen.insert(id.value.to_ascii_lowercase(), id.span) {
            let message = format!("the id \"{}\" is used by two {what} (case does not count)", id.value);
            self.push(Diagnostic::error(codes::DUPLICATE_ID, id.span, message).related(first, "first used here"));
        }
    }
}

/// A key of a stage where a stage's id should be: the whole item is one stage without an id.
fn looks_like_one_stage(entries: &[Entry]) -> Option<&str> {
    let first = entries
        .iter()
        .find(|entry| matches!(&*entry.key, "run" | "steps" | "uses") && entry.value.entries().is_none())?;
    Some(&first.key)
}
