//! A task's context for commands that do a task's work outside of any run: what is recorded lives as long as the command, and
//! what is told goes to the terminal.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::event::TaskReport;
use crate::task::contract::{
    ApprovalAsk, Decision, DeployOrder, Recorded, Surroundings, TaskCommand, TaskCtx, TaskError, TaskExit, TaskIdentity,
};

/// The context of a command.
pub struct Alone {
    identity: TaskIdentity,
    effects: Mutex<Vec<(String, Recorded)>>,
}

impl Alone {
    /// Of the command `name`, given by `actor`.
    pub fn new(name: &str, actor: String) -> Self {
        let identity = TaskIdentity { stage: name.to_owned(), actor, ..TaskIdentity::default() };
        Self { identity, effects: Mutex::default() }
    }

    fn effects<T>(&self, look: impl FnOnce(&mut Vec<(String, Recorded)>) -> T) -> T {
        look(&mut self.effects.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn none<T>(what: &str) -> Result<T, TaskError> {
        Err(TaskError::failed(format!("a command outside of a run has no {what}")))
    }
}

impl Surroundings for Alone {
    fn identity(&self) -> &TaskIdentity {
        &self.identity
    }

    fn workspace(&self) -> &Path {
        Path::new(".")
    }

    fn env(&self) -> &[(String, String)] {
        &[]
    }

    fn evaluate(&self, text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    fn secret(&self, _name: &str) -> Option<String> {
        None
    }

    fn mask(&self, text: &str) -> String {
        text.to_owned()
    }
}

#[async_trait]
impl TaskCtx for Alone {
    fn scratch(&self) -> &Path {
        Path::new(".")
    }

    fn add_mask(&self, _value: &str) {}

    async fn log(&self, line: &str) {
        println!("{line}");
    }

    fn state(&self, _text: &str) {}

    async fn report(&self, _report: TaskReport) -> Result<(), TaskError> {
        // The log says it to who gave the command.
        Ok(())
    }

    fn recall(&self, key: &str) -> Option<Recorded> {
        self.effects(|effects| effects.iter().find(|(known, _)| known == key).map(|(_, recorded)| recorded.clone()))
    }

    fn recorded(&self) -> Vec<String> {
        self.effects(|effects| effects.iter().map(|(key, _)| key.clone()).collect())
    }

    async fn intend(&self, key: &str, intent: Json) -> Result<(), TaskError> {
        let at = self.now();
        self.effects(|effects| effects.push((key.to_owned(), Recorded { intent, observation: None, at })));
        Ok(())
    }

    async fn observe(&self, key: &str, observation: Json) -> Result<(), TaskError> {
        self.effects(|effects| {
            if let Some((_, recorded)) = effects.iter_mut().find(|(known, _)| known == key) {
                recorded.observation = Some(observation);
            }
        });
        Ok(())
    }

    async fn cancelled(&self) {
        std::future::pending().await
    }

    fn is_cancelled(&self) -> bool {
        false
    }

    fn time_left(&self) -> Duration {
        Duration::MAX
    }

    async fn exec(&self, _key: &str, _command: TaskCommand) -> Result<TaskExit, TaskError> {
        Self::none("sandbox")
    }

    async fn approval(&self, _ask: ApprovalAsk) -> Result<Decision, TaskError> {
        Self::none("approvals")
    }

    async fn order(&self) -> DeployOrder {
        std::future::pending().await
    }

    async fn keep(&self, _name: &str, _bytes: &[u8]) -> Result<String, TaskError> {
        Self::none("artifacts")
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }
}
