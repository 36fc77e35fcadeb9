//! One attempt of a job: sandbox, steps, what is kept, clean-up. It goes the same way for a new attempt and for one that is
//! taken up after a crash; what the journal knows already is not done again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::diagnostic::chain;
use crate::event::{Event, Outcome};
use crate::expr::{EvalError, Value};
use crate::id::AttemptId;
use crate::model::{Dialect, Job, RetryOn, minutes};
use crate::plan::contexts::{
    RunnerFacts, env_entries, github_env, github_of_job, late_bool, late_number, runner, strategy_of,
};
use crate::plan::ir::RunnerKind;
use crate::plan::placement::{Placed, place};
use crate::runner::contract::{Progress, Runner, RunnerError, Sandbox, SandboxSpec};
use crate::state::{AttemptState, StepPhase};
use crate::store::contract::GroupAnswer;
use crate::task::contract::Before;

use super::cancel::{CancelLevel, CancelView};
use super::checkout;
use super::context::{RunContext, group_of};
use super::effects::{JobProgress, StepEffects};
use super::job_log::JobLog;
use super::lend;
use super::message::{JournalGone, Message};
use super::scope::{JobFacts, JobScope};
use super::spec;

/// GitHub's limit for a job without `timeout-minutes`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(360 * 60);
/// How often a waiting job asks for its concurrency group.
const GROUP_POLL: Duration = Duration::from_millis(250);
/// Removing a sandbox takes no longer than this; the sweep finds what is left.
const CLOSE_LIMIT: Duration = Duration::from_secs(60);

/// What the loop gives an attempt.
pub struct AttemptInput {
    /// Which attempt.
    pub id: AttemptId,
    /// What people call the job.
    pub name: String,
    /// The job.
    pub job: Arc<Job>,
    /// Its `matrix` context.
    pub matrix: Value,
    /// Its `needs` context.
    pub needs: Value,
    /// The ids of the stages it needs, for their artifacts.
    pub need_ids: Vec<crate::id::StageId>,
    /// Its place among the stage's jobs, from 0, and how many they are.
    pub leg: (usize, usize),
    /// Cancellation.
    pub cancel: CancelView,
    /// What tasks of earlier stages left.
    pub before: Vec<Before>,
    /// What the journal knows of the attempt, when it was under way before.
    pub known: Option<Known>,
}

/// What is known of an attempt that is taken up.
pub struct Known {
    /// Its state.
    pub state: AttemptState,
    /// Its sandbox was being removed: nothing is left to run.
    pub closing: bool,
}

/// An attempt whose sandbox is open.
pub(super) struct Attempt<'a> {
    pub(super) run: &'a RunContext,
    pub(super) id: AttemptId,
    pub(super) job: Arc<Job>,
    pub(super) kind: RunnerKind,
    pub(super) bash_here: bool,
    pub(super) spec: SandboxSpec,
    pub(super) sandbox: Arc<dyn Sandbox>,
    pub(super) facts: JobFacts,
    pub(super) before: Vec<Before>,
    pub(super) progress: JobProgress,
    /// What every step gets: `GITHUB_*`, `RUNNER_*`, `CI`, HOME.
    pub(super) base_env: Vec<(String, String)>,
    pub(super) cancel: CancelView,
    pub(super) deadline: Option<Instant>,
    pub(super) timeout: Duration,
}

impl<'a> Attempt<'a> {
    /// The scope of a step with this `env`.
    pub(super) fn step_scope<'s>(&'s self, step_env: &'s [(String, String)]) -> JobScope<'s> {
        JobScope { run: self.run, facts: &self.facts, progress: Some(&self.progress), step_env, hash_files: None }
    }

    /// `hashFiles` over this job's files.
    pub(super) fn hash_files(&self) -> impl Fn(&[String]) -> Result<String, EvalError> + Sync + use<> {
        let workspaces = Arc::clone(&self.run.ports.workspaces);
        let workspace = self.spec.workspace.clone();
        move |patterns| {
            workspaces
                .hash_files(&workspace, patterns)
                .map_err(|e| EvalError::new(format!("hashFiles() failed in \"{}\": {e}", workspace.display())))
        }
    }

