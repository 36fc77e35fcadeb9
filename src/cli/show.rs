//! `slipway runs show`: one run, whole.

use std::io::{self, IsTerminal};

use serde_json::{Value, json};

use crate::cli::runs::{VERSION, row_json};
use crate::cli::state::{Status, ago, find, view};
use crate::clock::{Clock, SystemClock, Timestamp, humanize};
use crate::event::Outcome;
use crate::id::{AttemptId, RunId, StepKey};
use crate::report::glyph;
use crate::report::job_view::{AttemptView, JobView, Phase, StepView};
use crate::report::make::stdout_size;
use crate::report::run_view::{Annotations, RunView};
use crate::report::sanitize::visible;
use crate::report::style::{Ink, Style, wants_color_here};
use crate::report::summary::{self, Look};
use crate::report::tail::Tails;
use crate::report::timeline;
use crate::store::contract::{RunRow, StoreError};
use crate::store::logs::{FileLogs, LogName};
use crate::store::sqlite::SqliteStore;

/// Lines of a failed step's log that are shown.
const TAIL_LINES: u64 = 20;
/// Bytes of them at most.
const TAIL_BYTES: usize = 16 << 10;
/// Steps whose lines are read.
const MAX_TAILS: usize = 50;

/// Shows one run.
#[derive(Debug, clap::Args)]
pub struct ShowRunArgs {
    /// Its id, the beginning of that, or #NUMBER; without it the newest of this checkout
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
}

/// The run as text.
pub fn run(store: &SqliteStore, args: &ShowRunArgs) -> Result<String, StoreError> {
    let run = find(store, args.run.as_deref())?;
    let (row, view) = view(store, &run)?;
    let status = Status::of(store, &row);
    let logs = FileLogs::new(store.state());
    if args.json {
        // What a log holds is asked of the log: the journal says so only of long ones.
        let log_bytes = |step: StepKey| logs.len(&run, &LogName::Step(step)).unwrap_or(0);
        return Ok(format!("{:#}\n", document(&row, &status, &view, &log_bytes)));
    }
    let now = match status {
        Status::Running(_) => SystemClock.now(),
        // What was going on went on no longer than the records tell.
        Status::Interrupted | Status::Waiting | Status::Over(_) => view.finished.unwrap_or(view.last).max(row.started),
    };
    let style = Style::new(wants_color_here(io::stdout().is_terminal()));
    let look = Look { style, columns: stdout_size().columns, now };
    let tails = tails(&logs, &run, &view);
    Ok(text(&row, &status, &view, &tails, look, SystemClock.now()))
}

/// The last lines of failed steps.
fn tails(logs: &FileLogs, run: &RunId, view: &RunView) -> Tails {
    let mut tails = Tails::default();
    let attempts = view.jobs.iter().filter_map(|job| Some((job, job.current()?)));
    let failed = attempts.flat_map(|(job, attempt)| {
        let id = AttemptId::new(job.id.clone(), attempt.attempt);
        let steps = attempt.steps.iter().filter(|step| matches!(step.outcome, Some(Outcome::Failure | Outcome::Lost)));
        steps.map(move |step| id.step(step.step))
    });
    for step in failed.take(MAX_TAILS) {
        let name = LogName::Step(step.clone());
        // A log that cannot be read leaves the rest of the run readable.
        let bytes = logs.tail(run, &name, TAIL_LINES).and_then(|at| {
            let end = logs.len(run, &name)?;
            logs.bytes(run, &name, at.max(end.saturating_sub(TAIL_BYTES as u64)), TAIL_BYTES)
        });
        if let Ok(bytes) = bytes {
            tails.push(&step, &String::from_utf8_lossy(&bytes));
            tails.close(&step, true);
        }
    }
    tails
}

