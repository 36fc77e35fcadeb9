//! A task context without a run, for commands that do a task's work by themselves (`slipway rollback`). Nothing is journaled:
//! such work finds out afresh how things stand.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;

use super::contract::{
    ApprovalAsk, Decision, DeployOrder, Recorded, Surroundings, TaskCommand, TaskCtx, TaskError, TaskExit, TaskIdentity,
};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::event::TaskReport;

/// Takes lines of the work.
pub type Say = Box<dyn Fn(&str) + Send + Sync>;

/// The context.
pub struct Alone {
    identity: TaskIdentity,
    here: PathBuf,
    say: Say,
    effects: Mutex<Vec<(String, Recorded)>>,
}

impl Alone {
    /// For the work `what`, in the folder `here`; lines go to `say`.
    pub fn new(what: &str, actor: &str, here: PathBuf, say: Say) -> Self {
        let identity = TaskIdentity { stage: what.to_owned(), actor: actor.to_owned(), ..TaskIdentity::default() };
        Self { identity, here, say, effects: Mutex::default() }
    }

    fn no_run(&self, what: &str) -> TaskError {
        TaskError::failed(format!("{what} needs a run, and this is a command of its own"))
    }
}

impl Surroundings for Alone {
    fn identity(&self) -> &TaskIdentity {
        &self.identity
    }

    fn workspace(&self) -> &Path {
        &self.here
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
        &self.here
    }

    fn add_mask(&self, _value: &str) {}

    async fn log(&self, line: &str) {
        (self.say)(line);
    }

    fn state(&self, _text: &str) {}

    async fn report(&self, _report: TaskReport) -> Result<(), TaskError> {
        Ok(())
    }

    fn recall(&self, key: &str) -> Option<Recorded> {
        let effects = self.effects.lock().unwrap_or_else(PoisonError::into_inner);
        effects.iter().find(|(known, _)| known == key).map(|(_, recorded)| recorded.clone())
    }

    fn recorded(&self) -> Vec<String> {
        let effects = self.effects.lock().unwrap_or_else(PoisonError::into_inner);
        effects.iter().map(|(key, _)| key.clone()).collect()
    }

    async fn intend(&self, key: &str, intent: Json) -> Result<(), TaskError> {
        let recorded = Recorded { intent, observation: None, at: self.now() };
        self.effects.lock().unwrap_or_else(PoisonError::into_inner).push((key.to_owned(), recorded));
        Ok(())
    }

    async fn observe(&self, key: &str, observation: Json) -> Result<(), TaskError> {
        let mut effects = self.effects.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, recorded)) = effects.iter_mut().find(|(known, _)| known == key) {
            recorded.observation = Some(observation);
        }
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
        Err(self.no_run("running a program"))
    }

    async fn approval(&self, _ask: ApprovalAsk) -> Result<Decision, TaskError> {
        Err(self.no_run("an approval"))
    }

    async fn order(&self) -> DeployOrder {
        std::future::pending().await
    }

    async fn keep(&self, _name: &str, _bytes: &[u8]) -> Result<String, TaskError> {
        Err(self.no_run("keeping a file"))
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }
}
