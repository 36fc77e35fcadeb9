//! A user with a project and a state folder, the real binary, and nothing of this machine's environment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use slipway::clock::instant;

/// Far more than anything here takes, on a machine that is busy with other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until it is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = instant();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A project folder, a state folder, a folder for what steps tell the test.
pub(crate) struct Ci {
    temp: tempfile::TempDir,
    env: Vec<(String, String)>,
}

/// What the binary did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self
    }

    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "no {text:?} in: {}{}", self.stdout, self.stderr);
        self
    }

    pub(crate) fn does_not_say(self, text: &str) -> Self {
        assert!(!self.stdout.contains(text), "{text:?} in: {}", self.stdout);
        self
    }

    pub(crate) fn complains(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no {text:?} in: {}", self.stderr);
        self
    }
}

impl Ci {
    /// With `slipway.yml`; `$MARKS` names a folder that steps may write to.
    pub(crate) fn new(pipeline: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        for folder in ["project", "home", "marks"] {
            fs::create_dir(temp.path().join(folder)).unwrap();
        }
        let ci = Self { temp, env: Vec::new() };
        ci.file("slipway.yml", pipeline)
    }

    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        let path = self.project().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.temp.path().join("project")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.temp.path().join("state")
    }

    pub(crate) fn mark(&self, name: &str) -> PathBuf {
        self.temp.path().join("marks").join(name)
    }

    /// What steps wrote to a mark; empty when none did.
    pub(crate) fn marked(&self, name: &str) -> String {
        fs::read_to_string(self.mark(name)).unwrap_or_default()
    }

    /// What every process of this user's runs has in its environment.
    fn marker(&self) -> String {
        format!("MARKS={}", self.temp.path().join("marks").display())
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command.args(args).current_dir(self.project()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.temp.path().join("home"));
        command.env("SLIPWAY_HOME", self.state()).env("MARKS", self.temp.path().join("marks"));
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn slipway(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    /// Starts `slipway` and goes on.
    pub(crate) fn start(&self, args: &[&str]) -> Started {
        let child = self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Started(child)
    }

    /// Waits for a step's mark.
    pub(crate) fn until_marked(&self, name: &str) {
        until(&format!("a step marks {name:?}"), || self.mark(name).exists());
    }

    /// The newest run.
    pub(crate) fn newest(&self) -> String {
        let runs: serde_json::Value = serde_json::from_str(&self.slipway(&["runs", "--json"]).stdout).unwrap();
        runs["runs"][0]["run"].as_str().unwrap().to_owned()
    }

    /// The files of state folder and project that hold `text`.
    pub(crate) fn holding(&self, text: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        holding(&self.state(), text.as_bytes(), &mut found);
        found
    }

    /// Nothing of any run is left: no process, no passing folder, no key.
    pub(crate) fn assert_nothing_left(&self) {
        let mut rest = Vec::new();
        let start = instant();
        while start.elapsed() < PATIENCE {
            rest = self.rest();
            if rest.is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("left: {rest:#?}");
    }

    fn rest(&self) -> Vec<String> {
        let mut rest = Vec::new();
        for run in fs::read_dir(self.state().join("runs")).into_iter().flatten().flatten() {
            let passing = ["attempts", "work", "key", "secrets", "wake"].map(|name| run.path().join(name));
            rest.extend(passing.into_iter().filter(|path| path.exists()).map(|path| path.display().to_string()));
            let memory =
                fs::read_dir("/dev/shm").into_iter().flatten().flatten().map(|e| e.path().display().to_string());
            rest.extend(memory.filter(|path| path.contains(&*run.file_name().to_string_lossy())));
        }
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environ.split(|byte| *byte == 0).any(|variable| variable == self.marker().as_bytes()) {
                let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                rest.push(String::from_utf8_lossy(&line).replace('\0', " "));
            }
        }
        rest
    }
}

/// A `slipway` that runs.
pub(crate) struct Started(Child);

impl Started {
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    pub(crate) fn wait(self) -> Ran {
        self.0.wait_with_output().unwrap().into()
    }
}

fn holding(folder: &Path, text: &[u8], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            holding(&path, text, found);
        } else if fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text)) {
            found.push(path);
        }
    }
}

/// The events of `--json`, by kind; checks that every line parses and that none is missing.
pub(crate) fn events(stdout: &str) -> BTreeMap<String, Vec<serde_json::Value>> {
    let mut by_kind: BTreeMap<String, Vec<serde_json::Value>> = BTreeMap::new();
    let mut seq = 0;
    for line in stdout.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(value["v"], 1, "{line}");
        match value["event"].as_str() {
            Some(kind) => {
                seq += 1;
                assert_eq!(value["seq"], seq, "{line}");
                by_kind.entry(kind.to_owned()).or_default().push(value);
            }
            None => by_kind.entry("output".to_owned()).or_default().push(value["output"].clone()),
        }
    }
    by_kind
}
