//! The loop of a run: it alone changes the state, in the order in which things reach it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};

use crate::event::{EVENT_VERSION, Ending, Event, Outcome, Record};
use crate::expr::EvalError;
use crate::id::{AttemptId, JobId, RunId, StageId};
use crate::plan::contexts::RunFacts;
use crate::plan::ir::{Plan, RunnerKind, StageIndex};
use crate::secret::Secret;
use crate::sink::Sink;
use crate::stage::{Environment, kind_of};
use crate::state::{IllegalTransition, RunPhase, RunState};
use crate::store::contract::{Committed, GroupAnswer, Journal, StoreError};
use crate::task::contract::Before;

use super::attempt::{self, AttemptInput, Known};
use super::cancel::{CancelLevel, CancelView};
use super::context::RunContext;
use super::decide::{ReusedJob, worse};
use super::message::{JournalGone, MESSAGE_QUEUE, Message, Reporter};
use super::ports::{Places, Ports, Settings};
use super::scheduler::{Action, Scheduler};

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
    /// Environments of the user's or the server's configuration; they win over the file's.
    pub environments: Vec<Environment>,
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
    /// By stage: each job's `matrix` context and outputs, in order, and what its tasks left.
    pub stages: HashMap<StageId, (Vec<ReusedJob>, Vec<serde_json::Value>)>,
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

/// How a run ended for this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunEnd {
    /// How it ended; none when it only paused, waiting for a person.
    pub outcome: Option<Outcome>,
    /// How the gravest thing stands that a task of it worked on.
    pub ending: Option<Ending>,
}

/// Runs to the end, or takes a run up to its end.
pub async fn execute(request: RunRequest) -> Result<RunEnd, RunError> {
    let (sender, inbox) = mpsc::channel(MESSAGE_QUEUE);
    let mut state = RunState::new(Arc::clone(&request.plan));
    for record in &request.records {
        state.apply(record)?;
    }
    if let RunPhase::Finished(outcome) = state.phase {
        return Ok(RunEnd { outcome: Some(outcome), ending: state.ending });
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
        &request.environments,
        &state,
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
        paused: false,
        state,
        context,
    };
    let taken_up = !request.records.is_empty();
    let outcome = run.drive(taken_up, request.origin, inbox, request.interrupts, request.wake).await;
    run.sinks.iter_mut().for_each(|sink| sink.finish());
    Ok(RunEnd { outcome: outcome?, ending: run.state.ending })
}

/// The task of an attempt.
pub(super) struct Task {
    pub(super) stage: StageIndex,
    pub(super) cancel: watch::Sender<CancelLevel>,
}

/// A run under way.
pub(super) struct Run {
    pub(super) context: Arc<RunContext>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) state: RunState,
    pub(super) scheduler: Scheduler,
    pub(super) sinks: Vec<Box<dyn Sink>>,
    pub(super) tasks: HashMap<JobId, Task>,
    pub(super) attempts: JoinSet<Result<(), JournalGone>>,
    pub(super) names: HashMap<Id, JobId>,
    /// Runners that were used.
    pub(super) kinds: Vec<RunnerKind>,
    pub(super) reused: Option<Reused>,
    pub(super) level: CancelLevel,
    /// The run ends for now: whoever waits for a person gives up.
    pub(super) paused: bool,
}

impl Run {
    async fn drive(
        &mut self,
        taken_up: bool,
        origin: Option<RunId>,
        mut inbox: mpsc::Receiver<Message>,
        mut interrupts: mpsc::Receiver<String>,
        mut wake: mpsc::Receiver<()>,
    ) -> Result<Option<Outcome>, RunError> {
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
        let Some(outcome) = result? else {
            self.record(Event::RunPaused {}, true)?.await?;
            return Ok(None);
        };
        for kind in self.kinds.clone() {
            if let Ok(runner) = self.context.ports.runners.get(kind) {
                // What is left of the run is swept when the next one starts.
                let _ = runner.finish(&self.context.run).await;
            }
        }
        self.record(Event::RunFinished { outcome }, true)?.await?;
        Ok(Some(outcome))
    }

    /// Until every stage is over.
    async fn turn(
        &mut self,
        taken_up: bool,
        inbox: &mut mpsc::Receiver<Message>,
        interrupts: &mut mpsc::Receiver<String>,
        wake: &mut mpsc::Receiver<()>,
    ) -> Result<Option<Outcome>, RunError> {
        if taken_up {
            self.take_up()?;
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let (mut interrupts_open, mut wake_open) = (true, true);
        loop {
            self.advance()?;
            if self.state.unfinished == 0 && self.tasks.is_empty() {
                return Ok(Some(self.outcome()));
            }
            if self.paused && self.tasks.is_empty() {
                return Ok(None);
            }
            if self.context.settings.no_wait && !self.paused && self.all_wait() {
                self.paused = true;
                self.context.desk.pause();
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
    pub(super) fn record(&mut self, event: Event, sync: bool) -> Result<Committed, RunError> {
        let at = self.context.ports.clock.now();
        let record = Record { v: EVENT_VERSION, seq: self.state.seq + 1, at, event };
        self.state.apply(&record)?;
        self.sinks.iter_mut().for_each(|sink| sink.record(&record));
        self.context.desk.happened(&record.event, &self.state);
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
        while let Some(action) = self.scheduler.next_action() {
            match action {
                Action::Decide(index) => self.decide(index)?,
                Action::Start(job) => self.start(&job, None)?,
                Action::FinishStage(index) => self.finish_stage(index)?,
            }
        }
        Ok(())
    }

    /// Starts the next attempt of a job, or takes one up.
    pub(super) fn start(&mut self, id: &JobId, known: Option<Known>) -> Result<(), RunError> {
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
            before: self.left_before(index),
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
        if self.paused && result.is_err() {
            // It gave up waiting; `resume` takes it up.
            return Ok(());
        }
        result.map_err(|reason| StoreError::failed(format!("run job \"{job}\""), reason).into())
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

    /// Whether something goes on, and all of it waits for people.
    fn all_wait(&self) -> bool {
        !self.tasks.is_empty() && self.tasks.values().all(|task| self.state.stage(task.stage).waits())
    }

    /// What tasks of the stages before `index` left, in the DAG's order.
    fn left_before(&self, index: StageIndex) -> Vec<Before> {
        let plan = &self.context.plan;
        let needs = &plan.stage(index).needs;
        // Only tasks ask for it, and to find it goes over the whole DAG.
        if kind_of(&plan.stage(index).job).is_none() {
            return Vec::new();
        }
        let before = crate::plan::graph::reach(plan.stages.len(), needs, |at: StageIndex| &plan.stage(at).needs);
        let mut left = Vec::new();
        for at in plan.order.iter().filter(|at| before[at.0 as usize]) {
            let Some(kind) = kind_of(&plan.stage(*at).job) else { continue };
            for facts in &self.state.stage(*at).facts {
                let stage = plan.stage(*at).id.clone();
                left.push(Before { stage, kind, direct: needs.contains(at), facts: facts.clone() });
            }
        }
        left
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
