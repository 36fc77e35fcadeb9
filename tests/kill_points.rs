//! The real binary, killed beside the commit of every record of its journal, and taken up again.
//!
//! `cargo test --features faults --test kill_points`. For record i and both sides of its commit: the run dies there, `slipway
//! resume` ends it, and what is left must be what an undisturbed run leaves (invariants I2 to I5 and I7): every step started
//! once, every result on record once, logs byte for byte, outputs, exit code, and no process, folder or key.
#![expect(clippy::unwrap_used, reason = "what a test cannot do without fails it")]
#![cfg(feature = "faults")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use slipway::clock::{Clock, SystemClock, instant};
use slipway::event::{Event, Outcome, Record};
use slipway::id::{AttemptId, RunId, StepKey};
use slipway::store::contract::{Logs, RunFilter, Store};
use slipway::store::folder::StateFolder;
use slipway::store::logs::FileLogs;
use slipway::store::sqlite::{Durability, SqliteStore};

/// Points under test at once.
const THREADS: usize = 4;
/// How long what a run leaves may take to go.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a step masks; its script makes it, so that no file of the run holds it but by mistake.
const MASKED: &str = "hush42hush";

/// An image with a shell, made by `scripts/test-images`.
const BUSYBOX: &str = "slipway-test/busybox";

/// Every step writes its key (the name of its folder) to a file that no run owns.
const PIPELINE: &str = r##"
name: kill points
on: push
defaults:
  run:
    shell: sh
stages:
  prepare:
    outputs:
      word: ${{ steps.say.outputs.word }}
    artifacts: [out/word.txt]
    steps:
      - id: say
        run: |
          d=${GITHUB_OUTPUT%/*}; echo "${d##*/}" >> "$MARKS"
          v=hush$((40+2))hush; echo "::add-mask::$v"; echo "the value is $v"
          echo "word=salt" >> "$GITHUB_OUTPUT"
          echo "LATER=pepper" >> "$GITHUB_ENV"
          echo "# said $v" >> "$GITHUB_STEP_SUMMARY"
      - id: fails
        continue-on-error: true
        run: |
          d=${GITHUB_OUTPUT%/*}; echo "${d##*/}" >> "$MARKS"
          echo "::warning file=a.txt,line=3::careful"; echo "not good" >&2; exit 3
      - run: |
          d=${GITHUB_OUTPUT%/*}; echo "${d##*/}" >> "$MARKS"
          mkdir out; echo "${{ steps.say.outputs.word }} $LATER ${{ steps.fails.outcome }}" > out/word.txt; cat out/word.txt
  beside:
    steps:
      - run: |
          d=${GITHUB_OUTPUT%/*}; echo "${d##*/}" >> "$MARKS"
          for i in 1 2 3 4; do printf 'piece %s ' $i; sleep 0.01; echo end; done
          printf 'no line end'
      - run: |
          d=${GITHUB_OUTPUT%/*}; echo "${d##*/}" >> "$MARKS"
          seq 1 180000
      - if: failure()
        run: |
          d=${GITHUB_OUTPUT%/*}; echo "${d##*/}" >> "$MARKS"
  test:
    needs: prepare
    strategy:
      matrix:
        n: [1, 2, 3]
    steps:
      - run: |
          d=${GITHUB_OUTPUT%/*}; echo "${d##*/}" >> "$MARKS"
          cat out/word.txt; echo "${{ needs.prepare.outputs.word }} ${{ matrix.n }}"
      - run: |
          d=${GITHUB_OUTPUT%/*}; echo "${d##*/}" >> "$MARKS"
          sleep 0.02; echo "leg ${{ matrix.n }} is done"
  never:
    needs: beside
    if: failure()
    steps:
      - run: |
          d=${GITHUB_OUTPUT%/*}; echo "${d##*/}" >> "$MARKS"
  last:
    needs: [test, never, beside]
    if: always()
    retry: 1
    steps:
      - run: |
          d=${GITHUB_OUTPUT%/*}; echo "${d##*/}" >> "$MARKS"
          echo "test ${{ needs.test.result }}, never ${{ needs.never.result }}"; exit ${{ EXIT }}
"##;

/// A place where a process dies.
#[derive(Debug, Clone, Copy)]
struct Point {
    record: usize,
    before: bool,
}

impl Point {
    fn text(self) -> String {
        format!("{}:{}", self.record, if self.before { "before" } else { "after" })
    }
}

