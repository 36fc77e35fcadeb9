//! What is kept of runs, seen from outside: `runs`, `runs show`, `logs`, `prune` of the real binary.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PIPELINE: &str = r#"
name: demo
stages:
  lint: {run: "printf 'plain \\033[31mred\\033[0m \\033[2Jcleared\\n'"}
  test:
    needs: lint
    strategy: {matrix: {v: [1, 2]}}
    steps:
      - {name: first, run: "for i in 1 2 3; do echo test ${{ matrix.v }} line $i; done"}
      - {name: second, run: "echo again ${{ matrix.v }}"}
  bad: {needs: test, run: "echo oh no; exit 3"}
  deploy: {needs: bad, run: "echo never"}
"#;

/// A folder with a pipeline, and a state folder beside it.
struct Place(tempfile::TempDir);

impl Place {
    fn new(pipeline: &str) -> Self {
        let temp = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(temp.path().join("demo")).expect("a folder");
        std::fs::write(temp.path().join("demo/slipway.yml"), pipeline).expect("writes");
        Self(temp)
    }

    fn state(&self) -> std::path::PathBuf {
        self.0.path().join("state")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command.args(args).current_dir(self.0.path().join("demo"));
        command.env("SLIPWAY_HOME", self.state()).env_remove("CLICOLOR_FORCE").env_remove("NO_COLOR");
        command.stdin(Stdio::null());
        command
    }

    fn call(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("starts")
    }

    /// Standard output of what must succeed.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.call(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Exit code and standard error of what must not.
    fn fails(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.call(args);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(args)).expect("one JSON document")
    }

    fn newest(&self) -> String {
        self.json(&["runs", "--json"])["runs"][0]["run"].as_str().expect("a run").to_owned()
    }
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).expect("a folder").count()
}

#[test]
fn runs_are_listed_and_shown() {
    let place = Place::new(PIPELINE);
    assert_eq!(place.ok(&["runs"]), "");
    assert_eq!(place.json(&["runs", "--json"])["runs"].as_array().map(Vec::len), Some(0));
    assert_eq!(place.call(&["run"]).status.code(), Some(1));
    assert_eq!(place.call(&["run", "--stage", "lint"]).status.code(), Some(0));
    let list = place.ok(&["runs"]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 3, "{list}");
    assert!(lines[1].contains("success") && lines[2].contains("failure"), "{list}");
    let runs = place.json(&["runs", "--json", "--all", "--limit", "1"]);
    assert_eq!(runs["runs"][0]["number"], 2);
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(1));

    let shown = place.ok(&["runs", "show", "#1"]);
    for part in ["status failure", "demo failed", "exit code 3", "│ oh no", "- deploy  skipped:", "█", "critical path"]
    {
        assert!(shown.contains(part), "{part:?} is not in:\n{shown}");
    }
    let shown = place.json(&["runs", "show", "#1", "--json"]);
    assert_eq!(shown["run"]["status"], "failure");
    let stages = shown["stages"].as_array().expect("stages");
    let outcomes: Vec<&str> = stages.iter().filter_map(|stage| stage["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["success", "success", "failure", "skipped"]);
    let step = &stages[1]["jobs"][1]["attempts"][0]["steps"][0];
    assert_eq!((&step["name"], &step["log_bytes"]), (&"first".into(), &42.into()));
    assert_eq!(stages[2]["needs"][0], "test");

    // The newest is meant when none is named, and the file itself is not needed any more.
    std::fs::remove_file(place.0.path().join("demo/slipway.yml")).expect("removes");
    assert!(place.ok(&["runs", "show"]).contains("demo succeeded"));
    let (code, said) = place.fails(&["runs", "show", "zzz"]);
    assert_eq!(code, Some(6));
    assert!(said.contains("there is no run \"zzz\""), "{said}");
}

#[test]
fn logs_are_printed_job_by_job_and_harmless() {
    let place = Place::new(PIPELINE);
    place.call(&["run"]);
    let all = place.ok(&["logs"]);
    let lines: Vec<&str> = all.lines().collect();
    for name in ["[test (1)]", "[test (2)]"] {
        let at: Vec<usize> = (0..lines.len()).filter(|i| lines[*i].starts_with(name)).collect();
        assert!(at.windows(2).all(|w| w[1] == w[0] + 1), "{name} is torn apart:\n{all}");
        assert_eq!(at.len(), 6, "{all}");
    }
    assert!(all.contains("[bad] oh no\n") && !all.contains('\x1b'), "{all}");

    let lint = place.ok(&["logs", "#1", "lint"]);
    assert!(lint.ends_with("\nplain red cleared\n") && !lint.starts_with('['), "{lint}");
    let raw = place.ok(&["logs", "#1", "LINT", "--raw"]);
    assert_eq!(raw, "plain \x1b[31mred\x1b[0m \x1b[2Jcleared\n");
    let colored = place.command(&["logs", "#1", "lint"]).env("CLICOLOR_FORCE", "1").output().expect("starts");
    let colored = String::from_utf8_lossy(&colored.stdout).into_owned();
    assert!(colored.contains("\x1b[31mred\x1b[0m cleared"), "colours survive, and nothing else: {colored:?}");

    assert_eq!(place.ok(&["logs", "#1", "test.2", "--step", "2", "--raw"]), "again 2\n");
    assert_eq!(place.ok(&["logs", "#1", "test (1)", "--tail", "2", "--raw"]), "test 1 line 3\nagain 1\n");
    assert_eq!(place.ok(&["logs", "#1", "test", "--tail", "0"]), "");
    let (code, said) = place.fails(&["logs", "#1", "deploy"]);
    assert!(code == Some(6) && said.contains("did not run"), "{said}");
    let (code, said) = place.fails(&["logs", "#1", "tset"]);
    assert!(code == Some(6) && said.contains("\"test\""), "{said}");
}

#[test]
fn follow_shows_what_comes_until_the_run_is_over() {
    let place = Place::new("stages: {a: {run: 'echo one; until [ -e \"$GATE\" ]; do sleep 0.02; done; echo two'}}");
    let gate = place.0.path().join("gate");
    let mut run = place.command(&["run", "--env", &format!("GATE={}", gate.display())]);
    let mut run = run.stdout(Stdio::piped()).spawn().expect("starts");
    let mut said = BufReader::new(run.stdout.take().expect("piped")).lines();
    // Its output says when there is something to follow.
    assert!(said.by_ref().map_while(Result::ok).any(|line| line.contains("] one")), "the run said nothing");
    let mut follow =
        place.command(&["logs", &place.newest(), "--follow"]).stdout(Stdio::piped()).spawn().expect("starts");
    let mut lines = BufReader::new(follow.stdout.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "one"), "the line that was there is shown at once");
    let runs = place.json(&["runs", "--json"]);
    assert_eq!(runs["runs"][0]["status"], "running");
    assert!(runs["runs"][0]["owner"].as_str().is_some_and(|owner| owner.contains(&run.id().to_string())), "{runs}");
    std::fs::write(&gate, "").expect("writes");
    assert_eq!(lines.collect::<Vec<_>>(), ["two"]);
    assert!(follow.wait().expect("ends").success());
    said.for_each(drop);
    assert!(run.wait().expect("ends").success());
}

