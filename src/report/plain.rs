//! A run without a terminal: lines with the job's name before them, and the summary at the end.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, humanize};
use crate::event::{Event, Outcome, Record};
use crate::id::{AttemptId, StepKey};
use crate::plan::ir::RunnerKind;
use crate::report::commands::Commands;
use crate::report::diagnostic::counted;
use crate::report::glyph;
use crate::report::job_view::{AttemptView, StepView};
use crate::report::markers::{self, Marked};
use crate::report::run_view::RunView;
use crate::report::sanitize::{self, visible};
use crate::report::style::{Ink, Style};
use crate::report::summary::{self, Look};
use crate::report::tail::Tails;
use crate::report::{waiting, width};
use crate::sink::Sink;

/// Names are aligned up to so many columns; longer ones push their lines to the right.
const MAX_ALIGN: usize = 24;

/// How much is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Loudness {
    /// Failures and the summary.
    Quiet,
    /// Output, starts and ends.
    #[default]
    Normal,
    /// Also commands, names of environment variables, and what is journaled.
    Verbose,
}

/// The sink.
pub struct Plain {
    view: RunView,
    tails: Tails,
    groups: HashMap<StepKey, u32>,
    out: Option<Box<dyn Write + Send>>,
    clock: Arc<dyn Clock>,
    style: Style,
    loudness: Loudness,
    columns: usize,
    align: usize,
    /// Stands before the job's name where several runs share the output.
    owner: Option<String>,
    /// What the steps run, for `--verbose`.
    commands: Commands,
}

impl Plain {
    /// Writes to `out`; `columns` bound the summary's bars.
    pub fn new(
        view: RunView,
        out: Box<dyn Write + Send>,
        clock: Arc<dyn Clock>,
        style: Style,
        loudness: Loudness,
        columns: usize,
        commands: Commands,
    ) -> Self {
        let longest = view.jobs.iter().map(|j| width::of(&j.name)).max().unwrap_or(0);
        Self {
            align: longest.min(MAX_ALIGN),
            owner: None,
            view,
            tails: Tails::default(),
            groups: HashMap::new(),
            out: Some(out),
            clock,
            style,
            loudness,
            columns,
            commands,
        }
    }

    /// Names the pipeline in every line: several runs share the output.
    pub fn labelled(mut self, pipeline: &str) -> Self {
        self.owner = Some(visible(pipeline));
        self
    }

    /// When the reader has gone, the rest is let go; the run goes on.
    fn write(&mut self, text: &str) {
        if let Some(out) = &mut self.out
            && out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err()
        {
            self.out = None;
        }
    }

    /// `[test (20)] `, aligned.
    fn prefix(&self, name: &str) -> String {
        let name = visible(name);
        let blanks = self.align.saturating_sub(width::of(&name));
        let name = self.owner.as_ref().map_or_else(|| name.clone(), |owner| format!("{owner} › {name}"));
        format!("{}{:blanks$} ", self.style.paint(Ink::Cyan, format!("[{name}]")), "")
    }

    fn job_name(&self, attempt: &AttemptId) -> String {
        self.view.find_job(&attempt.job).map_or_else(|| attempt.job.to_string(), |i| self.view.jobs[i].name.clone())
    }

    fn attempt(&self, id: &AttemptId) -> Option<&AttemptView> {
        let job = &self.view.jobs[self.view.find_job(&id.job)?];
        job.attempts.iter().rev().find(|a| a.attempt == id.attempt)
    }

    fn step(&self, key: &StepKey) -> Option<&StepView> {
        self.attempt(&key.attempt_id())?.steps.iter().rev().find(|s| s.step == key.step)
    }

    fn say(&mut self, name: &str, text: &str) {
        let prefix = self.prefix(name);
        let text: String = text.lines().map(|line| format!("{prefix}{line}\n")).collect();
        self.write(&text);
    }

    fn step_started(&mut self, key: &StepKey, name: &str) {
        let mut text = format!("{} {}", self.style.paint(Ink::Bold, "▸"), self.style.paint(Ink::Bold, visible(name)));
        if self.loudness == Loudness::Verbose {
            for line in self.commands.of(key) {
                text.push_str(&format!("\n  {}", self.style.paint(Ink::Dim, visible(&line))));
            }
        }
        let job = self.job_name(&key.attempt_id());
        self.say(&job, &text);
    }

