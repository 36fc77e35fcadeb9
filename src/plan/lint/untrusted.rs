//! A value that an outsider can write must not become part of a script: `run: echo "${{ github.event.issue.title }}"` runs
//! whatever the title says.

use std::collections::HashSet;

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::expr::Expr;
use crate::model::{Dialect, EnvMap, StepAction, codes};
use crate::plan::ir::{Plan, StagePlan};
use crate::plan::walk::{self, Piece};

/// What outsiders can write: titles, bodies, messages, names of branches, labels, pages and authors. `*` is any item.
pub const UNTRUSTED: &[&str] = &[
    "github.head_ref",
    "github.event.check_run.check_suite.head_branch",
    "github.event.check_suite.head_branch",
    "github.event.comment.body",
    "github.event.commits.*.author.email",
    "github.event.commits.*.author.name",
    "github.event.commits.*.committer.email",
    "github.event.commits.*.committer.name",
    "github.event.commits.*.message",
    "github.event.discussion.body",
    "github.event.discussion.title",
    "github.event.head_commit.author.email",
    "github.event.head_commit.author.name",
    "github.event.head_commit.committer.email",
    "github.event.head_commit.committer.name",
    "github.event.head_commit.message",
    "github.event.issue.body",
    "github.event.issue.labels.*.name",
    "github.event.issue.title",
    "github.event.label.name",
    "github.event.pages.*.page_name",
    "github.event.pages.*.title",
    "github.event.pull_request.body",
    "github.event.pull_request.head.label",
    "github.event.pull_request.head.ref",
    "github.event.pull_request.head.repo.default_branch",
    "github.event.pull_request.labels.*.name",
    "github.event.pull_request.title",
    "github.event.release.body",
    "github.event.release.name",
    "github.event.review.body",
    "github.event.review_comment.body",
    "github.event.workflow_run.display_title",
    "github.event.workflow_run.head_branch",
    "github.event.workflow_run.head_commit.author.email",
    "github.event.workflow_run.head_commit.author.name",
    "github.event.workflow_run.head_commit.message",
    "github.event.workflow_run.pull_requests.*.head.ref",
];

/// Looks at every script of the stage: an error with `stages:`, a warning in workflows.
pub(super) fn check(plan: &Plan, stage: &StagePlan, diagnostics: &mut Diagnostics) {
    let severity = match plan.pipeline.dialect {
        Dialect::Stages => Severity::Error,
        Dialect::Workflow => Severity::Warning,
    };
    for step in &stage.job.steps {
        let StepAction::Run { script, .. } = &step.action else { continue };
        if script.template.as_literal().is_some() {
            continue;
        }
        let mut carriers = HashSet::new();
        [&plan.pipeline.env, &stage.job.env, &step.env].iter().for_each(|env| carry(env, &mut carriers));
        let mut named = HashSet::new();
        walk::expressions(Piece::Text(script), &plan.pipeline.source, |expr, span| {
            let (value, through) = match untrusted(expr) {
                Some(path) => (path, None),
                None => match expr.results().into_iter().find_map(|(path, _)| variable(&path, &carriers)) {
                    Some(name) => (format!("env.{name}"), Some(name)),
                    None => return,
                },
            };
            if !named.insert(value.clone()) {
                return;
            }
            diagnostics.push(Diagnostic {
                severity,
                ..Diagnostic::error(
                    if severity == Severity::Error { codes::UNTRUSTED } else { codes::UNTRUSTED_RUN },
                    span,
                    format!(
                        "the script of \"{}\" takes in {value}, which an outsider can write: whatever it says would be run",
                        stage.id
                    ),
                )
                .help(way_out(&value, expr, through.as_deref()))
            });
        });
    }
}

/// The `env:` form.
fn way_out(value: &str, expr: &Expr, through: Option<&str>) -> String {
    if let Some(name) = through {
        return format!("it is in the environment already: write \"${name}\" in the script, in quotes");
    }
    let mut words: Vec<&str> = value.split('.').filter(|word| !matches!(*word, "github" | "event" | "*")).collect();
    if words.len() > 2 {
        words.drain(..words.len() - 2);
    }
    let name = if words.is_empty() { "EVENT".to_owned() } else { words.join("_").to_ascii_uppercase() };
    format!(
        "hand it over as a variable: `env: {{{name}: \"${{{{ {} }}}}\"}}`, and write \"${name}\" in the script, in quotes",
        expr.source.trim().replace('"', "\\\"")
    )
}

