//! What a task sees of the engine, in a run.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::event::{EffectData, Event, Order, TaskReport};
use crate::expr::Template;
use crate::id::StepKey;
use crate::runner::contract::Progress as _;
use crate::state::{Standing, StepState, standing};
use crate::store::contract::LogWriter;
use crate::task::contract::{
    ApprovalAsk, Decision, DeployOrder, Recorded, Surroundings, TaskCommand, TaskCtx, TaskError, TaskExit, TaskIdentity,
};

use super::attempt::Attempt;
use super::job_log::JobLog;
use super::message::{JournalGone, Message};
use super::scope::JobScope;

/// The context of one task of a run.
pub(super) struct RunTask<'a> {
    pub(super) attempt: &'a Attempt<'a>,
    pub(super) key: StepKey,
    pub(super) step_env: Vec<(String, String)>,
    pub(super) stop: watch::Receiver<bool>,
    env: Vec<(String, String)>,
    identity: TaskIdentity,
    scratch: PathBuf,
    effects: Mutex<Vec<(String, Recorded)>>,
    log: Mutex<Option<Box<dyn LogWriter>>>,
    states: std::sync::Arc<JobLog>,
    /// Milliseconds spent waiting for people.
    waited: AtomicU64,
    /// Orders that were given to the task.
    ordered: AtomicUsize,
}

impl<'a> RunTask<'a> {
    /// Of the step `key`, with what `known` holds of it.
    pub(super) fn new(
        attempt: &'a Attempt<'a>,
        key: &StepKey,
        step_env: &[(String, String)],
        known: Option<&StepState>,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, String> {
        let run = attempt.run;
        let open = |data: &EffectData| match data {
            EffectData::Plain(json) => Ok(json.clone()),
            EffectData::Sealed(sealed) => {
                let bytes = run.ports.sealer.open(sealed).map_err(|e| e.to_string())?;
                serde_json::from_slice(&bytes).map_err(|e| e.to_string())
            }
        };
        let mut effects = Vec::new();
        for (name, effect) in known.map(|known| known.effects.as_slice()).unwrap_or_default() {
            let recorded = || -> Result<Recorded, String> {
                let observation = effect.observation.as_ref().map(&open).transpose()?;
                Ok(Recorded { intent: open(&effect.intent)?, observation, at: effect.at })
            };
            effects.push((name.clone(), recorded().map_err(|e| format!("the record of effect \"{name}\": {e}"))?));
        }
        let scratch = attempt.spec.folder.join("task");
        std::fs::create_dir_all(&scratch)
            .map_err(|e| format!("failed to make the task's folder \"{}\": {e}", scratch.display()))?;
        let at = if known.is_some() { length(attempt, key) } else { 0 };
        let mut env = attempt.facts.env.clone();
        env.extend(attempt.progress.env.iter().cloned());
        env.extend(step_env.iter().cloned());
        Ok(Self {
            attempt,
            key: key.clone(),
            step_env: step_env.to_vec(),
            stop,
            env,
            identity: identity(attempt, key),
            scratch,
            effects: Mutex::new(effects),
            log: Mutex::new(run.ports.logs.open(&run.run, key, at).ok()),
            states: JobLog::open(run, &attempt.id),
            waited: AtomicU64::new(0),
            ordered: AtomicUsize::new(0),
        })
    }

    /// Time spent waiting for people.
    pub(super) fn waited(&self) -> Duration {
        Duration::from_millis(self.waited.load(Ordering::Relaxed))
    }

    /// `json` with secrets as stars in every text.
    pub(super) fn masked(&self, json: Json) -> Json {
        match json {
            Json::String(text) => Json::String(self.mask(&text)),
            Json::Array(items) => items.into_iter().map(|item| self.masked(item)).collect(),
            Json::Object(map) => Json::Object(map.into_iter().map(|(k, v)| (k, self.masked(v))).collect()),
            other => other,
        }
    }

    /// Masked bytes of a program's output, into the log and to whoever watches.
    pub(super) async fn output(&self, masked: &[u8]) -> Result<(), TaskError> {
        self.append(masked);
        let text = String::from_utf8_lossy(masked).into_owned();
        let step = self.key.clone();
        self.attempt.run.reporter.send(Message::Output { step, text }).await.map_err(gone)
    }

    fn append(&self, bytes: &[u8]) {
        if let Some(log) = self.log.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            // What is shown does not depend on the log; a disk that is full shows elsewhere.
            let _ = log.append(bytes).and_then(|()| log.flush());
        }
    }

