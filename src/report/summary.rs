//! The end of a run in words: outcome, timeline, failures with their last lines, why stages were skipped, tests, files,
//! the critical path, and what to do next. Also for `runs show`.

use std::cmp::Reverse;
use std::time::Duration;

use crate::clock::{Timestamp, humanize};
use crate::event::{Annotation, Outcome};
use crate::id::StepKey;
use crate::report::critical::critical_path;
use crate::report::diagnostic::counted;
use crate::report::glyph;
use crate::report::job_view::{AttemptView, JobView, Phase, StepView};
use crate::report::run_view::{Annotations, RunView};
use crate::report::sanitize::{self, visible};
use crate::report::style::{Ink, Style};
use crate::report::tail::Tails;
use crate::report::timeline;
use crate::report::width;

/// Entries of one list; more are counted.
const MAX_ENTRIES: usize = 20;
/// Failed tests that are named.
const MAX_TESTS: usize = 10;
/// No line is longer, whatever stands in a file.
const MAX_COLUMNS: usize = 1000;
/// A step that took less is not worth a line.
const SLOW: Duration = Duration::from_secs(1);

/// How a summary is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Colour.
    pub style: Style,
    /// Columns at most.
    pub columns: usize,
    /// Ends what goes on.
    pub now: Timestamp,
}

/// The whole summary, ending in a line end.
pub fn text(view: &RunView, tails: &Tails, look: Look) -> String {
    let mut out = Sections { out: String::new(), look };
    out.line(&headline(view, look));
    if view.jobs.iter().filter(|j| !j.attempts.is_empty()).nth(1).is_some() {
        out.out.push('\n');
        out.out.push_str(&timeline::draw(view, look.columns.min(100), look.now, look.style));
        out.out.push('\n');
    }
    out.section("failed", failures(view, tails, look));
    out.section("skipped", skipped(view, look));
    out.section("errors", annotations(view, &view.errors));
    out.section("warnings", annotations(view, &view.warnings));
    out.section("tests", tests(view, look));
    out.section("retried", retried(view));
    out.section("artifacts", artifacts(view));
    out.section("summaries", summaries(view));
    out.section("slowest steps", slowest(view));
    out.section("critical path", critical(view, look));
    out.section("next", next(view, look));
    out.out
}

/// `✗ ci failed in 12s (4 jobs: 2 succeeded, 1 failed, 1 skipped)`.
pub fn headline(view: &RunView, look: Look) -> String {
    let took = humanize(view.elapsed(look.now));
    let pipeline = visible(&view.pipeline);
    let (sign, ink, said) = match view.outcome {
        Some(outcome) => {
            let (sign, ink) = glyph::outcome(outcome);
            let said = match outcome {
                Outcome::Success => format!("{pipeline} succeeded in {took}"),
                Outcome::Failure => format!("{pipeline} failed after {took}"),
                Outcome::Cancelled => match &view.cancelled_by {
                    Some(by) => format!("{pipeline} was cancelled by {} after {took}", visible(by)),
                    None => format!("{pipeline} was cancelled after {took}"),
                },
                Outcome::Skipped => format!("{pipeline} was skipped"),
                Outcome::Lost => format!("what became of {pipeline} cannot be known (after {took})"),
            };
            (sign, ink, said)
        }
        None => ("‖", Ink::Yellow, format!("{pipeline} is not finished (so far {took})")),
    };
    let counts = view.counts;
    let parts: Vec<String> = [
        (counts.succeeded, "succeeded"),
        (counts.failed, "failed"),
        (counts.cancelled, "cancelled"),
        (counts.skipped, "skipped"),
        (counts.total - counts.done, "open"),
    ]
    .iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, word)| format!("{n} {word}"))
    .collect();
    let jobs = match counts.total {
        0 | 1 => String::new(),
        _ => look.style.paint(Ink::Dim, format!(" ({}: {})", counted(counts.total, "job"), parts.join(", "))),
    };
    format!("{} {}{jobs}", look.style.paint(ink, sign), look.style.paint(Ink::Bold, said))
}

struct Sections {
    out: String,
    look: Look,
}

impl Sections {
    /// Lines are left for the terminal to wrap: a reason that is cut off tells nothing.
    fn line(&mut self, text: &str) {
        self.out.push_str(&width::cut(text, MAX_COLUMNS));
        self.out.push('\n');
    }

    fn section(&mut self, title: &str, lines: Vec<String>) {
        if lines.is_empty() {
            return;
        }
        self.line(&self.look.style.paint(Ink::Bold, title));
        for line in lines {
            self.line(&format!("  {line}"));
        }
    }
}

/// At most [`MAX_ENTRIES`] of `entries`, and how many more there are.
fn bounded(entries: impl Iterator<Item = String>) -> Vec<String> {
    let mut entries = entries;
    let mut lines: Vec<String> = entries.by_ref().take(MAX_ENTRIES).collect();
    let more = entries.count();
    if more > 0 {
        lines.push(format!("… and {more} more"));
    }
    lines
}

fn name(job: &JobView) -> String {
    visible(&job.name)
}

