//! The loop of a run: it alone changes the state, in the order in which things reach it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};

use crate::event::{EVENT_VERSION, Event, Outcome, Record};
use crate::expr::{EvalError, Value};
use crate::id::{AttemptId, JobId, RunId, StageId};
use crate::plan::compile::late_legs;
use crate::plan::condition::decide;
use crate::plan::contexts::{Need, RunFacts, late_bool, late_number, needs};
use crate::plan::ir::{Legs, Plan, RunnerKind, StageIndex};
use crate::plan::scope::{ContextScope, StatusView};
use crate::secret::Secret;
use crate::sink::Sink;
use crate::state::{IllegalTransition, JobPhase, RunPhase, RunState, StagePhase};
use crate::store::contract::{Committed, GroupAnswer, Journal, Request, StoreError};

use super::attempt::{self, AttemptInput, Known};
use super::cancel::{CancelLevel, CancelView};
use super::context::RunContext;
use super::message::{JournalGone, MESSAGE_QUEUE, Message, Reporter};
use super::ports::{Places, Ports, Settings};
use super::scheduler::{Action, Scheduler, StageLimits};

/// How often sinks move what moves on a screen.
const TICK: Duration = Duration::from_millis(100);

/// What a run is made of.
pub struct RunRequest {
    /// Its id.
    pub run: RunId,
    /// Its plan.
    pub plan: Arc<Plan>,
    /// Its journal; this process holds the run's lock.
    pub journal: Arc<dyn Journal>,
    /// What the journal holds already: empty for a new run.
    pub records: Vec<Record>,
    /// Adapters.
    pub ports: Ports,
    /// Folders.
    pub places: Places,
    /// How it goes.
    pub settings: Settings,
    /// Secrets by name.
    pub secrets: Vec<(String, Secret)>,
    /// Its numbers.
    pub numbers: RunFacts,
    /// What is taken over from an earlier run (`rerun --failed`).
    pub reused: Option<Reused>,
    /// The run that it repeats.
    pub origin: Option<RunId>,
    /// Where events go.
    pub sinks: Vec<Box<dyn Sink>>,
    /// Somebody wants the run to end: the first asks, the second ends it at once.
    pub interrupts: mpsc::Receiver<String>,
    /// Requests of other processes may be there.
    pub wake: mpsc::Receiver<()>,
}

/// Results of an earlier run that are taken over: those of stages that succeeded.
#[derive(Debug, Clone)]
pub struct Reused {
    /// The earlier run.
    pub from: RunId,
    /// By stage: each job's `matrix` context and outputs, in order.
    pub stages: HashMap<StageId, Vec<(Json, Vec<(String, String)>)>>,
}