    fn effects(&self) -> MutexGuard<'_, Vec<(String, Recorded)>> {
        self.effects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As it is, or sealed where a secret stands in it.
    fn data(&self, json: &Json) -> EffectData {
        let run = self.attempt.run;
        if run.masker.contains_secret(&json.to_string()) {
            return EffectData::Sealed(run.ports.sealer.seal(json.to_string().as_bytes()));
        }
        EffectData::Plain(json.clone())
    }

    async fn commit(&self, event: Event) -> Result<(), TaskError> {
        self.attempt.run.reporter.commit_synced(event).await.map_err(gone)
    }
}

pub(super) fn gone(error: JournalGone) -> TaskError {
    TaskError::Gone(error.to_string())
}

fn identity(attempt: &Attempt<'_>, key: &StepKey) -> TaskIdentity {
    let (run, github) = (attempt.run, &attempt.facts.github);
    TaskIdentity {
        run: Some(run.run.clone()),
        step: Some(key.clone()),
        stage: attempt.job.id.value.clone(),
        pipeline: run.plan.name.clone(),
        run_number: github.get("run_number").to_text().parse().unwrap_or_default(),
        commit: github.get("sha").to_text(),
        plan_hash: run.plan.hash.clone(),
        repository: github.get("repository").to_text(),
        actor: github.get("actor").to_text(),
        untrusted: run.plan.inputs.untrusted,
    }
}

/// Bytes that the step's log holds already.
fn length(attempt: &Attempt<'_>, key: &StepKey) -> u64 {
    let (mut at, logs) = (0u64, &attempt.run.ports.logs);
    while let Ok(bytes) = logs.read(&attempt.run.run, key, at, 1 << 20) {
        if bytes.is_empty() {
            break;
        }
        at += bytes.len() as u64;
    }
    at
}

impl Surroundings for RunTask<'_> {
    fn identity(&self) -> &TaskIdentity {
        &self.identity
    }

    fn workspace(&self) -> &Path {
        &self.attempt.spec.workspace
    }

    fn env(&self) -> &[(String, String)] {
        &self.env
    }

    fn evaluate(&self, text: &str) -> Result<String, String> {
        if !text.contains("${{") {
            return Ok(text.to_owned());
        }
        let template = Template::parse(text).map_err(|error| format!("\"{text}\": {}", error.message))?;
        let hash = self.attempt.hash_files();
        let scope = JobScope { hash_files: Some(&hash), ..self.attempt.step_scope(&self.step_env) };
        template.evaluate_text(&scope).map_err(|error| format!("\"{text}\": {error}"))
    }

    fn secret(&self, name: &str) -> Option<String> {
        let value = self.attempt.secrets().get(name);
        value.as_str().map(str::to_owned).filter(|value| !value.is_empty())
    }

    fn mask(&self, text: &str) -> String {
        self.attempt.run.masker.mask(text)
    }
}

