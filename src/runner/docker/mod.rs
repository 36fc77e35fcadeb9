//! Jobs in containers: one container a job, with the shim as process 1. Steps are started by fork and exec within it, so a
//! step costs a millisecond or two, and the job outlives the engine's process.
//!
//! Files are shared with the engine by bind mounts, and the shim is reached by its socket in one of them. An engine on
//! another machine shares no files: it is refused with a way out.

mod body;
mod containers;
mod options;
mod sandbox;
mod services;
mod sweep;

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use serde_json::{Value, json};

use crate::client::docker::{Engine, Image, ensure_image};
use crate::client::shim::{EMBEDDED_ARCH, ShimClient, UnixDial, write_embedded};
use crate::id::RunId;
use crate::plan::ir::RunnerKind;
use crate::runner::contract::{ContainerSpec, Progress, Runner, RunnerError, Sandbox, SandboxSpec};
use crate::runner::docker::containers::{create, create_network, remove, remove_network, runs, start, tail};
use crate::runner::docker::sandbox::DockerSandbox;

pub use options::split as split_options;
pub use services::DockerServices;

/// A container whose shim does not take its token by then is not going to.
const START_LIMIT: Duration = Duration::from_secs(30);

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

    async fn sandbox(&self, docker: &Docker, spec: &SandboxSpec) -> Result<Arc<dyn Sandbox>, RunnerError> {
        let token = read_token(spec).map_err(other("read the token of", spec))?;
        let dial = Arc::new(UnixDial { socket: spec.folder.join("box/sock") });
        let shim = tokio::time::timeout(START_LIMIT, ShimClient::connect(&spec.name, dial, token)).await;
        let shim = match shim {
            Ok(Ok(shim)) => shim,
            failed => {
                let reason = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => format!("its shim did not answer within {} s", START_LIMIT.as_secs()),
                };
                return Err(self.explain(docker, spec, reason).await);
            }
        };
        let facts = self.facts(docker, spec).await?;
        Ok(Arc::new(DockerSandbox::new(spec, facts, shim)))
    }

    /// Why a container's shim cannot be reached: it ended, or it shares no files with this machine.
    async fn explain(&self, docker: &Docker, spec: &SandboxSpec, reason: String) -> RunnerError {
        match runs(docker, &spec.name).await {
            Ok(true) if !spec.folder.join("box/sock").exists() => RunnerError::Unavailable {
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
        make_folders(spec, is_root).map_err(other("make the folders of", spec))?;
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
        self.sandbox(docker, spec).await
    }

    async fn adopt(&self, spec: &SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, RunnerError> {
        let docker = self.engine.client().await?;
        match runs(docker, &spec.name).await? {
            true => self.sandbox(docker, spec).await.map(Some),
            false => Ok(None),
        }
    }

    async fn close(&self, spec: &SandboxSpec) -> Result<(), RunnerError> {
        let docker = self.engine.client().await?;
        let removed = remove(docker, &spec.name).await;
        let stopped = match (spec.services.is_empty(), has_network(spec)) {
            (false, _) => services::stop_all(docker, spec).await,
            (true, true) => remove_network(docker, &spec.name).await,
            (true, false) => Ok(()),
        };
        let gone = match fs::remove_dir_all(&spec.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(other("remove the folders of", spec)(error)),
            _ => Ok(()),
        };
        removed.and(stopped).and(gone)
    }

    async fn finish(&self, _run: &RunId) -> Result<(), RunnerError> {
        // Nothing serves a whole run here.
        Ok(())
    }
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

/// The attempt's folder is private; what is in it is open to the container's user, whoever that is, and to nobody else who
/// cannot enter the folder above.
fn make_folders(spec: &SandboxSpec, is_root: bool) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(&spec.folder)?;
    DirBuilder::new().recursive(true).mode(0o700).create(&spec.tool_cache)?;
    let token_path = spec.folder.join("token");
    let token = match fs::read(&token_path) {
        Ok(token) => token,
        Err(_) => {
            let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()).into_bytes();
            fs::write(&token_path, &token)?;
            fs::set_permissions(&token_path, Permissions::from_mode(0o600))?;
            token
        }
    };
    for name in ["box", "temp", "home"] {
        let path = spec.folder.join(name);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(if is_root { 0o755 } else { 0o777 }))?;
    }
    let inner = spec.folder.join("box/token");
    if !spec.folder.join("box/sock").exists() {
        fs::write(&inner, token)?;
        // The shim removes it before any step starts.
        fs::set_permissions(&inner, Permissions::from_mode(if is_root { 0o600 } else { 0o666 }))?;
    }
    if !is_root {
        open_tree(&spec.workspace)?;
        fs::set_permissions(&spec.tool_cache, Permissions::from_mode(0o777))?;
    }
    Ok(())
}

/// Lets any user write in the job's own copy of the checkout: the container's user is another than ours.
fn open_tree(path: &Path) -> io::Result<()> {
    for entry in ignore::WalkBuilder::new(path).standard_filters(false).follow_links(false).build().flatten() {
        let Some(kind) = entry.file_type() else { continue };
        if kind.is_symlink() {
            continue;
        }
        let mode = fs::symlink_metadata(entry.path())?.permissions().mode();
        // Objects of git are shared with the checkout and stay as they are.
        if kind.is_file() && mode & 0o200 == 0 {
            continue;
        }
        fs::set_permissions(entry.path(), Permissions::from_mode(mode | if kind.is_dir() { 0o777 } else { 0o666 }))?;
    }
    Ok(())
}

fn read_token(spec: &SandboxSpec) -> io::Result<Vec<u8>> {
    fs::read(spec.folder.join("token"))
}
