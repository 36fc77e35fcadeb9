//! What a run looks like, folded from its records: the one model behind terminal, plain lines, summary, timeline and
//! `runs show`. Pure. An event costs no more than what it speaks of, however many jobs there are.

use std::collections::{BTreeSet, HashMap};

use crate::clock::Timestamp;
use crate::event::{Annotation, AnnotationLevel, Event, Outcome, Record};
use crate::id::{AttemptId, JobId, RunId, StageId, StepKey};
use crate::plan::ir::{Legs, Plan};
use crate::report::job_view::{AttemptView, JobView, Phase, StageView, StepView};

/// So many annotations of each level are kept for showing; all are counted.
pub const MAX_ANNOTATIONS: usize = 10;

/// How many jobs are where. A late matrix counts as one job until its legs are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All jobs that are chosen.
    pub total: usize,
    /// Those that are over, whatever their outcome.
    pub done: usize,
    /// Over with success.
    pub succeeded: usize,
    /// Over with failure or lost.
    pub failed: usize,
    /// Did not run.
    pub skipped: usize,
    /// Cancelled.
    pub cancelled: usize,
}

impl Counts {
    fn add(&mut self, outcome: Outcome) {
        self.done += 1;
        *match outcome {
            Outcome::Success => &mut self.succeeded,
            Outcome::Failure | Outcome::Lost => &mut self.failed,
            Outcome::Skipped => &mut self.skipped,
            Outcome::Cancelled => &mut self.cancelled,
        } += 1;
    }

    fn take(&mut self, outcome: Outcome) {
        self.done -= 1;
        *match outcome {
            Outcome::Success => &mut self.succeeded,
            Outcome::Failure | Outcome::Lost => &mut self.failed,
            Outcome::Skipped => &mut self.skipped,
            Outcome::Cancelled => &mut self.cancelled,
        } -= 1;
    }
}

/// Annotations of one level.
#[derive(Debug, Clone, Default)]
pub struct Annotations {
    /// All that came.
    pub count: usize,
    /// The first ones, each with its job's place in [`RunView::jobs`].
    pub first: Vec<(usize, Annotation)>,
}

/// A run.
#[derive(Debug, Clone, Default)]
pub struct RunView {
    /// Its id, once it has begun.
    pub run: Option<RunId>,
    /// The pipeline's name.
    pub pipeline: String,
    /// The run's name.
    pub name: String,
    /// The file.
    pub file: String,
    /// The event it runs for.
    pub event_name: String,
    /// The commit.
    pub commit: String,
    /// The run it repeats.
    pub origin: Option<RunId>,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When the newest record was journaled.
    pub last: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// How often it was taken up after a crash.
    pub resumed: u32,
    /// Who cancelled the run.
    pub cancelled_by: Option<String>,
    /// Stages in file order; those that no plan named come behind.
    pub stages: Vec<StageView>,
    /// Jobs.
    pub jobs: Vec<JobView>,
    /// Jobs between their start and their end (places in `jobs`).
    pub active: BTreeSet<usize>,
    /// How many jobs are where.
    pub counts: Counts,
    /// `::error::`s.
    pub errors: Annotations,
    /// `::warning::`s.
    pub warnings: Annotations,
    /// `::notice::`s.
    pub notices: Annotations,
    stage_at: HashMap<StageId, usize>,
    job_at: HashMap<JobId, usize>,
}

impl RunView {
    /// A run of `plan` before its first event.
    pub fn of_plan(plan: &Plan) -> Self {
        let mut view = Self { pipeline: plan.name.clone(), name: plan.run_name.clone(), ..Self::default() };
        for stage in &plan.stages {
            let needs = stage.needs.iter().map(|n| n.0).collect();
            match &stage.legs {
                Legs::Fixed(legs) if stage.selected => {
                    let legs = legs.iter().map(|leg| (leg.job.clone(), leg.name.clone()));
                    view.declare(&stage.id, needs, Some(legs));
                }
                Legs::Late if stage.selected => view.declare::<[_; 0]>(&stage.id, needs, None),
                _ => {
                    view.declare(&stage.id, needs, Some([]));
                    view.stages.last_mut().expect("it was just declared").selected = false;
                }
            }
        }
        view
    }

    /// Adds the stage `id`; `legs` are its jobs with their names, none when they are not known yet.
    pub fn declare<L>(&mut self, id: &StageId, needs: Vec<u32>, legs: Option<L>)
    where
        L: IntoIterator<Item = (JobId, String)>,
    {
        let at = self.stage(id);
        self.stages[at].needs = needs;
        match legs {
            Some(legs) => legs.into_iter().for_each(|(job, name)| self.add_job(at, &job, name)),
            None => {
                self.stages[at].late = true;
                self.counts.total += 1;
            }
        }
    }

    /// The place of `job`, when it is known.
    pub fn find_job(&self, job: &JobId) -> Option<usize> {
        self.job_at.get(job).copied()
    }