    /// The `secrets` that this job may read.
    pub(super) fn secrets(&self) -> Value {
        self.facts.secrets.clone().unwrap_or_else(|| self.run.secrets.clone())
    }

    pub(super) fn timeout_reason(&self) -> String {
        format!("the job ran longer than its limit of {}", crate::clock::humanize(self.timeout))
    }
}

/// Runs an attempt to its end. An error means that the journal is gone and the run ends at once.
pub async fn run(run: &RunContext, input: AttemptInput) -> Result<(), JournalGone> {
    let mut facts = JobFacts {
        github: run.base.github.clone(),
        needs: input.needs.clone(),
        matrix: input.matrix.clone(),
        env: run.env.clone(),
        ..JobFacts::default()
    };
    let settled = match settle(run, &input, &mut facts) {
        Ok(settled) => settled,
        Err(reason) => {
            let (job, reason) = (input.id.job.clone(), run.masker.mask(&reason));
            return run.reporter.commit(Event::JobDropped { job, outcome: Outcome::Failure, reason }).await;
        }
    };
    let holder = format!("{}/{}", run.run, input.id.job);
    if let Some((group, cancel)) = &settled.group
        && !wait_for_group(run, &input, group, &holder, *cancel).await?
    {
        return Ok(());
    }
    let result = in_sandbox(run, input, settled.clone(), facts).await;
    if let Some((group, _)) = &settled.group {
        // Who waits finds the group free at the latest when this process ends.
        let _ = run.ports.groups.release(group, &run.run, &holder);
    }
    result
}

/// A job's settings, evaluated before it starts.
#[derive(Clone)]
struct Settled {
    placed: Placed,
    spec: SandboxSpec,
    group: Option<(String, bool)>,
    timeout: Duration,
    continue_on_error: bool,
}

fn settle(run: &RunContext, input: &AttemptInput, facts: &mut JobFacts) -> Result<Settled, String> {
    let job = &input.job;
    let environment =
        lend::name_of(job, &JobScope::job(run, facts)).map_err(|e| format!("`environment` has no value: {e}"))?;
    lend::lend(run, facts, environment.as_deref())?;
    let wrong = |what: &str, error: EvalError| format!("`{what}` has no value: {error}");
    facts.strategy = {
        let scope = JobScope::job(run, facts);
        strategy_of(job, input.leg.0, input.leg.1, &scope).map_err(|e| wrong("strategy", e))?
    };
    let env = env_entries(&job.env, &JobScope::job(run, facts)).map_err(|e| wrong("env", e))?;
    facts.env.extend(env);
    let scope = JobScope::job(run, facts);
    let placed = place(job, &run.plan.inputs.placement, &scope)?;
    let spec = spec::sandbox(run, &input.id, job, placed.kind, placed.image.as_deref(), &scope)
        .map_err(|e| wrong("container", e))?;
    let group = job.concurrency.as_ref().map(|c| group_of(c, &scope)).transpose();
    let timeout = late_number(job.timeout_minutes.as_ref(), &scope).map_err(|e| wrong("timeout-minutes", e))?;
    let go_on = late_bool(job.continue_on_error.as_ref(), &scope).map_err(|e| wrong("continue-on-error", e))?;
    Ok(Settled {
        group: group.map_err(|e| wrong("concurrency", e))?,
        timeout: timeout.and_then(minutes).unwrap_or(DEFAULT_TIMEOUT),
        continue_on_error: go_on.unwrap_or(false),
        placed,
        spec,
    })
}

