//! What a step in a container costs: `cargo bench --bench docker`. Says so and ends when no engine answers; its images come
//! from `scripts/test-images`.
//!
//! Two measures. A step (start to exit) in a job that runs, beside `docker exec` of the same argv. A whole job of twenty steps
//! (open, twenty scripts, close) over one `docker run --rm` of the same twenty scripts, interleaved, with the default network
//! and, beside it, with a network of the job's own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use slipway::client::docker::Engine;
use slipway::clock::{Clock, SystemClock, instant};
use slipway::event::Exit;
use slipway::id::{AttemptId, JobId, RunId};
use slipway::runner::contract::{ContainerSpec, Progress, Runner, Sandbox, SandboxSpec, StepCommand, StepEvent};
use slipway::runner::docker::{DockerOptions, DockerRunner};

const IMAGE: &str = "slipway-test/busybox";
const REPETITIONS: u32 = 200;
const EXECS: u32 = 40;
const STEPS: u32 = 20;
const ROUNDS: usize = 15;
/// Does a little, as steps do.
const SCRIPT: &str = "echo step; ls / > /dev/null";

struct Quiet;

impl Progress for Quiet {
    fn line(&self, _: &str) {}
    fn state(&self, _: &str) {}
}

fn spec(folder: &Path, run: &RunId, job: &str, own_network: bool) -> SandboxSpec {
    let attempt = AttemptId::new(JobId::from(job), 1);
    let workspace = folder.join("work").join(job);
    std::fs::create_dir_all(&workspace).expect("the folder can be made");
    SandboxSpec {
        run: run.clone(),
        name: attempt.effect_name(run),
        folder: folder.join("attempts").join(job),
        attempt,
        state_label: format!("bench-{run}"),
        workspace,
        run_folder: folder.to_owned(),
        tool_cache: folder.join("tools"),
        container: Some(ContainerSpec { image: IMAGE.to_owned(), ..ContainerSpec::default() }),
        services: Vec::new(),
        own_network,
        allow_privileged: false,
        resume_window: Duration::from_secs(60),
    }
}

async fn run_step(spec: &SandboxSpec, sandbox: &dyn Sandbox, step: u32, argv: &[&str]) {
    let command = StepCommand {
        key: spec.attempt.step(step),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: Vec::new(),
        path: Vec::new(),
        cwd: "/github/workspace".to_owned(),
        files: Vec::new(),
        collect: Vec::new(),
    };
    let mut events = sandbox.start(command).await.expect("the step starts");
    loop {
        match events.recv().await {
            Some(StepEvent::Exited(exit)) => break assert_eq!(exit.exit, Exit::Code(0)),
            Some(StepEvent::Output { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn docker(arguments: &[&str]) -> Duration {
    let start = instant();
    let mut command = Command::new("docker");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().expect("docker's client is there").success(), "docker {arguments:?} failed");
    start.elapsed()
}

fn millis(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3
}

async fn job(runner: &DockerRunner, spec: &SandboxSpec) -> Duration {
    let start = instant();
    let sandbox = runner.open(spec, Arc::new(Quiet)).await.expect("the sandbox opens");
    for step in 0..STEPS {
        run_step(spec, &*sandbox, step, &["sh", "-c", SCRIPT]).await;
    }
    runner.close(spec).await.expect("the sandbox closes");
    start.elapsed()
}

async fn steps(runner: &DockerRunner, folder: &Path, run: &RunId) {
    let spec = spec(folder, run, "steps", false);
    let sandbox = runner.open(&spec, Arc::new(Quiet)).await.expect("the sandbox opens");
    let (mut times, mut execs) = (Vec::new(), Vec::new());
    for step in 0..REPETITIONS {
        let start = instant();
        run_step(&spec, &*sandbox, step, &["sh", "-c", "true"]).await;
        times.push(start.elapsed());
        if step % (REPETITIONS / EXECS) == 0 {
            execs.push(docker(&["exec", &spec.name, "sh", "-c", "true"]));
        }
    }
    runner.close(&spec).await.expect("the sandbox closes");
    let (p50, p99) = (millis(&mut times, 50), millis(&mut times, 99));
    let exec = millis(&mut execs, 50);
    println!("step in a running job: p50 {p50:.2} ms, p99 {p99:.2} ms (target: p50 at most 5)");
    println!("  docker exec of the same: p50 {exec:.1} ms, {:.0} times as long", exec / p50);
}

async fn jobs(runner: &DockerRunner, folder: &Path, run: &RunId) {
    let script = vec![format!("sh -c '{SCRIPT}'"); STEPS as usize].join(" && ");
    let (mut default, mut own, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        floor.push(docker(&["run", "--rm", IMAGE, "sh", "-c", &script]));
        default.push(job(runner, &spec(folder, run, &format!("default{round}"), false)).await);
        own.push(job(runner, &spec(folder, run, &format!("own{round}"), true)).await);
    }
    let floor = millis(&mut floor, 50);
    let (default, own) = (millis(&mut default, 50), millis(&mut own, 50));
    println!("one docker run of {STEPS} scripts: p50 {floor:.0} ms");
    println!("  a job of {STEPS} steps: p50 {default:.0} ms, ratio {:.2} (target: at most 1.3)", default / floor);
    println!("  with its own network: p50 {own:.0} ms, ratio {:.2}", own / floor);
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = RunId::new(SystemClock.now());
    let options = DockerOptions { shim_folder: folder.path().join("shim") };
    let runner = DockerRunner::new(Arc::new(Engine::from_environment()), options);
    if let Err(error) = runner.ping().await {
        println!("no engine: {error}");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/test-images");
    if !Command::new(script).status().is_ok_and(|status| status.success()) {
        println!("no images: \"{script}\" failed");
        return;
    }
    steps(&runner, folder.path(), &run).await;
    jobs(&runner, folder.path(), &run).await;
    runner.finish(&run).await.expect("nothing is left");
}