fn failed_jobs(view: &RunView) -> impl Iterator<Item = &JobView> {
    view.jobs.iter().filter(|j| matches!(j.phase, Phase::Done(Outcome::Failure | Outcome::Lost)) || j.tolerated())
}

fn failures(view: &RunView, tails: &Tails, look: Look) -> Vec<String> {
    let mut lines = Vec::new();
    let stages = view.stages.iter().filter_map(|s| Some((s, s.fail_reason.as_ref()?)));
    for (stage, reason) in stages.take(MAX_ENTRIES) {
        let name = look.style.paint(Ink::Red, visible(stage.id.as_str()));
        push_text(&mut lines, &format!("{name}: {}", visible(reason)));
    }
    let mut jobs = failed_jobs(view);
    for job in jobs.by_ref().take(MAX_ENTRIES) {
        let allowed = if job.tolerated() { " (allowed to fail)" } else { "" };
        let attempt = job.current();
        let failed: Vec<(&AttemptView, &StepView)> = attempt
            .into_iter()
            .flat_map(|a| a.steps.iter().map(move |s| (a, s)))
            .filter(|(_, s)| matches!(s.conclusion, Some(Outcome::Failure | Outcome::Lost)))
            .collect();
        let reason = attempt.and_then(|a| a.reason.as_ref()).or(job.drop_reason.as_ref());
        if failed.is_empty() || reason.is_some() {
            let why = reason.map_or_else(|| "failed".to_owned(), |r| visible(r));
            push_text(&mut lines, &format!("{}{allowed}: {why}", look.style.paint(Ink::Red, name(job))));
        }
        for (attempt, step) in failed {
            let why = match step.why() {
                why if why.is_empty() => step.outcome.map_or("failed", glyph::word).to_owned(),
                why => visible(&why),
            };
            let title = look.style.paint(Ink::Red, format!("{} › {}", name(job), visible(&step.name)));
            push_text(&mut lines, &format!("{title}{allowed}: {why}"));
            let key = StepKey { job: job.id.clone(), attempt: attempt.attempt, step: step.step };
            let bar = look.style.paint(Ink::Dim, "│");
            for line in tails.get(&key).into_iter().flat_map(|t| &t.lines) {
                let line = sanitize::line(line, look.style.color);
                lines.push(format!("  {bar} {}", width::cut(&line, look.columns.saturating_sub(6).max(20))));
            }
        }
    }
    let more = jobs.count();
    if more > 0 {
        lines.push(format!("… and {more} more"));
    }
    lines
}

/// Text of several lines, each on its own.
fn push_text(lines: &mut Vec<String>, text: &str) {
    for (i, line) in text.lines().enumerate() {
        lines.push(if i == 0 { line.to_owned() } else { format!("  {line}") });
    }
}

fn skipped(view: &RunView, look: Look) -> Vec<String> {
    let stages = view.stages.iter().filter_map(|s| Some((visible(s.id.as_str()), s.skip_reason.as_ref()?)));
    let dropped = view
        .jobs
        .iter()
        .filter(|j| !matches!(j.phase, Phase::Done(Outcome::Failure | Outcome::Lost)))
        .filter_map(|j| Some((name(j), j.drop_reason.as_ref()?)));
    let dim = |text: String| look.style.paint(Ink::Dim, text);
    bounded(stages.chain(dropped).map(|(name, why)| format!("{name}: {}", dim(visible(why).replace('\n', " ")))))
}

fn annotations(view: &RunView, list: &Annotations) -> Vec<String> {
    let mut lines: Vec<String> = list
        .first
        .iter()
        .map(|(job, a)| {
            let message = visible(&a.message);
            let message = message.lines().next().unwrap_or_default();
            let title = a.title.as_ref().map(|t| format!("{}: ", visible(t))).unwrap_or_default();
            format!("{}{title}{message} [{}]", file_place(a), name(&view.jobs[*job]))
        })
        .collect();
    if list.count > list.first.len() {
        lines.push(format!("… and {} more", list.count - list.first.len()));
    }
    lines
}

/// `src/a.rs:12:3: `.
pub fn file_place(annotation: &Annotation) -> String {
    let Some(file) = &annotation.file else { return String::new() };
    let mut place = visible(file);
    if let Some(line) = annotation.line {
        place.push_str(&format!(":{line}"));
        if let Some(column) = annotation.column {
            place.push_str(&format!(":{column}"));
        }
    }
    place + ": "
}

fn last_attempts(view: &RunView) -> impl Iterator<Item = (&JobView, &AttemptView)> {
    view.jobs.iter().filter_map(|j| Some((j, j.current()?)))
}

