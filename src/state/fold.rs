//! The fold.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::event::{Ending, Event, Outcome, Record};
use crate::expr::Value;
use crate::id::{AttemptId, JobId, StageId, StepKey};
use crate::plan::expand::restore;
use crate::plan::ir::{Legs, Plan, StageIndex};

use super::{
    Asked, AttemptState, EffectState, Given, JobPhase, JobState, StagePhase, StageState, StepPhase, StepState,
};

/// An event that cannot happen in the state it came upon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} (\"{event}\") cannot happen: {state}")]
pub struct IllegalTransition {
    /// The event's place.
    pub seq: u64,
    /// Its kind.
    pub event: String,
    /// What stands against it.
    pub state: String,
}

/// Where the run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunPhase {
    /// Nothing has happened.
    New,
    /// It goes on.
    Running,
    /// It is over.
    Finished(Outcome),
}

/// The state of a run.
#[derive(Debug, Clone)]
pub struct RunState {
    plan: Arc<Plan>,
    /// The newest event's place; 0 before the first.
    pub seq: u64,
    /// Where the run stands.
    pub phase: RunPhase,
    /// Who asked to cancel the run.
    pub cancelled_by: Option<String>,
    /// Stages, as in [`Plan::stages`].
    pub stages: Vec<StageState>,
    /// Stages that are not over.
    pub unfinished: usize,
    /// How the gravest thing stands that a task worked on.
    pub ending: Option<Ending>,
    index: HashMap<StageId, u32>,
}

type Fold = Result<(), String>;

impl RunState {
    /// The state before the first event of a run of `plan`.
    pub fn new(plan: Arc<Plan>) -> Self {
        let index = plan.stages.iter().enumerate().map(|(i, stage)| (stage.id.clone(), i as u32)).collect();
        let stages: Vec<StageState> = plan
            .stages
            .iter()
            .map(|stage| {
                let jobs = match &stage.legs {
                    Legs::Fixed(legs) => legs
                        .iter()
                        .map(|leg| JobState::new(leg.job.clone(), leg.name.clone(), leg.matrix.clone()))
                        .collect(),
                    Legs::Late => Vec::new(),
                };
                StageState {
                    phase: StagePhase::Waiting,
                    unfinished: jobs.len(),
                    jobs,
                    waiting_for: stage.needs.len(),
                    cancelled: false,
                    ancestors_succeeded: true,
                    ancestors_failed: false,
                    facts: Vec::new(),
                    asked: None,
                    given: Vec::new(),
                    orders: Vec::new(),
                }
            })
            .collect();
        let mut state = Self {
            unfinished: stages.len(),
            plan: Arc::clone(&plan),
            seq: 0,
            phase: RunPhase::New,
            cancelled_by: None,
            ending: None,
            stages,
            index,
        };
        // What nobody selected counts as done, so that what was selected can run.
        for index in plan.order.iter().filter(|index| !plan.stage(**index).selected) {
            state.end_stage(index.0 as usize, Outcome::Success, Vec::new());
        }
        state
    }

    /// The plan that it is a state of.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Where stage `id` stands in the plan.
    pub fn find(&self, id: &StageId) -> Option<StageIndex> {
        self.index.get(id).copied().map(StageIndex)
    }

    /// A stage.
    pub fn stage(&self, index: StageIndex) -> &StageState {
        &self.stages[index.0 as usize]
    }

    /// A job.
    pub fn job(&self, id: &JobId) -> Option<&JobState> {
        let (stage, leg) = self.place(id)?;
        self.stages[stage].jobs.get(leg)
    }

    /// Folds a record in. On an error the state is as it was.
    pub fn apply(&mut self, record: &Record) -> Result<(), IllegalTransition> {
        let illegal = |state: String| IllegalTransition { seq: record.seq, event: kind(&record.event), state };
        if record.seq != self.seq + 1 {
            return Err(illegal(format!("it should be event {}", self.seq + 1)));
        }
        let fits = match (&self.phase, &record.event) {
            (RunPhase::New, Event::RunStarted { .. }) => true,
            (RunPhase::Running, event) => !matches!(event, Event::RunStarted { .. }),
            _ => false,
        };
        if !fits {
            return Err(illegal(format!("the run is {:?}", self.phase)));
        }
        self.fold(&record.event, record.at).map_err(illegal)?;
        self.seq = record.seq;
        Ok(())
    }

