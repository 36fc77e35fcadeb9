use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;

use crate::clock::{Clock, SystemClock};
use crate::event::Exit;
use crate::id::{AttemptId, JobId, RunId};
use crate::runner::contract::{
    Progress, Runner, RunnerError, Sandbox, SandboxSpec, ServiceSpec, Signal, StepCommand, StepEvent, StepExit,
};
use crate::runner::host::{HostOptions, HostRunner};

struct Quiet;

impl Progress for Quiet {
    fn line(&self, _: &str) {}
    fn state(&self, _: &str) {}
}

fn runner(folder: &Path) -> HostRunner {
    HostRunner::new(HostOptions::new(folder.join("shim")))
}

fn spec(folder: &Path, run: &RunId, job: &str) -> SandboxSpec {
    let attempt = AttemptId::new(JobId::from(job), 1);
    let workspace = folder.join("workspace");
    std::fs::create_dir_all(&workspace).unwrap();
    SandboxSpec {
        run: run.clone(),
        name: attempt.effect_name(run),
        folder: folder.join("attempts").join(attempt.to_string().replace('/', ".")),
        attempt,
        state_label: "test".to_owned(),
        workspace,
        run_folder: folder.to_owned(),
        tool_cache: folder.join("tools"),
        container: None,
        services: Vec::new(),
        own_network: false,
        allow_privileged: false,
        resume_window: Duration::from_secs(60),
    }
}

fn command(spec: &SandboxSpec, step: u32, script: &str) -> StepCommand {
    StepCommand {
        key: spec.attempt.step(step),
        argv: vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
        env: Vec::new(),
        path: Vec::new(),
        cwd: spec.workspace.to_string_lossy().into_owned(),
        files: Vec::new(),
        collect: Vec::new(),
    }
}

async fn all(mut events: Receiver<StepEvent>) -> (String, StepExit) {
    let mut text = Vec::new();
    while let Some(event) = events.recv().await {
        match event {
            StepEvent::Output { offset, bytes } => {
                assert_eq!(offset, text.len() as u64);
                text.extend(bytes);
            }
            StepEvent::Exited(exit) => return (String::from_utf8(text).unwrap(), exit),
            StepEvent::Lost { reason } => panic!("lost: {reason}"),
        }
    }
    panic!("no end")
}

fn new_run() -> RunId {
    RunId::new(SystemClock.now())
}

async fn open(runner: &HostRunner, spec: &SandboxSpec) -> Arc<dyn Sandbox> {
    runner.open(spec, Arc::new(Quiet)).await.unwrap()
}

#[tokio::test]
async fn a_step_runs_with_its_files_environment_and_path() {
    let folder = tempfile::tempdir().unwrap();
    let (runner, run) = (runner(folder.path()), new_run());
    let spec = spec(folder.path(), &run, "build");
    let sandbox = open(&runner, &spec).await;
    let own = sandbox.step_folder(&spec.attempt.step(0));
    let mut step = command(&spec, 0, "echo $A; tool; cat $F; echo x=1 > $OUT; pwd; exit 3");
    std::fs::write(spec.workspace.join("tool"), "#!/bin/sh\necho tool\n").unwrap();
    std::fs::set_permissions(spec.workspace.join("tool"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    step.env = [("A", "first"), ("A", "second"), ("F", &format!("{own}/given")), ("OUT", &format!("{own}/output"))]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    step.path = vec![spec.workspace.to_string_lossy().into_owned()];
    step.files = vec![("given".to_owned(), b"given\n".to_vec()), ("output".to_owned(), Vec::new())];
    step.collect = ["output", "missing", "given"].map(str::to_owned).into();
    let (text, exit) = all(sandbox.start(step).await.unwrap()).await;
    assert_eq!(text, format!("second\ntool\ngiven\n{}\n", spec.workspace.canonicalize().unwrap().display()));
    assert_eq!(exit.exit, Exit::Code(3));
    let files = [("output", b"x=1\n".to_vec()), ("given", b"given\n".to_vec())].map(|(n, c)| (n.to_owned(), c));
    assert_eq!(exit.files, files);
    runner.close(&spec).await.unwrap();
    assert!(!spec.folder.exists() && !Path::new(&own).exists());
    runner.close(&spec).await.unwrap();
    runner.finish(&run).await.unwrap();
    assert!(!Path::new(&own).parent().unwrap().exists());
    runner.finish(&run).await.unwrap();
}

#[tokio::test]
async fn what_cannot_start_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (runner, run) = (runner(folder.path()), new_run());
    let spec = spec(folder.path(), &run, "build");
    let sandbox = open(&runner, &spec).await;
    let mut missing = command(&spec, 0, "");
    missing.argv[0] = "no-such-program".to_owned();
    let mut nowhere = command(&spec, 1, "");
    nowhere.cwd = "/no/such/folder".to_owned();
    let mut plain = command(&spec, 2, "");
    std::fs::write(spec.workspace.join("plain"), "text").unwrap();
    plain.argv[0] = spec.workspace.join("plain").to_string_lossy().into_owned();
    for (step, word) in [(missing, "PATH"), (nowhere, "/no/such/folder"), (plain, "permission denied")] {
        let again = step.clone();
        for step in [step, again] {
            let Err(RunnerError::Start { reason, .. }) = sandbox.start(step).await else { panic!("{word}") };
            assert!(reason.to_lowercase().contains(&word.to_lowercase()), "{reason}");
        }
    }
    runner.finish(&run).await.unwrap();
}

#[tokio::test]
async fn services_need_somebody_who_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let (runner, run) = (runner(folder.path()), new_run());
    let mut spec = spec(folder.path(), &run, "build");
    spec.services.push(ServiceSpec { id: "db".to_owned(), container: Default::default() });
    let Err(RunnerError::Refused(text)) = runner.open(&spec, Arc::new(Quiet)).await else { panic!() };
    assert!(text.contains("\"db\""), "{text}");
    runner.close(&spec).await.unwrap();
    runner.finish(&run).await.unwrap();
}

