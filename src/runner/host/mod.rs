//! Jobs on this machine.
//!
//! One detached shim serves all jobs of a run. It is started when the first job opens and costs a few milliseconds; after
//! that a job costs a folder and a step a process. Steps get the user's environment without Slipway's own secrets, the
//! user's home, and a folder for their files that lies in memory where the machine has one (`/dev/shm`).
//!
//! Services need a container engine: without a [`ServiceHost`] a spec that has some is refused. Images are not looked at.

mod place;
mod services;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::{OnceCell, mpsc};

use crate::client::shim::protocol::folder_of;
use crate::client::shim::{ShimClient, UnixDial};
use crate::id::{RunId, StepKey};
use crate::plan::ir::RunnerKind;
use crate::runner::contract::{
    Progress, Runner, RunnerError, Sandbox, SandboxPaths, SandboxSpec, Signal, StepCommand, StepEvent,
};
use crate::runner::host::place::Place;
pub use crate::runner::host::services::ServiceHost;

/// How the host is used.
#[derive(Clone)]
pub struct HostOptions {
    /// Where the shim's program is kept (`shim` in the state folder).
    pub shim_folder: PathBuf,
    /// Where the private folders of runs are made: short-lived files, so best in memory.
    pub base: PathBuf,
    /// What steps inherit.
    pub env: Vec<(OsString, OsString)>,
    /// Who starts services, if anybody can.
    pub services: Option<Arc<dyn ServiceHost>>,
}

impl HostOptions {
    /// This process's environment but for Slipway's secrets; `/dev/shm`, else the folder for temporary files.
    pub fn new(shim_folder: PathBuf) -> Self {
        let shared_memory = Path::new("/dev/shm");
        let usable = rustix::fs::access(shared_memory, rustix::fs::Access::WRITE_OK).is_ok();
        let base = if usable { shared_memory.to_owned() } else { std::env::temp_dir() };
        let env = std::env::vars_os().filter(|(name, _)| !is_own(name)).collect();
        Self { shim_folder, base, env, services: None }
    }
}

/// Variables that are the engine's own affair: secrets, tokens, and what marks its processes.
fn is_own(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    name.strip_prefix("SLIPWAY_").is_some_and(|rest| {
        ["SECRET", "SHIM_", "KILL_AT"].iter().any(|own| rest.starts_with(own))
            || rest.contains("TOKEN")
            || rest == "STEP"
    })
}

/// Runs jobs on this machine.
pub struct HostRunner {
    options: HostOptions,
    runs: Mutex<HashMap<RunId, Arc<OnceCell<ShimClient>>>>,
}

impl HostRunner {
    /// A runner; nothing is started before the first `open`.
    pub fn new(options: HostOptions) -> Self {
        Self { options, runs: Mutex::default() }
    }

    fn slot(&self, run: &RunId) -> Arc<OnceCell<ShimClient>> {
        // The map is whole between any two statements that could panic.
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(runs.entry(run.clone()).or_default())
    }

    /// The run's shim: known, or still there from an earlier process, or else started.
    async fn shim(&self, spec: &SandboxSpec) -> Result<ShimClient, RunnerError> {
        let start = || async {
            let place = Place::of(&self.options.base, &spec.run);
            if let Some(client) = connect_existing(&place, &spec.run).await? {
                return Ok(client);
            }
            let (options, window, there) = (self.options.clone(), spec.resume_window, place.clone());
            let token =
                tokio::task::spawn_blocking(move || there.start_shim(&options.shim_folder, &options.env, window));
            let failed = |source: io::Error| RunnerError::Other {
                what: format!("failed to start the shim for run \"{}\"", spec.run),
                source: source.into(),
            };
            let token = token.await.map_err(|e| failed(io::Error::other(e)))?.map_err(failed)?;
            connect(&place, &spec.run, token).await
        };
        self.slot(&spec.run).get_or_try_init(start).await.cloned()
    }

    /// The run's shim if it is there.
    async fn existing(&self, run: &RunId) -> Result<Option<ShimClient>, RunnerError> {
        let slot = self.slot(run);
        if let Some(client) = slot.get() {
            return Ok(Some(client.clone()));
        }
        match connect_existing(&Place::of(&self.options.base, run), run).await? {
            Some(client) => slot.get_or_try_init(|| async { Ok(client) }).await.cloned().map(Some),
            None => Ok(None),
        }
    }

    fn sandbox(&self, spec: &SandboxSpec, shim: ShimClient, facts: serde_json::Value) -> Arc<dyn Sandbox> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let home = self.options.env.iter().rev().find(|(name, _)| name == "HOME");
        let paths = SandboxPaths {
            workspace: text(&spec.workspace),
            temp: text(&spec.folder),
            home: None,
            tool_cache: text(&spec.tool_cache),
            home_on_engine: home.map(|(_, path)| PathBuf::from(path)),
        };
        Arc::new(HostSandbox { folder: Place::of(&self.options.base, &spec.run).folder, paths, facts, shim })
    }
}

