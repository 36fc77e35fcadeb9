//! What the API and the pages show of runs. Read-only, and nothing secret is in what is read: logs and journals are masked.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::event::{Event, Outcome, Record};
use crate::id::{AttemptId, JobId, RunId, StageId, StepKey};
use crate::model::ReadOptions;
use crate::plan::compile::compile;
use crate::report::job_view::{JobView, Phase, StageView};
use crate::report::run_view::RunView;
use crate::report::sanitize;
use crate::span::Source;
use crate::stage;
use crate::store::contract::{Logs as _, RunRow, Store, StoreError};
use crate::store::logs::FileLogs;
use crate::store::sqlite::SqliteStore;

use super::origin::Origin;

/// The version of what the API gives.
pub const VERSION: u32 = 1;
/// So much of a job's log is given at once.
const MAX_LOG: usize = 1 << 20;

/// A stage that waits for people.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The stage.
    pub stage: StageId,
    /// Who may decide.
    pub approvers: Vec<String>,
    /// How many must approve.
    pub required: u32,
    /// Until when.
    pub until: Timestamp,
    /// What changes.
    pub summary: String,
}

/// A run with all that is shown of it.
pub struct Shown {
    /// Its row.
    pub row: RunRow,
    /// Where it comes from.
    pub origin: Option<Origin>,
    /// Its plan's hash.
    pub plan_hash: String,
    /// Stages, jobs, steps.
    pub view: RunView,
    /// Stages that wait for people.
    pub waiting: Vec<Waiting>,
}

/// Reads a run.
pub fn read(store: &SqliteStore, run: &RunId) -> Result<Shown, StoreError> {
    let stored = store.load(run)?;
    let source = Source::new(stored.inputs.file.as_str(), stored.text.as_str());
    let plan = match stage::load(source, &ReadOptions::default()) {
        (Some(pipeline), _) => compile(Arc::new(pipeline), Arc::new(stored.inputs)).ok().map(|(plan, _)| plan),
        (None, _) => None,
    };
    let mut view = plan.map(|plan| RunView::of_plan(&plan)).unwrap_or_default();
    let mut waiting: Vec<Waiting> = Vec::new();
    for record in store.records(run, 0)? {
        view.apply(&record);
        note(&mut waiting, &record);
    }
    if stored.row.outcome.is_some() {
        waiting.clear();
    }
    waiting.retain(|one| view.stages.iter().any(|stage| stage.id == one.stage && stage.outcome.is_none()));
    let origin = Origin::read(&store.state().run(run));
    Ok(Shown { row: stored.row, origin, plan_hash: stored.plan_hash, view, waiting })
}

fn note(waiting: &mut Vec<Waiting>, record: &Record) {
    if let Event::ApprovalWaiting { stage, approvers, required, until, summary, .. } = &record.event {
        waiting.retain(|one| one.stage != *stage);
        waiting.push(Waiting {
            stage: stage.clone(),
            approvers: approvers.clone(),
            required: *required,
            until: *until,
            summary: summary.clone(),
        });
    }
}

/// One word: `waiting`, `running`, `interrupted`, or how it ended.
pub fn status(store: &SqliteStore, row: &RunRow) -> &'static str {
    match row.outcome {
        Some(outcome) => word(outcome),
        None if store.owner(&row.run).is_some() => "running",
        None => "waiting",
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Lost => "lost",
        other => other.github(),
    }
}

/// A run in a list. Times are milliseconds since 1970, UTC. No path of the machine is in it.
pub fn row_json(store: &SqliteStore, row: &RunRow, origin: Option<&Origin>) -> Value {
    json!({
        "run": row.run, "number": row.number, "pipeline": row.pipeline, "name": row.name, "file": row.file,
        "event": row.event_name, "commit": row.commit, "status": status(store, row),
        "started": row.started, "finished": row.finished,
        "repository": origin.map(|origin| &origin.repository), "reference": origin.map(|origin| &origin.reference),
        "actor": origin.map(|origin| &origin.actor), "untrusted": origin.and_then(|origin| origin.untrusted.as_ref()),
    })
}

/// A run whole.
pub fn run_json(store: &SqliteStore, shown: &Shown) -> Value {
    let mut run = row_json(store, &shown.row, shown.origin.as_ref());
    run["plan"] = shown.plan_hash.as_str().into();
    run["stages"] = stages_json(shown);
    run
}

