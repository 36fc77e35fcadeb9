//! What to do next: pure, incremental. Each event costs as much as it has consequences, so that 100,000 jobs are no trouble.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::event::Event;
use crate::id::JobId;
use crate::plan::ir::{Plan, StageIndex};
use crate::state::{JobPhase, RunState, StagePhase};

/// What the loop should do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Evaluate the stage's `if` and its late matrix.
    Decide(StageIndex),
    /// Start the next attempt of this job.
    Start(JobId),
    /// All jobs of the stage are over: say so.
    FinishStage(StageIndex),
}

/// Limits of a stage's jobs, known once it was decided on.
#[derive(Debug, Clone, Copy)]
pub struct StageLimits {
    /// At most so many of its jobs at once.
    pub max_parallel: usize,
}

/// Keeps what can be done.
#[derive(Debug)]
pub struct Scheduler {
    plan: Arc<Plan>,
    /// Jobs at once over the whole run.
    limit: usize,
    running: usize,
    finished: VecDeque<StageIndex>,
    ready: VecDeque<StageIndex>,
    /// Stages with jobs to start, in the order in which they were decided on.
    open: VecDeque<StageIndex>,
    waiting: HashMap<StageIndex, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    jobs: VecDeque<JobId>,
    running: usize,
    limits: StageLimits,
}

impl Scheduler {
    /// For a run in `state`, with at most `limit` jobs at once. Stages that were decided on before a crash are given again
    /// by [`Scheduler::admit`].
    pub fn new(state: &RunState, limit: usize) -> Self {
        let plan = Arc::clone(state.plan());
        let mut scheduler = Self {
            limit: limit.max(1),
            running: 0,
            finished: VecDeque::new(),
            ready: VecDeque::new(),
            open: VecDeque::new(),
            waiting: HashMap::new(),
            plan: Arc::clone(&plan),
        };
        for index in &plan.order {
            let stage = state.stage(*index);
            match stage.phase {
                _ if stage.waiting_for > 0 => {}
                StagePhase::Waiting => scheduler.ready.push_back(*index),
                StagePhase::Active if stage.unfinished == 0 => scheduler.finished.push_back(*index),
                StagePhase::Active | StagePhase::Done { .. } => {}
            }
        }
        scheduler
    }

    /// The stage will run: its jobs that are not over may be started.
    pub fn admit(&mut self, state: &RunState, index: StageIndex, limits: StageLimits) {
        let jobs = &state.stage(index).jobs;
        let jobs: VecDeque<JobId> =
            jobs.iter().filter(|job| !matches!(job.phase, JobPhase::Done { .. })).map(|job| job.id.clone()).collect();
        if jobs.is_empty() {
            if state.stage(index).outcome().is_none() && !self.finished.contains(&index) {
                self.finished.push_back(index);
            }
            return;
        }
        self.waiting.insert(index, Waiting { jobs, running: 0, limits });
        self.open.push_back(index);
    }

    /// Jobs of the stage that were not started, which will not be (they are taken out).
    pub fn withdraw(&mut self, index: StageIndex) -> Vec<JobId> {
        self.waiting.get_mut(&index).map(|w| w.jobs.drain(..).collect()).unwrap_or_default()
    }

    /// Every job that was not started (all are taken out).
    pub fn withdraw_all(&mut self) -> Vec<JobId> {
        let mut stages: Vec<StageIndex> = self.waiting.keys().copied().collect();
        stages.sort();
        stages.into_iter().flat_map(|index| self.withdraw(index)).collect()
    }

    /// Jobs of the stage that may be started after all.
    pub fn put_back(&mut self, index: StageIndex, jobs: Vec<JobId>) {
        if let Some(waiting) = self.waiting.get_mut(&index) {
            waiting.jobs.extend(jobs);
        }
    }

    /// A job of the stage runs that this scheduler has not started: it was under way before a crash.
    pub fn taken_up(&mut self, index: StageIndex) {
        self.running += 1;
        if let Some(waiting) = self.waiting.get_mut(&index) {
            waiting.running += 1;
        }
    }

    /// The task of a job of `index` has ended.
    pub fn ended(&mut self, index: StageIndex) {
        self.running = self.running.saturating_sub(1);
        if let Some(waiting) = self.waiting.get_mut(&index) {
            waiting.running = waiting.running.saturating_sub(1);
            if !waiting.jobs.is_empty() && !self.open.contains(&index) {
                self.open.push_back(index);
            }
        }
    }

    /// Takes an event's consequences in; `state` holds it already.
    pub fn happened(&mut self, state: &RunState, event: &Event) {
        match event {
            Event::StageSkipped { stage, .. } | Event::StageFinished { stage, .. } => {
                let Some(index) = state.find(stage) else { return };
                self.waiting.remove(&index);
                let plan = Arc::clone(&self.plan);
                let ready = |dependent: &&StageIndex| state.stage(**dependent).is_ready();
                self.ready.extend(plan.stage(index).dependents.iter().filter(ready));
            }
            Event::JobFinished { attempt, retry: true, .. } => {
                let Some(index) = state.find(&attempt.job.stage()) else { return };
                if let Some(waiting) = self.waiting.get_mut(&index) {
                    waiting.jobs.push_front(attempt.job.clone());
                    if !self.open.contains(&index) {
                        self.open.push_front(index);
                    }
                }
            }
            Event::JobFinished { attempt: crate::id::AttemptId { job, .. }, .. }
            | Event::JobDropped { job, .. }
            | Event::JobReused { job, .. } => {
                let Some(index) = state.find(&job.stage()) else { return };
                if state.stage(index).unfinished == 0 && !self.finished.contains(&index) {
                    self.finished.push_back(index);
                }
            }
            _ => {}
        }
    }

    /// The next thing to do, if there is one now.
    pub fn next_action(&mut self) -> Option<Action> {
        if let Some(index) = self.finished.pop_front() {
            return Some(Action::FinishStage(index));
        }
        if let Some(index) = self.ready.pop_front() {
            return Some(Action::Decide(index));
        }
        if self.running >= self.limit {
            return None;
        }
        for _ in 0..self.open.len() {
            let index = self.open.pop_front()?;
            let Some(waiting) = self.waiting.get_mut(&index) else { continue };
            if waiting.running >= waiting.limits.max_parallel {
                // Comes back when one of its jobs ends.
                continue;
            }
            if let Some(job) = waiting.jobs.pop_front() {
                waiting.running += 1;
                self.running += 1;
                if !waiting.jobs.is_empty() {
                    self.open.push_front(index);
                }
                return Some(Action::Start(job));
            }
        }
        None
    }
}
