//! Jobs in containers: one container a job, with the shim as process 1. Steps are started by fork and exec within it, so a
//! step costs a millisecond or two, and the job outlives the engine's process.
//!
//! Files are shared with the engine by bind mounts, and the shim is reached by its socket in one of them. An engine on
//! another machine shares no files: it is refused with a way out.

mod body;
mod containers;
mod dial;
mod folders;
mod options;
mod sandbox;
mod services;
mod sweep;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use serde_json::{Value, json};

use crate::client::docker::{Engine, Image, ensure_image};
use crate::client::shim::{EMBEDDED_ARCH, ShimClient, write_embedded};
use crate::id::RunId;
use crate::plan::ir::RunnerKind;
use crate::runner::contract::{ContainerSpec, Progress, Runner, RunnerError, Sandbox, SandboxSpec, StepCommand};
use crate::runner::docker::containers::{create, create_network, remove, remove_network, runs, start, tail};
use crate::runner::docker::dial::FolderDial;
use crate::runner::docker::folders::SOCKET;
use crate::runner::docker::sandbox::DockerSandbox;

pub use options::split as split_options;
pub use services::DockerServices;

/// How often it is looked whether the container of a shim that does not answer yet still runs.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What is left of an attempt is removed by then, or `close` fails.
const CLOSE_LIMIT: Duration = Duration::from_secs(60);
/// How long giving files back to this user may take.
const RELEASE_LIMIT: Duration = Duration::from_secs(10);

/// How containers are used.
#[derive(Clone)]
pub struct DockerOptions {
    /// Where the shim's program is kept (`shim` in the state folder).
    pub shim_folder: PathBuf,
}

/// Runs jobs in containers of one engine.
pub struct DockerRunner {
    engine: Arc<Engine>,
    options: DockerOptions,
}

impl DockerRunner {
    /// A runner over `engine`; nothing is asked of it before the first job.
    pub fn new(engine: Arc<Engine>, options: DockerOptions) -> Self {
        Self { engine, options }
    }

    /// Whether the engine answers.
    pub async fn ping(&self) -> Result<(), RunnerError> {
        self.engine.client().await.map(drop)
    }

    /// Removes containers and networks that carry `state_label` and belong to runs that are not alive.
    pub async fn sweep(&self, state_label: &str, is_live: impl Fn(&RunId) -> bool) -> Result<usize, RunnerError> {
        sweep::sweep(self.engine.client().await?, state_label, is_live).await
    }

    async fn sandbox(
        &self,
        docker: &Docker,
        spec: &SandboxSpec,
        token: Vec<u8>,
    ) -> Result<Arc<dyn Sandbox>, RunnerError> {
        let ended = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                if matches!(runs(docker, &spec.name).await, Ok(false)) {
                    break;
                }
            }
        };
        let connected = tokio::select! {
            connected = connect(spec, token) => connected.map_err(|error| error.to_string()),
            () = ended => Err("it ended".to_owned()),
        };
        let shim = match connected {
            Ok(shim) => shim,
            Err(reason) => return Err(self.explain(docker, spec, reason).await),
        };
        let facts = self.facts(docker, spec).await?;
        let user_differs = !folders_are_roots(spec);
        Ok(Arc::new(DockerSandbox::new(spec, facts, shim, user_differs)))
    }

    /// Why a container's shim cannot be reached: it ended, or it shares no files with this machine.
    async fn explain(&self, docker: &Docker, spec: &SandboxSpec, reason: String) -> RunnerError {
        match runs(docker, &spec.name).await {
            Ok(true) if !spec.folder.join(folders::BOX).join(SOCKET).exists() => RunnerError::Unavailable {
                what: "the container engine shares no files with this machine".to_owned(),
                reason: format!(
                    "what a container writes below \"{}\" is not seen here; run Slipway on the engine's machine",
                    spec.folder.display()
                ),
            },
            Ok(true) => RunnerError::Lost { name: spec.name.clone(), reason },
            _ => RunnerError::Lost {
                name: spec.name.clone(),
                reason: format!("its container ended: {}", tail(docker, &spec.name).await),
            },
        }
    }

    async fn remove_all(&self, spec: &SandboxSpec) -> Result<(), RunnerError> {
        let docker = self.engine.client().await?;
        release(spec).await;
        let services = async {
            match spec.services.is_empty() {
                true => Ok(()),
                false => services::remove_all(docker, spec).await,
            }
        };
        let (removed, stopped) = tokio::join!(remove(docker, &spec.name), services);
        let parted = match has_network(spec) {
            true => remove_network(docker, &spec.name).await,
            false => Ok(()),
        };
        let gone = match tokio::fs::remove_dir_all(&spec.folder).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(other("remove the folders of", spec)(error)),
            _ => Ok(()),
        };
        removed.and(stopped).and(parted).and(gone)
    }

    async fn facts(&self, docker: &Docker, spec: &SandboxSpec) -> Result<Value, RunnerError> {
        let services = match spec.services.is_empty() {
            true => Some(json!({})),
            false => services::facts(docker, spec).await?,
        };
        let network = if has_network(spec) { spec.name.as_str() } else { "bridge" };
        Ok(json!({"container": {"id": spec.name, "network": network}, "services": services}))
    }

    async fn make(&self, docker: &Docker, spec: &SandboxSpec, progress: &dyn Progress) -> Result<(), RunnerError> {
        let Some(container) = &spec.container else {
            return Err(RunnerError::Refused(format!(
                "job \"{}\" has no image, so it cannot run in a container: give it \"image:\"",
                spec.attempt.job
            )));
        };
        let options = body::options(container, spec)?;
        for service in &spec.services {
            body::options(&service.container, spec)?;
        }
        if options.entrypoint.is_some() {
            progress.line("--entrypoint is not used: steps are started by Slipway's own process 1");
        }
        let user = options.user.clone();
        let shim = write_embedded(&self.options.shim_folder).map_err(other("write the shim for", spec))?;
        let network = has_network(spec).then_some(spec.name.as_str());
        // The image is looked at while the network is made: both take their time.
        let (image, made) =
            tokio::join!(ensure_image(docker, &container.image, container.credentials.as_ref(), progress), async {
                match network {
                    Some(name) => create_network(docker, name, body::labels(spec)).await,
                    None => Ok(()),
                }
            });
        let image = image?;
        made?;
        check_architecture(container, &image)?;
        let is_root = is_root(user.as_deref().unwrap_or(&image.user));
        folders::make(spec, is_root).map_err(other("make the folders of", spec))?;
        let (started, served) = tokio::join!(
            async {
                create(docker, &spec.name, body::job(spec, container, options, &shim, network)).await?;
                start(docker, &spec.name).await
            },
            async {
                match spec.services.is_empty() {
                    true => Ok(()),
                    false => services::start_all(docker, spec, false, progress).await.map(drop),
                }
            }
        );
        started.and(served)
    }
}

