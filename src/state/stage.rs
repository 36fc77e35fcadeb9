//! The state of one stage.

use crate::event::Outcome;

use super::JobState;

/// A stage.
#[derive(Debug, Clone)]
pub struct StageState {
    /// Where it stands.
    pub phase: StagePhase,
    /// Its jobs, once they are known.
    pub jobs: Vec<JobState>,
    /// How many of them are not over.
    pub unfinished: usize,
    /// Direct needs that are not over.
    pub waiting_for: usize,
    /// Somebody asked to cancel this stage only.
    pub cancelled: bool,
    /// All of its transitive ancestors succeeded, as far as they are over.
    pub ancestors_succeeded: bool,
    /// Any transitive ancestor failed.
    pub ancestors_failed: bool,
}

/// Where a stage stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StagePhase {
    /// Its needs are not all over, or it has not been decided on.
    Waiting,
    /// Its jobs are known and not all over.
    Active,
    /// It is over.
    Done {
        /// `needs.<stage>.result`.
        outcome: Outcome,
        /// `needs.<stage>.outputs`.
        outputs: Vec<(String, String)>,
    },
}

impl StageState {
    /// Its result, when it is over.
    pub fn outcome(&self) -> Option<Outcome> {
        match &self.phase {
            StagePhase::Done { outcome, .. } => Some(*outcome),
            _ => None,
        }
    }

    /// Whether all that it needs is over and it has not been decided on.
    pub fn is_ready(&self) -> bool {
        self.phase == StagePhase::Waiting && self.waiting_for == 0
    }
}