/// Waits for the job's group; false when the job was cancelled meanwhile (that is recorded).
async fn wait_for_group(
    run: &RunContext,
    input: &AttemptInput,
    group: &str,
    holder: &str,
    cancel: bool,
) -> Result<bool, JournalGone> {
    let mut queued = input.known.is_some();
    let mut view = input.cancel.clone();
    loop {
        let job = input.id.job.clone();
        let drop = |reason: &str| Event::JobDropped {
            job: input.id.job.clone(),
            outcome: Outcome::Cancelled,
            reason: reason.to_owned(),
        };
        match run.ports.groups.acquire(group, &run.run, holder, cancel) {
            Ok(GroupAnswer::Acquired) => return Ok(true),
            Ok(GroupAnswer::Wait) => {}
            Ok(GroupAnswer::Superseded) if input.known.is_none() => {
                let reason = format!("a newer job took its place in concurrency group \"{group}\"");
                run.reporter.commit(drop(&reason)).await?;
                return Ok(false);
            }
            Ok(GroupAnswer::Superseded) => return Ok(true),
            Err(error) => {
                run.reporter.commit(drop(&format!("concurrency group \"{group}\": {error}"))).await?;
                return Ok(false);
            }
        }
        if !queued {
            queued = true;
            run.reporter.tell(Event::JobQueued { job, group: group.to_owned() }).await?;
        }
        tokio::select! {
            () = tokio::time::sleep(GROUP_POLL) => {}
            () = view.reached(CancelLevel::Asked) => {
                let _ = run.ports.groups.release(group, &run.run, holder);
                run.reporter.commit(drop("the run was cancelled while it waited")).await?;
                return Ok(false);
            }
        }
    }
}

/// What became of the attempt's steps.
struct Ran {
    progress: JobProgress,
    outputs: Vec<(String, String)>,
    reason: Option<String>,
}

async fn in_sandbox(
    run: &RunContext,
    input: AttemptInput,
    settled: Settled,
    facts: JobFacts,
) -> Result<(), JournalGone> {
    let attempt = input.id.clone();
    let job = Arc::clone(&input.job);
    if input.known.is_none() {
        run.reporter
            .commit(Event::JobStarting {
                attempt: attempt.clone(),
                name: run.masker.mask(&input.name),
                runner: settled.placed.kind,
                image: settled.placed.image.as_deref().map(|image| run.masker.mask(image)),
                steps: job.steps.len() as u32,
            })
            .await?;
    }
    let closing = input.known.as_ref().is_some_and(|known| known.closing);
    let runner = run.ports.runners.get(settled.placed.kind);
    let ran = match &runner {
        Ok(runner) => steps(run, &input, &settled, facts, runner).await?,
        Err(error) => Ran::lost(chain(error)),
    };
    if !closing {
        run.reporter.commit(Event::JobClosing { attempt: attempt.clone() }).await?;
    }
    if let Ok(runner) = &runner {
        clean(run, &settled.spec, &**runner).await?;
    }
    finish(run, &input, &settled, ran).await
}

impl Ran {
    fn lost(reason: String) -> Self {
        let progress = JobProgress { lost: true, ..JobProgress::default() };
        Self { progress, outputs: Vec::new(), reason: Some(reason) }
    }

    fn failed(reason: String) -> Self {
        let progress = JobProgress { failed: true, ..JobProgress::default() };
        Self { progress, outputs: Vec::new(), reason: Some(reason) }
    }
}