/// Its stages in file order.
pub fn stages_json(shown: &Shown) -> Value {
    let view = &shown.view;
    let stages = view.stages.iter().map(|stage| {
        let needs: Vec<&StageId> =
            stage.needs.iter().filter_map(|at| Some(&view.stages.get(*at as usize)?.id)).collect();
        let waiting = shown.waiting.iter().find(|one| one.stage == stage.id).map(|one| {
            json!({
                "approvers": one.approvers, "required": one.required, "until": one.until,
                "summary": sanitize::visible(&one.summary),
            })
        });
        let jobs = stage.jobs.iter().filter_map(|at| view.jobs.get(*at)).map(job_json).collect::<Vec<_>>();
        json!({
            "stage": stage.id, "needs": needs, "status": stage_status(stage, waiting.is_some()),
            "started": stage.started, "finished": stage.finished,
            "reason": stage.skip_reason.as_ref().or(stage.fail_reason.as_ref()), "waiting": waiting, "jobs": jobs,
        })
    });
    stages.collect()
}

/// How a stage stands, in one word.
pub fn stage_status(stage: &StageView, waits: bool) -> &'static str {
    match stage.outcome {
        Some(outcome) => word(outcome),
        None if waits => "approval",
        None if stage.started.is_some() => "running",
        None => "waiting",
    }
}

fn job_json(job: &JobView) -> Value {
    let steps = job.current().map(|attempt| {
        let steps = attempt
            .steps
            .iter()
            .map(|step| json!({ "step": step.step, "name": step.name, "outcome": step.outcome.map(word) }));
        steps.collect::<Vec<_>>()
    });
    json!({
        "job": job.id, "name": job.name, "status": job_status(job), "attempt": job.current().map(|attempt| attempt.attempt),
        "steps": steps,
    })
}

/// How a job stands, in one word.
pub fn job_status(job: &JobView) -> &'static str {
    match job.phase {
        Phase::Done(outcome) => word(outcome),
        Phase::Waiting | Phase::Queued => "waiting",
        Phase::Preparing | Phase::Running | Phase::Closing => "running",
    }
}

/// The log of a job's attempt (the newest without a number): preparation, then each step, in plain text. The last of it, when
/// it is long.
pub fn log(store: &SqliteStore, run: &RunId, job: &str, attempt: Option<u32>) -> Result<String, StoreError> {
    let missing = |what: String| StoreError::NotFound(what);
    store.load(run)?;
    let logs = FileLogs::new(store.state());
    let job = JobId::from(job);
    let mut steps: Vec<(StepKey, String)> = Vec::new();
    let mut newest = None;
    for record in store.records(run, 0)? {
        match record.event {
            Event::JobStarting { attempt: id, .. } if id.job == job && attempt.is_none_or(|n| n == id.attempt) => {
                newest = Some(id);
                steps.clear();
            }
            Event::StepStarting { step, name } if newest.as_ref().is_some_and(|id| *id == step.attempt_id()) => {
                steps.push((step, name));
            }
            _ => {}
        }
    }
    let id: AttemptId = newest.ok_or_else(|| missing(format!("run \"{run}\" has no log of job \"{job}\"")))?;
    let failed = |e: std::io::Error| StoreError::failed("read a log", e);
    let mut out = String::new();
    let from = |length: u64| length.saturating_sub(MAX_LOG as u64);
    let of_job = crate::store::logs::LogName::Job(id.clone());
    let at = from(logs.len(run, &of_job).map_err(failed)?);
    push(&mut out, &logs.read_job(run, &id, at, MAX_LOG).map_err(failed)?);
    for (step, name) in steps {
        out.push_str(&format!("== {}\n", sanitize::visible(&name).replace('\n', " ")));
        let at = from(logs.len(run, &crate::store::logs::LogName::Step(step.clone())).map_err(failed)?);
        push(&mut out, &logs.read(run, &step, at, MAX_LOG).map_err(failed)?);
    }
    Ok(out)
}

/// Adds lines without anything that could steer a terminal or deceive a reader.
fn push(out: &mut String, bytes: &[u8]) {
    for line in String::from_utf8_lossy(bytes).lines() {
        out.push_str(&sanitize::line(line, false));
        out.push('\n');
    }
}