    fn fold(&mut self, event: &Event, at: Timestamp) -> Fold {
        match event {
            Event::RunStarted { .. } => self.phase = RunPhase::Running,
            Event::RunResumed { .. } | Event::RunPaused {} | Event::RequestRefused { .. } => {}
            Event::EffectIntended { step, key, data } => {
                let effects = &mut self.starting_step(step)?.effects;
                if effects.iter().any(|(known, _)| known == key) {
                    return Err(format!("effect \"{key}\" is known already"));
                }
                effects.push((key.clone(), EffectState { intent: data.clone(), observation: None, at }));
            }
            Event::EffectObserved { step, key, data } => {
                let effects = &mut self.starting_step(step)?.effects;
                match effects.iter_mut().find(|(known, _)| known == key) {
                    Some((_, effect)) if effect.observation.is_none() => effect.observation = Some(data.clone()),
                    _ => return Err(format!("effect \"{key}\" was not intended, or is over")),
                }
            }
            Event::TaskReported { step, .. } => {
                self.starting_step(step)?;
            }
            Event::TaskEnded { step, facts, ending, .. } => {
                self.starting_step(step)?;
                self.ending = self.ending.max(*ending);
                if !facts.is_null() {
                    let facts = facts.clone();
                    self.stage_mut(&step.job.stage())?.facts.push(facts);
                }
            }
            Event::ApprovalWaiting {
                stage,
                environment,
                approvers,
                required,
                prevent_self_review,
                until,
                summary,
                consumes,
                inputs,
            } => {
                let asked = Asked {
                    environment: environment.clone(),
                    approvers: approvers.clone(),
                    required: *required,
                    prevent_self_review: *prevent_self_review,
                    until: *until,
                    summary: summary.clone(),
                    consumes: consumes.clone(),
                    inputs: inputs.clone(),
                };
                let state = self.stage_mut(stage)?;
                state.asked = Some(asked);
                state.given.clear();
            }
            Event::ApprovalGiven { stage, approved, by, comment, inputs } => {
                let state = self.stage_mut(stage)?;
                if !state.waits() {
                    return Err(format!("stage \"{stage}\" does not wait for a decision"));
                }
                let (by, comment, inputs) = (by.clone(), comment.clone(), inputs.clone());
                state.given.push(Given { approved: *approved, by, comment, inputs });
            }
            Event::OrderGiven { stage, order, by } => self.stage_mut(stage)?.orders.push((*order, by.clone())),
            Event::CancelRequested { by, stage: None } => {
                self.cancelled_by.get_or_insert_with(|| by.clone());
            }
            Event::CancelRequested { stage: Some(stage), .. } => self.stage_mut(stage)?.cancelled = true,
            Event::JobsExpanded { stage, legs } => {
                let legs: Vec<Value> = legs.iter().map(Value::from_json).collect();
                let job = match self.find(stage) {
                    Some(index) => Arc::clone(&self.plan.stage(index).job),
                    None => return Err(format!("there is no stage \"{stage}\"")),
                };
                let state = self.waiting_stage(stage)?;
                if !state.jobs.is_empty() {
                    return Err("its jobs are known already".to_owned());
                }
                state.jobs =
                    restore(&job, &legs).into_iter().map(|leg| JobState::new(leg.job, leg.name, leg.matrix)).collect();
                state.unfinished = state.jobs.len();
            }
            Event::StageSkipped { stage, .. } => {
                self.waiting_stage(stage)?;
                self.finish_stage(stage, Outcome::Skipped, Vec::new())?;
            }
            Event::StageFinished { stage, outcome, outputs, .. } => {
                let state = self.stage_mut(stage)?;
                let done = matches!(state.phase, StagePhase::Done { .. });
                if done || state.unfinished > 0 || state.waiting_for > 0 {
                    return Err("its jobs or needs are not all over, or it is".to_owned());
                }
                self.finish_stage(stage, *outcome, outputs.clone())?;
            }
            Event::JobQueued { job, .. } => self.job_in(job, &["pending", "queued"])?.phase = JobPhase::Queued,
            Event::JobReused { job, outputs, facts, .. } => {
                let outputs = outputs.clone();
                self.stage_mut(&job.stage())?.facts.extend(facts.iter().cloned());
                self.finish_job(job, &["pending"], Outcome::Success, Outcome::Success, outputs)?;
            }
            Event::JobDropped { job, outcome, .. } => {
                self.finish_job(job, &["pending", "queued"], *outcome, *outcome, Vec::new())?;
            }
            Event::JobStarting { attempt, .. } => {
                let job = self.job_in(&attempt.job, &["pending", "queued"])?;
                if attempt.attempt != job.attempt + 1 {
                    return Err(format!("attempt {} should be {}", attempt.attempt, job.attempt + 1));
                }
                job.attempt = attempt.attempt;
                job.phase = JobPhase::Open(AttemptState { attempt: attempt.attempt, ..AttemptState::default() });
                let stage = attempt.job.stage();
                self.stage_mut(&stage)?.phase = StagePhase::Active;
            }
            Event::JobStarted { attempt } => self.open(attempt)?.ready = true,
            Event::StepSkipped { step, .. } => {
                let done = StepPhase::Done { outcome: Outcome::Skipped, conclusion: Outcome::Skipped, effects: None };
                self.new_step(step, done)?;
            }
            Event::StepStarting { step, .. } => self.new_step(step, StepPhase::Starting)?,
            Event::LogAcknowledged { step, raw, log } => {
                let state = self.starting_step(step)?;
                (state.raw, state.log, state.annotated) = (*raw, *log, 0);
            }
            Event::MaskAdded { step, values } => {
                self.starting_step(step)?;
                let values = values.clone();
                self.open(&step.attempt_id())?.masks.push(values);
            }
            Event::StepFinished { step, outcome, conclusion, effects, .. } => {
                let effects = effects.clone();
                self.starting_step(step)?.phase =
                    StepPhase::Done { outcome: *outcome, conclusion: *conclusion, effects };
            }
            Event::Annotated { step, .. } => {
                if let Some(state) = self.open(&step.attempt_id())?.steps.get_mut(&step.step) {
                    state.annotated += 1;
                }
            }
            Event::SummaryWritten { step, .. } => {
                self.open(&step.attempt_id())?;
            }
            Event::TestsReported { attempt, .. } | Event::ArtifactsKept { attempt, .. } => {
                self.open(attempt)?;
            }
            Event::JobClosing { attempt } => {
                let state = std::mem::take(self.open(attempt)?);
                self.job_in(&attempt.job, &["open"])?.phase = JobPhase::Closing(state);
            }
            Event::JobFinished { attempt, outcome, conclusion, outputs, retry, .. } => {
                let job = self.job_in(&attempt.job, &["closing"])?;
                if job.attempt != attempt.attempt {
                    return Err(format!("attempt {} is under way", job.attempt));
                }
                if *retry {
                    job.phase = JobPhase::Pending;
                } else {
                    self.finish_job(&attempt.job, &["closing"], *outcome, *conclusion, outputs.clone())?;
                }
            }
            Event::RunFinished { outcome } => {
                if self.unfinished > 0 {
                    return Err(format!("{} stages are not over", self.unfinished));
                }
                self.phase = RunPhase::Finished(*outcome);
            }
        }
        Ok(())
    }

