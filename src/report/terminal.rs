//! A run on a terminal: a live tree of what runs and waits; logs of failed steps above it as they happen; the summary at
//! the end. Frames are drawn on ticks, and at once where something fails.

mod frame;
mod screen;

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::{Clock, humanize};
use crate::event::{Event, Outcome, Record};
use crate::id::{AttemptId, StepKey};
use crate::report::diagnostic::counted;
use crate::report::glyph;
use crate::report::job_view::JobView;
use crate::report::markers::{self, Marked};
use crate::report::run_view::RunView;
use crate::report::sanitize::{self, visible};
use crate::report::style::{Ink, Style};
use crate::report::summary::{self, Look};
use crate::report::tail::{Tail, Tails};
use crate::sink::Sink;

pub use screen::{RESTORE, Screen, Size};

use frame::Frame;

/// Asks the terminal how large it is.
pub type SizeOf = Box<dyn Fn() -> Size + Send>;

/// The sink.
pub struct Terminal {
    view: RunView,
    tails: Tails,
    /// Lines of preparations, shown when a job fails without a failed step.
    job_tails: HashMap<AttemptId, Tail>,
    states: HashMap<AttemptId, String>,
    screen: Screen,
    size: SizeOf,
    clock: Arc<dyn Clock>,
    style: Style,
    first_open: usize,
    turn: usize,
}

impl Terminal {
    /// Draws on `screen`.
    pub fn new(view: RunView, screen: Screen, size: SizeOf, clock: Arc<dyn Clock>, style: Style) -> Self {
        Self {
            view,
            tails: Tails::default(),
            job_tails: HashMap::new(),
            states: HashMap::new(),
            screen,
            size,
            clock,
            style,
            first_open: 0,
            turn: 0,
        }
    }

    fn draw(&mut self, above: &str) {
        while self.view.stages.get(self.first_open).is_some_and(|s| s.outcome.is_some() || !s.selected) {
            self.first_open += 1;
        }
        let size = (self.size)();
        let lines = Frame {
            view: &self.view,
            tails: &self.tails,
            states: &self.states,
            first_open: self.first_open,
            turn: self.turn,
            now: self.clock.now(),
            style: self.style,
            size,
        }
        .lines();
        self.screen.draw(above, lines, size);
    }

    fn job(&self, id: &AttemptId) -> Option<&JobView> {
        self.view.find_job(&id.job).map(|i| &self.view.jobs[i])
    }

    /// The log of a step that failed, as far as it was kept, with a header.
    fn failed_step(&self, key: &StepKey) -> Option<String> {
        let id = key.attempt_id();
        let job = self.job(&id)?;
        let attempt = job.attempts.iter().rev().find(|a| a.attempt == key.attempt)?;
        let step = attempt.steps.iter().rev().find(|s| s.step == key.step)?;
        let outcome = step.outcome?;
        let (sign, ink) = glyph::outcome(outcome);
        let mut head = format!("{} › {} {}", visible(&job.name), visible(&step.name), glyph::word(outcome));
        let why = visible(&step.why());
        if !why.is_empty() {
            head.push_str(&format!(": {why}"));
        }
        if step.conclusion == Some(Outcome::Success) {
            head.push_str(" (allowed to fail)");
        }
        let took = step.duration(self.clock.now()).map(|d| format!(" ({})", humanize(d))).unwrap_or_default();
        let mut text = format!(
            "{} {}{}\n",
            self.style.paint(ink, sign),
            self.style.paint(Ink::Bold, head),
            self.style.paint(Ink::Dim, took)
        );
        if let Some(tail) = self.tails.get(key) {
            self.push_log(&mut text, tail, job);
        }
        Some(text)
    }