fn text(row: &RunRow, status: &Status, view: &RunView, tails: &Tails, look: Look, today: Timestamp) -> String {
    let style = look.style;
    let (sign, ink) = status.sign();
    let mut out = format!(
        "{} {} #{} · {} · {}\n",
        style.paint(ink, sign),
        style.paint(Ink::Bold, format!("run {}", row.run)),
        row.serial,
        visible(&row.pipeline),
        visible(row.name.lines().next().unwrap_or_default()),
    );
    let mut fact = |name: &str, value: String| {
        out.push_str(&format!("{} {value}\n", style.paint(Ink::Dim, format!("{name:>9}"))));
    };
    let status_text = match status {
        Status::Running(owner) => format!("running, {}", visible(owner)),
        Status::Waiting => format!("waits for a person; slipway approve {} approves", row.run),
        Status::Interrupted => format!("interrupted; slipway resume {} takes it up", row.run),
        Status::Over(_) => status.word().to_owned(),
    };
    fact("status", style.paint(ink, status_text));
    fact("file", format!("{} (number {} of it)", visible(&row.file), row.number));
    fact("checkout", visible(&row.checkout.to_string_lossy()));
    fact("event", format!("{} of {}", visible(&row.event_name), visible(&row.commit)));
    fact("started", format!("{} ({})", row.started.rfc3339(), ago(today.since(row.started))));
    if let Some(origin) = &row.origin {
        fact("repeats", origin.to_string());
    }
    if view.resumed > 0 {
        fact("resumed", format!("{} times", view.resumed));
    }
    out.push('\n');
    out.push_str(&tree(view, look));
    out.push('\n');
    out.push_str(&summary::text(view, tails, look));
    // The summary leaves the bars of a single job out; here they were asked for.
    if view.jobs.iter().filter(|job| !job.attempts.is_empty()).nth(1).is_none() {
        let bars = timeline::draw(view, look.columns.min(100), look.now, style);
        if !bars.is_empty() {
            out.push_str(&format!("{}\n{bars}", style.paint(Ink::Bold, "timeline")));
        }
    }
    out
}

/// Stages, their jobs, and the steps of each attempt.
fn tree(view: &RunView, look: Look) -> String {
    let style = look.style;
    let mut out = String::new();
    for stage in view.stages.iter().filter(|stage| stage.selected) {
        let (sign, ink) = match stage.outcome {
            Some(outcome) => glyph::outcome(outcome),
            None if stage.started.is_some() => ("▸", Ink::Cyan),
            None => ("○", Ink::Dim),
        };
        let why = stage.skip_reason.as_ref().map(|why| format!("  skipped: {}", visible(why))).unwrap_or_default();
        let took = stage.duration().map(|d| format!("  {}", humanize(d))).unwrap_or_default();
        out.push_str(&format!(
            "{} {}{took}{why}\n",
            style.paint(ink, sign),
            style.paint(Ink::Bold, visible(stage.id.as_str()))
        ));
        let several = stage.jobs.len() > 1;
        for job in stage.jobs.iter().map(|at| &view.jobs[*at]) {
            if several || job.reused_from.is_some() || job.drop_reason.is_some() {
                out.push_str(&job_line(job, look));
            }
            for attempt in &job.attempts {
                out.push_str(&attempt_lines(job, attempt, several, look));
            }
        }
    }
    out
}

fn job_line(job: &JobView, look: Look) -> String {
    let (sign, ink) = match job.phase {
        Phase::Preparing | Phase::Running | Phase::Closing => ("▸", Ink::Cyan),
        _ => glyph::job(job, 0),
    };
    let took = job.duration(look.now).map(|d| format!("  {}", humanize(d))).unwrap_or_default();
    let why = match (&job.reused_from, &job.drop_reason) {
        (Some(from), _) => format!("  taken over from run {from}"),
        (None, Some(why)) => format!("  {}", visible(why)),
        (None, None) => String::new(),
    };
    format!("  {} {}{took}{why}\n", look.style.paint(ink, sign), visible(&job.name))
}