    /// Stage and leg of a job. The leg's number stands in its id; where only some legs were selected it is not its place.
    fn place(&self, id: &JobId) -> Option<(usize, usize)> {
        let stage = *self.index.get(&id.stage())? as usize;
        let Some(number) = number(id) else { return Some((stage, 0)) };
        let (jobs, first) = (&self.stages[stage].jobs, number.checked_sub(1)?);
        if jobs.get(first).is_some_and(|job| job.id == *id) {
            return Some((stage, first));
        }
        let found = jobs.binary_search_by_key(&Some(number), |job| self::number(&job.id)).ok()?;
        (jobs[found].id == *id).then_some((stage, found))
    }

    fn stage_mut(&mut self, id: &StageId) -> Result<&mut StageState, String> {
        let index = *self.index.get(id).ok_or_else(|| format!("there is no stage \"{id}\""))?;
        Ok(&mut self.stages[index as usize])
    }

    fn waiting_stage(&mut self, id: &StageId) -> Result<&mut StageState, String> {
        let state = self.stage_mut(id)?;
        if state.is_ready() { Ok(state) } else { Err(format!("stage \"{id}\" is not ready to be decided on")) }
    }

    fn job_in(&mut self, id: &JobId, phases: &[&str]) -> Result<&mut JobState, String> {
        let (stage, leg) = self.place(id).ok_or_else(|| format!("there is no job \"{id}\""))?;
        if self.stages[stage].waiting_for > 0 {
            return Err(format!("what job \"{id}\" needs is not all over"));
        }
        let job = self.stages[stage].jobs.get_mut(leg).ok_or_else(|| format!("there is no job \"{id}\""))?;
        let phase = job.phase.name();
        if phases.contains(&phase) { Ok(job) } else { Err(format!("job \"{id}\" is {phase}")) }
    }

