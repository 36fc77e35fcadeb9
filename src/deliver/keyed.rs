//! A task context whose effects have names of their own, so that work which is written for a whole task can be done several
//! times within one.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;

use crate::clock::Timestamp;
use crate::event::TaskReport;
use crate::task::contract::{
    ApprovalAsk, Decision, DeployOrder, Recorded, Surroundings, TaskCommand, TaskCtx, TaskError, TaskExit, TaskIdentity,
};

/// The context `ctx`, in which every effect's name begins with `prefix`.
pub struct Keyed<'a> {
    ctx: &'a dyn TaskCtx,
    prefix: String,
}

impl<'a> Keyed<'a> {
    /// Under this prefix.
    pub fn new(ctx: &'a dyn TaskCtx, prefix: impl Into<String>) -> Self {
        Self { ctx, prefix: prefix.into() }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

impl Surroundings for Keyed<'_> {
    fn identity(&self) -> &TaskIdentity {
        self.ctx.identity()
    }

    fn workspace(&self) -> &Path {
        self.ctx.workspace()
    }

    fn env(&self) -> &[(String, String)] {
        self.ctx.env()
    }

    fn evaluate(&self, text: &str) -> Result<String, String> {
        self.ctx.evaluate(text)
    }

    fn secret(&self, name: &str) -> Option<String> {
        self.ctx.secret(name)
    }

    fn mask(&self, text: &str) -> String {
        self.ctx.mask(text)
    }
}

#[async_trait]
impl TaskCtx for Keyed<'_> {
    fn scratch(&self) -> &Path {
        self.ctx.scratch()
    }

    fn add_mask(&self, value: &str) {
        self.ctx.add_mask(value);
    }

    async fn log(&self, line: &str) {
        self.ctx.log(line).await;
    }

    fn state(&self, text: &str) {
        self.ctx.state(text);
    }

    async fn report(&self, report: TaskReport) -> Result<(), TaskError> {
        self.ctx.report(report).await
    }

    fn recall(&self, key: &str) -> Option<Recorded> {
        self.ctx.recall(&self.key(key))
    }

    fn recorded(&self) -> Vec<String> {
        self.ctx.recorded().iter().filter_map(|key| key.strip_prefix(&self.prefix).map(str::to_owned)).collect()
    }

    async fn intend(&self, key: &str, intent: Json) -> Result<(), TaskError> {
        self.ctx.intend(&self.key(key), intent).await
    }

    async fn observe(&self, key: &str, observation: Json) -> Result<(), TaskError> {
        self.ctx.observe(&self.key(key), observation).await
    }

    async fn cancelled(&self) {
        self.ctx.cancelled().await;
    }

    fn is_cancelled(&self) -> bool {
        self.ctx.is_cancelled()
    }

    fn time_left(&self) -> Duration {
        self.ctx.time_left()
    }

    async fn exec(&self, key: &str, command: TaskCommand) -> Result<TaskExit, TaskError> {
        self.ctx.exec(&self.key(key), command).await
    }

    async fn approval(&self, ask: ApprovalAsk) -> Result<Decision, TaskError> {
        self.ctx.approval(ask).await
    }

    async fn order(&self) -> DeployOrder {
        self.ctx.order().await
    }

    async fn keep(&self, name: &str, bytes: &[u8]) -> Result<String, TaskError> {
        self.ctx.keep(name, bytes).await
    }

    fn now(&self) -> Timestamp {
        self.ctx.now()
    }
}
