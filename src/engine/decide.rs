//! Deciding on stages: `if`, late matrices, what is taken over, and what a stage has come to.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::event::{Event, Outcome};
use crate::expr::Value;
use crate::id::{JobId, RunId, StageId};
use crate::plan::compile::late_legs;
use crate::plan::condition::decide;
use crate::plan::contexts::{Need, late_number, needs};
use crate::plan::ir::{Legs, StageIndex};
use crate::plan::scope::{ContextScope, StatusView};
use crate::stage::{TaskKind, kind_of};
use crate::state::{JobPhase, StagePhase};

use super::cancel::CancelLevel;
use super::run::{Run, RunError};
use super::scheduler::StageLimits;

/// A job that is taken over: its `matrix` context and its outputs.
pub type ReusedJob = (Json, Vec<(String, String)>);

impl Run {
    pub(super) fn need_list(&self, index: StageIndex) -> Value {
        let plan = &self.context.plan;
        needs(plan.stage(index).needs.iter().map(|need| {
            let outputs = match &self.state.stage(*need).phase {
                StagePhase::Done { outputs, .. } => outputs.clone(),
                _ => Vec::new(),
            };
            let result = self.state.stage(*need).outcome().unwrap_or(Outcome::Skipped);
            Need { id: plan.stage(*need).id.to_string(), result: result.github().to_owned(), outputs }
        }))
    }

