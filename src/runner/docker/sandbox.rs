//! One attempt's container, as steps are started in it.

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::client::shim::ShimClient;
use crate::client::shim::protocol::folder_of;
use crate::id::StepKey;
use crate::runner::contract::{RunnerError, Sandbox, SandboxPaths, SandboxSpec, Signal, StepCommand, StepEvent};
use crate::runner::docker::body::{BOX, HOME, TEMP, TOOLS, WORKSPACE};
use crate::runner::docker::folders::open_workspace;

/// A running container with a shim that answers.
pub struct DockerSandbox {
    paths: SandboxPaths,
    facts: Value,
    shim: ShimClient,
    spec: Option<SandboxSpec>,
}

impl DockerSandbox {
    /// Over the shim's connection; `facts` for the `job` context. `user_differs`: the container's user is not root, so what
    /// the engine writes has to be opened to it.
    pub fn new(spec: &SandboxSpec, facts: Value, shim: ShimClient, user_differs: bool) -> Self {
        let paths = SandboxPaths {
            workspace: WORKSPACE.to_owned(),
            temp: TEMP.to_owned(),
            home: Some(HOME.to_owned()),
            tool_cache: TOOLS.to_owned(),
            home_on_engine: Some(spec.folder.join("home")),
        };
        Self { paths, facts, shim, spec: user_differs.then(|| spec.clone()) }
    }
}

#[async_trait]
impl Sandbox for DockerSandbox {
    fn paths(&self) -> &SandboxPaths {
        &self.paths
    }

    fn facts(&self) -> Value {
        self.facts.clone()
    }

    fn step_folder(&self, key: &StepKey) -> String {
        // A key without a folder is refused when it is started.
        format!("{BOX}/{}", folder_of(&key.to_string()).unwrap_or_default())
    }

    async fn start(&self, command: StepCommand) -> Result<mpsc::Receiver<StepEvent>, RunnerError> {
        self.shim.start(command).await
    }

    async fn attach(
        &self,
        key: &StepKey,
        offset: u64,
        collect: &[String],
    ) -> Result<Option<mpsc::Receiver<StepEvent>>, RunnerError> {
        self.shim.attach(key, offset, collect).await
    }

    async fn signal(&self, key: &StepKey, signal: Signal) -> Result<(), RunnerError> {
        self.shim.signal(key, signal).await
    }

    async fn acknowledge(&self, key: &StepKey, offset: u64) -> Result<(), RunnerError> {
        self.shim.acknowledge(key, offset).await
    }

    async fn sync_in(&self) -> Result<(), RunnerError> {
        let Some(spec) = self.spec.clone() else { return Ok(()) };
        let name = spec.name.clone();
        let opened = tokio::task::spawn_blocking(move || open_workspace(&spec)).await;
        opened.map_err(std::io::Error::other).and_then(|opened| opened).map_err(|error| RunnerError::Other {
            what: format!("failed to open the workspace of \"{name}\" to its container's user"),
            source: error.into(),
        })
    }
}
