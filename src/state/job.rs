//! The state of one job, its attempt and its steps.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::event::{EffectData, Outcome, Sealed};
use crate::expr::Value;
use crate::id::JobId;

/// A job.
#[derive(Debug, Clone)]
pub struct JobState {
    /// Its id.
    pub id: JobId,
    /// What people call it.
    pub name: String,
    /// Its `matrix` context.
    pub matrix: Value,
    /// Where it stands.
    pub phase: JobPhase,
    /// The number of its newest attempt; 0 before the first.
    pub attempt: u32,
}

/// Where a job stands.
#[derive(Debug, Clone)]
pub enum JobPhase {
    /// It can be started when there is room for it.
    Pending,
    /// It waits for a concurrency group.
    Queued,
    /// An attempt is under way.
    Open(AttemptState),
    /// The attempt's sandbox is being removed.
    Closing(AttemptState),
    /// It is over.
    Done {
        /// Before `continue-on-error`.
        outcome: Outcome,
        /// What `needs` sees.
        conclusion: Outcome,
        /// Its outputs.
        outputs: Vec<(String, String)>,
    },
}

impl JobPhase {
    /// For messages.
    pub fn name(&self) -> &'static str {
        match self {
            JobPhase::Pending => "pending",
            JobPhase::Queued => "queued",
            JobPhase::Open(_) => "open",
            JobPhase::Closing(_) => "closing",
            JobPhase::Done { .. } => "done",
        }
    }
}

/// An attempt under way.
#[derive(Debug, Clone, Default)]
pub struct AttemptState {
    /// From 1.
    pub attempt: u32,
    /// Whether the sandbox has been reported ready.
    pub ready: bool,
    /// Steps of which something is known, by number.
    pub steps: BTreeMap<u32, StepState>,
    /// What steps asked to mask.
    pub masks: Vec<Sealed>,
}

/// A step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepState {
    /// Where it stands.
    pub phase: StepPhase,
    /// Raw output that is safe in the log.
    pub raw: u64,
    /// Bytes of the log that go with it.
    pub log: u64,
    /// Annotations on record of what it said behind that.
    pub annotated: u32,
    /// Effects of a task on record, in the order of their intents.
    pub effects: Vec<(String, EffectState)>,
}

/// What is on record of an effect.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectState {
    /// What was to be done.
    pub intent: EffectData,
    /// What came of it.
    pub observation: Option<EffectData>,
    /// When the intent was journaled.
    pub at: Timestamp,
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepPhase {
    /// It may have been started: the sandbox knows.
    Starting,
    /// It is over.
    Done {
        /// Before `continue-on-error`.
        outcome: Outcome,
        /// After it.
        conclusion: Outcome,
        /// What it set.
        effects: Option<Sealed>,
    },
}