/// Why a run could not go on. What is journaled stays; `resume` takes it up.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal does not fit the plan.
    #[error("the journal of this run is damaged")]
    Illegal(#[from] IllegalTransition),
    /// The journal cannot be written or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The pipeline's own settings have no value.
    #[error("the pipeline's `env` or `concurrency` has no value")]
    Settings(#[from] EvalError),
}

/// Runs to the end, or takes a run up to its end.
pub async fn execute(request: RunRequest) -> Result<Outcome, RunError> {
    let (sender, inbox) = mpsc::channel(MESSAGE_QUEUE);
    let mut state = RunState::new(Arc::clone(&request.plan));
    for record in &request.records {
        state.apply(record)?;
    }
    if let RunPhase::Finished(outcome) = state.phase {
        return Ok(outcome);
    }
    let context = Arc::new(RunContext::new(
        request.run.clone(),
        Arc::clone(&request.plan),
        request.ports,
        request.places,
        request.settings,
        &request.secrets,
        &request.numbers,
        Reporter::new(sender),
    )?);
    let scheduler = Scheduler::new(&state, context.settings.jobs);
    let mut sinks = request.sinks;
    let mut kinds = Vec::new();
    for record in &request.records {
        sinks.iter_mut().for_each(|sink| sink.record(record));
        note_kind(&mut kinds, &record.event);
    }
    let mut run = Run {
        journal: request.journal,
        scheduler,
        sinks,
        tasks: HashMap::new(),
        attempts: JoinSet::new(),
        names: HashMap::new(),
        kinds,
        reused: request.reused,
        level: CancelLevel::None,
        state,
        context,
    };
    let taken_up = !request.records.is_empty();
    let outcome = run.drive(taken_up, request.origin, inbox, request.interrupts, request.wake).await;
    run.sinks.iter_mut().for_each(|sink| sink.finish());
    outcome
}

struct Task {
    stage: StageIndex,
    cancel: watch::Sender<CancelLevel>,
}

struct Run {
    context: Arc<RunContext>,
    journal: Arc<dyn Journal>,
    state: RunState,
    scheduler: Scheduler,
    sinks: Vec<Box<dyn Sink>>,
    tasks: HashMap<JobId, Task>,
    attempts: JoinSet<Result<(), JournalGone>>,
    names: HashMap<Id, JobId>,
    /// Runners that were used.
    kinds: Vec<RunnerKind>,
    reused: Option<Reused>,
    level: CancelLevel,
}

impl Run {
    async fn drive(
        &mut self,
        taken_up: bool,
        origin: Option<RunId>,
        mut inbox: mpsc::Receiver<Message>,
        mut interrupts: mpsc::Receiver<String>,
        mut wake: mpsc::Receiver<()>,
    ) -> Result<Outcome, RunError> {
        if taken_up {
            self.record(Event::RunResumed { pid: std::process::id() }, true)?.await?;
            self.unseal_masks();
            if let Some(_by) = &self.state.cancelled_by {
                self.level = CancelLevel::Asked;
            }
        } else {
            let event = self.started(origin);
            self.record(event, false)?.await?;
        }
        let group = self.context.concurrency()?;
        if let Some((group, cancel)) = &group
            && !self.wait_for_group(group, *cancel, &mut interrupts, &mut wake).await?
        {
            self.raise(CancelLevel::Asked, "concurrency")?;
        }
        let result = self.turn(taken_up, &mut inbox, &mut interrupts, &mut wake).await;
        if result.is_err() {
            // Nothing can be recorded any more: attempts end when they notice; what they leave is taken up or swept.
            self.tasks.values().for_each(|task| {
                task.cancel.send_replace(CancelLevel::Now);
            });
        }
        if let Some((group, _)) = &group {
            let holder = self.context.run.as_str().to_owned();
            let _ = self.context.ports.groups.release(group, &self.context.run, &holder);
        }
        let outcome = result?;
        for kind in self.kinds.clone() {
            if let Ok(runner) = self.context.ports.runners.get(kind) {
                // What is left of the run is swept when the next one starts.
                let _ = runner.finish(&self.context.run).await;
            }
        }
        self.record(Event::RunFinished { outcome }, true)?.await?;
        Ok(outcome)
    }

    /// Until every stage is over.
    async fn turn(
        &mut self,
        taken_up: bool,
        inbox: &mut mpsc::Receiver<Message>,
        interrupts: &mut mpsc::Receiver<String>,
        wake: &mut mpsc::Receiver<()>,
    ) -> Result<Outcome, RunError> {
        if taken_up {
            self.take_up()?;
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let (mut interrupts_open, mut wake_open) = (true, true);
        loop {
            self.advance()?;
            if self.state.unfinished == 0 && self.tasks.is_empty() {
                return Ok(self.outcome());
            }
            tokio::select! {
                biased;
                message = inbox.recv() => if let Some(message) = message {
                    self.handle(message)?;
                    // Take what else is there before looking around.
                    for _ in 0..MESSAGE_QUEUE {
                        match inbox.try_recv() {
                            Ok(message) => self.handle(message)?,
                            Err(_) => break,
                        }
                    }
                },
                Some(ended) = self.attempts.join_next_with_id() => self.ended(ended)?,
                by = interrupts.recv(), if interrupts_open => match by {
                    Some(by) => {
                        let level = if self.level == CancelLevel::None { CancelLevel::Asked } else { CancelLevel::Now };
                        self.raise(level, &by)?;
                    }
                    None => interrupts_open = false,
                },
                woken = wake.recv(), if wake_open => match woken {
                    Some(()) => self.requests()?,
                    None => wake_open = false,
                },
                _ = tick.tick() => self.sinks.iter_mut().for_each(|sink| sink.tick()),
            }
        }
    }

    fn started(&self, origin: Option<RunId>) -> Event {
        let (plan, masker) = (&self.context.plan, &self.context.masker);
        Event::RunStarted {
            run: self.context.run.clone(),
            pipeline: masker.mask(&plan.name),
            name: masker.mask(&plan.run_name),
            file: plan.inputs.file.clone(),
            event_name: plan.inputs.event_name.clone(),
            commit: self.context.base.github.get("sha").to_text(),
            plan_hash: plan.hash.clone(),
            origin,
        }
    }

    /// Puts an event on record: state, journal, sinks, scheduler, in this order.
    fn record(&mut self, event: Event, sync: bool) -> Result<Committed, RunError> {
        let at = self.context.ports.clock.now();
        let record = Record { v: EVENT_VERSION, seq: self.state.seq + 1, at, event };
        self.state.apply(&record)?;
        self.sinks.iter_mut().for_each(|sink| sink.record(&record));
        self.scheduler.happened(&self.state, &record.event);
        note_kind(&mut self.kinds, &record.event);
        Ok(self.journal.append(record, sync))
    }

    fn handle(&mut self, message: Message) -> Result<(), RunError> {
        match message {
            Message::Happened { event, sync, reply } => {
                let failed = match &*event {
                    Event::JobFinished {
                        attempt, conclusion: Outcome::Failure | Outcome::Lost, retry: false, ..
                    } => Some(attempt.job.stage()),
                    Event::JobDropped { job, outcome: Outcome::Failure, .. } => Some(job.stage()),
                    _ => None,
                };
                let committed = self.record(*event, sync)?;
                if let Some(reply) = reply {
                    // An attempt that went away needs no answer.
                    let _ = reply.send(Ok(committed));
                }
                if let Some(stage) = failed {
                    self.fail_fast(&stage)?;
                }
            }
            Message::Output { step, text } => self.sinks.iter_mut().for_each(|sink| sink.output(&step, &text)),
            Message::JobLine { attempt, text } => {
                self.sinks.iter_mut().for_each(|sink| sink.job_line(&attempt, &text));
            }
            Message::JobState { attempt, text } => {
                self.sinks.iter_mut().for_each(|sink| sink.job_state(&attempt, &text));
            }
        }
        Ok(())
    }

    /// Does everything that can be done now.
    fn advance(&mut self) -> Result<(), RunError> {
        while let Some(action) = self.scheduler.next() {
            match action {
                Action::Decide(index) => self.decide(index)?,
                Action::Start(job) => self.start(&job, None)?,
                Action::FinishStage(index) => self.finish_stage(index)?,
            }
        }
        Ok(())
    }

    fn need_list(&self, index: StageIndex) -> Value {
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

    fn stage_scope(&self, index: StageIndex) -> ContextScope<'static> {
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
    fn decide(&mut self, index: StageIndex) -> Result<(), RunError> {
        let plan = Arc::clone(&self.context.plan);
        let stage = plan.stage(index);
        let scope = self.stage_scope(index);
        if self.level == CancelLevel::Now {
            let reason = "the run was cancelled".to_owned();
            self.record(Event::StageSkipped { stage: stage.id.clone(), reason }, false)?;
            return Ok(());
        }
        if let Some((from, jobs)) = self.taken_over(&stage.id) {
            return self.reuse(index, &from, jobs);
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

    fn taken_over(&mut self, stage: &StageId) -> Option<(RunId, Vec<(Json, Vec<(String, String)>)>)> {
        let reused = self.reused.as_mut()?;
        let jobs = reused.stages.remove(stage)?;
        Some((reused.from.clone(), jobs))
    }

    /// Takes the results of a stage over from an earlier run, and what its jobs kept.
    fn reuse(
        &mut self,
        index: StageIndex,
        from: &RunId,
        jobs: Vec<(Json, Vec<(String, String)>)>,
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
            self.record(Event::JobReused { job, from: from.clone(), outputs }, false)?;
        }
        Ok(())
    }

    fn admit(&mut self, index: StageIndex) -> Result<(), RunError> {
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
    fn fail_stage(&mut self, index: StageIndex, reason: String) -> Result<(), RunError> {
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

    fn finish_stage(&mut self, index: StageIndex) -> Result<(), RunError> {
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

    /// Starts the next attempt of a job, or takes one up.
    fn start(&mut self, id: &JobId, known: Option<Known>) -> Result<(), RunError> {
        let Some(index) = self.state.find(&id.stage()) else { return Ok(()) };
        let Some(job) = self.state.job(id) else { return Ok(()) };
        let stage = self.context.plan.stage(index);
        let attempt = if known.is_some() { job.attempt } else { job.attempt + 1 };
        let jobs = &self.state.stage(index).jobs;
        let leg = jobs.iter().position(|other| other.id == *id).unwrap_or(0);
        // What starts after a cancellation starts because its `if` says so; what was under way is cancelled.
        let level = match &known {
            None => CancelLevel::None,
            Some(_) if self.state.stage(index).cancelled => self.level.max(CancelLevel::Asked),
            Some(_) => self.level,
        };
        let (cancel, view) = watch::channel(level);
        let input = AttemptInput {
            id: AttemptId::new(id.clone(), attempt),
            name: job.name.clone(),
            job: Arc::clone(&stage.job),
            matrix: job.matrix.clone(),
            needs: self.need_list(index),
            need_ids: stage.needs.iter().map(|need| self.context.plan.stage(*need).id.clone()).collect(),
            leg: (leg, jobs.len()),
            cancel: CancelView::new(view),
            known,
        };
        let context = Arc::clone(&self.context);
        let handle = self.attempts.spawn(async move { attempt::run(&context, input).await });
        self.names.insert(handle.id(), id.clone());
        self.tasks.insert(id.clone(), Task { stage: index, cancel });
        Ok(())
    }

    /// The task of an attempt has ended; all that it said has been handled.
    fn ended(&mut self, ended: Result<(Id, Result<(), JournalGone>), JoinError>) -> Result<(), RunError> {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result.map_err(|gone| gone.to_string())),
            Err(error) => (error.id(), Err(format!("the engine failed: {error}"))),
        };
        let Some(job) = self.names.remove(&id) else { return Ok(()) };
        if let Some(task) = self.tasks.remove(&job) {
            self.scheduler.ended(task.stage);
        }
        result.map_err(|reason| StoreError::failed(format!("run job \"{job}\""), reason).into())
    }

    /// Goes on where an earlier process was: attempts under way are taken up, stages that were decided on are admitted.
    fn take_up(&mut self) -> Result<(), RunError> {
        let indices: Vec<StageIndex> = (0..self.state.stages.len()).map(|i| StageIndex(i as u32)).collect();
        for index in indices {
            let stage = self.state.stage(index);
            if stage.phase != StagePhase::Active || stage.unfinished == 0 {
                continue;
            }
            self.admit(index)?;
            let jobs: Vec<(JobId, JobPhase)> =
                self.state.stage(index).jobs.iter().map(|job| (job.id.clone(), job.phase.clone())).collect();
            let waiting = self.scheduler.withdraw(index);
            let cancelled = self.state.stage(index).cancelled;
            let mut back = Vec::new();
            for (id, phase) in jobs {
                match phase {
                    JobPhase::Open(state) => self.resume_job(&id, Known { state, closing: false }, index)?,
                    JobPhase::Closing(state) => self.resume_job(&id, Known { state, closing: true }, index)?,
                    JobPhase::Pending | JobPhase::Queued if waiting.contains(&id) => back.push(id),
                    JobPhase::Pending | JobPhase::Queued | JobPhase::Done { .. } => {}
                }
            }
            if cancelled {
                for job in back.drain(..) {
                    let reason = "another job of its matrix failed".to_owned();
                    self.record(Event::JobDropped { job, outcome: Outcome::Cancelled, reason }, false)?;
                }
            }
            self.scheduler.put_back(index, back);
        }
        if self.level > CancelLevel::None {
            self.drop_pending("the run was cancelled")?;
        }
        Ok(())
    }

    fn resume_job(&mut self, id: &JobId, known: Known, index: StageIndex) -> Result<(), RunError> {
        self.scheduler.taken_up(index);
        self.start(id, Some(known))
    }

    fn unseal_masks(&self) {
        for stage in &self.state.stages {
            for job in &stage.jobs {
                let (JobPhase::Open(state) | JobPhase::Closing(state)) = &job.phase else { continue };
                for sealed in &state.masks {
                    let opened = self.context.ports.sealer.open(sealed).ok();
                    let values = opened.and_then(|json| serde_json::from_slice::<Vec<String>>(&json).ok());
                    values.iter().flatten().for_each(|value| self.context.masker.add(value));
                }
            }
        }
    }

    /// Cancels the whole run, at least to `level`.
    fn raise(&mut self, level: CancelLevel, by: &str) -> Result<(), RunError> {
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

    fn drop_pending(&mut self, reason: &str) -> Result<(), RunError> {
        for job in self.scheduler.withdraw_all() {
            let event = Event::JobDropped { job, outcome: Outcome::Cancelled, reason: reason.to_owned() };
            self.record(event, false)?;
        }
        Ok(())
    }

    /// A job of a matrix failed: the others end too, unless the file says otherwise.
    fn fail_fast(&mut self, stage: &StageId) -> Result<(), RunError> {
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
    fn requests(&mut self) -> Result<(), RunError> {
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

    /// Waits for the run's concurrency group; false when the run was cancelled meanwhile.
    async fn wait_for_group(
        &mut self,
        group: &str,
        cancel: bool,
        interrupts: &mut mpsc::Receiver<String>,
        wake: &mut mpsc::Receiver<()>,
    ) -> Result<bool, RunError> {
        let holder = self.context.run.as_str().to_owned();
        loop {
            match self.context.ports.groups.acquire(group, &self.context.run, &holder, cancel)? {
                GroupAnswer::Acquired => return Ok(true),
                GroupAnswer::Superseded => return Ok(false),
                GroupAnswer::Wait => {}
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(250)) => {}
                Some(by) = interrupts.recv() => {
                    self.raise(CancelLevel::Asked, &by)?;
                    return Ok(true);
                }
                Some(()) = wake.recv() => {
                    self.requests()?;
                    if self.level > CancelLevel::None {
                        return Ok(true);
                    }
                }
            }
            self.sinks.iter_mut().for_each(|sink| sink.tick());
        }
    }

    fn outcome(&self) -> Outcome {
        let mut outcome = Outcome::Success;
        for state in &self.state.stages {
            match state.outcome() {
                Some(Outcome::Skipped | Outcome::Success) | None => {}
                Some(other) => outcome = worse(outcome, other),
            }
        }
        if outcome == Outcome::Success && self.level > CancelLevel::None { Outcome::Cancelled } else { outcome }
    }
}

/// Remembers which runners have been used.
fn note_kind(kinds: &mut Vec<RunnerKind>, event: &Event) {
    if let Event::JobStarting { runner, .. } = event
        && !kinds.contains(runner)
    {
        kinds.push(*runner);
    }
}

/// The graver of two results of jobs.
fn worse(a: Outcome, b: Outcome) -> Outcome {
    let weight = |outcome| match outcome {
        Outcome::Skipped => 0,
        Outcome::Success => 1,
        Outcome::Cancelled => 2,
        Outcome::Lost => 3,
        Outcome::Failure => 4,
    };
    if weight(b) > weight(a) { b } else { a }
}