#[tokio::test]
async fn another_engine_adopts_what_runs() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run();
    let spec = spec(folder.path(), &run, "build");
    assert!(runner(folder.path()).adopt(&spec).await.unwrap().is_none());
    let gate = spec.workspace.join("gate");
    {
        let first = runner(folder.path());
        let sandbox = open(&first, &spec).await;
        let script = "echo one; while [ ! -e gate ]; do read x < /dev/null; done; echo two; exit 5";
        let mut events = sandbox.start(command(&spec, 0, script)).await.unwrap();
        assert_eq!(events.recv().await, Some(StepEvent::Output { offset: 0, bytes: b"one\n".to_vec() }));
    }
    let second = runner(folder.path());
    let sandbox = second.adopt(&spec).await.unwrap().expect("the shim is there");
    assert!(sandbox.attach(&spec.attempt.step(1), 0, &[]).await.unwrap().is_none());
    let mut events = sandbox.attach(&spec.attempt.step(0), 4, &[]).await.unwrap().expect("the step was started");
    std::fs::write(gate, "").unwrap();
    assert_eq!(events.recv().await, Some(StepEvent::Output { offset: 4, bytes: b"two\n".to_vec() }));
    let exit = StepExit { exit: Exit::Code(5), files: Vec::new() };
    assert_eq!(events.recv().await, Some(StepEvent::Exited(exit)));
    // Starting it again gives the same, from the beginning.
    let (text, exit) = all(sandbox.start(command(&spec, 0, "echo three")).await.unwrap()).await;
    assert_eq!((text.as_str(), exit.exit), ("one\ntwo\n", Exit::Code(5)));
    second.finish(&run).await.unwrap();
}

#[tokio::test]
async fn a_stalled_reader_holds_up_its_own_step_only() {
    let folder = tempfile::tempdir().unwrap();
    let (runner, run) = (runner(folder.path()), new_run());
    let spec = spec(folder.path(), &run, "build");
    let sandbox = open(&runner, &spec).await;
    let stalled = sandbox.start(command(&spec, 0, "head -c 20000000 /dev/zero")).await.unwrap();
    for step in 1..20 {
        let (text, exit) = all(sandbox.start(command(&spec, step, "head -c 100000 /dev/zero")).await.unwrap()).await;
        assert_eq!((text.len(), exit.exit), (100_000, Exit::Code(0)));
    }
    let (text, _) = all(stalled).await;
    assert_eq!(text.len(), 20_000_000);
    runner.finish(&run).await.unwrap();
}

#[tokio::test]
async fn cancelling_reaches_the_step() {
    let folder = tempfile::tempdir().unwrap();
    let (runner, run) = (runner(folder.path()), new_run());
    let spec = spec(folder.path(), &run, "build");
    let sandbox = open(&runner, &spec).await;
    for (step, signal, exit) in [
        (0, Signal::Interrupt, Exit::Code(40)),
        (1, Signal::Terminate, Exit::Signal(15)),
        (2, Signal::Kill, Exit::Signal(9)),
    ] {
        let script = "trap 'exit 40' INT; echo ready; while :; do read x < /dev/null; done";
        let mut events = sandbox.start(command(&spec, step, script)).await.unwrap();
        assert!(matches!(events.recv().await, Some(StepEvent::Output { .. })));
        sandbox.signal(&spec.attempt.step(step), signal).await.unwrap();
        assert_eq!(events.recv().await, Some(StepEvent::Exited(StepExit { exit, files: Vec::new() })));
        sandbox.signal(&spec.attempt.step(step), signal).await.unwrap();
    }
    runner.finish(&run).await.unwrap();
}
