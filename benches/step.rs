//! What a step on the host costs over its process: `cargo bench --bench step`.
//!
//! One ratio: a step through [`HostRunner`] (start to exit) over `posix_spawn` and wait of the same argv, interleaved. Then
//! 200 independent jobs (open, a script of `true`, close), several under way at once, over a shell's loop of 200
//! `sh -c true`. No journal: the engine's bench adds it. Ratios are taken within one run; times alone say little.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use slipway::clock::{Clock, SystemClock, instant};
use slipway::event::Exit;
use slipway::id::{AttemptId, JobId, RunId};
use slipway::runner::contract::{Progress, Runner, Sandbox, SandboxSpec, StepCommand, StepEvent};
use slipway::runner::host::{HostOptions, HostRunner};

const REPETITIONS: u32 = 400;
const JOBS: u32 = 200;
const ROUNDS: usize = 5;

struct Quiet;

impl Progress for Quiet {
    fn line(&self, _: &str) {}
    fn state(&self, _: &str) {}
}

fn spec(folder: &Path, run: &RunId, job: &str) -> SandboxSpec {
    let attempt = AttemptId::new(JobId::from(job), 1);
    SandboxSpec {
        run: run.clone(),
        name: attempt.effect_name(run),
        folder: folder.join(job),
        attempt,
        state_label: "bench".to_owned(),
        workspace: folder.to_owned(),
        run_folder: folder.to_owned(),
        tool_cache: folder.join("tools"),
        container: None,
        services: Vec::new(),
        own_network: false,
        allow_privileged: false,
        resume_window: Duration::from_secs(60),
    }
}

fn command(spec: &SandboxSpec, sandbox: &dyn Sandbox, step: u32, argv: &[&str], files: bool) -> StepCommand {
    let key = spec.attempt.step(step);
    let folder = sandbox.step_folder(&key);
    let names = if files { &["script", "output", "env", "path", "summary"][..] } else { &[] };
    StepCommand {
        argv: argv.iter().map(|argument| argument.replace("{0}", &format!("{folder}/script"))).collect(),
        env: names.iter().map(|name| (format!("FILE_{name}"), format!("{folder}/{name}"))).collect(),
        path: Vec::new(),
        cwd: spec.workspace.to_string_lossy().into_owned(),
        files: names
            .iter()
            .map(|name| ((*name).to_owned(), if *name == "script" { b"true\n".to_vec() } else { vec![] }))
            .collect(),
        collect: names.iter().skip(1).map(|name| (*name).to_owned()).collect(),
        key,
    }
}

async fn run_step(sandbox: &dyn Sandbox, command: StepCommand) {
    let mut events = sandbox.start(command).await.expect("the step starts");
    loop {
        match events.recv().await {
            Some(StepEvent::Exited(exit)) => break assert_eq!(exit.exit, Exit::Code(0)),
            Some(StepEvent::Output { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn spawn_and_wait(argv: &[&str]) {
    let mut command = Command::new(argv[0]);
    command.args(&argv[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().expect("the program runs").success());
}

fn micros(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6
}

async fn one_by_one(runner: &HostRunner, folder: &Path, run: &RunId, argv: &[&str]) {
    let spec = spec(folder, run, argv[0]);
    let sandbox = runner.open(&spec, Arc::new(Quiet)).await.expect("the sandbox opens");
    let (mut steps, mut floor) = (Vec::new(), Vec::new());
    for step in 0..REPETITIONS {
        let command = command(&spec, &*sandbox, step, argv, false);
        let start = instant();
        run_step(&*sandbox, command).await;
        steps.push(start.elapsed());
        let start = instant();
        spawn_and_wait(argv);
        floor.push(start.elapsed());
    }
    runner.close(&spec).await.expect("the sandbox closes");
    let (p50, p99) = (micros(&mut steps, 50), micros(&mut steps, 99));
    let (floor50, floor99) = (micros(&mut floor, 50), micros(&mut floor, 99));
    println!(
        "step {argv:?}: p50 {p50:.0} us, p99 {p99:.0} us; posix_spawn and wait: p50 {floor50:.0} us, p99 {floor99:.0} us"
    );
    println!("  ratio p50 {:.2}, p99 {:.2} (target: p50 at most 2)", p50 / floor50, p99 / floor99);
}

/// 200 jobs, each with the files of a real step; `flight` of them at once.
async fn side_by_side(runner: &Arc<HostRunner>, folder: &Path, run: &RunId, flight: u32, round: usize) -> Duration {
    let start = instant();
    let workers = (0..flight).map(|worker| {
        let (runner, folder, run) = (Arc::clone(runner), folder.to_owned(), run.clone());
        tokio::spawn(async move {
            for job in (worker..JOBS).step_by(flight as usize) {
                let spec = spec(&folder, &run, &format!("job{flight}-{round}-{job}"));
                let sandbox = runner.open(&spec, Arc::new(Quiet)).await.expect("the sandbox opens");
                run_step(&*sandbox, command(&spec, &*sandbox, 0, &["sh", "-e", "{0}"], true)).await;
                runner.close(&spec).await.expect("the sandbox closes");
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.expect("no job fails");
    }
    start.elapsed()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = RunId::new(SystemClock.now());
    let runner = Arc::new(HostRunner::new(HostOptions::new(folder.path().join("shim"))));
    let first = instant();
    let warm = spec(folder.path(), &run, "first");
    let sandbox = runner.open(&warm, Arc::new(Quiet)).await.expect("the sandbox opens");
    run_step(&*sandbox, command(&warm, &*sandbox, 0, &["true"], false)).await;
    println!("first step of a run, shim written and started: {:.1} ms", first.elapsed().as_secs_f64() * 1e3);
    one_by_one(&runner, folder.path(), &run, &["true"]).await;
    one_by_one(&runner, folder.path(), &run, &["sh", "-c", "true"]).await;
    let mut floor = Vec::new();
    let flights = [1, 2, 4, 8];
    let mut times: Vec<Vec<Duration>> = flights.iter().map(|_| Vec::new()).collect();
    for round in 0..ROUNDS {
        let start = instant();
        spawn_and_wait(&["sh", "-c", "i=0; while [ $i -lt 200 ]; do sh -c true; i=$((i+1)); done"]);
        floor.push(start.elapsed());
        for (flight, times) in flights.iter().zip(&mut times) {
            times.push(side_by_side(&runner, folder.path(), &run, *flight, round).await);
        }
    }
    let floor = micros(&mut floor, 50) / 1e3;
    println!("{JOBS} x sh -c true in a shell's loop: {floor:.0} ms");
    for (flight, times) in flights.iter().zip(&mut times) {
        let time = micros(times, 50) / 1e3;
        println!("  {JOBS} jobs, {flight} at once: {time:.0} ms, ratio {:.2} (no journal)", time / floor);
    }
    runner.finish(&run).await.expect("nothing is left");
}
