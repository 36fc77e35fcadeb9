//! The state of one stage.

use crate::clock::Timestamp;
use crate::event::{Order, Outcome};

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
    /// What its tasks left, one for each job that left something.
    pub facts: Vec<serde_json::Value>,
    /// What was asked of people, when it waits or waited.
    pub asked: Option<Asked>,
    /// What people decided, in order.
    pub given: Vec<Given>,
    /// Orders to its deploy, in order.
    pub orders: Vec<(Order, String)>,
}

/// What a stage asks of people.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The environment that it is for.
    pub environment: Option<String>,
    /// Users and groups who may decide; empty: anyone.
    pub approvers: Vec<String>,
    /// How many must approve.
    pub required: u32,
    /// Whether who started the run may not approve.
    pub prevent_self_review: bool,
    /// When it is rejected by itself.
    pub until: Timestamp,
    /// What changes.
    pub summary: String,
    /// The hash of what the stages behind it consume.
    pub consumes: String,
    /// What is asked, as `workflow_dispatch` inputs.
    pub inputs: Vec<(String, serde_json::Value)>,
}

/// What somebody decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Whether they approved.
    pub approved: bool,
    /// Who.
    pub by: String,
    /// Their comment.
    pub comment: String,
    /// What they filled in.
    pub inputs: Vec<(String, String)>,
}

/// How a decision stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not enough have decided.
    Waiting,
    /// Enough have approved.
    Approved,
    /// Somebody rejected.
    Rejected,
}

/// How the decision stands when `required` people must approve. One person counts once.
pub fn standing(given: &[Given], required: u32) -> Standing {
    if given.iter().any(|one| !one.approved) {
        return Standing::Rejected;
    }
    let mut people: Vec<&str> = given.iter().map(|one| one.by.as_str()).collect();
    people.sort_unstable();
    people.dedup();
    if people.len() >= required.max(1) as usize { Standing::Approved } else { Standing::Waiting }
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

    /// Whether it waits for a person's decision.
    pub fn waits(&self) -> bool {
        let open = !matches!(self.phase, StagePhase::Done { .. });
        open && self.asked.as_ref().is_some_and(|asked| standing(&self.given, asked.required) == Standing::Waiting)
    }

    /// Whether all that it needs is over and it has not been decided on.
    pub fn is_ready(&self) -> bool {
        self.phase == StagePhase::Waiting && self.waiting_for == 0
    }
}
