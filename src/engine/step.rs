//! One step: whether it runs, what it runs, and what became of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::diagnostic::chain;
use crate::event::{Event, Exit, Outcome};
use crate::expr::EvalError;
use crate::id::StepKey;
use crate::model::{Step, StepAction, minutes};
use crate::plan::condition::decide;
use crate::plan::contexts::{env_entries, late_bool, late_number};
use crate::runner::contract::{RunnerError, Signal, StepCommand, StepEvent, StepExit};
use crate::state::StepState;

use super::attempt::Attempt;
use super::cancel::{CancelLevel, Rung};
use super::checkout::{self, CheckoutInputs};
use super::effects::StepEffects;
use super::file_commands;
use super::message::{JournalGone, Message};
use super::output::{Asked, OutputPipe};
use super::scope::JobScope;
use super::shell;
use super::spec::text;

/// Files in a step's folder, and the variables that name them.
const STEP_FILES: [(&str, &str); 5] = [
    ("output", "GITHUB_OUTPUT"),
    ("env", "GITHUB_ENV"),
    ("path", "GITHUB_PATH"),
    ("state", "GITHUB_STATE"),
    ("summary", "GITHUB_STEP_SUMMARY"),
];
const EVENT_FILE: &str = "event.json";

/// Raw output after which a checkpoint is journaled, so that the spool can forget it.
const CHECKPOINT_BYTES: u64 = 1024 * 1024;
/// The longest time between two checkpoints while output comes.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(2);
/// A step that says nothing for so long gets what it said shown, without its line's end.
const IDLE: Duration = Duration::from_millis(150);

/// How a step ended, before `continue-on-error`.
pub(super) struct Ended {
    outcome: Outcome,
    exit: Option<Exit>,
    reason: Option<String>,
    effects: StepEffects,
}

impl Ended {
    pub(super) fn of(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self { outcome, ..Self::failure(reason) }
    }

    pub(super) fn with(self, effects: StepEffects) -> Self {
        Self { effects, ..self }
    }

    pub(super) fn failure(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failure, exit: None, reason: Some(reason.into()), effects: StepEffects::default() }
    }

    fn lost(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Lost, ..Self::failure(reason) }
    }

    /// What the log says of a step that did not succeed.
    pub(super) fn line(&self) -> Option<String> {
        match (self.outcome, &self.reason, self.exit) {
            (Outcome::Success, _, _) => None,
            (_, Some(reason), _) => Some(reason.clone()),
            (_, None, Some(Exit::Code(code))) => Some(format!("exit code {code}")),
            (_, None, Some(Exit::Signal(signal))) => Some(format!("killed by signal {signal}")),
            (_, None, Some(Exit::OutOfMemory)) => Some("killed: the job's memory limit was reached".to_owned()),
            (_, None, None) => None,
        }
    }

    pub(super) fn success() -> Self {
        Self { outcome: Outcome::Success, exit: None, reason: None, effects: StepEffects::default() }
    }
}

/// What a step will run, evaluated.
enum Prepared {
    Command(Box<StepCommand>),
    Checkout(CheckoutInputs),
    Task(Vec<(String, String)>),
}