#[async_trait]
impl Runner for DockerRunner {
    fn kind(&self) -> RunnerKind {
        RunnerKind::Docker
    }

    async fn open(&self, spec: &SandboxSpec, progress: Arc<dyn Progress>) -> Result<Arc<dyn Sandbox>, RunnerError> {
        let docker = self.engine.client().await?;
        self.make(docker, spec, &*progress).await?;
        match folders::token(spec).map_err(other("read the token of", spec))? {
            Some(token) => self.sandbox(docker, spec, token).await,
            None => Err(RunnerError::Lost { name: spec.name.clone(), reason: "its token is gone".to_owned() }),
        }
    }

    async fn adopt(&self, spec: &SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, RunnerError> {
        let Some(token) = folders::token(spec).map_err(other("read the token of", spec))? else { return Ok(None) };
        let docker = self.engine.client().await?;
        match runs(docker, &spec.name).await? {
            true => self.sandbox(docker, spec, token).await.map(Some),
            false => Ok(None),
        }
    }

    async fn close(&self, spec: &SandboxSpec) -> Result<(), RunnerError> {
        let late = |_| RunnerError::Other {
            what: format!("failed to remove what is left of \"{}\"", spec.name),
            source: format!("the engine did not do it within {} s", CLOSE_LIMIT.as_secs()).into(),
        };
        tokio::time::timeout(CLOSE_LIMIT, self.remove_all(spec)).await.map_err(late)?
    }

    async fn finish(&self, _run: &RunId) -> Result<(), RunnerError> {
        // Nothing serves a whole run here.
        Ok(())
    }
}

async fn connect(spec: &SandboxSpec, token: Vec<u8>) -> Result<ShimClient, RunnerError> {
    let dial = FolderDial { folder: spec.folder.join(folders::BOX), name: SOCKET };
    ShimClient::connect(&spec.name, Arc::new(dial), token).await
}

/// Where this process is not root, files of the container's user are not ours to remove: the container opens them to
/// everybody before it goes. An image without `chmod` keeps them closed, and so does a container that is dead; then removing
/// them fails and says so.
async fn release(spec: &SandboxSpec) {
    if rustix::process::geteuid().is_root() || !spec.folder.join(folders::BOX).join(SOCKET).exists() {
        return;
    }
    let Ok(Some(token)) = folders::token(spec) else { return };
    let opened = async {
        let shim = connect(spec, token).await.ok()?;
        let places = folders::foreign(spec);
        let command = StepCommand {
            key: spec.attempt.step(folders::RELEASE_STEP),
            argv: ["chmod", "-R", "a+rwX"].into_iter().map(str::to_owned).chain(places).collect(),
            env: Vec::new(),
            path: Vec::new(),
            cwd: "/".to_owned(),
            files: Vec::new(),
            collect: Vec::new(),
        };
        let mut events = shim.start(command).await.ok()?;
        while events.recv().await.is_some() {}
        Some(())
    };
    // What cannot be opened is told when it cannot be removed.
    let _ = tokio::time::timeout(RELEASE_LIMIT, opened).await;
}

/// Whether the container's user is root: as `folders::make` has noted it in the mode of the shim's folder.
fn folders_are_roots(spec: &SandboxSpec) -> bool {
    let mode = std::fs::metadata(spec.folder.join(folders::BOX)).map(|data| data.permissions().mode());
    mode.is_ok_and(|mode| mode & 0o002 == 0)
}

fn has_network(spec: &SandboxSpec) -> bool {
    spec.own_network || !spec.services.is_empty()
}

fn other(what: &'static str, spec: &SandboxSpec) -> impl FnOnce(io::Error) -> RunnerError {
    let name = spec.name.clone();
    move |error| RunnerError::Other { what: format!("failed to {what} \"{name}\""), source: error.into() }
}

/// The shim is a program of one architecture.
fn check_architecture(container: &ContainerSpec, image: &Image) -> Result<(), RunnerError> {
    let ours = match EMBEDDED_ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    if image.architecture.is_empty() || image.architecture == ours {
        return Ok(());
    }
    Err(RunnerError::Image {
        image: container.image.clone(),
        reason: format!(
            "it is for {}, and this Slipway starts steps on {ours} only; name an image for {ours}",
            image.architecture
        ),
    })
}

fn is_root(user: &str) -> bool {
    matches!(user.split(':').next().unwrap_or_default(), "" | "0" | "root")
}