    fn step_finished(&mut self, key: &StepKey) {
        let attempt = key.attempt_id();
        let job = self.job_name(&attempt);
        let Some(step) = self.step(key) else { return };
        let outcome = step.outcome.unwrap_or(Outcome::Success);
        let failed = matches!(outcome, Outcome::Failure | Outcome::Lost);
        // A job of one step says at its end how long it took.
        let alone = self.attempt(&attempt).is_some_and(|a| a.steps_total == 1);
        let (sign, ink) = glyph::outcome(outcome);
        let mut text = format!("{} {}", self.style.paint(ink, sign), visible(&step.name));
        if outcome != Outcome::Success {
            text.push_str(&format!(" {}", glyph::word(outcome)));
            let why = visible(&step.why());
            if !why.is_empty() {
                text.push_str(&format!(": {why}"));
            }
            if step.conclusion == Some(Outcome::Success) {
                text.push_str(" (allowed to fail)");
            }
        }
        text.push_str(&self.took(step.duration(self.clock.now())));
        let quiet = self.loudness == Loudness::Quiet;
        if failed && quiet {
            let log = self.log_of(key);
            self.say(&job, &format!("{text}\n{log}"));
        } else if !quiet && (!alone || outcome != Outcome::Success) {
            self.say(&job, &text);
        }
        self.groups.remove(key);
        self.tails.close(key, failed);
    }

    /// ` (1.2s)`.
    fn took(&self, duration: Option<Duration>) -> String {
        duration.map(|d| self.style.paint(Ink::Dim, format!(" ({})", humanize(d)))).unwrap_or_default()
    }

    /// The log of a step that failed quietly, as far as it was kept.
    fn log_of(&self, key: &StepKey) -> String {
        let Some(tail) = self.tails.get(key) else { return String::new() };
        let mut text = String::new();
        if tail.dropped > 0 {
            text.push_str(&format!("… {} before these\n", counted(tail.dropped as usize, "line")));
        }
        for line in &tail.lines {
            text.push_str(&format!("  {}\n", sanitize::line(line, self.style.color)));
        }
        text
    }

    fn job_event(&mut self, event: &Event) {
        match event {
            Event::JobQueued { job, group } => {
                let name = self.job_name(&AttemptId::new(job.clone(), 1));
                self.say(&name, &format!("waits for group {:?}", visible(group)));
            }
            Event::JobReused { job, from, .. } => {
                let name = self.job_name(&AttemptId::new(job.clone(), 1));
                self.say(&name, &format!("taken over from run {from}"));
            }
            Event::JobStarting { attempt, name, runner, image, steps } => {
                let place = match (runner, image) {
                    (RunnerKind::Docker, Some(image)) => format!("in docker ({})", visible(image)),
                    (RunnerKind::Docker, None) => "in docker".to_owned(),
                    (RunnerKind::Host, _) => "on the host".to_owned(),
                    (RunnerKind::Scripted, _) => "as scripted".to_owned(),
                    (RunnerKind::Engine, _) => "by slipway".to_owned(),
                };
                let again = if attempt.attempt > 1 { format!(", attempt {}", attempt.attempt) } else { String::new() };
                let text = format!("starting {place}, {}{again}", counted(*steps as usize, "step"));
                self.say(name, &self.style.paint(Ink::Dim, text));
            }
            Event::JobFinished { attempt, outcome, conclusion, reason, retry, .. } => {
                if self.loudness == Loudness::Quiet && *outcome == Outcome::Success {
                    return;
                }
                let name = self.job_name(attempt);
                let took = self.attempt(attempt).and_then(|a| Some(a.finished?.since(a.starting)));
                let (sign, ink) = glyph::outcome(*outcome);
                let mut text =
                    format!("{} {}", self.style.paint(ink, sign), self.style.paint(ink, glyph::word(*outcome)));
                if let Some(reason) = reason {
                    text.push_str(&format!(": {}", visible(reason)));
                }
                if outcome != conclusion {
                    text.push_str(" (allowed to fail)");
                }
                if *retry {
                    text.push_str(", another attempt follows");
                }
                text.push_str(&self.took(took));
                self.say(&name, &text);
            }
            Event::JobDropped { job, outcome, reason } => {
                let name = self.job_name(&AttemptId::new(job.clone(), 1));
                let (sign, ink) = glyph::outcome(*outcome);
                let text = format!("{} {}: {}", self.style.paint(ink, sign), glyph::word(*outcome), visible(reason));
                self.say(&name, &text);
            }
            Event::TestsReported { attempt, totals } => {
                let name = self.job_name(attempt);
                let (total, failed, skipped) = (totals.total, totals.failed, totals.skipped);
                self.say(&name, &format!("tests: {total} run, {failed} failed, {skipped} skipped"));
            }
            Event::ArtifactsKept { attempt, files } => {
                let name = self.job_name(attempt);
                let bytes = files.iter().map(|f| f.size).sum();
                self.say(&name, &format!("kept {}, {}", counted(files.len(), "file"), summary::size(bytes)));
            }
            _ => {}
        }
    }