impl Attempt<'_> {
    /// Runs step `index`, or takes it up from `known` after a crash. An error means that the run cannot go on.
    pub(super) async fn step(&mut self, index: u32, step: &Step, known: Option<&StepState>) -> Result<(), JournalGone> {
        let key = self.id.step(index);
        let name = self.run.masker.mask(&self.step_name(step));
        if known.is_none() {
            match self.decide_step(step) {
                Ok(decision) if !decision.run => {
                    let reason = self.run.masker.mask(&decision.reason);
                    self.run.reporter.tell(Event::StepSkipped { step: key, name, reason }).await?;
                    let skipped = Outcome::Skipped;
                    self.progress.finished(step_id(step), skipped, skipped, &StepEffects::default());
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) => {
                    self.run.reporter.commit(Event::StepStarting { step: key.clone(), name }).await?;
                    return self.finish(step, &key, Ended::failure(format!("`if` has no value: {error}"))).await;
                }
            }
            // The intent is on record before the effect; a step that is on record is never started again.
            self.run.reporter.commit(Event::StepStarting { step: key.clone(), name }).await?;
        }
        let ended = match self.prepare(step, &key) {
            Ok(Prepared::Command(command)) => self.execute(step, *command, known).await?,
            Ok(Prepared::Checkout(inputs)) => self.check_out(&key, inputs).await?,
            Ok(Prepared::Task(env)) => self.task(&key, &env, known).await?,
            Err(reason) => {
                self.note(&key, &reason).await?;
                Ended::failure(reason)
            }
        };
        self.finish(step, &key, ended).await
    }

    fn step_name(&self, step: &Step) -> String {
        let named = step.name.as_ref().and_then(|name| text(name, &self.step_scope(&[])).ok());
        named.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| match &step.action {
            StepAction::Run { script, .. } => {
                let source = script.template.source();
                source.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("run").to_owned()
            }
            StepAction::Uses { uses, .. } => uses.value.clone(),
            StepAction::Task { key } => key.clone(),
        })
    }

    fn decide_step(&self, step: &Step) -> Result<crate::plan::condition::Decision, EvalError> {
        let env = env_entries(&step.env, &self.step_scope(&[])).unwrap_or_default();
        let hash = self.hash_files();
        let mut scope = self.step_scope(&env);
        scope.hash_files = Some(&hash);
        decide(step.condition.as_ref(), &scope)
    }

    /// Everything that the step's start needs; an error is why the step fails.
    fn prepare(&self, step: &Step, key: &StepKey) -> Result<Prepared, String> {
        let hash = self.hash_files();
        let with_hash = |env| JobScope { hash_files: Some(&hash), ..self.step_scope(env) };
        let step_env = env_entries(&step.env, &with_hash(&[])).map_err(|e| format!("`env` has no value: {e}"))?;
        let scope = with_hash(&step_env);
        match &step.action {
            StepAction::Task { .. } => Ok(Prepared::Task(step_env)),
            StepAction::Uses { with, .. } => {
                let mut inputs = Vec::new();
                for (name, data) in with {
                    let value = data.evaluate(&scope).map_err(|e| format!("input \"{}\": {e}", name.value))?;
                    inputs.push((name.value.clone(), value.to_text()));
                }
                CheckoutInputs::read(&inputs, &self.facts.github.get("repository").to_text()).map(Prepared::Checkout)
            }
            StepAction::Run { script, shell, working_directory } => {
                let (job, pipeline) = (&self.job.defaults, &self.run.plan.pipeline.defaults);
                let evaluate = |what: &str, value: Option<&crate::model::Text>| {
                    value.map(|v| text(v, &scope)).transpose().map_err(|e| format!("`{what}` has no value: {e}"))
                };
                let script = text(script, &scope).map_err(|e| format!("`run` has no value: {e}"))?;
                let shell = shell.as_ref().or(job.shell.as_ref()).or(pipeline.shell.as_ref());
                let shell = evaluate("shell", shell)?;
                let cwd = working_directory.as_ref().or(job.working_directory.as_ref());
                let cwd = evaluate("working-directory", cwd.or(pipeline.working_directory.as_ref()))?;
                let folder = self.sandbox.step_folder(key);
                let plan = shell::plan(shell.as_deref(), &script, &folder, self.kind, self.bash_here)?;
                Ok(Prepared::Command(Box::new(self.command(key, &folder, plan, cwd.as_deref(), &step_env))))
            }
        }
    }

    fn command(
        &self,
        key: &StepKey,
        folder: &str,
        plan: shell::ShellPlan,
        cwd: Option<&str>,
        step_env: &[(String, String)],
    ) -> StepCommand {
        let mut env = Vec::with_capacity(self.base_env.len() + step_env.len() + 16);
        env.extend(self.facts.env.iter().cloned());
        env.extend(self.progress.env.iter().cloned());
        env.extend(step_env.iter().cloned());
        // What the runner says of itself wins over what anybody set.
        env.extend(self.base_env.iter().cloned());
        env.push(("GITHUB_ACTION".to_owned(), format!("__run_{}", key.step)));
        env.push(("GITHUB_EVENT_PATH".to_owned(), format!("{folder}/{EVENT_FILE}")));
        for (file, variable) in STEP_FILES {
            env.push((variable.to_owned(), format!("{folder}/{file}")));
        }
        let mut files = vec![
            (plan.script, plan.text.into_bytes()),
            (EVENT_FILE.to_owned(), self.run.event_json.as_bytes().to_vec()),
        ];
        files.extend(STEP_FILES.iter().map(|(file, _)| ((*file).to_owned(), Vec::new())));
        let workspace = &self.sandbox.paths().workspace;
        let cwd = match cwd.filter(|cwd| !cwd.is_empty()) {
            None => workspace.clone(),
            Some(absolute) if absolute.starts_with('/') => absolute.to_owned(),
            Some(relative) => format!("{}/{relative}", workspace.trim_end_matches('/')),
        };
        StepCommand {
            key: key.clone(),
            argv: plan.argv,
            env,
            path: self.progress.path.clone(),
            cwd,
            files,
            collect: STEP_FILES.iter().map(|(file, _)| (*file).to_owned()).collect(),
        }
    }

    async fn execute(
        &mut self,
        step: &Step,
        command: StepCommand,
        known: Option<&StepState>,
    ) -> Result<Ended, JournalGone> {
        let key = command.key.clone();
        let (raw, log) = known.map_or((0, 0), |state| (state.raw, state.log));
        let log = match self.run.ports.logs.open(&self.run.run, &key, log) {
            Ok(log) => log,
            Err(error) => return Ok(Ended::failure(format!("failed to open the step's log: {error}"))),
        };
        let workspace = self.sandbox.paths().workspace.clone();
        let pipe = OutputPipe::new(&self.run.masker, self.run.settings.debug, &workspace, log, raw);
        let events = match known {
            // A step that may have been started is asked for; only if the sandbox never heard of it is it started.
            Some(_) => match self.sandbox.attach(&key, raw, &command.collect).await {
                Ok(Some(events)) => Ok(events),
                Ok(None) => self.sandbox.start(command).await,
                Err(error) => Err(error),
            },
            None => self.sandbox.start(command).await,
        };
        match events {
            Ok(events) => {
                let asked = Asked { known: known.map_or(0, |state| state.annotated), ..Asked::default() };
                self.follow(step, &key, events, pipe, asked).await
            }
            Err(error) => {
                let mut pipe = pipe;
                let reason = chain(&error);
                if pipe.say(&reason).is_ok() {
                    self.show(&key, &mut pipe, true).await?;
                }
                Ok(match error {
                    RunnerError::Start { .. } | RunnerError::Refused(_) => Ended::failure(reason),
                    _ => Ended::lost(reason),
                })
            }
        }
    }

    /// Reads a started step's events until it is over, and sends it signals when it must end.
    async fn follow(
        &mut self,
        step: &Step,
        key: &StepKey,
        mut events: mpsc::Receiver<StepEvent>,
        mut pipe: OutputPipe,
        mut asked: Asked,
    ) -> Result<Ended, JournalGone> {
        let timeout = self.step_timeout(step);
        let limit = timeout.map(|limit| Instant::now() + limit);
        let mut ladder = Ladder::default();
        let mut watching = CancelLevel::Asked;
        let mut why: Option<Ended> = None;
        let (mut acknowledged, mut last_ack) = (0u64, Instant::now());
        let mut cancel = self.cancel.clone();
        let exit = loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(StepEvent::Output { bytes, offset }) => {
                        let end = offset + bytes.len() as u64;
                        if let Err(error) = pipe.feed(&bytes, &mut asked) {
                            why.get_or_insert(Ended::failure(format!("failed to write the step's log: {error}")));
                            ladder.begin();
                        }
                        self.obey(key, &mut asked).await?;
                        self.show(key, &mut pipe, false).await?;
                        if end - acknowledged >= CHECKPOINT_BYTES || last_ack.elapsed() >= CHECKPOINT_EVERY {
                            last_ack = Instant::now();
                            if let Ok(Some((raw, log))) = pipe.checkpoint() {
                                acknowledged = raw;
                                let step = key.clone();
                                self.run.reporter.commit(Event::LogAcknowledged { step, raw, log }).await?;
                                // A spool that keeps more than it must does no harm.
                                let _ = self.sandbox.acknowledge(key, raw).await;
                            }
                        }
                    }
                    Some(StepEvent::Exited(exit)) => break Ok(exit),
                    Some(StepEvent::Lost { reason }) => break Err(reason),
                    None => break Err("the sandbox stopped reporting".to_owned()),
                },
                () = cancel.reached(watching) => {
                    self.progress.cancelled = true;
                    if watching == CancelLevel::Now {
                        ladder.kill();
                        // Nothing is above this level; wait for the end only.
                        self.signal(key, Signal::Kill).await;
                        cancel = super::cancel::CancelView::never();
                    } else {
                        watching = CancelLevel::Now;
                        // A step that would run now, too, goes on (`always()`, `cancelled()`).
                        if !self.decide_step(step).is_ok_and(|decision| decision.run) {
                            why.get_or_insert(Ended {
                                outcome: Outcome::Cancelled,
                                ..Ended::failure("the run was cancelled")
                            });
                            ladder.begin();
                        }
                    }
                }
                () = ladder.due() => {
                    let settings = &self.run.settings;
                    if let Some(signal) = ladder.climb(settings.interrupt_grace, settings.terminate_grace) {
                        self.signal(key, signal).await;
                    }
                }
                () = at(limit), if why.is_none() && limit.is_some() => {
                    let shown = crate::clock::humanize(timeout.unwrap_or_default());
                    self.progress.timed_out = true;
                    why = Some(Ended::failure(format!("timed out after {shown}")));
                    ladder.begin();
                }
                () = at(self.deadline), if why.is_none() && self.deadline.is_some() => {
                    self.progress.timed_out = true;
                    why = Some(Ended::failure(self.timeout_reason()));
                    ladder.begin();
                }
                () = tokio::time::sleep(IDLE) => {
                    if pipe.idle(&mut asked).is_ok() {
                        self.obey(key, &mut asked).await?;
                        self.show(key, &mut pipe, true).await?;
                    }
                }
            }
        };
        if pipe.finish(&mut asked).is_err() {
            why.get_or_insert(Ended::failure("failed to write the step's log"));
        }
        self.obey(key, &mut asked).await?;
        let mut ended = match exit {
            Err(reason) => Ended::lost(reason),
            Ok(exit) => self.exited(key, exit, asked, why).await?,
        };
        if let Some(line) = ended.line()
            && pipe.say(&line).is_err()
        {
            ended.reason = Some(format!("{line}; and its log cannot be written"));
        }
        self.show(key, &mut pipe, true).await?;
        Ok(ended)
    }

    /// What a step came to that has exited.
    async fn exited(
        &mut self,
        key: &StepKey,
        exit: StepExit,
        asked: Asked,
        why: Option<Ended>,
    ) -> Result<Ended, JournalGone> {
        // An exit that is not 0 says why the step failed; a reason stands beside it only where it does not.
        let mut ended = match (why, exit.exit) {
            (Some(why), _) => why,
            (None, Exit::Code(0)) => Ended::success(),
            (None, _) => Ended { outcome: Outcome::Failure, ..Ended::success() },
        };
        ended.exit = Some(exit.exit);
        let mut effects = StepEffects { outputs: asked.outputs, ..StepEffects::default() };
        let mut failure = asked.failure;
        for (file, content) in &exit.files {
            let read = match file.as_str() {
                "output" => file_commands::parse_output(content).map(|list| effects.outputs.extend(list)),
                "env" => file_commands::parse_env(content).map(|list| effects.env.extend(list)),
                "path" => file_commands::parse_path(content).map(|list| effects.path.extend(list)),
                "summary" => {
                    self.summary(key, content).await?;
                    Ok(())
                }
                _ => Ok(()),
            };
            if let Err(error) = read {
                failure.get_or_insert(self.run.masker.mask(&error));
            }
        }
        ended.effects = effects;
        if let (Some(failure), Outcome::Success) = (failure, ended.outcome) {
            ended.outcome = Outcome::Failure;
            ended.reason = Some(failure);
        }
        Ok(ended)
    }

    async fn summary(&self, key: &StepKey, content: &[u8]) -> Result<(), JournalGone> {
        if content.is_empty() {
            return Ok(());
        }
        let text = self.run.masker.mask(&String::from_utf8_lossy(content));
        if text.len() > file_commands::MAX_SUMMARY {
            let text =
                format!("the step's summary is {} KiB; at most 1024 are kept, so it was dropped", text.len() / 1024);
            return self.run.reporter.send(Message::Output { step: key.clone(), text: format!("{text}\n") }).await;
        }
        let size = text.len() as u64;
        if self.run.ports.logs.write_summary(&self.run.run, key, &text).is_ok() {
            self.run.reporter.tell(Event::SummaryWritten { step: key.clone(), size }).await?;
        }
        Ok(())
    }

    async fn check_out(&mut self, key: &StepKey, inputs: CheckoutInputs) -> Result<Ended, JournalGone> {
        if self.run.plan.inputs.placement.in_place {
            self.note(key, "the job runs in the checkout itself").await?;
            return Ok(Ended::success());
        }
        let to: PathBuf = self.spec.workspace.join(&inputs.path);
        let workspaces = Arc::clone(&self.run.ports.workspaces);
        let copied = checkout::copy(workspaces, self.run.places.checkout.clone(), to).await;
        let synced = match copied {
            Ok(line) => self.sandbox.sync_in().await.map(|()| line).map_err(|e| chain(&e)),
            Err(reason) => Err(reason),
        };
        Ok(match synced {
            Ok(line) => {
                self.note(key, &line).await?;
                Ended::success()
            }
            Err(reason) => {
                self.note(key, &reason).await?;
                Ended::failure(reason)
            }
        })
    }

    /// Records the end of a step: `continue-on-error`, effects, state.
    async fn finish(&mut self, step: &Step, key: &StepKey, ended: Ended) -> Result<(), JournalGone> {
        let mut conclusion = ended.outcome;
        if ended.outcome == Outcome::Failure
            && late_bool(step.continue_on_error.as_ref(), &self.step_scope(&[])).is_ok_and(|go| go == Some(true))
        {
            conclusion = Outcome::Success;
        }
        let effects = ended.effects.seal(&*self.run.ports.sealer);
        self.progress.finished(step_id(step), ended.outcome, conclusion, &ended.effects);
        let event = Event::StepFinished {
            step: key.clone(),
            outcome: ended.outcome,
            conclusion,
            exit: ended.exit,
            reason: ended.reason.map(|reason| self.run.masker.mask(&reason)),
            effects,
        };
        self.run.reporter.tell(event).await
    }

    /// Journals what the output asked for so far.
    async fn obey(&self, key: &StepKey, asked: &mut Asked) -> Result<(), JournalGone> {
        if !asked.masks.is_empty() {
            let json = serde_json::to_vec(&std::mem::take(&mut asked.masks)).expect("texts serialise");
            let values = self.run.ports.sealer.seal(&json);
            self.run.reporter.tell(Event::MaskAdded { step: key.clone(), values }).await?;
        }
        for annotation in asked.annotations.drain(..) {
            if asked.known > 0 {
                asked.known -= 1;
                continue;
            }
            self.run.reporter.tell(Event::Annotated { step: key.clone(), annotation }).await?;
        }
        Ok(())
    }

    async fn show(&self, key: &StepKey, pipe: &mut OutputPipe, all: bool) -> Result<(), JournalGone> {
        match pipe.take_shown(all) {
            Some(text) => self.run.reporter.send(Message::Output { step: key.clone(), text }).await,
            None => Ok(()),
        }
    }

    /// A line of Slipway's own in a step's log.
    pub(super) async fn note(&self, key: &StepKey, line: &str) -> Result<(), JournalGone> {
        let text = format!("{}\n", self.run.masker.mask(line));
        if let Ok(mut log) = self.run.ports.logs.open(&self.run.run, key, 0) {
            // The line is shown in any case.
            let _ = log.append(text.as_bytes()).and_then(|()| log.flush());
        }
        self.run.reporter.send(Message::Output { step: key.clone(), text }).await
    }

    async fn signal(&self, key: &StepKey, signal: Signal) {
        // A step that is over needs no signal; a sandbox that is gone says so by its events.
        let _ = self.sandbox.signal(key, signal).await;
    }

    fn step_timeout(&self, step: &Step) -> Option<Duration> {
        late_number(step.timeout_minutes.as_ref(), &self.step_scope(&[])).ok().flatten().and_then(minutes)
    }
}

/// The signals that a step has got, and when the next is due.
#[derive(Default)]
struct Ladder {
    rung: Option<Rung>,
    next: Option<Instant>,
}

impl Ladder {
    fn begin(&mut self) {
        if self.rung.is_none() {
            self.rung = Some(Rung::Ground);
            self.next = Some(Instant::now());
        }
    }

    fn kill(&mut self) {
        self.rung = Some(Rung::Killed);
        self.next = None;
    }

    async fn due(&self) {
        at(self.next).await;
    }

    fn climb(&mut self, interrupt: Duration, terminate: Duration) -> Option<Signal> {
        let (rung, _) = self.rung?.next(interrupt, terminate)?;
        self.rung = Some(rung);
        self.next = rung.next(interrupt, terminate).map(|(_, after)| Instant::now() + after);
        match rung {
            Rung::Ground => None,
            Rung::Interrupted => Some(Signal::Interrupt),
            Rung::Terminated => Some(Signal::Terminate),
            Rung::Killed => Some(Signal::Kill),
        }
    }
}

/// Resolves at `instant`; never without one.
pub(super) async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn step_id(step: &Step) -> Option<&str> {
    step.id.as_ref().map(|id| id.value.as_str())
}
