//! One frame of the live tree as lines, from the run's view. Costs what the screen holds, not what the run holds.

use std::collections::HashMap;

use crate::clock::{Timestamp, humanize};
use crate::event::Outcome;
use crate::id::AttemptId;
use crate::report::glyph;
use crate::report::job_view::{JobView, Phase, StageView};
use crate::report::run_view::RunView;
use crate::report::sanitize::{self, visible};
use crate::report::style::{Ink, Style};
use crate::report::tail::Tails;
use crate::report::terminal::screen::Size;
use crate::report::width;

/// Columns of names at most.
const MAX_NAME: usize = 32;
/// Columns of durations.
const DURATION: usize = 6;
/// Names of needs that are said; more are counted.
const MAX_NEEDS: usize = 3;
/// Stages looked at for one that waits, behind the first that is not over.
const MAX_LOOK: usize = 500;

/// All that a frame is drawn from.
pub struct Frame<'a> {
    /// The run.
    pub view: &'a RunView,
    /// Output of steps.
    pub tails: &'a Tails,
    /// Passing states of preparations.
    pub states: &'a HashMap<AttemptId, String>,
    /// Stages before this place are over.
    pub first_open: usize,
    /// Turns the spinner.
    pub turn: usize,
    /// The moment.
    pub now: Timestamp,
    /// Colour.
    pub style: Style,
    /// The terminal.
    pub size: Size,
}

/// A line before it is fitted: name and what is said of it.
struct Row {
    indent: usize,
    sign: (&'static str, Ink),
    name: String,
    time: String,
    detail: String,
}

impl Frame<'_> {
    /// The lines, each shorter than the screen is wide; fewer than it has rows.
    pub fn lines(&self) -> Vec<String> {
        // One row for the progress line, one for the cursor below.
        let budget = self.size.rows.saturating_sub(2);
        // A cell is left free: a full line would make the terminal wrap.
        let columns = self.size.columns.saturating_sub(1);
        let (rows, more) = match self.tree(budget) {
            Some(rows) => (rows, None),
            None => self.compact(budget),
        };
        let longest = rows.iter().map(|r| r.indent + width::of(&r.name)).max().unwrap_or(0);
        let names = longest.min(MAX_NAME).min(columns * 2 / 5);
        let mut lines: Vec<String> = rows.iter().map(|row| self.fit(row, names, columns)).collect();
        lines.extend(more.map(|text| self.style.paint(Ink::Dim, width::cut(&text, columns))));
        lines.truncate(budget);
        lines.push(self.progress(columns));
        lines
    }

    /// All stages, legs of unfinished ones below them; none when that takes too many rows.
    fn tree(&self, budget: usize) -> Option<Vec<Row>> {
        if self.view.stages.len() > budget {
            return None;
        }
        let mut rows = Vec::new();
        for stage in self.view.stages.iter().filter(|s| s.selected) {
            match stage.jobs[..] {
                [only] if !stage.late => rows.push(self.job_row(&self.view.jobs[only], 0)),
                _ => {
                    rows.push(self.stage_row(stage));
                    // A stage that is over, or has not begun, is one line.
                    if stage.outcome.is_none() && stage.started.is_some() {
                        if rows.len() + stage.jobs.len() > budget {
                            return None;
                        }
                        rows.extend(stage.jobs.iter().map(|j| self.job_row(&self.view.jobs[*j], 2)));
                    }
                }
            }
            if rows.len() > budget {
                return None;
            }
        }
        Some(rows)
    }

