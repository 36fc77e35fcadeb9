//! Ending before the end: cancellation, fail-fast, requests of other processes.

use std::sync::Arc;

use crate::event::{Event, Outcome};
use crate::id::StageId;
use crate::plan::contexts::late_bool;
use crate::store::contract::Request;

use super::cancel::CancelLevel;
use super::run::{Run, RunError};

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
            }
        }
        Ok(())
    }
}