/// Opens the sandbox and runs the steps in it.
async fn steps(
    run: &RunContext,
    input: &AttemptInput,
    settled: &Settled,
    mut facts: JobFacts,
    runner_port: &Arc<dyn Runner>,
) -> Result<Ran, JournalGone> {
    let known = input.known.as_ref();
    let began = Instant::now();
    let log = JobLog::open(run, &input.id);
    let mut cancel = input.cancel.clone();
    let opened = if known.is_some_and(|known| known.closing) {
        None
    } else if known.is_some_and(|known| known.state.ready) {
        match runner_port.adopt(&settled.spec).await {
            Ok(Some(sandbox)) => Some(sandbox),
            Ok(None) => return Ok(Ran::lost("the sandbox was gone when the run was taken up again".to_owned())),
            Err(error) => return Ok(Ran::lost(chain(&error))),
        }
    } else {
        let prepared = async {
            prepare_workspace(run, &settled.spec.workspace, input).await?;
            runner_port.open(&settled.spec, log.clone()).await
        };
        let opened = tokio::select! {
            biased;
            () = cancel.reached(CancelLevel::Asked) => {
                return Ok(Ran { progress: JobProgress { cancelled: true, ..JobProgress::default() },
                    outputs: Vec::new(), reason: Some("cancelled while it was being prepared".to_owned()) });
            }
            opened = prepared => opened,
        };
        match opened {
            Ok(sandbox) => {
                run.reporter.tell(Event::JobStarted { attempt: input.id.clone() }).await?;
                Some(sandbox)
            }
            Err(error) => {
                let reason = chain(&error);
                log.line(&reason);
                return Ok(match error {
                    RunnerError::Refused(_) | RunnerError::Image { .. } | RunnerError::Service { .. } => {
                        Ran::failed(reason)
                    }
                    _ => Ran::lost(reason),
                });
            }
        }
    };
    let Some(sandbox) = opened else {
        return Ok(closed(run, input, facts));
    };
    let paths = sandbox.paths().clone();
    facts.github = github_of_job(&run.base.github, input.job.id.value.as_str(), &paths.workspace, "");
    facts.runner = runner(&RunnerFacts {
        name: "slipway".to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        temp: paths.temp.clone(),
        tool_cache: paths.tool_cache.clone(),
        debug: run.settings.debug,
    });
    facts.containers = Value::from_json(&sandbox.facts());
    let mut base_env = github_env(&facts.github, &facts.runner, &[]);
    base_env.extend(paths.home.iter().map(|home| ("HOME".to_owned(), home.clone())));
    let mut attempt = Attempt {
        run,
        id: input.id.clone(),
        job: Arc::clone(&input.job),
        kind: settled.placed.kind,
        bash_here: bash_is_here(),
        spec: settled.spec.clone(),
        sandbox,
        facts,
        before: input.before.clone(),
        progress: JobProgress::default(),
        base_env,
        cancel: cancel.clone(),
        deadline: Some(began + settled.timeout),
        timeout: settled.timeout,
    };
    let mut reason = None;
    if known.is_none_or(|known| known.state.steps.is_empty())
        && let Err(error) = attempt.bring_files(input).await
    {
        log.line(&error);
        attempt.progress.failed = true;
        reason = Some(error);
    }
    for (index, step) in (0u32..).zip(&input.job.steps) {
        let state = known.and_then(|known| known.state.steps.get(&index));
        if let Some(state) = state
            && let StepPhase::Done { outcome, conclusion, effects } = &state.phase
        {
            let effects = StepEffects::open(effects.as_ref(), &*run.ports.sealer).unwrap_or_default();
            let id = step.id.as_ref().map(|id| id.value.as_str());
            attempt.progress.finished(id, *outcome, *conclusion, &effects);
            continue;
        }
        match attempt.cancel.level() {
            CancelLevel::None => {}
            CancelLevel::Asked => attempt.progress.cancelled = true,
            CancelLevel::Now => {
                attempt.progress.cancelled = true;
                // A step that may be under way is killed, and its end is recorded; nothing else starts.
                if state.is_none() {
                    break;
                }
            }
        }
        if attempt.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            attempt.progress.timed_out = true;
            reason.get_or_insert_with(|| attempt.timeout_reason());
            // What must run in any case gets time of its own.
            attempt.deadline = None;
        }
        attempt.step(index, step, state).await?;
        if attempt.progress.lost {
            break;
        }
    }
    if attempt.progress.timed_out {
        reason.get_or_insert_with(|| "a time limit was reached".to_owned());
    }
    attempt.keep(&log).await?;
    let outputs = attempt.outputs(&log);
    Ok(Ran { progress: attempt.progress, outputs, reason })
}

/// An attempt whose sandbox was being removed when the engine died: what the steps came to is known.
fn closed(run: &RunContext, input: &AttemptInput, facts: JobFacts) -> Ran {
    let mut progress = JobProgress::default();
    let known = input.known.as_ref().map(|known| &known.state.steps);
    for (index, step) in (0u32..).zip(&input.job.steps) {
        if let Some(state) = known.and_then(|steps| steps.get(&index))
            && let StepPhase::Done { outcome, conclusion, effects } = &state.phase
        {
            let effects = StepEffects::open(effects.as_ref(), &*run.ports.sealer).unwrap_or_default();
            progress.finished(step.id.as_ref().map(|id| id.value.as_str()), *outcome, *conclusion, &effects);
        }
    }
    // An attempt that ended with steps still to come was cancelled, or could not go on.
    let ran = known.map_or(0, std::collections::BTreeMap::len);
    if ran < input.job.steps.len() && progress.outcome() == Outcome::Success {
        progress.cancelled = input.cancel.level() > CancelLevel::None;
        progress.lost = !progress.cancelled;
    }
    let scope = JobScope { progress: Some(&progress), ..JobScope::job(run, &facts) };
    let outputs = super::finish::outputs(run, &input.job, &scope, &progress, &mut |_| {});
    Ran { progress, outputs, reason: None }
}

