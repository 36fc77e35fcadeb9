//! A workspace, an engine, and a registry that asks for a password.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use slipway::client::docker::Engine;
use slipway::diagnostic::Diagnostics;
use slipway::image::BuildTask;
use slipway::model::{Limits, read_node};
use slipway::span::Source;
use slipway::stage::settings::Reader;
use slipway::stage::{Build, Incident, Typed};
use slipway::task::contract::{Task, TaskEnd, TaskError, TaskSpec};
use slipway::task::testing::TestCtx;

/// An image with a shell, made by `scripts/test-images`.
pub const BASE: &str = "slipway-test/busybox";
/// Who may push.
pub const USER: &str = "ci";
/// With this password.
pub const PASSWORD: &str = "pass-word";
/// The same, as a registry has it.
const HTPASSWD: &str = "ci:$2b$05$abcdefghijklmnopqrstuulQElbHkP7vjLqXxb3Lzm18cJsfRyGH6\n";

/// Settings as a file has them, or what is wrong with them.
pub fn settings(text: &str) -> Result<Build, String> {
    let (node, _) = read_node(Source::new("b.yml", text), &Limits::default());
    let mut diagnostics = Diagnostics::new(Source::new("b.yml", text));
    let build = Build::read(&mut Reader::of_file(&mut diagnostics), &node.unwrap());
    let said: Vec<String> = diagnostics
        .list
        .iter()
        .map(|one| format!("{}|{}", one.message, one.help.as_deref().unwrap_or_default()))
        .collect();
    if said.is_empty() { build.ok_or_else(|| "no settings, and nothing said".to_owned()) } else { Err(said.join("\n")) }
}

/// What the engine hands to the task.
pub fn spec(text: &str) -> TaskSpec {
    let typed = Typed::Build(settings(text).unwrap_or_else(|error| panic!("{text}: {error}")));
    TaskSpec { typed, environment: None, incident: Incident::default(), before: Vec::new() }
}

/// One test's workspace and task; images that it names are removed in the end.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub ctx: TestCtx,
    pub task: BuildTask,
    name: String,
}

impl Place {
    pub fn new(files: &[(&str, &str)]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        // The command line does this once in its main function.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        for name in ["w", "s"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        for (name, text) in files {
            let path = folder.path().join("w").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let ctx = TestCtx::new(folder.path().join("w"), folder.path().join("s"));
        let task = BuildTask::new(Arc::new(Engine::from_environment()));
        let name = format!("slipway-test/build-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        Self { folder, ctx, task, name }
    }

    /// A name that only this test uses.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn workspace(&self) -> PathBuf {
        self.folder.path().join("w")
    }

    pub async fn run(&self, text: &str) -> Result<TaskEnd, TaskError> {
        self.task.run(&spec(text), &self.ctx).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let listed = docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        for image in listed.lines().filter(|image| image.contains(&format!("{}:", self.name))) {
            docker(&["rmi", "-f", image]);
        }
    }
}

/// What `docker` prints, on both streams.
pub fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    String::from_utf8_lossy(&output.stdout).into_owned() + &errors
}

/// Makes the images that tests build on.
pub fn images() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/test-images");
    assert!(Command::new(script).status().unwrap().success(), "{script} failed");
}

pub fn output<'e>(end: &'e TaskEnd, name: &str) -> &'e str {
    &end.outputs.iter().find(|(known, _)| known == name).unwrap().1
}

/// A registry with a password; it ends with the value.
pub struct Registry {
    pub host: String,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Registry {
    /// None, said aloud, where the program is not there.
    pub fn start() -> Option<Self> {
        let program = Path::new("/usr/bin/docker-registry");
        if !program.exists() {
            println!("skipped: there is no docker-registry");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("127.0.0.1:{port}");
        let at = folder.path().display();
        std::fs::write(folder.path().join("htpasswd"), HTPASSWD).unwrap();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {at}/data}}}}\nhttp: {{addr: \"{host}\"}}\nauth: {{htpasswd: {{realm: test, path: {at}/htpasswd}}}}\n"
        );
        std::fs::write(folder.path().join("config.yml"), config).unwrap();
        let process = Command::new(program)
            .args(["serve", "config.yml"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self { host, process, _folder: folder };
        for _ in 0..100 {
            if std::net::TcpStream::connect(&registry.host).is_ok() {
                return Some(registry);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the registry does not listen at {}", registry.host);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
