//! The runners of this machine.

use std::sync::{Arc, Mutex, PoisonError};

use crate::client::docker::Engine;
use crate::engine::ports::Runners;
use crate::id::RunId;
use crate::plan::ir::RunnerKind;
use crate::runner::contract::{Runner, RunnerError};
use crate::runner::docker::{DockerOptions, DockerRunner, DockerServices};
use crate::runner::engine::EngineRunner;
use crate::runner::host::{HostOptions, HostRunner};
use crate::store::contract::Store;
use crate::store::folder::StateFolder;
use crate::store::sqlite::SqliteStore;

/// The runners of this machine, made when they are first asked for.
pub struct LocalRunners {
    state: StateFolder,
    host: Mutex<Option<Arc<dyn Runner>>>,
    engine: Arc<Engine>,
    docker: Arc<DockerRunner>,
}

impl LocalRunners {
    /// With their files in `state`.
    pub fn new(state: &StateFolder) -> Self {
        let engine = Arc::new(Engine::from_environment());
        let options = DockerOptions { shim_folder: state.shim() };
        let docker = Arc::new(DockerRunner::new(Arc::clone(&engine), options));
        Self { state: state.clone(), host: Mutex::new(None), engine, docker }
    }

    /// Whether a container engine answers; the error says what was tried.
    pub async fn docker_answers(&self) -> Result<(), RunnerError> {
        self.docker.ping().await
    }

    /// Removes what runs that are over left in the container engine, when there is one.
    pub async fn sweep(&self, store: &SqliteStore) {
        let Ok(label) = store.state().label() else { return };
        // A run that is interrupted may still be taken up; everything that has ended has no use for a container.
        let is_live = |run: &RunId| store.load(run).is_ok_and(|stored| stored.row.outcome.is_none());
        // What cannot be removed now is tried again by the next run.
        let _ = self.docker.sweep(&label, is_live).await;
    }
}

impl Runners for LocalRunners {
    fn get(&self, kind: RunnerKind) -> Result<Arc<dyn Runner>, RunnerError> {
        match kind {
            RunnerKind::Host => {
                let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
                let make = || {
                    let mut options = HostOptions::new(self.state.shim());
                    options.services = Some(Arc::new(DockerServices::new(Arc::clone(&self.engine))));
                    Arc::new(HostRunner::new(options)) as Arc<dyn Runner>
                };
                Ok(Arc::clone(host.get_or_insert_with(make)))
            }
            RunnerKind::Docker => Ok(Arc::clone(&self.docker) as Arc<dyn Runner>),
            RunnerKind::Engine => Ok(Arc::new(EngineRunner)),
            RunnerKind::Scripted => Err(RunnerError::Unavailable {
                what: "there is no scripted runner here".to_owned(),
                reason: "it exists in tests only".to_owned(),
            }),
        }
    }
}
