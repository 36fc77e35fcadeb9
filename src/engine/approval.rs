//! Approvals: the stage that asks for one, and the one that an environment's approvers imply.

use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::event::Ending;
use crate::id::StageId;
use crate::model::Node;
use crate::plan::ir::StageIndex;
use crate::stage::{Approval, OnReject, TaskKind, kind_of};
use crate::state::{Asked, Given};
use crate::store::contract::RunFilter;
use crate::task::contract::{ApprovalAsk, Decision, Surroundings, TaskCtx, TaskEnd, TaskError, TaskIdentity, TaskSpec};
use crate::workspace::contract::hex;

use super::attempt::Attempt;
use super::task_ctx::RunTask;

/// How many earlier runs are shown to whoever decides.
const EARLIER_RUNS: usize = 5;

/// Why `by`, member of `groups`, may not decide on what is asked; `actor` started the run.
pub fn may_decide(asked: &Asked, given: &[Given], by: &str, groups: &[String], actor: &str) -> Result<(), String> {
    let named = |name: &String| name == by || groups.contains(name);
    if !asked.approvers.is_empty() && !asked.approvers.iter().any(named) {
        return Err(format!("\"{by}\" is not among the approvers: {}", asked.approvers.join(", ")));
    }
    if asked.prevent_self_review && by == actor {
        return Err(format!("\"{by}\" started the run, and may not approve it (prevent-self-review)"));
    }
    if given.iter().any(|one| one.by == by) {
        return Err(format!("\"{by}\" has decided already"));
    }
    Ok(())
}

/// An `approval` stage.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    settings: &Approval,
    spec: &TaskSpec,
    ctx: &RunTask<'_>,
) -> Result<TaskEnd, TaskError> {
    let environment = spec.environment.as_ref();
    let name = environment.map(|environment| environment.name.clone());
    let behind = deploys_behind(attempt, name.as_deref());
    let consumes: Vec<(StageId, String)> =
        behind.iter().map(|(stage, node)| (stage.clone(), consumed(&attempt.run.places.checkout, node))).collect();
    let approvers = match settings.approvers.is_empty() {
        true => environment.map(|environment| environment.approvers.clone()).unwrap_or_default(),
        false => settings.approvers.clone(),
    };
    let ask = ApprovalAsk {
        environment: name.clone(),
        approvers,
        required: settings.required,
        prevent_self_review: settings.prevent_self_review,
        timeout: settings.timeout,
        summary: summary(attempt, ctx, &behind).await,
        consumes: consumes.iter().map(|(stage, hash)| format!("{stage}={hash}")).collect::<Vec<_>>().join(","),
        inputs: settings.inputs.clone(),
    };
    for line in ask.summary.lines() {
        ctx.log(line).await;
    }
    let decision = ctx.approval(ask).await?;
    ctx.log(&said(&decision)).await;
    let mut outputs = vec![
        ("decision".to_owned(), if decision.approved { "approved" } else { "rejected" }.to_owned()),
        ("by".to_owned(), decision.by.join(", ")),
        ("comment".to_owned(), decision.comment.clone()),
    ];
    outputs.extend(decision.inputs.iter().cloned());
    let consumes: serde_json::Map<String, serde_json::Value> =
        consumes.into_iter().map(|(stage, hash)| (stage.to_string(), hash.into())).collect();
    let facts = json!({ "environment": name, "approved": decision.approved, "by": decision.by, "consumes": consumes });
    if decision.approved {
        return Ok(TaskEnd { outputs, facts });
    }
    match settings.on_reject {
        OnReject::Skip => Err(TaskError::Skipped(said(&decision))),
        OnReject::Fail => Err(TaskError::Failed {
            message: said(&decision),
            ending: None,
            end: Box::new(TaskEnd { outputs, facts: serde_json::Value::Null }),
        }),
    }
}

/// Before the first write of a deploy: an approval of its environment is still good, or one is asked for where the environment
/// has approvers.
pub(super) async fn before_deploy(attempt: &Attempt<'_>, spec: &TaskSpec, ctx: &RunTask<'_>) -> Result<(), TaskError> {
    let Some(environment) = &spec.environment else { return Ok(()) };
    let Some(typed) = &attempt.job.typed else { return Ok(()) };
    let stage = attempt.job.id.value.as_str();
    let now = consumed(ctx.workspace(), &typed.node);
    let approved = spec.left_by(TaskKind::Approval).filter(|before| before.facts["approved"] == true).rfind(|before| {
        let of = before.facts["environment"].as_str();
        of.is_none_or(|of| of == environment.name)
    });
    if let Some(approved) = approved {
        let then = approved.facts["consumes"][stage].as_str();
        if then.is_some_and(|then| then != now) {
            let message = format!(
                "the approval of stage \"{}\" is void: the manifests of \"{stage}\" have changed since; commit the change and run again",
                approved.stage
            );
            return Err(TaskError::ended(message, Ending::Preflight, TaskEnd::default()));
        }
        return Ok(());
    }
    if environment.approvers.is_empty() {
        return Ok(());
    }
    let behind = vec![(StageId::from(stage), typed.node.clone())];
    let ask = ApprovalAsk {
        environment: Some(environment.name.clone()),
        approvers: environment.approvers.clone(),
        required: 1,
        timeout: Approval::default().timeout,
        summary: summary(attempt, ctx, &behind).await,
        consumes: format!("{stage}={now}"),
        ..ApprovalAsk::default()
    };
    for line in ask.summary.lines() {
        ctx.log(line).await;
    }
    let decision = ctx.approval(ask).await?;
    ctx.log(&said(&decision)).await;
    match decision.approved {
        true => Ok(()),
        false => Err(TaskError::failed(said(&decision))),
    }
}