#[test]
fn a_killed_run_is_interrupted_and_stays_when_others_are_pruned() {
    let place = Place::new("stages: {a: {run: 'echo one; until [ -e \"$GATE\" ]; do sleep 0.02; done'}}");
    let gate = place.0.path().join("gate");
    let gate_env = format!("GATE={}", gate.display());
    let mut run = place.command(&["run", "--env", &gate_env]).stdout(Stdio::piped()).spawn().expect("starts");
    let said = BufReader::new(run.stdout.take().expect("piped")).lines();
    assert!(said.map_while(Result::ok).any(|line| line.contains("] one")), "the run said nothing");
    run.kill().expect("kills");
    run.wait().expect("ends");
    assert_eq!(place.json(&["runs", "--json"])["runs"][0]["status"], "interrupted");
    assert!(place.ok(&["runs", "show"]).contains("slipway resume"));
    let follow = place.call(&["logs", "--follow"]);
    assert!(follow.status.success());
    assert!(String::from_utf8_lossy(&follow.stderr).contains("interrupted"));

    std::fs::write(&gate, "").expect("writes");
    assert!(place.call(&["run", "--env", &gate_env]).status.success());
    let runs = place.state().join("runs");
    assert_eq!(count(&runs), 2);
    assert!(place.ok(&["prune"]).contains("freed 0 B: 0 runs"), "nothing is old");
    let would = place.ok(&["prune", "--keep", "0", "--dry-run"]);
    assert!(would.starts_with("would remove run ") && count(&runs) == 2, "{would}");
    let did = place.ok(&["prune", "--keep", "0"]);
    assert!(did.starts_with("removed run ") && did.contains(": 1 run\n"), "{did}");
    assert_eq!(count(&runs), 1);
    assert_eq!(place.json(&["runs", "--json"])["runs"][0]["status"], "interrupted");
    // Taken up, it ends, and goes too.
    assert!(place.call(&["resume"]).status.success());
    assert_eq!(place.ok(&["logs", "#1", "--raw"]), "one\n", "no byte is lost and none comes twice");
    place.ok(&["prune", "--keep", "0"]);
    assert_eq!(count(&runs), 0);
    assert_eq!(place.fails(&["prune", "--older", "soon"]).0, Some(2));
}
