//! The step of a typed stage: its settings are evaluated and read, and its task is run.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::diagnostic::Diagnostics;
use crate::event::{Event, Outcome};
use crate::id::StepKey;
use crate::model::Job;
use crate::stage::settings::{Reader, evaluated};
use crate::stage::{Environment, TaskKind, Typed, kind_of};
use crate::state::StepState;
use crate::task::contract::{Task, TaskCtx, TaskEnd, TaskError, TaskSpec};

use super::approval;
use super::attempt::Attempt;
use super::cancel::{CancelLevel, CancelView};
use super::effects::StepEffects;
use super::message::JournalGone;
use super::scope::JobScope;
use super::step::Ended;
use super::task_ctx::RunTask;

/// A task that is asked to end puts right what it began (it takes a release back); it gets this long.
const STOP_LIMIT: Duration = Duration::from_secs(30 * 60);

impl Attempt<'_> {
    /// Runs the task of the job's typed key, or takes it up from `known` after a crash.
    pub(super) async fn task(
        &mut self,
        key: &StepKey,
        step_env: &[(String, String)],
        known: Option<&StepState>,
    ) -> Result<Ended, JournalGone> {
        let spec = match self.task_spec(step_env) {
            Ok(spec) => spec,
            Err(reason) => {
                self.note(key, &reason).await?;
                return Ok(Ended::failure(reason));
            }
        };
        let kind = spec.typed.kind();
        let (stop, stopped) = watch::channel(false);
        let ctx = match RunTask::new(self, key, step_env, known, stopped) {
            Ok(ctx) => ctx,
            Err(reason) => return Ok(Ended::failure(reason)),
        };
        if known.is_some() {
            ctx.log("taken up again after the engine ended").await;
        }
        let work = run_one(self, &spec, &ctx);
        let (result, why) = watched(work, &stop, self.cancel.clone(), self.deadline, || ctx.waited()).await;
        let mut skipped = false;
        let (end, ending, ended) = match result {
            // It may have come to its end just when it was asked to stop.
            Some(Ok(end)) => (end, None, Ended::success()),
            Some(Err(TaskError::Failed { message, ending, end })) => {
                let message =
                    if why == Some(Why::Timeout) { format!("{}: {message}", self.timeout_reason()) } else { message };
                (*end, ending, Ended::failure(message))
            }
            Some(Err(TaskError::Cancelled)) => match why {
                Some(Why::Timeout) => (TaskEnd::default(), None, Ended::failure(self.timeout_reason())),
                _ => (TaskEnd::default(), None, Ended::of(Outcome::Cancelled, "the run was cancelled")),
            },
            Some(Err(TaskError::Lost(reason))) => (TaskEnd::default(), None, Ended::of(Outcome::Lost, reason)),
            Some(Err(TaskError::Skipped(reason))) => {
                skipped = true;
                (TaskEnd::default(), None, Ended::of(Outcome::Skipped, reason))
            }
            Some(Err(TaskError::Gone(reason))) => return Err(JournalGone(reason)),
            Some(Err(TaskError::Paused)) => return Err(JournalGone("the run waits for a person".to_owned())),
            None => {
                let reason = "it was ended at once; what it had begun may be half done";
                (TaskEnd::default(), None, Ended::of(Outcome::Lost, reason))
            }
        };
        if let Some(line) = ended.line() {
            ctx.log(&line).await;
        }
        if !end.facts.is_null() || ending.is_some() {
            let facts = ctx.masked(end.facts);
            self.run.reporter.commit(Event::TaskEnded { step: key.clone(), kind, facts, ending }).await?;
        }
        drop(ctx);
        self.progress.skipped |= skipped;
        self.progress.timed_out |= why == Some(Why::Timeout);
        self.progress.cancelled |= why == Some(Why::Cancelled);
        Ok(ended.with(StepEffects { outputs: end.outputs, ..StepEffects::default() }))
    }

    /// The settings, evaluated and read.
    fn task_spec(&self, step_env: &[(String, String)]) -> Result<TaskSpec, String> {
        self.spec_of(&self.job, step_env)
    }

    /// The settings of `job`, which may be one that comes later, as far as they have values here.
    pub(super) fn spec_of(&self, job: &Job, step_env: &[(String, String)]) -> Result<TaskSpec, String> {
        let hash = self.hash_files();
        let scope = JobScope { hash_files: Some(&hash), ..self.step_scope(step_env) };
        let (Some(typed), Some(kind)) = (&job.typed, kind_of(job)) else {
            return Err("the stage has no typed key".to_owned());
        };
        let node = evaluated(&typed.node, &mut |template| template.evaluate(&scope).map_err(|e| e.to_string()))
            .map_err(|error| format!("a setting of \"{}\" has no value: {error}", kind.name()))?;
        let mut diagnostics = Diagnostics::new(self.run.plan.pipeline.source.clone());
        let typed = Typed::read(&mut Reader::of_values(&mut diagnostics), kind, &node);
        match typed {
            Some(typed) if !diagnostics.has_errors() => Ok(TaskSpec {
                typed,
                environment: self.environment_of(kind),
                incident: self.run.incident.clone(),
                before: self.before.clone(),
            }),
            _ => {
                let text = |one: &crate::diagnostic::Diagnostic| match &one.help {
                    Some(help) => format!("{} ({help})", one.message),
                    None => one.message.clone(),
                };
                let wrong: Vec<String> = diagnostics.list.iter().map(text).collect();
                Err(format!("the settings of \"{}\" are wrong: {}", kind.name(), wrong.join("; ")))
            }
        }
    }

    /// The stage's environment; a verification that names none is of the one that the deploys before it went to.
    fn environment_of(&self, kind: TaskKind) -> Option<Environment> {
        let own = self.facts.environment.clone();
        if own.is_some() || kind != TaskKind::Verify {
            return own;
        }
        let deploys = self.before.iter().rev().filter(|before| before.kind == TaskKind::Deploy);
        let name = deploys.filter_map(|before| before.facts["environment"].as_str()).next()?;
        Some(self.run.environment(name))
    }

    fn task_of(&self, kind: TaskKind) -> Result<Arc<dyn Task>, TaskError> {
        self.run.ports.tasks.get(kind)
    }
}