    /// Stages that `stage` waits for and that are not over.
    pub fn waits_for(&self, stage: usize) -> impl Iterator<Item = &StageView> {
        self.stages[stage].needs.iter().map(|n| &self.stages[*n as usize]).filter(|s| s.selected && s.outcome.is_none())
    }

    /// From the run's start to its end, or to `now`.
    pub fn elapsed(&self, now: Timestamp) -> std::time::Duration {
        self.started.map(|s| self.finished.unwrap_or(now).since(s)).unwrap_or_default()
    }

    /// Takes in what happened.
    pub fn apply(&mut self, record: &Record) {
        let at = record.at;
        self.last = at;
        match &record.event {
            Event::RunStarted { run, pipeline, name, file, event_name, commit, origin, .. } => {
                self.run = Some(run.clone());
                self.pipeline = pipeline.clone();
                self.name = name.clone();
                self.file = file.clone();
                self.event_name = event_name.clone();
                self.commit = commit.clone();
                self.origin = origin.clone();
                self.started = Some(at);
            }
            Event::RunResumed { .. } => self.resumed += 1,
            Event::CancelRequested { by, stage } => {
                if stage.is_none() {
                    self.cancelled_by.get_or_insert_with(|| by.clone());
                }
            }
            Event::JobsExpanded { stage, legs } => {
                let stage_at = self.stage(stage);
                if std::mem::take(&mut self.stages[stage_at].late) {
                    self.counts.total -= 1;
                }
                for (i, leg) in legs.iter().enumerate() {
                    let job = JobId::new(stage, Some(i + 1));
                    if !self.job_at.contains_key(&job) {
                        self.add_job(stage_at, &job, leg_name(stage, leg));
                    }
                }
            }
            Event::StageSkipped { stage, reason } => {
                let stage_at = self.stage(stage);
                self.stages[stage_at].skip_reason = Some(reason.clone());
                self.end_stage(stage_at, Outcome::Skipped, at);
            }
            Event::StageFinished { stage, outcome, reason, .. } => {
                let stage_at = self.stage(stage);
                self.stages[stage_at].fail_reason = reason.clone();
                self.end_stage(stage_at, *outcome, at);
            }
            Event::JobQueued { job, group } => {
                let job = self.job(job);
                self.jobs[job].group = Some(group.clone());
                self.set_phase(job, Phase::Queued);
            }
            Event::JobReused { job, from, .. } => {
                let job = self.job(job);
                self.jobs[job].reused_from = Some(from.clone());
                self.set_phase(job, Phase::Done(Outcome::Success));
            }
            Event::JobStarting { attempt, name, runner, image, steps } => {
                let job = self.job(&attempt.job);
                let view = &mut self.jobs[job];
                view.name = name.clone();
                view.group = None;
                view.attempts.push(AttemptView {
                    attempt: attempt.attempt,
                    runner: Some(*runner),
                    image: image.clone(),
                    steps_total: *steps,
                    starting: at,
                    ..AttemptView::default()
                });
                let stage = view.stage;
                self.stages[stage].started.get_or_insert(at);
                self.set_phase(job, Phase::Preparing);
            }
            Event::JobStarted { attempt } => {
                let job = self.attempt(attempt, at, |a| a.started = Some(at));
                self.set_phase(job, Phase::Running);
            }
            Event::StepSkipped { step, name, reason } => {
                self.step(step, at, |s| {
                    s.name = name.clone();
                    s.reason = Some(reason.clone());
                    s.outcome = Some(Outcome::Skipped);
                    s.conclusion = Some(Outcome::Skipped);
                    s.finished = Some(at);
                });
            }
            Event::StepStarting { step, name } => self.step(step, at, |s| {
                s.name = name.clone();
                s.started = Some(at);
            }),
            Event::StepFinished { step, outcome, conclusion, exit, reason, .. } => self.step(step, at, |s| {
                s.outcome = Some(*outcome);
                s.conclusion = Some(*conclusion);
                s.exit = *exit;
                s.reason = reason.clone();
                s.finished = Some(at);
            }),
            Event::LogAcknowledged { step, log, .. } => self.step(step, at, |s| s.log_bytes = *log),
            Event::MaskAdded { .. }
            | Event::EffectIntended { .. }
            | Event::EffectObserved { .. }
            | Event::TaskReported { .. }
            | Event::TaskEnded { .. }
            | Event::RunPaused {}
            | Event::RequestRefused { .. }
            | Event::OrderGiven { .. } => {}
            Event::ApprovalWaiting { stage, environment, approvers, .. } => {
                let stage = self.stage(stage);
                self.stages[stage].waits = Some((environment.clone(), approvers.clone()));
            }
            // With several approvers it may wait on; the end of the stage says so for sure.
            Event::ApprovalGiven { stage, .. } => {
                let stage = self.stage(stage);
                self.stages[stage].waits = None;
            }
            Event::Annotated { step, annotation } => {
                let job = self.job(&step.job);
                let list = match annotation.level {
                    AnnotationLevel::Error => &mut self.errors,
                    AnnotationLevel::Warning => &mut self.warnings,
                    AnnotationLevel::Notice => &mut self.notices,
                };
                list.count += 1;
                if list.first.len() < MAX_ANNOTATIONS {
                    list.first.push((job, annotation.clone()));
                }
            }
            Event::SummaryWritten { step, size } => self.step(step, at, |s| s.summary_bytes = *size),
            Event::TestsReported { attempt, totals } => {
                self.attempt(attempt, at, |a| a.tests = Some(totals.clone()));
            }
            Event::ArtifactsKept { attempt, files } => {
                self.attempt(attempt, at, |a| a.artifacts = files.clone());
            }
            Event::JobClosing { attempt } => {
                let job = self.attempt(attempt, at, |a| a.closing = Some(at));
                self.set_phase(job, Phase::Closing);
            }
            Event::JobFinished { attempt, outcome, conclusion, reason, retry, .. } => {
                let job = self.attempt(attempt, at, |a| {
                    a.finished = Some(at);
                    a.outcome = Some(*outcome);
                    a.conclusion = Some(*conclusion);
                    a.reason = reason.clone();
                });
                self.set_phase(job, if *retry { Phase::Waiting } else { Phase::Done(*conclusion) });
            }
            Event::JobDropped { job, outcome, reason } => {
                let job = self.job(job);
                self.jobs[job].drop_reason = Some(reason.clone());
                self.set_phase(job, Phase::Done(*outcome));
            }
            Event::RunFinished { outcome } => {
                self.finished = Some(at);
                self.outcome = Some(*outcome);
            }
        }
    }

