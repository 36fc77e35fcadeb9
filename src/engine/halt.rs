//! Ending before the end: cancellation, fail-fast, requests of other processes.

use std::sync::Arc;

use crate::event::{Event, Order, Outcome};
use crate::id::StageId;
use crate::plan::contexts::late_bool;
use crate::stage::{TaskKind, filled, kind_of};
use crate::state::RunState;
use crate::store::contract::Request;

use super::approval::may_decide;
use super::cancel::CancelLevel;
use super::run::{Run, RunError};

/// The event that a decision becomes: it is given, or refused with the reason.
pub fn decision(
    state: &RunState,
    actor: &str,
    stage: StageId,
    approved: bool,
    (by, groups): (String, &[String]),
    comment: String,
    inputs: &[(String, String)],
) -> Event {
    let checked = || {
        let index = state.find(&stage).ok_or_else(|| format!("there is no stage \"{stage}\""))?;
        let now = state.stage(index);
        let asked = now.asked.as_ref().filter(|_| now.waits());
        let asked = asked.ok_or_else(|| format!("stage \"{stage}\" does not wait for a decision"))?;
        may_decide(asked, &now.given, &by, groups, actor)?;
        if approved { filled(&asked.inputs, inputs) } else { Ok(Vec::new()) }
    };
    match checked() {
        Ok(inputs) => Event::ApprovalGiven { stage, approved, by, comment, inputs },
        Err(reason) => Event::RequestRefused { by, reason },
    }
}

/// The event that an order becomes: it is given, or refused with the reason.
pub fn ordered(state: &RunState, stage: StageId, order: Order, by: String) -> Event {
    let job = state.find(&stage).map(|index| state.plan().stage(index).job.clone());
    let takes = |kind| matches!(kind, TaskKind::Deploy | TaskKind::Verify);
    match job.as_ref().map(|job| kind_of(job)) {
        Some(Some(kind)) if takes(kind) && state.find(&stage).is_some_and(|at| state.stage(at).outcome().is_none()) => {
            Event::OrderGiven { stage, order, by }
        }
        Some(Some(kind)) if takes(kind) => Event::RequestRefused { by, reason: format!("stage \"{stage}\" is over") },
        Some(_) => Event::RequestRefused { by, reason: format!("stage \"{stage}\" is no deploy") },
        None => Event::RequestRefused { by, reason: format!("there is no stage \"{stage}\"") },
    }
}

impl Run {
    /// Cancels the whole run, at least to `level`.
    pub(super) fn raise(&mut self, level: CancelLevel, by: &str) -> Result<(), RunError> {
        if level <= self.level {
            return Ok(());
        }
        self.level = level;
        if self.state.cancelled_by.is_none() {
            self.record(Event::CancelRequested { by: by.to_owned(), stage: None }, false)?;
        }
        self.drop_pending("the run was cancelled")?;
        for task in self.tasks.values() {
            task.cancel.send_if_modified(|now| std::mem::replace(now, level.max(*now)) < level);
        }
        Ok(())
    }

    pub(super) fn drop_pending(&mut self, reason: &str) -> Result<(), RunError> {
        for job in self.scheduler.withdraw_all() {
            let event = Event::JobDropped { job, outcome: Outcome::Cancelled, reason: reason.to_owned() };
            self.record(event, false)?;
        }
        Ok(())
    }

    /// A job of a matrix failed: the others end too, unless the file says otherwise.
    pub(super) fn fail_fast(&mut self, stage: &StageId) -> Result<(), RunError> {
        let Some(index) = self.state.find(stage) else { return Ok(()) };
        let state = self.state.stage(index);
        if state.jobs.len() < 2 || state.cancelled || state.unfinished == 0 {
            return Ok(());
        }
        let job = Arc::clone(&self.context.plan.stage(index).job);
        let fail_fast = job.strategy.as_ref().and_then(|strategy| strategy.fail_fast.as_ref());
        if !late_bool(fail_fast, &self.stage_scope(index)).ok().flatten().unwrap_or(true) {
            return Ok(());
        }
        self.record(Event::CancelRequested { by: "fail-fast".to_owned(), stage: Some(stage.clone()) }, false)?;
        for job in self.scheduler.withdraw(index) {
            let reason = "another job of its matrix failed".to_owned();
            self.record(Event::JobDropped { job, outcome: Outcome::Cancelled, reason }, false)?;
        }
        for task in self.tasks.values().filter(|task| task.stage == index) {
            task.cancel.send_if_modified(|now| {
                let raise = *now < CancelLevel::Asked;
                *now = (*now).max(CancelLevel::Asked);
                raise
            });
        }
        Ok(())
    }

    /// Requests of other processes.
    pub(super) fn requests(&mut self) -> Result<(), RunError> {
        for request in self.context.ports.store.take_requests(&self.context.run)? {
            match request {
                Request::Cancel { by } => {
                    let level = if self.level == CancelLevel::None { CancelLevel::Asked } else { CancelLevel::Now };
                    self.raise(level, &by)?;
                }
                Request::Decide { stage, approved, by, groups, comment, inputs } => {
                    let actor = self.context.base.github.get("actor").to_text();
                    let event = decision(&self.state, &actor, stage, approved, (by, &groups), comment, &inputs);
                    self.record(event, true)?;
                }
                Request::Order { stage, order, by } => {
                    let event = ordered(&self.state, stage, order, by);
                    self.record(event, true)?;
                }
            }
        }
        Ok(())
    }
}
