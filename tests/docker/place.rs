//! What the Docker tests share: images made on this machine, specs, steps read to their end, and a look at what is left.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use slipway::client::docker::Engine;
use slipway::clock::{Clock, SystemClock};
use slipway::id::{AttemptId, JobId, RunId};
use slipway::runner::contract::{
    ContainerSpec, Progress, Runner, RunnerError, Sandbox, SandboxSpec, ServiceSpec, StepCommand, StepEvent, StepExit,
};
use slipway::runner::docker::{DockerOptions, DockerRunner};
use tokio::sync::mpsc::Receiver;

/// An image with a shell, made by `scripts/test-images`.
pub const BUSYBOX: &str = "slipway-test/busybox";

/// Keeps what is said.
#[derive(Default)]
pub struct Said(pub Mutex<Vec<String>>);

impl Progress for Said {
    fn line(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
    fn state(&self, _: &str) {}
}

/// One test's folder, run and label: tests run side by side and know nothing of each other.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub run: RunId,
    pub label: String,
}

impl Place {
    pub fn new() -> Self {
        static IMAGES: OnceLock<()> = OnceLock::new();
        IMAGES.get_or_init(|| {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/test-images");
            assert!(Command::new(script).status().unwrap().success(), "{script} failed");
        });
        let run = RunId::new(SystemClock.now());
        Self { folder: tempfile::tempdir().unwrap(), label: format!("test-{run}"), run }
    }

    pub fn engine(&self) -> Arc<Engine> {
        Arc::new(Engine::from_environment())
    }

    /// A runner as another process would have it.
    pub fn runner(&self) -> DockerRunner {
        DockerRunner::new(self.engine(), DockerOptions { shim_folder: self.folder.path().join("shim") })
    }

    pub fn spec(&self, job: &str, image: &str) -> SandboxSpec {
        let attempt = AttemptId::new(JobId::from(job), 1);
        let workspace = self.folder.path().join("work").join(job);
        std::fs::create_dir_all(&workspace).unwrap();
        SandboxSpec {
            run: self.run.clone(),
            name: attempt.effect_name(&self.run),
            folder: self.folder.path().join("attempts").join(job),
            attempt,
            state_label: self.label.clone(),
            workspace,
            run_folder: self.folder.path().to_owned(),
            tool_cache: self.folder.path().join("tools"),
            container: Some(container(image)),
            services: Vec::new(),
            own_network: false,
            allow_privileged: false,
            resume_window: Duration::from_secs(120),
        }
    }

    pub async fn open(&self, spec: &SandboxSpec) -> Result<Arc<dyn Sandbox>, RunnerError> {
        self.runner().open(spec, Arc::new(Said::default())).await
    }

    /// Containers and networks that carry this test's label.
    pub fn left(&self) -> Vec<String> {
        let filter = format!("label=dev.slipway.state={}", self.label);
        let list = |arguments: &[&str]| {
            let output = Command::new("docker").args(arguments).args(["--filter", &filter]).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let text = list(&["ps", "-aq"]) + &list(&["network", "ls", "-q"]);
        text.lines().map(str::to_owned).collect()
    }

    /// Closes twice, as may happen, and checks that nothing is left.
    pub async fn close(&self, specs: &[&SandboxSpec]) {
        for spec in specs.iter().chain(specs) {
            self.runner().close(spec).await.unwrap();
            assert!(!spec.folder.exists());
        }
        assert_eq!(self.left(), Vec::<String>::new());
    }
}

impl Drop for Place {
    /// A test that fails leaves nothing for the next either.
    fn drop(&mut self) {
        for id in self.left() {
            for kind in [&["rm", "-fv"][..], &["network", "rm"]] {
                let _ = Command::new("docker").args(kind).arg(&id).output();
            }
        }
    }
}

pub fn container(image: &str) -> ContainerSpec {
    ContainerSpec { image: image.to_owned(), ..ContainerSpec::default() }
}

pub fn service(id: &str, image: &str) -> ServiceSpec {
    ServiceSpec { id: id.to_owned(), container: container(image) }
}

pub fn command(spec: &SandboxSpec, step: u32, argv: &[&str]) -> StepCommand {
    StepCommand {
        key: spec.attempt.step(step),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: Vec::new(),
        path: Vec::new(),
        cwd: "/github/workspace".to_owned(),
        files: Vec::new(),
        collect: Vec::new(),
    }
}

/// Everything from offset `from` on, and the end.
pub async fn all(mut events: Receiver<StepEvent>, from: u64) -> (String, StepExit) {
    let mut text = Vec::new();
    while let Some(event) = events.recv().await {
        match event {
            StepEvent::Output { offset, bytes } => {
                assert_eq!(offset, from + text.len() as u64);
                text.extend(bytes);
            }
            StepEvent::Exited(exit) => return (String::from_utf8(text).unwrap(), exit),
            StepEvent::Lost { reason } => panic!("lost: {reason}"),
        }
    }
    panic!("no end")
}

/// Runs a step and gives its output and end.
pub async fn run(sandbox: &dyn Sandbox, command: StepCommand) -> (String, StepExit) {
    all(sandbox.start(command).await.unwrap(), 0).await
}

/// A path below the workspace as the engine sees it.
pub fn in_workspace(spec: &SandboxSpec, name: &str) -> PathBuf {
    spec.workspace.join(name)
}