    fn open(&mut self, attempt: &AttemptId) -> Result<&mut AttemptState, String> {
        let number = attempt.attempt;
        match &mut self.job_in(&attempt.job, &["open"])?.phase {
            JobPhase::Open(state) if state.attempt == number => Ok(state),
            _ => Err(format!("attempt {attempt} is not the one under way")),
        }
    }

    fn new_step(&mut self, key: &StepKey, phase: StepPhase) -> Fold {
        let attempt = self.open(&key.attempt_id())?;
        let unfinished = attempt.steps.values().any(|step| step.phase == StepPhase::Starting);
        if unfinished || attempt.steps.contains_key(&key.step) {
            return Err(format!("step {key} is known already, or another one is under way"));
        }
        attempt.steps.insert(key.step, StepState { phase, raw: 0, log: 0, annotated: 0, effects: Vec::new() });
        Ok(())
    }

    fn starting_step(&mut self, key: &StepKey) -> Result<&mut StepState, String> {
        match self.open(&key.attempt_id())?.steps.get_mut(&key.step) {
            Some(step) if step.phase == StepPhase::Starting => Ok(step),
            _ => Err(format!("step {key} is not under way")),
        }
    }

    fn finish_job(
        &mut self,
        id: &JobId,
        phases: &[&str],
        outcome: Outcome,
        conclusion: Outcome,
        outputs: Vec<(String, String)>,
    ) -> Fold {
        self.job_in(id, phases)?.phase = JobPhase::Done { outcome, conclusion, outputs };
        let stage = self.stage_mut(&id.stage())?;
        stage.unfinished -= 1;
        stage.phase = StagePhase::Active;
        Ok(())
    }

    fn finish_stage(&mut self, id: &StageId, outcome: Outcome, outputs: Vec<(String, String)>) -> Fold {
        let index = *self.index.get(id).ok_or_else(|| format!("there is no stage \"{id}\""))? as usize;
        self.end_stage(index, outcome, outputs);
        Ok(())
    }

    fn end_stage(&mut self, index: usize, outcome: Outcome, outputs: Vec<(String, String)>) {
        let state = &mut self.stages[index];
        let succeeded = state.ancestors_succeeded && outcome == Outcome::Success;
        let failed = state.ancestors_failed || matches!(outcome, Outcome::Failure | Outcome::Lost);
        state.phase = StagePhase::Done { outcome, outputs };
        self.unfinished -= 1;
        let plan = Arc::clone(&self.plan);
        for dependent in &plan.stages[index].dependents {
            let dependent = &mut self.stages[dependent.0 as usize];
            dependent.waiting_for -= 1;
            dependent.ancestors_succeeded &= succeeded;
            dependent.ancestors_failed |= failed;
        }
    }
}

impl JobState {
    fn new(id: JobId, name: String, matrix: Value) -> Self {
        Self { id, name, matrix, phase: JobPhase::Pending, attempt: 0 }
    }
}

/// The number of a leg.
fn number(id: &JobId) -> Option<usize> {
    id.as_str().split_once('.')?.1.parse().ok()
}

/// The kebab-case name of an event.
fn kind(event: &Event) -> String {
    serde_json::to_value(event)
        .ok()
        .and_then(|value| value.get("event").and_then(|name| name.as_str()).map(str::to_owned))
        .unwrap_or_default()
}
