//! How long users meet a bad release, and what the tool takes: `cargo bench --bench canary`. Needs the test ground
//! (`scripts/testground`); says so and ends where there is none.
//!
//! A canary at a weight of 20 under 200 requests a second (40 for it), two pods a side, samples from the pods each second: the time from
//! its first to its last answer, when it is dead and with 20 and 30 % of errors. A blue-green release whose new side goes bad after the
//! switch: the time from the patch that switches back to the first answer of the old side. Beside them the tool's greatest memory and its CPU.
#![expect(clippy::unwrap_used, reason = "what a measurement cannot do without ends it")]

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/delivery/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use slipway::clock::instant;
use support::{App, Ground, Load, Namespace, Project, Router, Shape};

const ROUNDS: usize = 3;
const LOAD: Shape = Shape { kept: 8, fresh: 8, rate: 200.0 };

/// What a process took.
#[derive(Debug, Default)]
struct Took {
    wall: Duration,
    cpu: Duration,
    peak_kib: u64,
}

/// Waits for a process and looks at it meanwhile.
fn watch(mut child: Child) -> (Option<i32>, Took) {
    let start = instant();
    let mut took = Took::default();
    let ticks_a_second = 100;
    loop {
        let of = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", child.id())).unwrap_or_default();
        let peak =
            of("status").lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        took.peak_kib = peak.unwrap_or(took.peak_kib);
        let stat = of("stat");
        let fields: Vec<u64> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|field| field.parse().ok())
            .collect();
        // After the name and the state's letter: user and system time stand at 10 and 11.
        if let Some([user, system]) = fields.get(10..12) {
            took.cpu = took.cpu.max(Duration::from_millis((user + system) * 1000 / ticks_a_second));
        }
        if let Ok(Some(status)) = child.try_wait() {
            took.wall = start.elapsed();
            return (status.code(), took);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn begin(project: &Project, ground: &Ground, tag: &str) -> Child {
    let image = format!("IMAGE={}", ground.image(tag));
    let mut command = project.command(&["run", "slipway.yml", "--quiet", "--var", &image]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn bad_canaries(ground: &'static Ground) {
    let namespace = Namespace::new(ground, "bench-canary");
    let app = App::new(2, Router::Ingress);
    let deploy = "strategy: {canary: {traffic: {nginx: {ingress: backend-ingress}}, replicas: 2, steps: [20, 100]}}, watch: 60s, \
                  analysis: {errors: 5%}";
    let project = Project::new(&namespace, &app, deploy);
    project.release("v1").exits(0);
    for (tag, what) in [("dead", "dead, all errors"), ("bad", "30 % errors"), ("bad20", "20 % errors")] {
        for round in 1..=ROUNDS {
            let load = Load::begin(&app.address(&namespace), LOAD);
            let (code, took) = watch(begin(&project, ground, tag));
            let answers = load.end();
            let others = answers.lost().iter().filter(|answer| answer.version() != Some(tag)).count();
            println!(
                "canary, {what}, round {round}: {:.2} s from first to last answer, {} answers, {others} others lost, exit {code:?}; \
                 tool {} MiB, {:.2} s CPU in {:.1} s",
                answers.span(tag).unwrap_or_default().as_secs_f64(),
                answers.by_version().get(tag).copied().unwrap_or(0),
                took.peak_kib / 1024,
                took.cpu.as_secs_f64(),
                took.wall.as_secs_f64(),
            );
        }
    }
}

/// The moments at which the live selector changes.
fn selector_changes(namespace: &Namespace) -> (Child, mpsc::Receiver<(Instant, String)>) {
    let mut watcher = Command::new(&namespace.ground.kubectl)
        .args(["--kubeconfig", &namespace.ground.kubeconfig, "--namespace", &namespace.name])
        .args(["get", "service", "backend-service", "--watch", "-o", "jsonpath={.spec.selector}{\"\\n\"}"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(watcher.stdout.take().unwrap());
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut last = String::new();
        for line in output.lines().map_while(Result::ok) {
            // Other parts of the object change too.
            if line == last {
                continue;
            }
            last.clone_from(&line);
            if send.send((instant(), line)).is_err() {
                return;
            }
        }
    });
    (watcher, receive)
}

fn switch_back(ground: &'static Ground) {
    let namespace = Namespace::new(ground, "bench-bg");
    let app = App::new(2, Router::Ingress);
    let deploy = "strategy: {blue-green: {service: backend-service}}, watch: 60s, analysis: {errors: 5%}";
    let project = Project::new(&namespace, &app, deploy);
    project.release("v1").exits(0);
    for round in 1..=ROUNDS {
        let load = Load::begin(&app.address(&namespace), LOAD);
        let (mut watcher, changes) = selector_changes(&namespace);
        let release = begin(&project, ground, "v2");
        let over = thread::spawn(move || watch(release));
        let served = |version: &str| load.so_far().last().is_some_and(|answer| answer.version() == Some(version));
        namespace.until("the new side answers", || served("v2"));
        for pod in App::pods(&namespace, "app=backend") {
            let is_new = namespace.ask(&pod, 8080, "/metrics").is_ok_and(|text| text.contains("version=\"v2\""));
            if is_new {
                namespace.ask(&pod, 9000, "/set?errors=100").unwrap();
            }
        }
        let (code, took) = over.join().unwrap();
        watcher.kill().unwrap();
        watcher.wait().unwrap();
        let answers = load.end();
        let back = changes.try_iter().last();
        let first_old = back.and_then(|(at, _)| {
            let mut after = answers.0.iter().filter(|answer| answer.at >= at && answer.version() == Some("v1"));
            after.next().map(|answer| answer.at - at)
        });
        println!(
            "blue-green, all errors after the switch, round {round}: old side answers {:.3} s after the patch back, exit {code:?}; tool {} MiB, \
             {:.2} s CPU in {:.1} s",
            first_old.unwrap_or_default().as_secs_f64(),
            took.peak_kib / 1024,
            took.cpu.as_secs_f64(),
            took.wall.as_secs_f64(),
        );
    }
}

fn main() {
    // `cargo test` would call it with arguments of its own.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let Some(ground) = Ground::get() else { return };
    bad_canaries(ground);
    switch_back(ground);
}
