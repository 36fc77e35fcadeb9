//! A small language for tests: what a run does, as beats that any sink can play.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::{Clock, Timestamp};
use crate::event::{EVENT_VERSION, Event, Exit, Outcome, Record};
use crate::id::{AttemptId, JobId, RunId, StageId, StepKey};
use crate::plan::ir::RunnerKind;
use crate::report::run_view::RunView;
use crate::sink::Sink;

/// 2024-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_704_067_200_000;

/// Stages as (id, needs, names of legs); without legs a stage has one job of its own name.
pub(crate) fn view(stages: &[(&str, &[&str], &[&str])]) -> RunView {
    let mut view = RunView::default();
    view.pipeline = "ci".to_owned();
    for (id, needs, legs) in stages {
        let stage = StageId::from(*id);
        let needs = needs.iter().map(|n| stages.iter().position(|s| s.0 == *n).unwrap() as u32).collect();
        let jobs: Vec<(JobId, String)> = match legs.len() {
            0 => vec![(JobId::new(&stage, None), (*id).to_owned())],
            _ => legs.iter().enumerate().map(|(i, n)| (JobId::new(&stage, Some(i + 1)), (*n).to_owned())).collect(),
        };
        view.declare(&stage, needs, Some(jobs));
    }
    view
}

#[derive(Clone)]
pub(crate) enum Beat {
    Record(Record),
    Output(StepKey, String),
    JobLine(AttemptId, String),
    JobState(AttemptId, String),
    Tick(i64),
}

/// Beats in order; times pass by [`Script::wait`].
pub(crate) struct Script {
    pub(crate) beats: Vec<Beat>,
    at: i64,
    seq: u64,
}

pub(crate) fn attempt(job: &str) -> AttemptId {
    AttemptId::new(JobId::from(job), 1)
}

impl Script {
    /// A run named `ci` that has begun.
    pub(crate) fn new() -> Self {
        Self { beats: Vec::new(), at: START, seq: 0 }.event(Event::RunStarted {
            run: RunId::from("0abc12345678"),
            pipeline: "ci".into(),
            name: "Fix the build".into(),
            file: "ci.yml".into(),
            event_name: "push".into(),
            commit: "4f2a9c1d".repeat(5),
            plan_hash: "00".into(),
            origin: None,
        })
    }

    /// Only these beats.
    pub(crate) fn of(beats: Vec<Beat>) -> Self {
        Self { beats, at: START, seq: 0 }
    }

    pub(crate) fn event(mut self, event: Event) -> Self {
        self.seq += 1;
        self.beats.push(Beat::Record(Record { v: EVENT_VERSION, seq: self.seq, at: Timestamp(self.at), event }));
        self
    }

    pub(crate) fn wait(mut self, ms: i64) -> Self {
        self.at += ms;
        self
    }

    pub(crate) fn tick(mut self) -> Self {
        self.beats.push(Beat::Tick(self.at));
        self
    }

    pub(crate) fn output(mut self, job: &str, step: u32, text: &str) -> Self {
        self.beats.push(Beat::Output(attempt(job).step(step), text.to_owned()));
        self
    }

    pub(crate) fn job_line(mut self, job: &str, text: &str) -> Self {
        self.beats.push(Beat::JobLine(attempt(job), text.to_owned()));
        self
    }

    pub(crate) fn job_state(mut self, job: &str, text: &str) -> Self {
        self.beats.push(Beat::JobState(attempt(job), text.to_owned()));
        self
    }

    pub(crate) fn starting(self, job: &str, steps: u32) -> Self {
        self.named(job, job, steps)
    }

    pub(crate) fn named(self, job: &str, name: &str, steps: u32) -> Self {
        self.event(Event::JobStarting {
            attempt: attempt(job),
            name: name.into(),
            runner: RunnerKind::Docker,
            image: Some("node:20".into()),
            steps,
        })
    }

    pub(crate) fn started(self, job: &str) -> Self {
        self.event(Event::JobStarted { attempt: attempt(job) })
    }

    pub(crate) fn step(self, job: &str, step: u32, name: &str) -> Self {
        self.event(Event::StepStarting { step: attempt(job).step(step), name: name.into() })
    }

    pub(crate) fn step_ok(self, job: &str, step: u32) -> Self {
        self.step_end(job, step, Outcome::Success, 0)
    }

    pub(crate) fn step_failed(self, job: &str, step: u32, code: i32) -> Self {
        self.step_end(job, step, Outcome::Failure, code)
    }

    fn step_end(self, job: &str, step: u32, outcome: Outcome, code: i32) -> Self {
        self.event(Event::StepFinished {
            step: attempt(job).step(step),
            outcome,
            conclusion: outcome,
            exit: Some(Exit::Code(code)),
            reason: None,
            effects: None,
        })
    }

    /// The job ends; a job that is a stage ends its stage.
    pub(crate) fn job_end(self, job: &str, outcome: Outcome) -> Self {
        let stage = StageId::from(job);
        let alone = JobId::from(job).stage() == stage;
        let done = self.event(Event::JobFinished {
            attempt: attempt(job),
            outcome,
            conclusion: outcome,
            reason: None,
            outputs: Vec::new(),
            retry: false,
        });
        if alone { done.stage_end(job, outcome) } else { done }
    }

    pub(crate) fn stage_end(self, stage: &str, outcome: Outcome) -> Self {
        self.event(Event::StageFinished { stage: StageId::from(stage), outcome, outputs: Vec::new(), reason: None })
    }

    pub(crate) fn skip(self, stage: &str, reason: &str) -> Self {
        self.event(Event::StageSkipped { stage: StageId::from(stage), reason: reason.into() })
            .stage_end(stage, Outcome::Skipped)
    }

    pub(crate) fn run_end(self, outcome: Outcome) -> Self {
        self.event(Event::RunFinished { outcome })
    }

    /// Plays to `sink`, moving `clock`.
    pub(crate) fn play(&self, sink: &mut dyn Sink, clock: &FakeClock) {
        for beat in &self.beats {
            match beat {
                Beat::Record(record) => {
                    clock.0.store(record.at.0, Ordering::Relaxed);
                    sink.record(record);
                }
                Beat::Output(step, text) => sink.output(step, text),
                Beat::JobLine(attempt, text) => sink.job_line(attempt, text),
                Beat::JobState(attempt, text) => sink.job_state(attempt, text),
                Beat::Tick(at) => {
                    clock.0.store(*at, Ordering::Relaxed);
                    sink.tick();
                }
            }
        }
    }

    /// Folds the records into `view`.
    pub(crate) fn fold(&self, mut view: RunView) -> RunView {
        for beat in &self.beats {
            if let Beat::Record(record) = beat {
                view.apply(record);
            }
        }
        view
    }
}

/// A clock that stands where the script is.
#[derive(Clone, Default)]
pub(crate) struct FakeClock(pub(crate) Arc<AtomicI64>);

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// A writer whose bytes can be looked at.
#[derive(Clone, Default)]
pub(crate) struct Shared(pub(crate) Arc<std::sync::Mutex<Vec<u8>>>);

impl Shared {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Takes what was written since the last time.
    pub(crate) fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