fn said(decision: &Decision) -> String {
    let comment = if decision.comment.is_empty() { String::new() } else { format!(": {}", decision.comment) };
    let how = if decision.approved { "approved" } else { "rejected" };
    format!("{how} by {}{comment}", decision.by.join(", "))
}

/// The deploys that come after the attempt's stage and go to `environment` (any, when there is none).
fn deploys_behind(attempt: &Attempt<'_>, environment: Option<&str>) -> Vec<(StageId, Node)> {
    let plan = &attempt.run.plan;
    let Some(own) = plan.find(&attempt.job.id.value) else { return Vec::new() };
    let reached = crate::plan::graph::reach(plan.stages.len(), &[own], |at: StageIndex| &plan.stage(at).dependents);
    let mut found = Vec::new();
    for index in plan.order.iter().filter(|index| reached[index.0 as usize] && **index != own) {
        let stage = plan.stage(*index);
        let Some(typed) = stage.job.typed.as_ref().filter(|_| kind_of(&stage.job) == Some(TaskKind::Deploy)) else {
            continue;
        };
        let scope = attempt.step_scope(&[]);
        let theirs = super::lend::name_of(&stage.job, &scope).ok().flatten();
        if environment.is_none() || theirs.as_deref() == environment {
            found.push((stage.id.clone(), typed.node.clone()));
        }
    }
    found
}

/// SHA-256 (hex) of the files that a deploy's `manifests` and `migrate` name below `root`. What is named by expressions counts
/// by its text.
fn consumed(root: &Path, node: &Node) -> String {
    let mut hasher = Sha256::new();
    for key in ["manifests", "migrate"] {
        let Some(node) = node.get(key) else { continue };
        let nodes = node.items().unwrap_or(std::slice::from_ref(node));
        for text in nodes.iter().filter_map(|node| node.scalar().map(|(text, _)| text)) {
            hasher.update(text.as_bytes());
            hasher.update([0]);
            let path = root.join(&**text);
            let walk = ignore::WalkBuilder::new(&path).standard_filters(false).sort_by_file_path(Ord::cmp).build();
            for entry in walk.flatten().filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file())) {
                let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
                hasher.update(relative.as_os_str().as_encoded_bytes());
                // A file that cannot be read fails the deploy itself.
                hasher.update(Sha256::digest(std::fs::read(entry.path()).unwrap_or_default()));
            }
        }
    }
    hex(&hasher.finalize())
}

/// What the person who decides should know: what would change, migrations, how the last runs ended.
async fn summary(attempt: &Attempt<'_>, ctx: &RunTask<'_>, behind: &[(StageId, Node)]) -> String {
    let run = attempt.run;
    let mut lines = Vec::new();
    for (stage, node) in behind {
        lines.push(format!("stage \"{stage}\" would:"));
        let ahead = Ahead { ctx, checkout: &run.places.checkout };
        let job = run.plan.find(stage.as_str()).map(|index| run.plan.stage(index).job.clone());
        let spec = job.ok_or_else(|| "there is no such stage".to_owned()).and_then(|job| attempt.spec_of(&job, &[]));
        let preview = match (spec, run.ports.tasks.get(TaskKind::Deploy)) {
            (Ok(spec), Ok(task)) => task.preview(&spec, &ahead).await.map_err(|e| e.to_string()),
            (Err(error), _) => Err(error),
            (_, Err(error)) => Err(error.to_string()),
        };
        match preview {
            Ok(preview) => lines.extend(preview.text().into_iter().map(|line| format!("  {line}"))),
            Err(error) => lines.push(format!("  what it changes cannot be shown: {error}")),
        }
        if let Some((migrate, _)) = node.get("migrate").and_then(Node::scalar) {
            lines.push(format!("  run the migration {migrate}"));
        }
    }
    let filter =
        RunFilter { checkout: Some(run.places.checkout.clone()), limit: EARLIER_RUNS + 1, ..RunFilter::default() };
    let earlier = run.ports.store.list(&filter).unwrap_or_default();
    let ended = earlier.iter().filter(|row| row.run != run.run && row.pipeline == run.plan.name);
    let ended: Vec<String> =
        ended.filter_map(|row| Some(format!("#{} {}", row.number, row.outcome?.github()))).collect();
    if !ended.is_empty() {
        lines.push(format!("runs before: {}", ended.join(", ")));
    }
    lines.join("\n")
}

/// The surroundings of a stage that comes later: the checkout's files, this stage's contexts.
struct Ahead<'a> {
    ctx: &'a RunTask<'a>,
    checkout: &'a Path,
}

impl Surroundings for Ahead<'_> {
    fn identity(&self) -> &TaskIdentity {
        self.ctx.identity()
    }

    fn workspace(&self) -> &Path {
        self.checkout
    }

    fn env(&self) -> &[(String, String)] {
        self.ctx.env()
    }

    fn evaluate(&self, text: &str) -> Result<String, String> {
        self.ctx.evaluate(text)
    }

    fn secret(&self, name: &str) -> Option<String> {
        self.ctx.secret(name)
    }

    fn mask(&self, text: &str) -> String {
        self.ctx.mask(text)
    }
}