/// The approval that must come first, then the task itself.
async fn run_one(attempt: &Attempt<'_>, spec: &TaskSpec, ctx: &RunTask<'_>) -> Result<TaskEnd, TaskError> {
    match &spec.typed {
        Typed::Approval(settings) => approval::run(attempt, settings, spec, ctx).await,
        Typed::Deploy(_) => {
            approval::before_deploy(attempt, spec, ctx).await?;
            attempt.task_of(TaskKind::Deploy)?.run(spec, ctx).await
        }
        other => attempt.task_of(other.kind())?.run(spec, ctx).await,
    }
}

/// Why a task was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Cancelled,
    Timeout,
}

/// Waits for `work`; asks it to stop when the run is cancelled or its time is over. `None` when it did not stop.
async fn watched(
    work: impl Future<Output = Result<TaskEnd, TaskError>>,
    stop: &watch::Sender<bool>,
    mut cancel: CancelView,
    deadline: Option<Instant>,
    waited: impl Fn() -> Duration,
) -> (Option<Result<TaskEnd, TaskError>>, Option<Why>) {
    let mut work = std::pin::pin!(work);
    let mut watching = CancelLevel::Asked;
    let mut why = None;
    let mut end = None;
    loop {
        // Time spent waiting for people does not count.
        let limit = end.or(deadline.filter(|_| why.is_none()).map(|deadline| deadline + waited()));
        tokio::select! {
            biased;
            result = &mut work => return (Some(result), why),
            () = cancel.reached(watching) => {
                if watching == CancelLevel::Now {
                    return (None, Some(Why::Cancelled));
                }
                watching = CancelLevel::Now;
                why.get_or_insert(Why::Cancelled);
                stop.send_replace(true);
                end.get_or_insert(Instant::now() + STOP_LIMIT);
            }
            () = super::step::at(limit) => {
                if end.is_some() {
                    return (None, why);
                }
                // The limit may have moved while a person was waited for.
                if deadline.is_some_and(|deadline| Instant::now() >= deadline + waited()) {
                    why.get_or_insert(Why::Timeout);
                    stop.send_replace(true);
                    end = Some(Instant::now() + STOP_LIMIT);
                }
            }
        }
    }
}