async fn connect(place: &Place, run: &RunId, token: Vec<u8>) -> Result<ShimClient, RunnerError> {
    ShimClient::connect(run.as_str(), Arc::new(UnixDial { socket: place.socket() }), token).await
}

async fn connect_existing(place: &Place, run: &RunId) -> Result<Option<ShimClient>, RunnerError> {
    if !place.answers() {
        return Ok(None);
    }
    match place.token() {
        Ok(token) => connect(place, run, token).await.map(Some),
        Err(source) => {
            Err(RunnerError::Other { what: format!("failed to use the shim of run \"{run}\""), source: source.into() })
        }
    }
}

#[async_trait]
impl Runner for HostRunner {
    fn kind(&self) -> RunnerKind {
        RunnerKind::Host
    }

    async fn open(&self, spec: &SandboxSpec, progress: Arc<dyn Progress>) -> Result<Arc<dyn Sandbox>, RunnerError> {
        if let (Some(service), None) = (spec.services.first(), &self.options.services) {
            return Err(RunnerError::Refused(format!(
                "service \"{}\" needs a container engine, and none answers on this machine: start Docker, or leave the services out",
                service.id
            )));
        }
        let shim = self.shim(spec).await?;
        make_folder(spec).map_err(|e| RunnerError::Other {
            what: format!("failed to make the folder of \"{}\"", spec.name),
            source: e.into(),
        })?;
        let facts = match &self.options.services {
            Some(services) if !spec.services.is_empty() => services.start_services(spec, progress).await?,
            _ => serde_json::json!({}),
        };
        Ok(self.sandbox(spec, shim, facts))
    }

    async fn adopt(&self, spec: &SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, RunnerError> {
        if !spec.folder.is_dir() {
            return Ok(None);
        }
        let Some(shim) = self.existing(&spec.run).await?.filter(|shim| !shim.is_lost()) else { return Ok(None) };
        let facts = match &self.options.services {
            Some(services) if !spec.services.is_empty() => services.find_services(spec).await?,
            _ => Some(serde_json::json!({})),
        };
        Ok(facts.map(|facts| self.sandbox(spec, shim, facts)))
    }

    async fn close(&self, spec: &SandboxSpec) -> Result<(), RunnerError> {
        let ended = match self.existing(&spec.run).await {
            Ok(Some(shim)) if !shim.is_lost() => shim.end(&spec.attempt).await.map(drop),
            // Without a shim there is nobody to ask; `finish` looks for what it left.
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        let stopped = match &self.options.services {
            Some(services) if !spec.services.is_empty() => services.stop_services(spec).await,
            _ => Ok(()),
        };
        let removed = remove_folder(&spec.folder).await.map_err(|source| RunnerError::Other {
            what: format!("failed to remove the folder of \"{}\"", spec.name),
            source: source.into(),
        });
        ended.and(stopped).and(removed)
    }

    async fn finish(&self, run: &RunId) -> Result<(), RunnerError> {
        let stopped = match self.existing(run).await {
            Ok(Some(shim)) => shim.shutdown().await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
        let place = Place::of(&self.options.base, run);
        let failed = |source: io::Error| RunnerError::Other {
            what: format!("failed to remove the folder of run \"{run}\" at {}", place.folder.display()),
            source: source.into(),
        };
        stopped.and(place.remove().map_err(failed))
    }
}

/// The attempt's folder holds nothing but what its steps put there: it is their folder for temporary files.
fn make_folder(spec: &SandboxSpec) -> io::Result<()> {
    let mut private = DirBuilder::new();
    private.mode(0o700);
    match private.create(&spec.folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => private.recursive(true).create(&spec.folder),
        other => other,
    }
}

/// Most jobs leave their folder empty; a full tree is removed where it holds nobody up.
async fn remove_folder(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir(folder) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(_) => {}
    }
    match tokio::fs::remove_dir_all(folder).await {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// One attempt on the host.
struct HostSandbox {
    folder: PathBuf,
    paths: SandboxPaths,
    facts: serde_json::Value,
    shim: ShimClient,
}

#[async_trait]
impl Sandbox for HostSandbox {
    fn paths(&self) -> &SandboxPaths {
        &self.paths
    }

    fn facts(&self) -> serde_json::Value {
        self.facts.clone()
    }

    fn step_folder(&self, key: &StepKey) -> String {
        // A key without a folder is refused when it is started.
        let name = folder_of(&key.to_string()).unwrap_or_default();
        self.folder.join(name).to_string_lossy().into_owned()
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
}