#[async_trait]
impl TaskCtx for RunTask<'_> {
    fn scratch(&self) -> &Path {
        &self.scratch
    }

    fn add_mask(&self, value: &str) {
        self.attempt.run.masker.add(value);
    }

    async fn log(&self, line: &str) {
        // A run that has ended needs no lines any more.
        let _ = self.output(format!("{}\n", self.mask(line)).as_bytes()).await;
    }

    fn state(&self, text: &str) {
        self.states.state(text);
    }

    async fn report(&self, report: TaskReport) -> Result<(), TaskError> {
        let json = serde_json::to_value(&report).map(|json| self.masked(json));
        // A report whose texts change stays a report.
        let report = json.ok().and_then(|json| serde_json::from_value(json).ok()).unwrap_or(report);
        self.commit(Event::TaskReported { step: self.key.clone(), report }).await
    }

    fn recall(&self, key: &str) -> Option<Recorded> {
        self.effects().iter().find(|(known, _)| known == key).map(|(_, recorded)| recorded.clone())
    }

    fn recorded(&self) -> Vec<String> {
        self.effects().iter().map(|(key, _)| key.clone()).collect()
    }

    async fn intend(&self, key: &str, intent: Json) -> Result<(), TaskError> {
        let data = self.data(&intent);
        self.commit(Event::EffectIntended { step: self.key.clone(), key: key.to_owned(), data }).await?;
        let recorded = Recorded { intent, observation: None, at: self.now() };
        self.effects().push((key.to_owned(), recorded));
        Ok(())
    }

    async fn observe(&self, key: &str, observation: Json) -> Result<(), TaskError> {
        let data = self.data(&observation);
        self.commit(Event::EffectObserved { step: self.key.clone(), key: key.to_owned(), data }).await?;
        if let Some((_, recorded)) = self.effects().iter_mut().find(|(known, _)| known == key) {
            recorded.observation = Some(observation);
        }
        Ok(())
    }

    async fn cancelled(&self) {
        if self.stop.clone().wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn is_cancelled(&self) -> bool {
        *self.stop.borrow()
    }

    fn time_left(&self) -> Duration {
        let deadline = self.attempt.deadline.map(|deadline| deadline + self.waited());
        deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()))
    }

    async fn exec(&self, key: &str, command: TaskCommand) -> Result<TaskExit, TaskError> {
        super::task_exec::exec(self, key, command).await
    }

    async fn approval(&self, ask: ApprovalAsk) -> Result<Decision, TaskError> {
        const KEY: &str = "approval";
        if let Some(Recorded { observation: Some(known), .. }) = self.recall(KEY) {
            return serde_json::from_value(known).map_err(|e| TaskError::Lost(format!("the recorded decision: {e}")));
        }
        let (run, stage) = (self.attempt.run, self.key.job.stage());
        if self.recall(KEY).is_none() {
            self.intend(KEY, json!({ "consumes": ask.consumes })).await?;
        }
        let asked = run.desk.of_stage(&stage).asked;
        // Taken up after a crash the question stands as it was put; what changed since voids it.
        let until = match &asked {
            Some(asked) if asked.consumes == ask.consumes => asked.until,
            _ => {
                let until =
                    Timestamp(self.now().0.saturating_add(i64::try_from(ask.timeout.as_millis()).unwrap_or(i64::MAX)));
                self.commit(Event::ApprovalWaiting {
                    stage: stage.clone(),
                    environment: ask.environment,
                    approvers: ask.approvers,
                    required: ask.required.max(1),
                    prevent_self_review: ask.prevent_self_review,
                    until,
                    summary: self.mask(&ask.summary),
                    consumes: ask.consumes,
                    inputs: ask.inputs,
                })
                .await?;
                until
            }
        };
        let mut desk = run.desk.watch();
        let decision = loop {
            let papers = run.desk.of_stage(&stage);
            let how = standing(&papers.given, ask.required);
            if how != Standing::Waiting {
                let last = papers.given.last();
                break Decision {
                    approved: how == Standing::Approved,
                    by: papers.given.iter().map(|given| given.by.clone()).collect(),
                    comment: last.map(|given| given.comment.clone()).unwrap_or_default(),
                    inputs: last.map(|given| given.inputs.clone()).unwrap_or_default(),
                };
            }
            if self.now() >= until {
                let by = vec!["timeout".to_owned()];
                break Decision {
                    approved: false,
                    by,
                    comment: "nobody decided in time".to_owned(),
                    inputs: Vec::new(),
                };
            }
            let began = Instant::now();
            let left = Duration::from_millis(u64::try_from(until.0 - self.now().0).unwrap_or_default());
            let paused = tokio::select! {
                changed = desk.changed() => changed.is_err(),
                // Long waits are looked at again: the clock may jump.
                () = tokio::time::sleep(left.min(Duration::from_secs(30)).max(Duration::from_millis(5))) => false,
                () = self.cancelled() => return Err(TaskError::Cancelled),
                () = run.desk.paused() => true,
            };
            let spent = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.waited.fetch_add(spent, Ordering::Relaxed);
            if paused {
                return Err(TaskError::Paused);
            }
        };
        self.observe(KEY, serde_json::to_value(&decision).unwrap_or_default()).await?;
        Ok(decision)
    }

    async fn order(&self) -> DeployOrder {
        let (run, stage) = (self.attempt.run, self.key.job.stage());
        let mut desk = run.desk.watch();
        loop {
            let at = self.ordered.load(Ordering::SeqCst);
            if let Some((order, by)) = run.desk.of_stage(&stage).orders.get(at).cloned() {
                self.ordered.store(at + 1, Ordering::SeqCst);
                return match order {
                    Order::Promote => DeployOrder::Promote { by, full: false },
                    Order::PromoteFull => DeployOrder::Promote { by, full: true },
                    Order::Abort => DeployOrder::Abort { by },
                };
            }
            if desk.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn keep(&self, name: &str, bytes: &[u8]) -> Result<String, TaskError> {
        let folder = self.scratch.join("kept");
        let failed = |e: std::io::Error| TaskError::because(format!("failed to keep \"{name}\" with the run"), &e);
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(&folder)).map_err(failed)?;
        std::fs::write(&path, bytes).map_err(failed)?;
        let run = self.attempt.run;
        let files = run.ports.artifacts.keep(&run.run, &self.key.job, &folder, &["**".to_owned()]).map_err(failed)?;
        let attempt = self.attempt.id.clone();
        run.reporter.tell(Event::ArtifactsKept { attempt, files }).await.map_err(gone)?;
        Ok(format!("{}/{name}", self.key.job.stage()))
    }

    fn now(&self) -> Timestamp {
        self.attempt.run.ports.clock.now()
    }
}