    /// What runs, then what waits, and a line that counts the rest.
    fn compact(&self, budget: usize) -> (Vec<Row>, Option<String>) {
        let room = budget.saturating_sub(1);
        let running = self.view.active.len();
        let mut rows: Vec<Row> =
            self.view.active.iter().take(room).map(|j| self.job_row(&self.view.jobs[*j], 0)).collect();
        let hidden_running = running - rows.len();
        let mut waiting_shown = 0;
        let open = self.view.stages.iter().skip(self.first_open).take(MAX_LOOK);
        for stage in open.filter(|s| s.selected && s.outcome.is_none() && s.started.is_none()) {
            if rows.len() >= room {
                break;
            }
            match stage.jobs[..] {
                [only] => rows.push(self.job_row(&self.view.jobs[only], 0)),
                _ => rows.push(self.stage_row(stage)),
            }
            waiting_shown += stage.jobs.len().max(1);
        }
        let counts = self.view.counts;
        let waiting = (counts.total - counts.done).saturating_sub(running + waiting_shown);
        let parts: Vec<String> = [(hidden_running, "more running"), (waiting, "more waiting"), (counts.done, "done")]
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, what)| format!("{n} {what}"))
            .collect();
        (rows, (!parts.is_empty()).then(|| format!("… {}", parts.join(", "))))
    }

    fn stage_row(&self, stage: &StageView) -> Row {
        let jobs = || stage.jobs.iter().map(|j| &self.view.jobs[*j]);
        let sign = match stage.outcome {
            Some(outcome) => glyph::outcome(outcome),
            None if stage.started.is_some() => (glyph::SPINNER[self.turn % glyph::SPINNER.len()], Ink::Cyan),
            None => ("○", Ink::Dim),
        };
        let time = match (stage.started, stage.finished) {
            (Some(start), Some(end)) => humanize(end.since(start)),
            (Some(start), None) => humanize_seconds(self.now.since(start)),
            _ => String::new(),
        };
        let detail = match (stage.skip_reason.as_ref().or(stage.fail_reason.as_ref()), stage.outcome) {
            (Some(reason), _) => visible(reason),
            (None, Some(_)) => self.legs_ended(stage),
            (None, None) if stage.started.is_some() => {
                let done = jobs().filter(|j| matches!(j.phase, Phase::Done(_))).count();
                format!("{done}/{}", stage.jobs.len())
            }
            (None, None) => self.waits(stage),
        };
        Row { indent: 0, sign, name: visible(stage.id.as_str()), time, detail }
    }

    /// `4 jobs`, `2 of 4 failed`, or the one that failed and why.
    fn legs_ended(&self, stage: &StageView) -> String {
        let failed = |j: &&JobView| matches!(j.phase, Phase::Done(Outcome::Failure | Outcome::Lost));
        let mut list = stage.jobs.iter().map(|j| &self.view.jobs[*j]).filter(failed);
        match (list.next(), list.count()) {
            (None, _) => format!("{} jobs", stage.jobs.len()),
            (Some(one), 0) => format!("{}: {}", visible(&one.name), self.done(one, stage)),
            (Some(_), more) => format!("{} of {} failed", more + 1, stage.jobs.len()),
        }
    }

    fn job_row(&self, job: &JobView, indent: usize) -> Row {
        let stage = &self.view.stages[job.stage];
        let detail = match job.phase {
            Phase::Waiting => match job.current() {
                Some(attempt) => format!("attempt {} failed, another follows", attempt.attempt),
                None => self.waits(stage),
            },
            Phase::Queued => format!("waits for group {:?}", visible(job.group.as_deref().unwrap_or_default())),
            Phase::Preparing | Phase::Closing => {
                let attempt = job.current().map(|a| AttemptId::new(job.id.clone(), a.attempt));
                match attempt.and_then(|a| self.states.get(&a)) {
                    Some(state) => sanitize::line(state, false),
                    None if job.phase == Phase::Preparing => "preparing".to_owned(),
                    None => "cleaning up".to_owned(),
                }
            }
            Phase::Running => self.running(job),
            Phase::Done(_) => self.done(job, stage),
        };
        let read = if matches!(job.phase, Phase::Done(_)) { humanize } else { humanize_seconds };
        let time = job.duration(self.now).map(read).unwrap_or_default();
        Row { indent, sign: glyph::job(job, self.turn), name: visible(&job.name), time, detail }
    }

    /// `npm test (2/4) │ its last line`.
    fn running(&self, job: &JobView) -> String {
        let Some(attempt) = job.current() else { return String::new() };
        let Some(step) = attempt.running_step() else { return String::new() };
        let place = match attempt.steps_total {
            0 | 1 => String::new(),
            n => format!(" ({}/{n})", step.step + 1),
        };
        let key = AttemptId::new(job.id.clone(), attempt.attempt).step(step.step);
        let last = self.tails.get(&key).and_then(|t| t.last_line());
        let last = last.map(|line| format!(" │ {}", sanitize::line(line, false).trim())).unwrap_or_default();
        format!("{}{place}{last}", visible(&step.name))
    }

    fn done(&self, job: &JobView, stage: &StageView) -> String {
        let reason = job.drop_reason.as_ref().or(stage.skip_reason.as_ref());
        let failed = |outcome| matches!(outcome, Some(Outcome::Failure | Outcome::Lost));
        let step = job.current().and_then(|a| a.steps.iter().find(|s| failed(s.conclusion)));
        let reason = job.current().and_then(|a| a.reason.as_ref()).or(reason);
        match (step, reason) {
            (Some(step), _) if job.phase != Phase::Done(Outcome::Success) || job.tolerated() => {
                format!("{}: {}", visible(&step.name), visible(&step.why()))
            }
            (_, Some(reason)) => visible(reason),
            _ => match &job.reused_from {
                Some(run) => format!("taken over from run {run}"),
                None => String::new(),
            },
        }
    }

    /// `waits for lint, test and 3 more`.
    fn waits(&self, stage: &StageView) -> String {
        let open = |n: &&u32| {
            let need = &self.view.stages[**n as usize];
            need.selected && need.outcome.is_none()
        };
        let mut names: Vec<String> = Vec::new();
        let mut more = 0;
        for need in stage.needs.iter().filter(open) {
            if names.len() < MAX_NEEDS {
                names.push(visible(self.view.stages[*need as usize].id.as_str()));
            } else {
                more += 1;
            }
        }
        match (names.is_empty(), more) {
            (true, _) => "waits for a free place".to_owned(),
            (false, 0) => format!("waits for {}", names.join(", ")),
            (false, n) => format!("waits for {} and {n} more", names.join(", ")),
        }
    }

    fn fit(&self, row: &Row, names: usize, columns: usize) -> String {
        let (sign, ink) = row.sign;
        let name = width::fit(&row.name, names.saturating_sub(row.indent));
        let used = 2 + row.indent + width::of(&name) + 1 + DURATION;
        let detail = row.detail.lines().next().unwrap_or_default().replace('\t', " ");
        let detail = width::cut(&detail, columns.saturating_sub(used + 2));
        let time = format!("{:>DURATION$}", row.time);
        let line = format!(
            "{:indent$}{} {name} {}  {}",
            "",
            self.style.paint(ink, sign),
            self.style.paint(Ink::Dim, time),
            self.style.paint(Ink::Dim, detail),
            indent = row.indent,
        );
        width::cut(line.trim_end(), columns)
    }

    /// `⠋ ci ━━━━━━━───── 12/40  1m02s  3 running, 1 failed`.
    fn progress(&self, columns: usize) -> String {
        let counts = self.view.counts;
        let total = counts.total.max(1);
        let bar_columns = if columns >= 60 { 20 } else { 0 };
        let full = counts.done * bar_columns / total;
        let bar: String = std::iter::repeat_n('━', full).collect();
        let rest: String = std::iter::repeat_n('─', bar_columns - full).collect();
        let ink = if counts.failed > 0 { Ink::Red } else { Ink::Green };
        let bar = match bar_columns {
            0 => String::new(),
            _ => format!("{}{} ", self.style.paint(ink, bar), self.style.paint(Ink::Dim, rest)),
        };
        let mut parts = Vec::new();
        if self.view.cancelled_by.is_some() {
            parts.push(self.style.paint(Ink::Yellow, "cancelling"));
        }
        if !self.view.active.is_empty() {
            parts.push(format!("{} running", self.view.active.len()));
        }
        if counts.failed > 0 {
            parts.push(self.style.paint(Ink::Red, format!("{} failed", counts.failed)));
        }
        let name = width::cut(&visible(&self.view.pipeline), (columns / 3).max(8));
        let line = format!(
            "{} {} {bar}{}/{}  {}  {}",
            self.style.paint(Ink::Cyan, glyph::SPINNER[self.turn % glyph::SPINNER.len()]),
            self.style.paint(Ink::Bold, name),
            counts.done,
            counts.total,
            humanize_seconds(self.view.elapsed(self.now)),
            parts.join(", "),
        );
        width::cut(line.trim_end(), columns)
    }
}

/// Whole seconds: tenths that race by tell nothing.
fn humanize_seconds(duration: std::time::Duration) -> String {
    match duration.as_secs() {
        s @ 0..60 => format!("{s}s"),
        _ => humanize(duration),
    }
}
