//! T-CRASH: the real binary, killed beside a record of a release's journal, and taken up again, for each record.
//!
//! `cargo test --features faults --test delivery_crash -- --ignored`. Whatever the place, `resume` ends with the new version, healthy,
//! alone and with one migration; or, when it was killed before the run was on record, with the old one. Nothing is lost meanwhile.
//! Records are killed by turns just before and just after their commit.
#![expect(clippy::unwrap_used, reason = "what a test cannot do without fails it")]
#![cfg(feature = "faults")]

#[expect(dead_code, reason = "the scenarios use more of it")]
#[path = "../delivery/support/mod.rs"]
mod support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use support::project::Ran;
use support::{App, Ground, Load, Namespace, Project, Router, Shape};

/// Namespaces side by side, each with one release at a time.
const SIDE_BY_SIDE: usize = 4;
const LOAD: Shape = Shape { kept: 2, fresh: 2, rate: 20.0 };

const MIGRATION: &str = r#"apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
        - {name: migrate, image: "${{ vars.IMAGE }}", args: [migrate]}
"#;

/// A project, its namespace, and what is live there.
struct Place {
    namespace: Namespace,
    app: App,
    project: Project,
    live: &'static str,
}

impl Place {
    fn new(ground: &'static Ground, about: &str, router: Router, deploy: &str) -> Self {
        let namespace = Namespace::new(ground, &format!("crash-{about}"));
        let app = App { pre_stop: 2, ..App::new(2, router) };
        let project = Project::new(&namespace, &app, &format!("{deploy}, migrate: migrate.yaml"));
        project.file("migrate.yaml", MIGRATION);
        project.release("v1").exits(0);
        Self { namespace, app, project, live: "v1" }
    }

    fn next(&self) -> &'static str {
        if self.live == "v1" { "v2" } else { "v1" }
    }

    fn jobs(&self) -> usize {
        self.namespace.objects("jobs", "").len()
    }

    /// How many records a release has that nothing disturbs.
    fn records(&mut self) -> usize {
        let count = self.project.path("../count");
        let tag = self.next();
        self.run(tag, &[("SLIPWAY_KILL_COUNT_FILE", count.to_str().unwrap())]).exits(0);
        self.live = tag;
        std::fs::read_to_string(count).unwrap().trim().parse().unwrap()
    }

    fn run(&self, tag: &str, env: &[(&str, &str)]) -> Ran {
        let image = format!("IMAGE={}", self.namespace.ground.image(tag));
        let mut command = self.project.command(&["run", "slipway.yml", "--var", &image]);
        command.envs(env.iter().copied()).output().unwrap().into()
    }

    /// Kills a release at a record and takes it up again; says what is wrong.
    fn killed_at(&mut self, point: &str) -> Result<(), String> {
        let tag = self.next();
        let before = self.jobs();
        let load = Load::begin(&self.app.address(&self.namespace), LOAD);
        let mut last = self.run(tag, &[("SLIPWAY_KILL_AT", point)]);
        let mut begun = true;
        if last.code.is_none() {
            last = self.project.slipway(&["resume"]);
            // Where nothing was on record there is nothing to take up.
            begun = last.code != Some(6);
        }
        let answers = load.end();
        let said = || format!("{}{}", last.stdout, last.stderr);
        let wanted = if begun { tag } else { self.live };
        if begun && last.code != Some(0) {
            return Err(format!("ended with {:?}: {}", last.code, said()));
        }
        if !answers.lost().is_empty() {
            return Err(format!("lost requests: {}; {}", answers.tell(), said()));
        }
        let check = Load::begin(&self.app.address(&self.namespace), Shape { kept: 0, fresh: 4, rate: 100.0 });
        thread::sleep(std::time::Duration::from_millis(300));
        let check = check.end();
        if check.by_version().keys().any(|version| *version != wanted) {
            return Err(format!("{wanted} does not answer alone: {:?}; {}", check.by_version(), said()));
        }
        self.live = wanted;
        let migrations = self.jobs().saturating_sub(before);
        if begun && migrations > 1 {
            return Err(format!("{migrations} migrations ran for one release: {}", said()));
        }
        let left = self.namespace.kubectl(&["get", "deployments,services,ingresses", "-o", "name"]);
        if left.contains("canary") {
            return Err(format!("objects of a canary are left: {left}; {}", said()));
        }
        Ok(())
    }
}

/// Kills at every `every`th record, from one that rotates.
fn each_record(about: &str, router: Router, deploy: &str, every: usize) {
    let Some(ground) = Ground::get() else { return };
    let every = if std::env::var_os("SLIPWAY_TEST_ALL").is_some() { 1 } else { every };
    let records = Mutex::new(0);
    let first = std::process::id() as usize % every + 1;
    let next = AtomicUsize::new(first);
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                let mut place = Place::new(ground, about, router, deploy);
                {
                    let mut records = records.lock().unwrap();
                    if *records == 0 {
                        *records = place.records();
                    }
                }
                let count = *records.lock().unwrap();
                loop {
                    let record = next.fetch_add(every, Ordering::Relaxed);
                    if record > count {
                        break;
                    }
                    let point = format!("{record}:{}", if record.is_multiple_of(2) { "before" } else { "after" });
                    if let Err(why) = place.killed_at(&point) {
                        wrong.lock().unwrap().push(format!("killed at {point}: {why}"));
                        // What is left is no ground for the next.
                        place = Place::new(ground, about, router, deploy);
                    }
                }
            });
        }
    });
    let (records, wrong) = (records.into_inner().unwrap(), wrong.into_inner().unwrap());
    println!("{about}: {records} records, killed at each {every}. from {first} on");
    assert!(records > 10, "a release has more than {records} records");
    assert!(wrong.is_empty(), "{} places are wrong:\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_crash_rolling_ends_healthy_wherever_it_is_killed() {
    each_record("rolling", Router::Ingress, "watch: 1s", 1);
}

#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_crash_blue_green_ends_healthy_wherever_it_is_killed() {
    each_record("bg", Router::Ingress, "watch: 1s, strategy: {blue-green: {service: backend-service}}", 1);
}

#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_crash_canary_ends_healthy_wherever_it_is_killed() {
    let canary =
        "watch: 1s, strategy: {canary: {traffic: {nginx: {ingress: backend-ingress}}, replicas: 1, steps: [20, 100]}}";
    each_record("canary", Router::Ingress, canary, 3);
}