    /// All jobs of the stage are over; those that never began take its outcome.
    fn end_stage(&mut self, stage: usize, outcome: Outcome, at: Timestamp) {
        let view = &mut self.stages[stage];
        if std::mem::take(&mut view.late) {
            self.counts.add(outcome);
        }
        let view = &mut self.stages[stage];
        view.outcome = Some(outcome);
        view.finished = Some(at);
        let range = std::mem::take(&mut view.jobs);
        for job in &range {
            if !matches!(self.jobs[*job].phase, Phase::Done(_)) {
                self.set_phase(*job, Phase::Done(outcome));
            }
        }
        self.stages[stage].jobs = range;
    }

    fn set_phase(&mut self, job: usize, phase: Phase) {
        let old = std::mem::replace(&mut self.jobs[job].phase, phase);
        if let Phase::Done(outcome) = old {
            self.counts.take(outcome);
        }
        if let Phase::Done(outcome) = phase {
            self.counts.add(outcome);
        }
        if matches!(phase, Phase::Preparing | Phase::Running | Phase::Closing) {
            self.active.insert(job);
        } else {
            self.active.remove(&job);
        }
    }

    fn stage(&mut self, id: &StageId) -> usize {
        if let Some(at) = self.stage_at.get(id) {
            return *at;
        }
        self.stages.push(StageView::new(id.clone()));
        self.stage_at.insert(id.clone(), self.stages.len() - 1);
        self.stages.len() - 1
    }

    fn job(&mut self, id: &JobId) -> usize {
        if let Some(at) = self.job_at.get(id) {
            return *at;
        }
        let stage = self.stage(&id.stage());
        self.add_job(stage, id, id.to_string());
        self.jobs.len() - 1
    }

    fn add_job(&mut self, stage: usize, id: &JobId, name: String) {
        let at = self.jobs.len();
        self.jobs.push(JobView::new(id.clone(), stage, name));
        self.stages[stage].jobs.push(at);
        self.job_at.insert(id.clone(), at);
        self.counts.total += 1;
    }

    /// Changes an attempt; one whose start was not seen is made up. Gives the job's place.
    fn attempt(&mut self, id: &AttemptId, at: Timestamp, change: impl FnOnce(&mut AttemptView)) -> usize {
        let job = self.job(&id.job);
        let attempts = &mut self.jobs[job].attempts;
        let index = attempts.iter().rposition(|a| a.attempt == id.attempt).unwrap_or_else(|| {
            attempts.push(AttemptView { attempt: id.attempt, starting: at, ..AttemptView::default() });
            attempts.len() - 1
        });
        change(&mut attempts[index]);
        job
    }

    fn step(&mut self, key: &StepKey, at: Timestamp, change: impl FnOnce(&mut StepView)) {
        self.attempt(&key.attempt_id(), at, |attempt| {
            // Steps come in order, so the one that is meant stands at the end or close to it.
            let steps = &mut attempt.steps;
            let index = steps.iter().rposition(|s| s.step == key.step).unwrap_or_else(|| {
                steps.push(StepView { step: key.step, ..StepView::default() });
                steps.len() - 1
            });
            change(&mut steps[index]);
        });
    }
}

/// `test (20, ubuntu)` of a leg's `matrix` context.
fn leg_name(stage: &StageId, leg: &serde_json::Value) -> String {
    let text = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    match leg.as_object() {
        Some(map) if !map.is_empty() => {
            format!("{stage} ({})", map.values().map(text).collect::<Vec<_>>().join(", "))
        }
        _ => stage.to_string(),
    }
}

#[cfg(test)]
#[path = "run_view_tests.rs"]
mod tests;
