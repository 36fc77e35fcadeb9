//! The port of runners.
//!
//! Order of calls for one attempt: `open` (or `adopt` after a crash), then steps one after another: `start`, events until
//! `Exited`, `signal` at any time between; `close` at the end, also after a failed or half-done `open`, and more than once.
//! Attempts run side by side. Every name is deterministic ([`SandboxSpec::name`]), so an engine that died between intent and
//! effect finds what it made.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::event::Exit;
use crate::id::{AttemptId, RunId, StepKey};
use crate::plan::ir::RunnerKind;
use crate::secret::Secret;

/// A place where jobs can run.
#[async_trait]
pub trait Runner: Send + Sync {
    /// Which kind it is.
    fn kind(&self) -> RunnerKind;

    /// Makes the sandbox and waits until steps can start in it (image, network, healthy services). Fails whole: what it
    /// made before failing is removed by `close`, which the caller calls in any case. If the sandbox exists already it is
    /// adopted.
    async fn open(&self, spec: &SandboxSpec, progress: Arc<dyn Progress>) -> Result<Arc<dyn Sandbox>, RunnerError>;

    /// Finds the sandbox that an earlier engine process made; `None` when it is not there (any more).
    async fn adopt(&self, spec: &SandboxSpec) -> Result<Option<Arc<dyn Sandbox>>, RunnerError>;

    /// Removes everything of the attempt: processes, container, network, services, `spec.folder`. Succeeds when nothing is
    /// there. Has its own deadline; never hangs.
    async fn close(&self, spec: &SandboxSpec) -> Result<(), RunnerError>;

    /// The run is over: removes what serves all its jobs here (the host's shim). Succeeds when nothing is there.
    async fn finish(&self, run: &RunId) -> Result<(), RunnerError>;
}

/// A sandbox: one attempt's place. Shared; all methods may be called at once.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// Paths as steps see them.
    fn paths(&self) -> &SandboxPaths;

    /// What the `job` context says of containers and services: `{container: {id, network}, services: {db: {id, network,
    /// ports: {"5432": "32768"}}}}`; empty on the host without services.
    fn facts(&self) -> serde_json::Value;

    /// The folder, as steps see it, that holds the step's files ([`StepCommand::files`] are written there). It is known
    /// before the step starts, so that argv and environment can name files in it.
    fn step_folder(&self, key: &StepKey) -> String;

    /// Starts a step. Idempotent by `command.key`: a known key starts nothing and gives the stream from its beginning.
    async fn start(&self, command: StepCommand) -> Result<mpsc::Receiver<StepEvent>, RunnerError>;

    /// After a crash: the stream of a step that may have been started, from raw offset `offset`; `None` when it never was.
    /// `collect` as in [`StepCommand::collect`].
    async fn attach(
        &self,
        key: &StepKey,
        offset: u64,
        collect: &[String],
    ) -> Result<Option<mpsc::Receiver<StepEvent>>, RunnerError>;

    /// Sends a signal to every process of the step. Succeeds when the step is over.
    async fn signal(&self, key: &StepKey, signal: Signal) -> Result<(), RunnerError>;

    /// Raw output up to `offset` is safe in the log; the spool may forget it.
    async fn acknowledge(&self, key: &StepKey, offset: u64) -> Result<(), RunnerError>;

    /// Brings the workspace's files to the engine's side before it reads them. Nothing to do where files are shared.
    async fn sync_out(&self) -> Result<(), RunnerError> {
        Ok(())
    }

    /// Brings the workspace's files to the job's side after the engine wrote them. Nothing to do where files are shared.
    async fn sync_in(&self) -> Result<(), RunnerError> {
        Ok(())
    }
}

/// Hears of slow preparations (pulling an image, waiting for health).
pub trait Progress: Send + Sync {
    /// A line for the job's log.
    fn line(&self, text: &str);

    /// A state that the next one replaces ("pulling alpine:3: 12 of 30 MiB"); shown, not kept.
    fn state(&self, text: &str);
}

/// Everything a runner must know to make a sandbox.
#[derive(Debug, Clone)]
pub struct SandboxSpec {
    /// The run.
    pub run: RunId,
    /// The attempt.
    pub attempt: AttemptId,
    /// `slipway-<run>-<job>-<attempt>`.
    pub name: String,
    /// The state folder's label: effects that carry it are this installation's.
    pub state_label: String,
    /// The job's workspace on the engine's machine; exists before `open`. Removed by the engine, not the runner.
    pub workspace: PathBuf,
    /// A private folder (0700) of the attempt on the engine's machine for sockets, scripts, spools, temp and home. The
    /// runner makes it in `open` and removes it in `close`.
    pub folder: PathBuf,
    /// A folder of the run on the engine's machine that all its attempts share (the host's shim lives there).
    pub run_folder: PathBuf,
    /// Where tools may be kept between runs (`RUNNER_TOOL_CACHE`), on the engine's machine.
    pub tool_cache: PathBuf,
    /// The job's container, for runners that have containers.
    pub container: Option<ContainerSpec>,
    /// Services, in file order.
    pub services: Vec<ServiceSpec>,
    /// A network of its own even without services.
    pub own_network: bool,
    /// Whether options that widen rights may be used.
    pub allow_privileged: bool,
    /// How long the sandbox stays when no engine is connected: then it ends its jobs by itself.
    pub resume_window: Duration,
}

