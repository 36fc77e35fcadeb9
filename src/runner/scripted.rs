//! Outcomes that a test wrote down: a runner without processes, in which every outcome can be said beforehand. It also checks its
//! caller: a step that starts twice, or in a sandbox that is not open, is remembered as a violation.
//!
//! What happens is looked up by `job/attempt/step`, then `job/*/step`; what is not written down succeeds and says nothing.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};

use crate::event::Exit;
use crate::id::{AttemptId, RunId, StepKey};
use crate::plan::ir::RunnerKind;
use crate::runner::contract::{
    Progress, Runner, RunnerError, Sandbox, SandboxPaths, SandboxSpec, Signal, StepCommand, StepEvent, StepExit,
};

/// What a step does.
#[derive(Debug, Clone)]
pub struct Script {
    /// What it prints, in pieces.
    pub output: Vec<Vec<u8>>,
    /// How it ends.
    pub end: ScriptEnd,
    /// What it wrote to `GITHUB_OUTPUT` and its like, by file name.
    pub files: Vec<(String, Vec<u8>)>,
}

/// How a scripted step ends.
#[derive(Debug, Clone)]
pub enum ScriptEnd {
    /// At once.
    Exit(Exit),
    /// When this signal comes.
    On(Signal, Exit),
    /// Its sandbox is lost.
    Lost(String),
    /// It cannot be started.
    NoStart(String),
    /// When the test says so.
    Held(Arc<Notify>, Exit),
}

impl Default for Script {
    fn default() -> Self {
        Self { output: Vec::new(), end: ScriptEnd::Exit(Exit::Code(0)), files: Vec::new() }
    }
}

impl Script {
    /// Exits with `code`.
    pub fn exit(code: i32) -> Self {
        Self { end: ScriptEnd::Exit(Exit::Code(code)), ..Self::default() }
    }

    /// Prints `text` before it ends.
    pub fn prints(mut self, text: &str) -> Self {
        self.output.push(text.as_bytes().to_vec());
        self
    }

    /// Writes `content` to its file `name` (`output`, `env`, `path`, `summary`).
    pub fn writes(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.as_bytes().to_vec()));
        self
    }

    /// Ends so.
    pub fn ends(mut self, end: ScriptEnd) -> Self {
        self.end = end;
        self
    }
}

#[derive(Default)]
struct Shared {
    scripts: HashMap<String, Script>,
    refused: HashMap<String, String>,
    open: HashSet<AttemptId>,
    started: Vec<StepCommand>,
    keys: HashSet<StepKey>,
    signals: Vec<(StepKey, Signal)>,
    waiting: HashMap<StepKey, mpsc::Sender<Signal>>,
    violations: Vec<String>,
    most_open: usize,
}

/// The runner; clones share what is written down.
#[derive(Clone, Default)]
pub struct ScriptedRunner(Arc<Mutex<Shared>>);

impl ScriptedRunner {
    /// One in which everything succeeds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes down what `job/attempt/step` does; `*` for the attempt means every attempt.
    pub fn script(&self, key: &str, script: Script) -> &Self {
        self.shared().scripts.insert(key.to_owned(), script);
        self
    }

    /// The sandbox of `job` cannot be made.
    pub fn refuse(&self, job: &str, reason: &str) -> &Self {
        self.shared().refused.insert(job.to_owned(), reason.to_owned());
        self
    }

    /// Every step that was started, in order.
    pub fn started(&self) -> Vec<StepCommand> {
        self.shared().started.clone()
    }

    /// Their keys.
    pub fn started_keys(&self) -> Vec<String> {
        self.shared().started.iter().map(|command| command.key.to_string()).collect()
    }

    /// Every signal that was sent.
    pub fn signals(&self) -> Vec<(String, Signal)> {
        self.shared().signals.iter().map(|(key, signal)| (key.to_string(), *signal)).collect()
    }

    /// What the caller did wrong.
    pub fn violations(&self) -> Vec<String> {
        self.shared().violations.clone()
    }

    /// Sandboxes that are open now.
    pub fn open_now(&self) -> usize {
        self.shared().open.len()
    }