fn tests(view: &RunView, look: Look) -> Vec<String> {
    let all: Vec<_> = last_attempts(view).filter_map(|(j, a)| Some((j, a.tests.as_ref()?))).collect();
    if all.is_empty() {
        return Vec::new();
    }
    let sum = |f: fn(&crate::event::TestTotals) -> u64| all.iter().map(|(_, t)| f(t)).sum::<u64>();
    let (total, failed, skipped) = (sum(|t| t.total), sum(|t| t.failed), sum(|t| t.skipped));
    let mut lines = vec![format!("{total} run, {failed} failed, {skipped} skipped")];
    let mut named = all.iter().flat_map(|(j, t)| t.failures.iter().map(move |f| (j, f)));
    for (job, (test, message)) in named.by_ref().take(MAX_TESTS) {
        let message = visible(message.lines().next().unwrap_or_default());
        let colon = if message.is_empty() { "" } else { ": " };
        lines.push(format!("{} {}{colon}{message} [{}]", look.style.paint(Ink::Red, "✗"), visible(test), name(job)));
    }
    let shown = (lines.len() - 1) as u64;
    if failed > shown && shown > 0 {
        lines.push(format!("… and {} more", failed - shown));
    }
    lines
}

fn retried(view: &RunView) -> Vec<String> {
    let again = view.jobs.iter().filter(|j| j.attempts.len() > 1);
    bounded(again.map(|j| format!("{}: {} attempts", name(j), j.attempts.len())))
}

fn artifacts(view: &RunView) -> Vec<String> {
    let kept = last_attempts(view).filter(|(_, a)| !a.artifacts.is_empty());
    bounded(kept.map(|(j, a)| {
        let bytes = a.artifacts.iter().map(|f| f.size).sum();
        let what = match &a.artifacts[..] {
            [one] => visible(&one.path),
            more => counted(more.len(), "file"),
        };
        format!("{}: {what}, {}", name(j), size(bytes))
    }))
}

fn summaries(view: &RunView) -> Vec<String> {
    let wrote = last_attempts(view).filter(|(_, a)| a.steps.iter().any(|s| s.summary_bytes > 0));
    let names = bounded(wrote.map(|(j, _)| name(j)));
    if names.is_empty() { names } else { vec![names.join(", ")] }
}

fn slowest(view: &RunView) -> Vec<String> {
    let steps = last_attempts(view).flat_map(|(j, a)| a.steps.iter().map(move |s| (j, s)));
    let mut steps: Vec<_> =
        steps.filter_map(|(j, s)| Some((s.duration(s.finished?)?, j, s))).filter(|(took, ..)| *took >= SLOW).collect();
    if steps.len() < 4 {
        return Vec::new();
    }
    steps.sort_by_key(|(took, ..)| Reverse(*took));
    steps.truncate(3);
    steps.iter().map(|(took, j, s)| format!("{} › {} {}", name(j), visible(&s.name), humanize(*took))).collect()
}

fn critical(view: &RunView, look: Look) -> Vec<String> {
    /// A wait that is shorter is how long starting takes.
    const WORTH_SAYING: Duration = Duration::from_millis(500);
    let chain = critical_path(view);
    if chain.len() < 2 {
        return Vec::new();
    }
    let parts: Vec<String> = chain
        .iter()
        .map(|link| {
            let wait = if link.waited >= WORTH_SAYING {
                look.style.paint(Ink::Yellow, format!("(waited {}) ", humanize(link.waited)))
            } else {
                String::new()
            };
            format!("{wait}{} {}", visible(view.stages[link.stage].id.as_str()), humanize(link.took))
        })
        .collect();
    wrap(&parts, " → ", look.columns.saturating_sub(2))
}

/// Joins `parts` with `between` into lines of at most `columns`.
fn wrap(parts: &[String], between: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for (i, part) in parts.iter().enumerate() {
        let last = lines.last_mut().expect("there is always a line");
        let lead = if i == 0 { "" } else { between };
        if i > 0 && width::of(last) + width::of(lead) + width::of(part) > columns {
            lines.push(format!("{}{part}", lead.trim_start()));
        } else {
            last.push_str(lead);
            last.push_str(part);
        }
    }
    if lines.len() > MAX_ENTRIES {
        let more = lines.len() - MAX_ENTRIES;
        lines.truncate(MAX_ENTRIES);
        lines.push(format!("… {more} more lines"));
    }
    lines
}

fn next(view: &RunView, look: Look) -> Vec<String> {
    let Some(run) = &view.run else { return Vec::new() };
    let stage = failed_jobs(view).find(|j| !j.attempts.is_empty()).map(|j| visible(view.stages[j.stage].id.as_str()));
    let logs = stage.map(|stage| format!("slipway logs {run} {stage}"));
    let more: Vec<String> = match view.outcome {
        None => vec![format!("slipway resume {run}")],
        Some(Outcome::Failure) => vec![format!("slipway rerun {run} --failed")],
        Some(Outcome::Cancelled | Outcome::Lost) => {
            vec![format!("slipway runs show {run}"), format!("slipway rerun {run}")]
        }
        Some(Outcome::Success | Outcome::Skipped) => {
            let kept = view.jobs.iter().any(|j| j.current().is_some_and(|a| !a.artifacts.is_empty()));
            kept.then(|| format!("slipway artifacts {run}")).into_iter().collect()
        }
    };
    logs.into_iter().chain(more).map(|command| look.style.paint(Ink::Cyan, command)).collect()
}

/// `1.2 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