    pub(super) fn stage_scope(&self, index: StageIndex) -> ContextScope<'static> {
        let mut scope = self.context.scope();
        scope.set("needs", self.need_list(index));
        let state = self.state.stage(index);
        let results = || {
            let stages = self.context.plan.stages.iter().zip(&self.state.stages);
            stages
                .filter_map(|(plan, state)| Some((plan.id.to_string(), state.outcome()?.github().to_owned())))
                .collect()
        };
        // Results by name are only read by `success('job')` and `failure('job')`.
        let named = self.context.plan.stage(index).job.condition.as_ref();
        let results = match named.is_some_and(|c| c.expr.uses_status_function()) {
            true => results(),
            false => HashMap::new(),
        };
        scope.status = StatusView::Ancestors {
            success: state.ancestors_succeeded,
            failure: state.ancestors_failed,
            cancelled: self.level > CancelLevel::None,
            results,
        };
        scope
    }

    /// Decides on a stage whose needs are over.
    pub(super) fn decide(&mut self, index: StageIndex) -> Result<(), RunError> {
        let plan = Arc::clone(&self.context.plan);
        let stage = plan.stage(index);
        let scope = self.stage_scope(index);
        if self.level == CancelLevel::Now {
            let reason = "the run was cancelled".to_owned();
            self.record(Event::StageSkipped { stage: stage.id.clone(), reason }, false)?;
            return Ok(());
        }
        if let Some((from, jobs, facts)) = self.taken_over(&stage.id) {
            return self.reuse(index, &from, jobs, facts);
        }
        if plan.inputs.untrusted
            && (stage.job.environment.is_some() || kind_of(&stage.job).is_some_and(TaskKind::reaches_outside))
        {
            let reason = "outsiders can have written this run: it reaches nothing outside".to_owned();
            self.record(Event::StageSkipped { stage: stage.id.clone(), reason }, false)?;
            return Ok(());
        }
        let decision = match decide(stage.job.condition.as_ref(), &scope) {
            Ok(decision) => decision,
            Err(error) => return self.fail_stage(index, format!("`if` has no value: {error}")),
        };
        if !decision.run {
            let reason = match (self.level, &stage.job.condition) {
                (CancelLevel::None, _) => decision.reason,
                (_, None) => "the run was cancelled".to_owned(),
                (_, Some(_)) => format!("the run was cancelled; {}", decision.reason),
            };
            let reason = self.context.masker.mask(&reason);
            self.record(Event::StageSkipped { stage: stage.id.clone(), reason }, false)?;
            return Ok(());
        }
        if matches!(stage.legs, Legs::Late) && self.state.stage(index).jobs.is_empty() {
            match late_legs(&plan, index, &scope) {
                Ok(legs) => {
                    let legs = legs.iter().map(|leg| leg.matrix.to_json()).collect::<Vec<Json>>();
                    self.record(Event::JobsExpanded { stage: stage.id.clone(), legs }, false)?;
                }
                Err(error) => return self.fail_stage(index, format!("`matrix` has no value: {error}")),
            }
        }
        self.admit(index)
    }

    pub(super) fn taken_over(&mut self, stage: &StageId) -> Option<(RunId, Vec<ReusedJob>, Vec<Json>)> {
        let reused = self.reused.as_mut()?;
        let (jobs, facts) = reused.stages.remove(stage)?;
        Some((reused.from.clone(), jobs, facts))
    }

    /// Takes the results of a stage over from an earlier run, and what its jobs kept.
    pub(super) fn reuse(
        &mut self,
        index: StageIndex,
        from: &RunId,
        jobs: Vec<ReusedJob>,
        mut facts: Vec<Json>,
    ) -> Result<(), RunError> {
        if self.state.stage(index).jobs.is_empty() {
            let stage = self.context.plan.stage(index).id.clone();
            let legs = jobs.iter().map(|(matrix, _)| matrix.clone()).collect();
            self.record(Event::JobsExpanded { stage, legs }, false)?;
        }
        let ids: Vec<JobId> = self.state.stage(index).jobs.iter().map(|job| job.id.clone()).collect();
        for (job, (_, outputs)) in ids.into_iter().zip(jobs) {
            // Files that cannot be brought over are missed by whoever needs them, with a message of its own.
            let _ = self.context.ports.artifacts.adopt(from, &self.context.run, &job);
            let facts = std::mem::take(&mut facts);
            self.record(Event::JobReused { job, from: from.clone(), outputs, facts }, false)?;
        }
        Ok(())
    }

    pub(super) fn admit(&mut self, index: StageIndex) -> Result<(), RunError> {
        let job = Arc::clone(&self.context.plan.stage(index).job);
        let scope = self.stage_scope(index);
        let strategy = job.strategy.as_ref();
        let max = late_number(strategy.and_then(|s| s.max_parallel.as_ref()), &scope);
        match max {
            Ok(max) => {
                let max_parallel = max.filter(|max| *max >= 1.0).map_or(usize::MAX, |max| max as usize);
                self.scheduler.admit(&self.state, index, StageLimits { max_parallel });
                Ok(())
            }
            Err(error) => self.fail_stage(index, format!("`max-parallel` has no value: {error}")),
        }
    }

    /// The stage fails before any job of it could start.
    pub(super) fn fail_stage(&mut self, index: StageIndex, reason: String) -> Result<(), RunError> {
        let reason = self.context.masker.mask(&reason);
        let jobs: Vec<JobId> = self.state.stage(index).jobs.iter().map(|job| job.id.clone()).collect();
        for job in &jobs {
            let event = Event::JobDropped { job: job.clone(), outcome: Outcome::Failure, reason: reason.clone() };
            self.record(event, false)?;
        }
        if jobs.is_empty() {
            let stage = self.context.plan.stage(index).id.clone();
            let (outcome, outputs) = (Outcome::Failure, Vec::new());
            self.record(Event::StageFinished { stage, outcome, outputs, reason: Some(reason) }, false)?;
        }
        Ok(())
    }

    pub(super) fn finish_stage(&mut self, index: StageIndex) -> Result<(), RunError> {
        let state = self.state.stage(index);
        if state.outcome().is_some() || state.unfinished > 0 {
            return Ok(());
        }
        let mut outcome = Outcome::Skipped;
        let mut outputs: Vec<(String, String)> = Vec::new();
        for job in &state.jobs {
            let JobPhase::Done { conclusion, outputs: own, .. } = &job.phase else { continue };
            outcome = worse(outcome, *conclusion);
            for (name, value) in own {
                // Of several legs the last one that says something wins.
                match outputs.iter_mut().find(|(known, _)| known == name) {
                    Some(known) if !value.is_empty() => known.1.clone_from(value),
                    Some(_) => {}
                    None => outputs.push((name.clone(), value.clone())),
                }
            }
        }
        let stage = self.context.plan.stage(index).id.clone();
        self.record(Event::StageFinished { stage, outcome, outputs, reason: None }, false)?;
        Ok(())
    }
}

/// The graver of two results of jobs.
pub(super) fn worse(a: Outcome, b: Outcome) -> Outcome {
    let weight = |outcome| match outcome {
        Outcome::Skipped => 0,
        Outcome::Success => 1,
        Outcome::Cancelled => 2,
        Outcome::Lost => 3,
        Outcome::Failure => 4,
    };
    if weight(b) > weight(a) { b } else { a }
}