    /// The most sandboxes that were open at once.
    pub fn most_open(&self) -> usize {
        self.shared().most_open
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct ScriptedSandbox {
    runner: ScriptedRunner,
    paths: SandboxPaths,
}

#[async_trait]
impl Runner for ScriptedRunner {
    fn kind(&self) -> RunnerKind {
        RunnerKind::Scripted
    }

    async fn open(&self, spec: &SandboxSpec, _progress: Arc<dyn Progress>) -> Result<Arc<dyn Sandbox>, RunnerError> {
        let mut shared = self.shared();
        if let Some(reason) = shared.refused.get(spec.attempt.job.as_str()) {
            return Err(RunnerError::Refused(reason.clone()));
        }
        shared.open.insert(spec.attempt.clone());
        shared.most_open = shared.most_open.max(shared.open.len());
        drop(shared);
        Ok(self.sandbox(spec))
    }

    async fn adopt(&self, spec: &SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, RunnerError> {
        let open = self.shared().open.contains(&spec.attempt);
        Ok(open.then(|| self.sandbox(spec)))
    }

    async fn close(&self, spec: &SandboxSpec) -> Result<(), RunnerError> {
        self.shared().open.remove(&spec.attempt);
        Ok(())
    }

    async fn finish(&self, run: &RunId) -> Result<(), RunnerError> {
        let mut shared = self.shared();
        if !shared.open.is_empty() {
            let text = format!("run {run} finished with {} open sandboxes", shared.open.len());
            shared.violations.push(text);
        }
        Ok(())
    }
}

impl ScriptedRunner {
    fn sandbox(&self, spec: &SandboxSpec) -> Arc<dyn Sandbox> {
        Arc::new(ScriptedSandbox {
            runner: self.clone(),
            paths: SandboxPaths {
                workspace: spec.workspace.display().to_string(),
                temp: "/tmp".to_owned(),
                home: None,
                tool_cache: "/tools".to_owned(),
                home_on_engine: None,
            },
        })
    }

    fn script_of(&self, key: &StepKey) -> Script {
        let shared = self.shared();
        let any = format!("{}/*/{}", key.job, key.step);
        shared.scripts.get(&key.to_string()).or_else(|| shared.scripts.get(&any)).cloned().unwrap_or_default()
    }
}

#[async_trait]
impl Sandbox for ScriptedSandbox {
    fn paths(&self) -> &SandboxPaths {
        &self.paths
    }

    fn facts(&self) -> serde_json::Value {
        serde_json::json!({})
    }

    fn step_folder(&self, key: &StepKey) -> String {
        format!("/steps/{key}")
    }

    async fn start(&self, command: StepCommand) -> Result<mpsc::Receiver<StepEvent>, RunnerError> {
        let key = command.key.clone();
        let script = self.runner.script_of(&key);
        {
            let mut shared = self.runner.shared();
            if !shared.keys.insert(key.clone()) {
                shared.violations.push(format!("step {key} was started twice"));
            }
            if !shared.open.contains(&key.attempt_id()) {
                shared.violations.push(format!("step {key} was started in a sandbox that is not open"));
            }
            shared.started.push(command);
        }
        if let ScriptEnd::NoStart(reason) = &script.end {
            return Err(RunnerError::Start { program: "scripted".to_owned(), reason: reason.clone() });
        }
        // Pieces and the end always fit, so that a step without a reader is no trouble.
        let (events, receiver) = mpsc::channel(script.output.len() + 1);
        let mut offset = 0;
        for bytes in script.output {
            let length = bytes.len() as u64;
            let _ = events.try_send(StepEvent::Output { offset, bytes });
            offset += length;
        }
        let exited = |exit| StepEvent::Exited(StepExit { exit, files: script.files.clone() });
        match script.end {
            ScriptEnd::Exit(exit) => drop(events.try_send(exited(exit))),
            ScriptEnd::Lost(reason) => drop(events.try_send(StepEvent::Lost { reason })),
            ScriptEnd::NoStart(_) => {}
            ScriptEnd::On(wanted, exit) => {
                let (sender, mut signals) = mpsc::channel(8);
                self.runner.shared().waiting.insert(key, sender);
                let event = exited(exit);
                tokio::spawn(async move {
                    while let Some(signal) = signals.recv().await {
                        if signal == wanted || signal == Signal::Kill {
                            let _ = events.send(event).await;
                            return;
                        }
                    }
                });
            }
            ScriptEnd::Held(release, exit) => {
                let event = exited(exit);
                tokio::spawn(async move {
                    release.notified().await;
                    let _ = events.send(event).await;
                });
            }
        }
        Ok(receiver)
    }

    async fn attach(
        &self,
        _key: &StepKey,
        _offset: u64,
        _collect: &[String],
    ) -> Result<Option<mpsc::Receiver<StepEvent>>, RunnerError> {
        // Nothing of a scripted step outlives its engine.
        Ok(None)
    }

    async fn signal(&self, key: &StepKey, signal: Signal) -> Result<(), RunnerError> {
        let waiting = {
            let mut shared = self.runner.shared();
            shared.signals.push((key.clone(), signal));
            shared.waiting.get(key).cloned()
        };
        if let Some(waiting) = waiting {
            let _ = waiting.send(signal).await;
        }
        Ok(())
    }

    async fn acknowledge(&self, _key: &StepKey, _offset: u64) -> Result<(), RunnerError> {
        Ok(())
    }
}