fn attempt_lines(job: &JobView, attempt: &AttemptView, several: bool, look: Look) -> String {
    let indent = if several { "    " } else { "  " };
    let mut out = String::new();
    if job.attempts.len() > 1 {
        let ended = attempt.outcome.map_or("goes on", glyph::word);
        out.push_str(&format!(
            "{indent}{}\n",
            look.style.paint(Ink::Dim, format!("attempt {}: {ended}", attempt.attempt))
        ));
    }
    if let Some(why) = &attempt.reason {
        out.push_str(&format!("{indent}{}\n", visible(why)));
    }
    for step in &attempt.steps {
        let (sign, ink) = match step.conclusion.or(step.outcome) {
            Some(outcome) if step.outcome == Some(outcome) => glyph::outcome(outcome),
            Some(_) => ("!", Ink::Yellow),
            None => ("▸", Ink::Cyan),
        };
        let took = step.duration(look.now).map(|d| format!("  {}", humanize(d))).unwrap_or_default();
        let why = Some(step.why()).filter(|why| !why.is_empty()).map(|why| format!("  {}", visible(&why)));
        out.push_str(&format!(
            "{indent}{} {} {}{took}{}\n",
            look.style.paint(ink, sign),
            look.style.paint(Ink::Dim, format!("{:>2}", step.step + 1)),
            visible(step.name.lines().next().unwrap_or_default()),
            why.unwrap_or_default(),
        ));
    }
    out
}

/// The run for programs. Steps count from 0, as in events.
fn document(row: &RunRow, status: &Status, view: &RunView, log_bytes: &dyn Fn(StepKey) -> u64) -> Value {
    let stages: Vec<Value> = view
        .stages
        .iter()
        .filter(|stage| stage.selected)
        .map(|stage| {
            json!({
                "stage": stage.id,
                "needs": stage.needs.iter().map(|n| &view.stages[*n as usize].id).collect::<Vec<_>>(),
                "outcome": stage.outcome,
                "skip_reason": stage.skip_reason,
                "started": stage.started,
                "finished": stage.finished,
                "jobs": stage.jobs.iter().map(|at| job_json(&view.jobs[*at], log_bytes)).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "version": VERSION,
        "run": row_json(row, status),
        "resumed": view.resumed,
        "cancelled_by": view.cancelled_by,
        "stages": stages,
        "errors": annotations(view, &view.errors),
        "warnings": annotations(view, &view.warnings),
        "notices": annotations(view, &view.notices),
    })
}

fn annotations(view: &RunView, list: &Annotations) -> Value {
    let first: Vec<Value> =
        list.first.iter().map(|(job, a)| json!({ "job": view.jobs[*job].id, "annotation": a })).collect();
    json!({ "count": list.count, "first": first })
}

fn job_json(job: &JobView, log_bytes: &dyn Fn(StepKey) -> u64) -> Value {
    let outcome = match job.phase {
        Phase::Done(outcome) => Some(outcome),
        _ => None,
    };
    json!({
        "job": job.id,
        "name": job.name,
        "outcome": outcome,
        "drop_reason": job.drop_reason,
        "reused_from": job.reused_from,
        "attempts": job.attempts.iter().map(|attempt| attempt_json(job, attempt, log_bytes)).collect::<Vec<_>>(),
    })
}

fn attempt_json(job: &JobView, attempt: &AttemptView, log_bytes: &dyn Fn(StepKey) -> u64) -> Value {
    let id = AttemptId::new(job.id.clone(), attempt.attempt);
    let step = |step: &StepView| step_json(step, log_bytes(id.step(step.step)));
    json!({
        "attempt": attempt.attempt,
        "runner": attempt.runner,
        "image": attempt.image,
        "outcome": attempt.outcome,
        "conclusion": attempt.conclusion,
        "reason": attempt.reason,
        "starting": attempt.starting,
        "started": attempt.started,
        "finished": attempt.finished,
        "steps": attempt.steps.iter().map(step).collect::<Vec<_>>(),
        "tests": attempt.tests,
        "artifacts": attempt.artifacts,
    })
}

fn step_json(step: &StepView, log_bytes: u64) -> Value {
    json!({
        "step": step.step,
        "name": step.name,
        "outcome": step.outcome,
        "conclusion": step.conclusion,
        "exit": step.exit,
        "reason": step.reason,
        "started": step.started,
        "finished": step.finished,
        "log_bytes": log_bytes,
        "summary_bytes": step.summary_bytes,
    })
}