/// A container as asked for, all expressions evaluated.
#[derive(Debug, Clone, Default)]
pub struct ContainerSpec {
    /// The image's reference.
    pub image: String,
    /// Credentials of the file; else the user's docker configuration is asked.
    pub credentials: Option<(String, Secret)>,
    /// Environment of the container.
    pub env: Vec<(String, String)>,
    /// `8080:80`, `80`, `80/udp`.
    pub ports: Vec<String>,
    /// `/host:/container[:ro]` or `name:/container`.
    pub volumes: Vec<String>,
    /// docker create's options as one string, split like a shell splits (no expansion).
    pub options: String,
    /// A command in place of the image's (services only).
    pub command: Vec<String>,
}

/// A service as asked for.
#[derive(Debug, Clone)]
pub struct ServiceSpec {
    /// Its id and host name.
    pub id: String,
    /// Its container.
    pub container: ContainerSpec,
}

/// Paths as steps see them.
#[derive(Debug, Clone)]
pub struct SandboxPaths {
    /// `GITHUB_WORKSPACE`.
    pub workspace: String,
    /// `RUNNER_TEMP`.
    pub temp: String,
    /// `HOME`; `None` keeps what the sandbox has.
    pub home: Option<String>,
    /// `RUNNER_TOOL_CACHE`.
    pub tool_cache: String,
    /// The engine's path of the home folder, for caches of `~/...`; `None` where files are not shared.
    pub home_on_engine: Option<PathBuf>,
}

/// A step to start.
#[derive(Debug, Clone)]
pub struct StepCommand {
    /// Its key; starting is idempotent by it.
    pub key: StepKey,
    /// Program and arguments; the program is looked up in `env`'s PATH inside the sandbox.
    pub argv: Vec<String>,
    /// The whole environment on top of the sandbox's own (container's image env, or on the host a clean base); later
    /// entries win.
    pub env: Vec<(String, String)>,
    /// Entries to put in front of PATH, first comes first.
    pub path: Vec<String>,
    /// Where it runs, as steps see it. A missing folder is a `RunnerError::Start`.
    pub cwd: String,
    /// Files to write into the step's folder before it starts: name and content. Empty files are made too.
    pub files: Vec<(String, Vec<u8>)>,
    /// Names of files in the step's folder whose content is wanted at exit (missing ones are left out; each at most 10 MiB).
    pub collect: Vec<String>,
}

/// What comes of a started step, in order; `Exited` is the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepEvent {
    /// Raw output, standard output and error in the order in which they were written.
    Output {
        /// Offset of the first byte in the step's whole output.
        offset: u64,
        /// At most 64 KiB.
        bytes: Vec<u8>,
    },
    /// It is over; all output has been given before.
    Exited(StepExit),
    /// The sandbox is gone or the shim does not answer: what became of the step cannot be known.
    Lost {
        /// Why.
        reason: String,
    },
}

/// How a step's process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepExit {
    /// Code, signal or memory limit.
    pub exit: Exit,
    /// Contents of the files asked for, in the order asked.
    pub files: Vec<(String, Vec<u8>)>,
}

/// The signals of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGKILL, to everything the step has started, daemons too.
    Kill,
}

/// Why a runner could not do what it was asked. A step that fails is no error.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The place is not there: no engine answers.
    #[error("{what}: {reason}")]
    Unavailable {
        /// What was tried.
        what: String,
        /// Why it failed and what to do.
        reason: String,
    },
    /// The image cannot be had.
    #[error("failed to get image \"{image}\": {reason}")]
    Image {
        /// The image.
        image: String,
        /// Why.
        reason: String,
    },
    /// What was asked for is not allowed, or wrong; the message names the option and the way out.
    #[error("{0}")]
    Refused(String),
    /// The step's program cannot be started (not found, not executable): the step fails.
    #[error("failed to start \"{program}\": {reason}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        reason: String,
    },
    /// A service did not become healthy; the message has its last lines.
    #[error("service \"{service}\" did not become healthy: {reason}")]
    Service {
        /// The service.
        service: String,
        /// Why, with its log's end.
        reason: String,
    },
    /// The sandbox is gone.
    #[error("sandbox \"{name}\" is lost: {reason}")]
    Lost {
        /// Its name.
        name: String,
        /// How that shows.
        reason: String,
    },
    /// Anything else of the operating system or engine.
    #[error("{what}")]
    Other {
        /// What was tried.
        what: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