/// Makes the workspace; with `stages:` the checkout's files are in it from the start.
async fn prepare_workspace(run: &RunContext, workspace: &Path, input: &AttemptInput) -> Result<(), RunnerError> {
    if run.plan.inputs.placement.in_place {
        return Ok(());
    }
    let failed = |reason: String| RunnerError::Other {
        what: format!("failed to make the workspace \"{}\"", workspace.display()),
        source: reason.into(),
    };
    std::fs::create_dir_all(workspace).map_err(|e| failed(e.to_string()))?;
    // Stages that only ask or tell people need no files.
    if crate::stage::kind_of(&input.job).is_some_and(|kind| !kind.reads_files()) {
        return Ok(());
    }
    let has_checkout = input.job.steps.iter().any(|step| step.action.is_checkout());
    if run.plan.pipeline.dialect == Dialect::Stages && !has_checkout {
        let workspaces = Arc::clone(&run.ports.workspaces);
        checkout::copy(workspaces, run.places.checkout.clone(), workspace.to_owned()).await.map_err(failed)?;
    }
    Ok(())
}

/// Removes the sandbox and the workspace, within a limit of its own.
async fn clean(run: &RunContext, spec: &SandboxSpec, runner: &dyn Runner) -> Result<(), JournalGone> {
    let say = |text: String| run.reporter.send(Message::JobLine { attempt: spec.attempt.clone(), text });
    match tokio::time::timeout(CLOSE_LIMIT, runner.close(spec)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => say(format!("clean-up: {}", chain(&error))).await?,
        Err(_) => say(format!("clean-up took longer than {} s; the next run sweeps", CLOSE_LIMIT.as_secs())).await?,
    }
    if !run.plan.inputs.placement.in_place {
        let folder = spec.workspace.parent().unwrap_or(&spec.workspace).to_owned();
        let workspaces = Arc::clone(&run.ports.workspaces);
        let removed = tokio::task::spawn_blocking(move || workspaces.remove(&folder)).await;
        if let Ok(Err(error)) = removed {
            say(format!("clean-up: failed to remove the workspace: {error}")).await?;
        }
    }
    Ok(())
}

async fn finish(run: &RunContext, input: &AttemptInput, settled: &Settled, ran: Ran) -> Result<(), JournalGone> {
    let outcome = ran.progress.outcome();
    let cancelled = input.cancel.level() > CancelLevel::None;
    let cause = match outcome {
        Outcome::Lost => Some(RetryOn::Lost),
        Outcome::Failure if ran.progress.timed_out => Some(RetryOn::Timeout),
        Outcome::Failure => Some(RetryOn::Failure),
        Outcome::Success | Outcome::Cancelled | Outcome::Skipped => None,
    };
    let retry = match (&input.job.retry, cause) {
        (Some(retry), Some(cause)) if !cancelled => {
            input.id.attempt <= retry.max.value && (retry.on.is_empty() || retry.on.contains(&cause))
        }
        _ => false,
    };
    let conclusion = match outcome {
        Outcome::Failure | Outcome::Lost if settled.continue_on_error => Outcome::Success,
        other => other,
    };
    let event = Event::JobFinished {
        attempt: input.id.clone(),
        outcome,
        conclusion,
        reason: ran.reason.map(|reason| run.masker.mask(&reason)),
        outputs: ran.outputs,
        retry,
    };
    run.reporter.tell(event).await
}

fn bash_is_here() -> bool {
    use std::sync::OnceLock;
    static HERE: OnceLock<bool> = OnceLock::new();
    *HERE.get_or_init(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join("bash").is_file())
    })
}