/// Names of variables that hold what an outsider can write.
fn carry(env: &EnvMap, carriers: &mut HashSet<String>) {
    for entry in env {
        let held = entry.value.template.as_literal().is_none()
            && entry.value.template.expressions().iter().any(|expr| untrusted(expr).is_some());
        if held {
            carriers.insert(entry.name.value.clone());
        } else {
            carriers.remove(&entry.name.value);
        }
    }
}

fn variable(path: &[String], carriers: &HashSet<String>) -> Option<String> {
    match path {
        [head, name] if head == "env" && carriers.contains(name) => Some(name.clone()),
        _ => None,
    }
}

/// The first path that becomes part of the value of `expr` and that an outsider can write.
fn untrusted(expr: &Expr) -> Option<String> {
    expr.results().into_iter().find(|(path, whole)| writable(path, *whole)).map(|(path, _)| path.join("."))
}

/// Whether `path` is in the table, or holds what is in it when its `whole` content counts. A computed index may be anything.
fn writable(path: &[String], whole: bool) -> bool {
    UNTRUSTED.iter().any(|entry| {
        let mut wanted = entry.split('.');
        for word in path {
            match wanted.next() {
                Some(want) if want == "*" || word == "*" || want.eq_ignore_ascii_case(word) => {}
                _ => return false,
            }
        }
        wanted.next().is_none() || whole || path.last().is_some_and(|last| last == "*")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{inputs, messages, plan_with};

    fn found(script: &str) -> Option<String> {
        untrusted(&Expr::parse(script).unwrap())
    }

    #[test]
    fn what_reaches_the_text_counts_and_what_is_compared_does_not() {
        for bad in [
            "github.event.issue.title",
            "github.event['Issue'].TITLE",
            "github.head_ref || github.ref_name",
            "github.event.commits[0].message",
            "join(github.event.commits.*.message, ' ')",
            "toJSON(github.event)",
            "toJSON(github)",
            "fromJSON(toJSON(github.event)).issue.title",
            "format('x {0}', github.event.comment.body)",
            "github.event[inputs.what].title",
            "true && github.event.comment.body",
            "case(true, github.event.comment.body, 'x')",
        ] {
            assert!(found(bad).is_some(), "{bad}");
        }
        for good in [
            "github.ref",
            "github.event.issue.number",
            "github.event.issue.title == 'x'",
            "contains(github.event.commits.*.message, 'x')",
            "github.event.issue.title && 'a' || 'b'",
            "github.event.pull_request.head.sha",
            "toJSON(github.event.issue.number)",
            "case(github.event.comment.body == 'x', 'a', 'b')",
        ] {
            assert_eq!(found(good), None, "{good}");
        }
    }

    #[test]
    fn stages_are_refused_and_workflows_warned() {
        let stages = "stages: {a: {run: 'echo ${{ github.event.issue.title }}'}}";
        let refused = plan_with(stages, inputs()).unwrap_err();
        assert!(messages(&refused)[0].starts_with("E064 the script of \"a\" takes in github.event.issue.title"));
        let help = refused.list[0].help.clone().unwrap();
        assert!(help.contains("env: {ISSUE_TITLE: \"${{ github.event.issue.title }}\"}"), "{help}");
        assert_eq!(
            refused.source.text[refused.list[0].span.start as usize..].split(' ').next(),
            Some("github.event.issue.title")
        );
        let jobs = "on: push\njobs: {a: {runs-on: x, env: {T: '${{ github.head_ref }}'}, steps: [{run: 'echo ${{ env.T }} ${{ env.U }}'}]}}";
        let (_, warned) = plan_with(jobs, inputs()).unwrap();
        let said: Vec<String> = messages(&warned).into_iter().filter(|m| m.starts_with("W010")).collect();
        assert!(said.len() == 1 && said[0].contains("env.T"), "{said:?}");
        plan_with("stages: {a: {env: {T: '${{ github.head_ref }}'}, run: 'echo \"$T\"'}}", inputs()).unwrap();
    }
}
