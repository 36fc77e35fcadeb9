//! A task context in memory, for the tests of tasks. It can "crash" before or after any record, and be taken up again.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;
use tokio::sync::watch;

use super::contract::{
    ApprovalAsk, Decision, DeployOrder, Recorded, Surroundings, TaskCommand, TaskCtx, TaskError, TaskExit, TaskIdentity,
};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::event::TaskReport;

/// What survives a crash: the journal.
#[derive(Debug, Default)]
pub struct Journal {
    /// Effects in the order of their intents.
    pub effects: Vec<(String, Recorded)>,
    /// Facts in order.
    pub reports: Vec<TaskReport>,
    /// Records so far (intents, observations, reports).
    pub records: usize,
}

/// The answer of the fake sandbox to a program.
pub type Exec = Arc<dyn Fn(&TaskCommand) -> TaskExit + Send + Sync>;

/// The context. `TestCtx::again` gives one for a new process over the same journal.
pub struct TestCtx {
    /// Who and what the run is.
    pub identity: TaskIdentity,
    /// The workspace.
    pub workspace: PathBuf,
    /// The private folder.
    pub scratch: PathBuf,
    /// `env`.
    pub env: Vec<(String, String)>,
    /// Secrets by name.
    pub secrets: Vec<(String, String)>,
    /// What survives.
    pub journal: Arc<Mutex<Journal>>,
    /// Lines of the log.
    pub lines: Mutex<Vec<String>>,
    /// Ends with [`TaskError::Gone`] before (`false`) or after (`true`) the record of this number, from 1.
    pub crash_at: Option<(usize, bool)>,
    /// What programs come to; without it each one succeeds.
    pub exec: Option<Exec>,
    /// What people decide; without it they approve.
    pub decision: Option<Decision>,
    /// Orders that are waiting.
    pub orders: Mutex<VecDeque<DeployOrder>>,
    cancel: watch::Sender<bool>,
}

impl TestCtx {
    /// Over these folders.
    pub fn new(workspace: impl Into<PathBuf>, scratch: impl Into<PathBuf>) -> Self {
        Self {
            identity: TaskIdentity { stage: "stage".to_owned(), commit: "0".repeat(40), ..TaskIdentity::default() },
            workspace: workspace.into(),
            scratch: scratch.into(),
            env: Vec::new(),
            secrets: Vec::new(),
            journal: Arc::default(),
            lines: Mutex::default(),
            crash_at: None,
            exec: None,
            decision: None,
            orders: Mutex::default(),
            cancel: watch::channel(false).0,
        }
    }

    /// A new process over the same journal, that does not crash.
    pub fn again(&self) -> Self {
        Self {
            identity: self.identity.clone(),
            env: self.env.clone(),
            secrets: self.secrets.clone(),
            journal: Arc::clone(&self.journal),
            exec: self.exec.clone(),
            decision: self.decision.clone(),
            ..Self::new(self.workspace.clone(), self.scratch.clone())
        }
    }

    /// Cancels the run.
    pub fn cancel(&self) {
        self.cancel.send_replace(true);
    }

    /// The log as one text.
    pub fn log_text(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    fn record(&self, change: impl FnOnce(&mut Journal)) -> Result<(), TaskError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let number = journal.records + 1;
        let gone = || TaskError::Gone(format!("crashed at record {number}"));
        if self.crash_at.is_some_and(|(at, after)| !after && number >= at || after && number > at) {
            return Err(gone());
        }
        change(&mut journal);
        journal.records = number;
        if self.crash_at == Some((number, true)) { Err(gone()) } else { Ok(()) }
    }
}

impl Surroundings for TestCtx {
    fn identity(&self) -> &TaskIdentity {
        &self.identity
    }

    fn workspace(&self) -> &Path {
        &self.workspace
    }

    fn env(&self) -> &[(String, String)] {
        &self.env
    }

    fn evaluate(&self, text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    fn secret(&self, name: &str) -> Option<String> {
        self.secrets.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    fn mask(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, (_, value)| text.replace(value, "***"))
    }
}

#[async_trait]
impl TaskCtx for TestCtx {
    fn scratch(&self) -> &Path {
        &self.scratch
    }

    fn add_mask(&self, _value: &str) {}

    async fn log(&self, line: &str) {
        let line = self.mask(line);
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn state(&self, _text: &str) {}

    async fn report(&self, report: TaskReport) -> Result<(), TaskError> {
        self.record(|journal| journal.reports.push(report))
    }

    fn recall(&self, key: &str) -> Option<Recorded> {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.effects.iter().find(|(known, _)| known == key).map(|(_, recorded)| recorded.clone())
    }

    fn recorded(&self) -> Vec<String> {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.effects.iter().map(|(key, _)| key.clone()).collect()
    }

    async fn intend(&self, key: &str, intent: Json) -> Result<(), TaskError> {
        let at = self.now();
        self.record(|journal| {
            journal.effects.push((key.to_owned(), Recorded { intent, observation: None, at }));
        })
    }

    async fn observe(&self, key: &str, observation: Json) -> Result<(), TaskError> {
        self.record(|journal| {
            if let Some((_, recorded)) = journal.effects.iter_mut().find(|(known, _)| known == key) {
                recorded.observation = Some(observation);
            }
        })
    }

    async fn cancelled(&self) {
        // The sender lives as long as this context does.
        let _ = self.cancel.subscribe().wait_for(|cancelled| *cancelled).await;
    }

    fn is_cancelled(&self) -> bool {
        *self.cancel.borrow()
    }

    fn time_left(&self) -> Duration {
        Duration::from_secs(3600)
    }

    async fn exec(&self, _key: &str, command: TaskCommand) -> Result<TaskExit, TaskError> {
        Ok(match &self.exec {
            Some(exec) => exec(&command),
            None => TaskExit { code: 0, tail: String::new() },
        })
    }

    async fn approval(&self, _ask: ApprovalAsk) -> Result<Decision, TaskError> {
        Ok(self.decision.clone().unwrap_or_else(|| Decision {
            approved: true,
            by: vec!["test".to_owned()],
            comment: String::new(),
            inputs: Vec::new(),
        }))
    }

    async fn order(&self) -> DeployOrder {
        loop {
            let next = self.orders.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match next {
                Some(order) => return order,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    async fn keep(&self, name: &str, bytes: &[u8]) -> Result<String, TaskError> {
        let path = self.scratch.join(name);
        std::fs::write(&path, bytes).map_err(|e| TaskError::because(format!("failed to keep \"{name}\""), &e))?;
        Ok(path.display().to_string())
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }
}
