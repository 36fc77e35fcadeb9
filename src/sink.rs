//! Where events go beside the journal: terminal, JSON lines, reports. All sinks see one stream, live or replayed.

use crate::event::Record;
use crate::id::{AttemptId, StepKey};

/// A sink. Called from one task, in order; must not block for long.
pub trait Sink: Send {
    /// An event, after its commit was asked for.
    fn record(&mut self, record: &Record);

    /// Masked log text of a step; whole lines except where a line is longer than 64 KiB or the step waits in mid-line.
    fn output(&mut self, step: &StepKey, text: &str) {
        let _ = (step, text);
    }

    /// A line of a job's preparation or clean-up (pulling, services), masked.
    fn job_line(&mut self, attempt: &AttemptId, text: &str) {
        let _ = (attempt, text);
    }

    /// A passing state of a job's preparation; the next replaces it.
    fn job_state(&mut self, attempt: &AttemptId, text: &str) {
        let _ = (attempt, text);
    }

    /// Time has passed (about ten times a second while a run goes on), for what moves on a screen.
    fn tick(&mut self) {}

    /// Nothing more comes.
    fn finish(&mut self) {}
}
