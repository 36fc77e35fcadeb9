//! A repository on this machine, a forge that is a few lines, and the real server.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use slipway::clock::instant;

use crate::client::{Answer, get, github, send};
use crate::forge::FakeForge;

pub(crate) const SECRET: &str = "a secret of the shop";
/// Tokens of people who may approve.
pub(crate) const ANN: &str = "the token of ann 1";
pub(crate) const BOB: &str = "the token of bob 2";
/// Far more than anything here takes, on a machine that is busy with other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until it is so.
pub(crate) fn until<T>(what: &str, mut so: impl FnMut() -> Option<T>) -> T {
    let start = instant();
    loop {
        if let Some(found) = so() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Git as a person would use it, in `folder`.
pub(crate) fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=ann", "-c", "user.email=ann@example.com", "-c", "init.defaultBranch=main"])
        .args(args)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// All of it. The server is started by [`Ground::start`].
pub(crate) struct Ground {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) forge: FakeForge,
    server: Option<(Child, SocketAddr)>,
}

impl Ground {
    /// With these settings of the repository beside the usual ones.
    pub(crate) fn new(pipeline: &str, settings: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let forge = FakeForge::start();
        git(temp.path(), &["init", "--quiet", "origin"]);
        std::fs::create_dir(temp.path().join("marks")).unwrap();
        let config = format!(
            "public-url = 'https://ci.example'\n[repositories.shop]\nforge = 'github'\nproject = 'o/shop'\nurl = '{}'\n\
             webhook-secret = {{ env = 'HOOK_SECRET' }}\nhost-runner = true\n\
             api = {{ url = 'http://{}', token = 'the api token' }}\n{settings}\n\
             [[repositories.shop.approvers]]\nname = 'ann'\ngroups = ['ops']\ntoken = '{ANN}'\n\
             [[repositories.shop.approvers]]\nname = 'bob'\ntoken = '{BOB}'\n",
            temp.path().join("origin").display(),
            forge.at,
        );
        std::fs::write(temp.path().join("server.toml"), config).unwrap();
        let ground = Self { temp, forge, server: None };
        ground.write("slipway.yml", pipeline);
        ground
    }

    pub(crate) fn origin(&self) -> PathBuf {
        self.temp.path().join("origin")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.temp.path().join("data")
    }

    /// A file that steps write to.
    pub(crate) fn mark(&self, name: &str) -> PathBuf {
        self.temp.path().join("marks").join(name)
    }

    pub(crate) fn marked(&self, name: &str) -> String {
        std::fs::read_to_string(self.mark(name)).unwrap_or_default()
    }

    /// Writes a file of the repository.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.origin().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let marks = self.temp.path().join("marks").display().to_string();
        std::fs::write(path, text.replace("$MARKS", &marks)).unwrap();
    }

    /// Commits all there is; gives the commit.
    pub(crate) fn commit(&self, message: &str) -> String {
        git(&self.origin(), &["add", "."]);
        git(&self.origin(), &["commit", "--quiet", "--allow-empty", "-m", message]);
        git(&self.origin(), &["rev-parse", "HEAD"])
    }

    pub(crate) fn start(&mut self) -> SocketAddr {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(self.temp.path().join("server.toml"))
            .arg("--data")
            .arg(self.data())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.temp.path())
            .env("HOOK_SECRET", SECRET)
            .current_dir(self.temp.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.temp.path().join("log")).unwrap();
        let mut child = command.stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at = line.trim().rsplit("http://").next().and_then(|at| at.parse().ok());
        let at = at.unwrap_or_else(|| panic!("{line:?} {}", self.log()));
        self.server = Some((child, at));
        at
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.temp.path().join("log")).unwrap_or_default()
    }

    /// Ends the server by a signal, and waits for that; gives its exit code.
    pub(crate) fn end(&mut self, by: Signal) -> Option<i32> {
        let (mut child, _) = self.server.take()?;
        let _ = kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), by);
        child.wait().unwrap().code()
    }

    pub(crate) fn at(&self) -> SocketAddr {
        self.server.as_ref().unwrap().1
    }

    pub(crate) fn push_body(&self, reference: &str, sha: &str) -> Vec<u8> {
        let payload = json!({
            "ref": reference, "before": "1".repeat(40), "after": sha,
            "repository": {"id": 1, "full_name": "o/shop", "owner": {"login": "o"}},
            "head_commit": {"id": sha, "message": "a change", "author": {"name": "ann", "email": "ann@example.com"}},
            "sender": {"login": "ann"},
        });
        payload.to_string().into_bytes()
    }

    /// A push to main.
    pub(crate) fn push(&self, delivery: &str, sha: &str) -> Answer {
        github(self.at(), "shop", SECRET, "push", delivery, &self.push_body("refs/heads/main", sha))
    }

    /// A pull request of `author`, whose commits lie in repository `head` (1 is the repository itself).
    pub(crate) fn pull_request(&self, delivery: &str, sha: &str, author: &str, head: u64) -> Answer {
        let payload = json!({
            "action": "opened", "number": 7,
            "pull_request": {
                "number": 7, "title": "a change", "user": {"login": author, "id": 5},
                "head": {"ref": "topic", "sha": sha, "repo": {"id": head}}, "base": {"ref": "main", "sha": "b".repeat(40)},
            },
            "repository": {"id": 1, "full_name": "o/shop", "owner": {"login": "o"}},
            "sender": {"login": author},
        });
        github(self.at(), "shop", SECRET, "pull_request", delivery, payload.to_string().as_bytes())
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        get(self.at(), path).json()
    }

    /// The runs, newest first.
    pub(crate) fn runs(&self) -> Vec<Value> {
        self.json("/api/runs")["runs"].as_array().unwrap().clone()
    }

    /// Waits until there are so many runs and all are over.
    pub(crate) fn over(&self, count: usize) -> Vec<Value> {
        let over = || {
            let runs = self.runs();
            (runs.len() >= count && runs.iter().all(|run| !run["finished"].is_null())).then_some(runs)
        };
        let start = instant();
        while start.elapsed() < PATIENCE {
            if let Some(runs) = over() {
                return runs;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("waited in vain for {count} runs to end: {:?}\n{}", self.runs(), self.log());
    }

    pub(crate) fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        send(self.at(), "POST", path, &headers, body.to_string().as_bytes())
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.end(Signal::KILL);
        if std::thread::panicking() {
            eprintln!("the server said:\n{}", self.log());
        }
    }
}