/// What a run leaves.
#[derive(Debug, PartialEq)]
struct Left {
    exit: Option<i32>,
    outcome: Option<Outcome>,
    marks: Vec<String>,
    steps: BTreeMap<String, String>,
    results: BTreeMap<String, String>,
    annotations: Vec<String>,
    logs: BTreeMap<String, Vec<u8>>,
    summaries: BTreeMap<String, String>,
}

/// Where the jobs run.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Host,
    Docker,
}

struct Ci {
    temp: tempfile::TempDir,
    marker: String,
    place: Place,
}

impl Ci {
    fn new(exit: i32, place: Place) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let checkout = temp.path().join("project");
        fs::create_dir(&checkout).unwrap();
        let mut text = PIPELINE.replace("${{ EXIT }}", &exit.to_string());
        if place == Place::Docker {
            let folder = temp.path().display();
            let container = format!(
                "container: {{image: {BUSYBOX}, volumes: [\"{folder}:/marks\"], env: {{MARKS: /marks/marks}}}}"
            );
            text = text.replace("\n    steps:", &format!("\n    {container}\n    steps:"));
        }
        fs::write(checkout.join("slipway.yml"), text).unwrap();
        fs::write(checkout.join("a.txt"), "a\n").unwrap();
        let marker = format!("KILL_POINT_MARKER={}", temp.path().display());
        Self { temp, marker, place }
    }

    fn home(&self) -> PathBuf {
        self.temp.path().join("home")
    }

    fn slipway(&self, args: &[&str], kill_at: Option<Point>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        if self.place == Place::Docker && args[0] == "run" {
            command.arg("run").arg("--allow-privileged").args(&args[1..]);
        } else {
            command.args(args);
        }
        command.arg("--quiet").current_dir(self.temp.path().join("project")).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.temp.path());
        command.env("SLIPWAY_HOME", self.home()).env("MARKS", self.temp.path().join("marks"));
        let (name, value) = self.marker.split_once('=').unwrap();
        command.env(name, value);
        command.env("SLIPWAY_KILL_COUNT_FILE", self.temp.path().join("count"));
        if let Some(point) = kill_at {
            command.env("SLIPWAY_KILL_AT", point.text());
        }
        command.output().unwrap()
    }

    fn count(&self) -> usize {
        fs::read_to_string(self.temp.path().join("count")).unwrap().trim().parse().unwrap()
    }

    fn store(&self) -> SqliteStore {
        let state = StateFolder::open_at(self.home()).unwrap();
        SqliteStore::open(&state, Durability::Process).unwrap()
    }

    fn run(&self) -> RunId {
        let rows = self.store().list(&RunFilter::default()).unwrap();
        assert_eq!(rows.len(), 1, "one run was started");
        rows[0].run.clone()
    }

    /// What is left; an error when the journal itself is wrong.
    fn left(&self, exit: Option<i32>) -> Result<Left, String> {
        let (store, run) = (self.store(), self.run());
        let logs = FileLogs::new(store.state());
        let records = store.records(&run, 0).map_err(|e| e.to_string())?;
        let mut left = Left {
            exit,
            outcome: store.load(&run).map_err(|e| e.to_string())?.row.outcome,
            marks: fs::read_to_string(self.temp.path().join("marks"))
                .unwrap_or_default()
                .lines()
                .map(Into::into)
                .collect(),
            steps: BTreeMap::new(),
            results: BTreeMap::new(),
            annotations: Vec::new(),
            logs: BTreeMap::new(),
            summaries: BTreeMap::new(),
        };
        left.marks.sort();
        let mut starting = BTreeSet::new();
        for (at, record) in records.iter().enumerate() {
            if record.seq != at as u64 + 1 {
                return Err(format!("record {} stands at place {}", record.seq, at + 1));
            }
            note(record, &mut left, &mut starting)?;
        }
        for key in left.steps.keys() {
            let key = step_key(key);
            let mut bytes = Vec::new();
            loop {
                let more = logs.read(&run, &key, bytes.len() as u64, 1 << 20).map_err(|e| e.to_string())?;
                if more.is_empty() {
                    break;
                }
                bytes.extend(more);
            }
            left.summaries.insert(key.to_string(), logs.summary(&run, &key).map_err(|e| e.to_string())?);
            left.logs.insert(key.to_string(), bytes);
        }
        Ok(left)
    }

    /// What should have gone and has not.
    fn rest(&self) -> Vec<String> {
        let run = self.run();
        let folder = self.home().join("runs").join(run.as_str());
        let mut rest: Vec<String> = ["attempts", "work", "key", "secrets", "wake"]
            .iter()
            .map(|name| folder.join(name))
            .filter(|path| path.exists())
            .map(|path| path.display().to_string())
            .collect();
        let memory = fs::read_dir("/dev/shm").into_iter().flatten().flatten();
        rest.extend(memory.map(|e| e.path().display().to_string()).filter(|path| path.contains(run.as_str())));
        if self.place == Place::Docker {
            for kind in [["ps", "-a"].as_slice(), &["network", "ls"]] {
                let list = Command::new("docker").args(kind).args(["-q", "--filter", &format!("name={run}")]).output();
                rest.extend(lossy(&list.unwrap().stdout).lines().map(|id| format!("{kind:?}: {id}")));
            }
        }
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environ.split(|byte| *byte == 0).any(|variable| variable == self.marker.as_bytes()) {
                let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                rest.push(format!(
                    "process {:?}: {}",
                    entry.file_name(),
                    String::from_utf8_lossy(&line).replace('\0', " ")
                ));
            }
        }
        rest
    }

    fn rest_after_a_while(&self) -> Vec<String> {
        let start = instant();
        loop {
            let rest = self.rest();
            if rest.is_empty() || start.elapsed() > PATIENCE {
                return rest;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Takes a record in; an error where a result comes twice.
fn note(record: &Record, left: &mut Left, starting: &mut BTreeSet<String>) -> Result<(), String> {
    let once = |new: bool, what: String| if new { Ok(()) } else { Err(format!("{what} is on record twice")) };
    match &record.event {
        Event::StepStarting { step, .. } => once(starting.insert(step.to_string()), format!("the start of {step}")),
        Event::StepFinished { step, outcome, conclusion, exit, reason, .. } => {
            let end = format!("{outcome:?} {conclusion:?} {exit:?} {reason:?}");
            once(left.steps.insert(step.to_string(), end).is_none(), format!("the end of {step}"))
        }
        Event::StepSkipped { step, reason, .. } => {
            once(left.steps.insert(step.to_string(), reason.clone()).is_none(), format!("the end of {step}"))
        }
        Event::JobFinished { attempt, outcome, conclusion, reason, outputs, retry } => {
            let end = format!("{outcome:?} {conclusion:?} {reason:?} {outputs:?} {retry}");
            once(left.results.insert(format!("job {attempt}"), end).is_none(), format!("the end of {attempt}"))
        }
        Event::StageFinished { stage, outcome, outputs, reason } => {
            let end = format!("{outcome:?} {outputs:?} {reason:?}");
            once(left.results.insert(format!("stage {stage}"), end).is_none(), format!("the end of {stage}"))
        }
        Event::StageSkipped { stage, reason } => {
            once(left.results.insert(format!("stage {stage}"), reason.clone()).is_none(), format!("the end of {stage}"))
        }
        Event::RunFinished { outcome } => {
            once(left.results.insert("run".into(), format!("{outcome:?}")).is_none(), "the end of the run".into())
        }
        Event::Annotated { step, annotation } => {
            left.annotations.push(format!("{step} {annotation:?}"));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn step_key(text: &str) -> StepKey {
    let mut parts = text.split('/');
    let (job, attempt, step) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    AttemptId::new(job.into(), attempt.parse().unwrap()).step(step.parse().unwrap())
}

/// The files below `folder` that hold `text`.
fn holding(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            holding(&path, text, found);
        } else if fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes())) {
            found.push(path.display().to_string());
        }
    }
}

fn killed(output: &Output) -> bool {
    output.status.code().is_none()
}

/// Kills at `point`, and, with `again`, the one that takes the run up too; gives what is wrong.
fn try_point(place: Place, exit: i32, point: Point, again: Option<Point>, whole: &Left) -> Result<(), String> {
    let ci = Ci::new(exit, place);
    let mut last = ci.slipway(&["run"], Some(point));
    if ci.store().list(&RunFilter::default()).map_err(|e| e.to_string())?.is_empty() {
        return Ok(());
    }
    let run = ci.run();
    if killed(&last) {
        last = ci.slipway(&["resume", run.as_str()], again);
        if killed(&last) {
            last = ci.slipway(&["resume", run.as_str()], None);
        }
    }
    let said = |what: String| format!("{what}; it said: {}{}", lossy(&last.stdout), lossy(&last.stderr));
    let left = ci.left(last.status.code()).map_err(said)?;
    let pairs = [
        ("exit code", format!("{:?}", left.exit), format!("{:?}", whole.exit)),
        ("outcome", format!("{:?}", left.outcome), format!("{:?}", whole.outcome)),
        ("marks", format!("{:?}", left.marks), format!("{:?}", whole.marks)),
        ("steps", format!("{:#?}", left.steps), format!("{:#?}", whole.steps)),
        ("results", format!("{:#?}", left.results), format!("{:#?}", whole.results)),
        ("annotations", format!("{:?}", left.annotations), format!("{:?}", whole.annotations)),
        ("summaries", format!("{:?}", left.summaries), format!("{:?}", whole.summaries)),
    ];
    if let Some((what, got, wanted)) = pairs.into_iter().find(|(_, got, wanted)| got != wanted) {
        return Err(said(format!("{what}: {got}\n  in place of {wanted}")));
    }
    for (key, bytes) in &whole.logs {
        let got = &left.logs[key];
        if got != bytes {
            let at = got.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            let around = |log: &[u8]| lossy(&log[at.saturating_sub(40)..log.len().min(at + 40)]);
            let (ours, theirs) = (around(got), around(bytes));
            return Err(format!(
                "log of {key}: {} bytes in place of {}, which differ from {at} on: {ours:?} {theirs:?}",
                got.len(),
                bytes.len()
            ));
        }
    }
    let mut found = Vec::new();
    holding(&ci.home(), MASKED, &mut found);
    if !found.is_empty() {
        return Err(format!("the masked value stands in {found:?}"));
    }
    match ci.rest_after_a_while() {
        rest if rest.is_empty() => Ok(()),
        rest => Err(format!("left: {rest:#?}")),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn every_point(place: Place, exit: i32, first: usize, every: usize) {
    let ci = Ci::new(exit, place);
    let output = ci.slipway(&["run"], None);
    let whole = ci.left(output.status.code()).unwrap();
    let attempts = if exit == 0 { 1 } else { 2 };
    assert_eq!(whole.exit, Some(i32::from(exit != 0)), "{}{}", lossy(&output.stdout), lossy(&output.stderr));
    assert_eq!(whole.marks.len(), 5 + 6 + attempts, "{:?}", whole.marks);
    assert_eq!(whole.logs["test.2/1/0"], b"salt pepper failure\nsalt 2\n");
    assert_eq!(whole.logs["prepare/1/0"], b"the value is ***\n");
    assert_eq!(whole.annotations.len(), 1);
    assert_eq!(ci.rest_after_a_while(), Vec::<String>::new());

    let records = ci.count();
    let points: Vec<Point> = (1..=records)
        .flat_map(|record| [true, false].map(|before| Point { record, before }))
        .skip(first)
        .step_by(every)
        .collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let number = point.record * 2 + usize::from(point.before);
                    // Every third is killed again, somewhere in the first half of what is left to do.
                    let left = (records - point.record) / 2 + 1;
                    let again = (number % 3 == 0)
                        .then(|| Point { record: 1 + (point.record * 7) % left, before: !point.before });
                    if let Err(what) = try_point(place, exit, *point, again, &whole) {
                        let again = again.map(|again| format!(" and then {}", again.text())).unwrap_or_default();
                        wrong.lock().unwrap().push(format!("killed at {}{again}: {what}", point.text()));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    println!("{} points of {records} records, from point {first} on", points.len());
    assert!(wrong.is_empty(), "{} of {} points:\n{}", wrong.len(), points.len(), wrong.join("\n\n"));
}

#[test]
fn a_run_that_succeeds_survives_every_point() {
    every_point(Place::Host, 0, 0, 1);
}

#[test]
fn a_run_that_fails_with_a_retry_survives() {
    every_point(Place::Host, 1, 0, 5);
}

/// Every fifth point; where it begins moves on with time.
#[test]
#[ignore = "needs docker (containers with a bound folder)"]
fn a_run_in_containers_survives() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/test-images");
    assert!(Command::new(script).status().unwrap().success(), "{script} failed");
    let first = SystemClock.now().0.rem_euclid(5);
    every_point(Place::Docker, 0, usize::try_from(first).unwrap(), 5);
}