    fn run_event(&mut self, event: &Event) {
        match event {
            Event::RunStarted { run, pipeline, event_name, commit, .. } => {
                let commit = if commit.bytes().all(|b| b == b'0') { "" } else { commit.get(..8).unwrap_or(commit) };
                let parts = [visible(pipeline), visible(event_name), visible(commit), format!("run {run}")];
                let parts: Vec<String> = parts.into_iter().filter(|p| !p.is_empty()).collect();
                self.write(&format!("{}\n", self.style.paint(Ink::Bold, parts.join(" · "))));
            }
            Event::RunResumed { pid } => self.write(&format!("resumed by process {pid}\n")),
            Event::CancelRequested { by, stage } => {
                let what = stage.as_ref().map(|s| format!(" {s}")).unwrap_or_default();
                self.write(&format!("cancelling{what}: asked by {}\n", visible(by)));
            }
            Event::RunPaused {} => self.write("paused: all that is left waits for a person\n"),
            Event::RequestRefused { by, reason } => {
                self.write(&format!("refused what {} asked: {}\n", visible(by), visible(reason)));
            }
            Event::ApprovalWaiting { .. } | Event::ApprovalGiven { .. } | Event::OrderGiven { .. } => {
                let run = self.view.run.as_ref().map(ToString::to_string).unwrap_or_default();
                for (stage, ink, line) in waiting::lines(&run, event) {
                    self.say(stage.as_str(), &self.style.paint(ink, visible(&line)));
                }
            }
            Event::JobsExpanded { stage, legs } => {
                self.say(stage.as_str(), &format!("its matrix gives {}", counted(legs.len(), "job")));
            }
            Event::StageFinished { stage, reason: Some(reason), .. } => {
                self.say(stage.as_str(), &format!("{} failed: {}", self.style.paint(Ink::Red, "✗"), visible(reason)));
            }
            Event::StageSkipped { stage, reason } => {
                let text = format!("{} skipped: {}", self.style.paint(Ink::Dim, "-"), visible(reason));
                self.say(stage.as_str(), &text);
            }
            _ => {}
        }
    }
}

impl Sink for Plain {
    fn record(&mut self, record: &Record) {
        self.view.apply(record);
        if self.loudness == Loudness::Verbose {
            let kind = serde_json::to_value(&record.event).ok();
            let kind = kind.as_ref().and_then(|v| v["event"].as_str()).unwrap_or_default();
            self.write(&format!("{}\n", self.style.paint(Ink::Dim, format!("journal #{} {kind}", record.seq))));
        }
        match &record.event {
            Event::StepFinished { step, .. } => self.step_finished(step),
            event @ Event::JobFinished { .. } => self.job_event(event),
            _ if self.loudness == Loudness::Quiet => {}
            Event::StepStarting { step, name } => self.step_started(step, name),
            Event::StepSkipped { step, name, reason } => {
                let job = self.job_name(&step.attempt_id());
                let text = format!("- {} skipped: {}", visible(name), visible(reason));
                self.say(&job, &self.style.paint(Ink::Dim, text));
            }
            event => {
                self.job_event(event);
                self.run_event(event);
            }
        }
    }

    fn output(&mut self, step: &StepKey, text: &str) {
        self.tails.push(step, text);
        if self.loudness == Loudness::Quiet || self.out.is_none() {
            return;
        }
        let prefix = self.prefix(&self.job_name(&step.attempt_id()));
        let mut depth = self.groups.get(step).copied().unwrap_or(0);
        let before = depth;
        let mut lines = String::with_capacity(text.len() + 64);
        for line in text.lines() {
            let line = sanitize::line(line, self.style.color);
            let (shown, indent) = match markers::read(&line) {
                Marked::Text(text) => (text.to_owned(), depth),
                Marked::Group(title) => {
                    depth = 1;
                    (self.style.paint(Ink::Bold, format!("┌ {title}")), 0)
                }
                Marked::GroupEnd => {
                    depth = 0;
                    continue;
                }
                Marked::Note(level, text) => {
                    let ink = if level == "error" { Ink::Red } else { Ink::Yellow };
                    (format!("{} {text}", self.style.paint(ink, format!("{level}:"))), depth)
                }
                Marked::Debug(text) if self.loudness == Loudness::Verbose => (format!("debug: {text}"), depth),
                Marked::Debug(_) | Marked::Hidden => continue,
            };
            lines.push_str(&prefix);
            lines.push_str(if indent > 0 { "│ " } else { "" });
            lines.push_str(&shown);
            lines.push('\n');
        }
        if depth != before {
            self.groups.insert(step.clone(), depth);
        }
        self.write(&lines);
    }

    fn job_line(&mut self, attempt: &AttemptId, text: &str) {
        if self.loudness != Loudness::Quiet {
            let name = self.job_name(attempt);
            let lines: Vec<String> = text.lines().map(|l| sanitize::line(l, self.style.color)).collect();
            self.say(&name, &lines.join("\n"));
        }
    }

    fn finish(&mut self) {
        let look = Look { style: self.style, columns: self.columns, now: self.clock.now() };
        let text = summary::text(&self.view, &self.tails, look);
        self.write(&format!("\n{text}"));
    }
}

#[cfg(test)]
#[path = "plain_tests.rs"]
mod tests;
