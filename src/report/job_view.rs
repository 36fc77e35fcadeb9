//! Parts of [`RunView`](crate::report::run_view::RunView): stages, jobs, attempts, steps.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::{Exit, KeptFile, Outcome, TestTotals};
use crate::id::{JobId, RunId, StageId};
use crate::plan::ir::RunnerKind;

/// A stage.
#[derive(Debug, Clone)]
pub struct StageView {
    /// Its id.
    pub id: StageId,
    /// Places of the stages it needs.
    pub needs: Vec<u32>,
    /// Places of its jobs.
    pub jobs: Vec<usize>,
    /// Whether the run is to do it at all.
    pub selected: bool,
    /// Whether its matrix is not known yet.
    pub late: bool,
    /// When its first job began.
    pub started: Option<Timestamp>,
    /// When it was over (for a skipped one: when that was decided).
    pub finished: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why it was skipped.
    pub skip_reason: Option<String>,
    /// Why it failed, when no job of it says.
    pub fail_reason: Option<String>,
    /// It waits for people: the environment, and who may decide.
    pub waits: Option<(Option<String>, Vec<String>)>,
}

impl StageView {
    pub(crate) fn new(id: StageId) -> Self {
        Self {
            id,
            needs: Vec::new(),
            jobs: Vec::new(),
            selected: true,
            late: false,
            waits: None,
            started: None,
            finished: None,
            outcome: None,
            skip_reason: None,
            fail_reason: None,
        }
    }

    /// From its first job's start to its end.
    pub fn duration(&self) -> Option<Duration> {
        Some(self.finished?.since(self.started?))
    }
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// For its needs, or for a place.
    Waiting,
    /// For its concurrency group.
    Queued,
    /// Its sandbox is being made.
    Preparing,
    /// Steps run.
    Running,
    /// Its sandbox is being removed.
    Closing,
    /// It is over; after `continue-on-error`.
    Done(Outcome),
}

/// A job.
#[derive(Debug, Clone)]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// Place of its stage.
    pub stage: usize,
    /// What people call it.
    pub name: String,
    /// Where it is.
    pub phase: Phase,
    /// The concurrency group it waits for.
    pub group: Option<String>,
    /// Why it never started.
    pub drop_reason: Option<String>,
    /// The earlier run it was taken from.
    pub reused_from: Option<RunId>,
    /// Its attempts so far.
    pub attempts: Vec<AttemptView>,
}

impl JobView {
    pub(crate) fn new(id: JobId, stage: usize, name: String) -> Self {
        Self {
            id,
            stage,
            name,
            phase: Phase::Waiting,
            group: None,
            drop_reason: None,
            reused_from: None,
            attempts: Vec::new(),
        }
    }

    /// The newest attempt.
    pub fn current(&self) -> Option<&AttemptView> {
        self.attempts.last()
    }

    /// Whether it failed and `continue-on-error` made a success of that.
    pub fn tolerated(&self) -> bool {
        matches!(self.phase, Phase::Done(_)) && self.current().is_some_and(|a| a.outcome != a.conclusion)
    }

    /// From its first attempt's start to the newest one's end, or to `now`.
    pub fn duration(&self, now: Timestamp) -> Option<Duration> {
        let end = if matches!(self.phase, Phase::Done(_)) { self.current()?.finished.unwrap_or(now) } else { now };
        Some(end.since(self.attempts.first()?.starting))
    }
}

/// An attempt of a job.
#[derive(Debug, Clone, Default)]
pub struct AttemptView {
    /// From 1.
    pub attempt: u32,
    /// Where it runs.
    pub runner: Option<RunnerKind>,
    /// The image.
    pub image: Option<String>,
    /// How many steps it has.
    pub steps_total: u32,
    /// When its sandbox was begun.
    pub starting: Timestamp,
    /// When its sandbox was there.
    pub started: Option<Timestamp>,
    /// When its end began.
    pub closing: Option<Timestamp>,
    /// When it was over.
    pub finished: Option<Timestamp>,
    /// Before `continue-on-error`.
    pub outcome: Option<Outcome>,
    /// After it.
    pub conclusion: Option<Outcome>,
    /// Why, when the steps do not say.
    pub reason: Option<String>,
    /// Steps that began or were skipped, in order.
    pub steps: Vec<StepView>,
    /// What its test reports say.
    pub tests: Option<TestTotals>,
    /// Files kept.
    pub artifacts: Vec<KeptFile>,
}

impl AttemptView {
    /// The step that runs now.
    pub fn running_step(&self) -> Option<&StepView> {
        self.steps.iter().rev().find(|s| s.outcome.is_none())
    }
}

/// A step of an attempt.
#[derive(Debug, Clone, Default)]
pub struct StepView {
    /// From 0.
    pub step: u32,
    /// What people call it.
    pub name: String,
    /// When it began; none when it was skipped.
    pub started: Option<Timestamp>,
    /// When it was over.
    pub finished: Option<Timestamp>,
    /// Before `continue-on-error`.
    pub outcome: Option<Outcome>,
    /// After it.
    pub conclusion: Option<Outcome>,
    /// How its process ended.
    pub exit: Option<Exit>,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
    /// Bytes of its log so far.
    pub log_bytes: u64,
    /// Bytes of its summary.
    pub summary_bytes: u64,
}

impl StepView {
    /// How long it took, or takes at `now`.
    pub fn duration(&self, now: Timestamp) -> Option<Duration> {
        Some(self.finished.unwrap_or(now).since(self.started?))
    }

    /// `exit code 2`, `ended by SIGKILL`, and the reason.
    pub fn why(&self) -> String {
        let exit = self.exit.and_then(describe_exit);
        match (exit, &self.reason) {
            (Some(exit), Some(reason)) => format!("{exit}: {reason}"),
            (Some(exit), None) => exit,
            (None, Some(reason)) => reason.clone(),
            (None, None) => String::new(),
        }
    }
}

/// An exit in words; none for success.
pub fn describe_exit(exit: Exit) -> Option<String> {
    match exit {
        Exit::Code(0) => None,
        Exit::Code(code) => Some(format!("exit code {code}")),
        Exit::Signal(signal) => Some(match signal_name(signal) {
            Some(name) => format!("ended by {name}"),
            None => format!("ended by signal {signal}"),
        }),
        Exit::OutOfMemory => Some("ended by the memory limit".to_owned()),
    }
}

/// Names of the signals that end processes (numbers of Linux).
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        _ => return None,
    })
}
