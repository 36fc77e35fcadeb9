//! Signs for states. Each takes one column.

use crate::event::Outcome;
use crate::report::job_view::{JobView, Phase};
use crate::report::style::Ink;

/// What turns while something runs, in ten frames a second.
pub const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// The sign of an outcome.
pub fn outcome(outcome: Outcome) -> (&'static str, Ink) {
    match outcome {
        Outcome::Success => ("✓", Ink::Green),
        Outcome::Failure => ("✗", Ink::Red),
        Outcome::Cancelled => ("⊘", Ink::Yellow),
        Outcome::Skipped => ("-", Ink::Dim),
        Outcome::Lost => ("?", Ink::Magenta),
    }
}

/// The sign of a job; `frame` turns the spinner.
pub fn job(job: &JobView, frame: usize) -> (&'static str, Ink) {
    match job.phase {
        Phase::Waiting | Phase::Queued => ("○", Ink::Dim),
        Phase::Preparing | Phase::Running | Phase::Closing => (SPINNER[frame % SPINNER.len()], Ink::Cyan),
        Phase::Done(_) if job.tolerated() => ("!", Ink::Yellow),
        Phase::Done(end) => outcome(end),
    }
}

/// An outcome in a sentence.
pub fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "succeeded",
        Outcome::Failure => "failed",
        Outcome::Cancelled => "cancelled",
        Outcome::Skipped => "skipped",
        Outcome::Lost => "lost",
    }
}