    /// A job that failed without a step to blame: its reason, and what its preparation said.
    fn failed_job(&self, id: &AttemptId) -> Option<String> {
        let job = self.job(id)?;
        let attempt = job.attempts.iter().rev().find(|a| a.attempt == id.attempt)?;
        let failed = |outcome| matches!(outcome, Some(Outcome::Failure | Outcome::Lost));
        if !failed(attempt.outcome) || attempt.steps.iter().any(|s| failed(s.outcome)) {
            return None;
        }
        let (sign, ink) = glyph::outcome(attempt.outcome?);
        let reason = attempt.reason.as_ref().map(|r| format!(": {}", visible(r))).unwrap_or_default();
        let head = format!("{} {}{reason}", visible(&job.name), glyph::word(attempt.outcome?));
        let mut text = format!("{} {}\n", self.style.paint(ink, sign), self.style.paint(Ink::Bold, head));
        if let Some(tail) = self.job_tails.get(id) {
            self.push_log(&mut text, tail, job);
        }
        Some(text)
    }

    fn push_log(&self, text: &mut String, tail: &Tail, job: &JobView) {
        let bar = self.style.paint(Ink::Dim, "│");
        if tail.dropped > 0 {
            let run = self.view.run.as_ref().map(ToString::to_string).unwrap_or_default();
            let stage = &self.view.stages[job.stage].id;
            let said = format!("… {} before these: slipway logs {run} {stage}", counted(tail.dropped as usize, "line"));
            text.push_str(&format!("  {bar} {}\n", self.style.paint(Ink::Dim, said)));
        }
        for line in &tail.lines {
            let line = sanitize::line(line, self.style.color);
            let line = match markers::read(&line) {
                Marked::Text(line) | Marked::Debug(line) => line.to_owned(),
                Marked::Group(title) => self.style.paint(Ink::Bold, title),
                Marked::Note(level, note) => {
                    let ink = if level == "error" { Ink::Red } else { Ink::Yellow };
                    format!("{} {note}", self.style.paint(ink, format!("{level}:")))
                }
                Marked::GroupEnd | Marked::Hidden => continue,
            };
            text.push_str(&format!("  {bar} {line}\n"));
        }
    }
}

impl Sink for Terminal {
    fn record(&mut self, record: &Record) {
        self.view.apply(record);
        match &record.event {
            Event::StepFinished { step, outcome, .. } => {
                let failed = matches!(outcome, Outcome::Failure | Outcome::Lost);
                if failed && let Some(text) = self.failed_step(step) {
                    self.draw(&text);
                }
                self.tails.close(step, failed);
            }
            Event::JobStarted { attempt } => {
                self.states.remove(attempt);
            }
            Event::JobFinished { attempt, .. } => {
                self.states.remove(attempt);
                if let Some(text) = self.failed_job(attempt) {
                    self.draw(&text);
                }
                self.job_tails.remove(attempt);
            }
            Event::RunStarted { .. } | Event::RunFinished { .. } | Event::CancelRequested { .. } => self.draw(""),
            _ => {}
        }
    }

    fn output(&mut self, step: &StepKey, text: &str) {
        self.tails.push(step, text);
    }

    fn job_line(&mut self, attempt: &AttemptId, text: &str) {
        let tail = self.job_tails.entry(attempt.clone()).or_default();
        tail.push(text);
        // A line is a line, with or without its end.
        if !text.ends_with('\n') {
            tail.push("\n");
        }
        if let Some(line) = tail.last_line() {
            self.states.insert(attempt.clone(), line.to_owned());
        }
    }

    fn job_state(&mut self, attempt: &AttemptId, text: &str) {
        self.states.insert(attempt.clone(), text.to_owned());
    }

    fn tick(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        self.draw("");
    }

    fn finish(&mut self) {
        let size = (self.size)();
        let look = Look { style: self.style, columns: size.columns.saturating_sub(1).max(20), now: self.clock.now() };
        let text = summary::text(&self.view, &self.tails, look);
        self.screen.finish(&text, size);
    }
}

#[cfg(test)]
#[path = "terminal/tests.rs"]
mod tests;
