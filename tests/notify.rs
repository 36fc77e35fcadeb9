//! Notices end to end, by the real binary: each event arrives once, whatever is down and whoever dies (T-NOTIFY).
#![expect(clippy::unwrap_used, reason = "what a test cannot do without fails it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// A webhook's receiver. While it is down it answers 503.
#[derive(Clone, Default)]
struct Sink {
    down: Arc<AtomicBool>,
    came: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Sink {
    /// Listens; gives its URL, in which a secret stands.
    fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hunter2", listener.local_addr().unwrap());
        let sink = self.clone();
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| sink.answer(stream)));
        url
    }

    fn answer(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut length, mut key, mut line) = (0, String::new(), String::new());
        while reader.read_line(&mut line).unwrap_or(0) > 2 {
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap(),
                "idempotency-key" => key = value.trim().to_owned(),
                _ => {}
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let down = self.down.load(Ordering::SeqCst);
        if !down {
            self.came.lock().unwrap().push((key, serde_json::from_slice(&body).unwrap()));
        }
        let status = if down { "503 Service Unavailable" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _ = (&stream).write_all(answer.as_bytes());
    }

    /// Events in the order in which they came.
    fn events(&self) -> Vec<String> {
        self.came.lock().unwrap().iter().map(|(_, body)| body["event"].as_str().unwrap().to_owned()).collect()
    }

    fn keys(&self) -> Vec<String> {
        self.came.lock().unwrap().iter().map(|(key, _)| key.clone()).collect()
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new(pipeline: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("demo")).unwrap();
        std::fs::write(temp.path().join("demo/slipway.yml"), pipeline).unwrap();
        Self(temp)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, args: &[&str], env: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command.args(args).current_dir(self.path("demo")).env("SLIPWAY_HOME", self.path("state"));
        command
            .env("SLIPWAY_CONFIG", self.path("none.toml"))
            .env_remove("SLIPWAY_SMTP")
            .env_remove("SLIPWAY_MAIL_FROM");
        command.envs(env.iter().copied()).stdin(Stdio::null());
        command
    }

    fn call(&self, args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.command(args, env).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        (status.code(), text)
    }

    /// Every file of the state folder as one text.
    fn state(&self) -> Vec<u8> {
        fn read(folder: &Path, all: &mut Vec<u8>) {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => read(&entry.path(), all),
                    false => all.extend(std::fs::read(entry.path()).unwrap_or_default()),
                }
            }
        }
        let mut all = Vec::new();
        read(&self.path("state"), &mut all);
        all
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = slipway::clock::instant();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const RULES: &str = r#"
name: demo
notify:
  - {webhook: {url: "${{ secrets.HOOK }}", secret: "${{ secrets.KEY }}"}, events: all}
  - {webhook: "${{ secrets.HOOK }}", events: failure}
stages:
  good: {run: "true"}
  bad: {needs: good, run: "exit ${{ vars.CODE }}"}
"#;

fn secrets(url: &str) -> [(&'static str, &str); 2] {
    [("SLIPWAY_SECRET_HOOK", url), ("SLIPWAY_SECRET_KEY", "s3cret-key")]
}

#[test]
fn each_event_of_a_run_arrives_once_by_each_rule() {
    let (sink, place) = (Sink::default(), Place::new(RULES));
    let url = sink.listen();
    let (code, said) = place.call(&["run", "--var", "CODE=3"], &secrets(&url));
    assert_eq!(code, Some(1), "{said}");
    let mut events = sink.events();
    events.sort();
    assert_eq!(events, ["failure", "failure", "stage", "stage", "started"], "{said}");
    let keys = sink.keys();
    assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), keys.len(), "{keys:?}");
    let came = sink.came.lock().unwrap().clone();
    let (_, failure) = came.iter().find(|(_, body)| body["event"] == "failure").unwrap();
    let text = failure["text"].as_str().unwrap();
    assert!(text.contains("stage \"bad\" failed: step 1 exited with 3"), "{text}");
    assert_eq!(failure["run"]["pipeline"], "demo");
    // Nothing is sent again by later commands.
    assert_eq!(place.call(&["runs"], &[]).0, Some(0));
    assert_eq!(sink.keys().len(), 5);
    let kept = String::from_utf8_lossy(&place.state()).into_owned();
    assert!(!kept.contains("hunter2") && !kept.contains("s3cret-key"), "an address lies open in the state folder");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn what_a_sink_that_is_down_missed_is_delivered_by_a_later_command() {
    let (sink, place) = (Sink::default(), Place::new(RULES));
    let url = sink.listen();
    sink.down.store(true, Ordering::SeqCst);
    let (code, said) = place.call(&["run", "--var", "CODE=0"], &secrets(&url));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the notice \"success\" by webhook has not arrived yet: it answered 503"), "{said}");
    assert!(sink.events().is_empty());
    sink.down.store(false, Ordering::SeqCst);
    // Waits have doubled meanwhile: later commands take what is due.
    until("all notices", || {
        place.call(&["runs"], &[]);
        sink.events().len() >= 4
    });
    let mut events = sink.events();
    events.sort();
    assert_eq!(events, ["stage", "stage", "started", "success"]);
}

const SLOW: &str = r#"
name: demo
notify: [{webhook: "${{ secrets.HOOK }}", events: all}]
stages:
  first: {run: "true"}
  second: {needs: first, run: "touch $MARK; while [ ! -e $GO ]; do sleep 0.05; done"}
"#;

#[test]
fn a_process_that_is_killed_loses_no_notice_and_says_none_twice() {
    let (sink, place) = (Sink::default(), Place::new(SLOW));
    let url = sink.listen();
    sink.down.store(true, Ordering::SeqCst);
    let (mark, go) = (place.path("mark"), place.path("go"));
    let env = [("SLIPWAY_SECRET_HOOK", url.as_str()), ("MARK", mark.to_str().unwrap()), ("GO", go.to_str().unwrap())];
    let mut child = place.command(&["run", "--runner", "host"], &env).stdout(Stdio::null()).spawn().unwrap();
    until("the second stage", || mark.exists());
    // Between the outbox and the sink: what was put is not sent yet.
    child.kill().unwrap();
    child.wait().unwrap();
    sink.down.store(false, Ordering::SeqCst);
    std::fs::write(&go, "").unwrap();
    let (code, said) = place.call(&["resume"], &env);
    assert_eq!(code, Some(0), "{said}");
    until("all notices", || {
        place.call(&["runs"], &[]);
        sink.events().len() >= 4
    });
    std::thread::sleep(Duration::from_millis(200));
    let mut events = sink.events();
    events.sort();
    assert_eq!(events, ["stage", "stage", "started", "success"], "each once, though all records were heard twice");
}

#[test]
fn a_secret_that_is_not_given_leaves_its_rule_out() {
    let place = Place::new(RULES);
    let (code, said) = place.call(&["run", "--var", "CODE=0"], &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("warning: notify: \"url\" has no value (is its secret given?); it is left out"), "{said}");
}

#[test]
fn channels_of_a_later_version_are_refused_by_name() {
    let place = Place::new("notify: [{teams: \"https://a\"}]\nstages: {s: {run: \"true\"}}\n");
    let (code, said) = place.call(&["run"], &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("\"notify\" has \"teams\", which this version reads but cannot do yet"), "{said}");
}

#[test]
fn the_approval_that_a_run_waits_for_is_told_before_it_ends_for_now() {
    let sink = Sink::default();
    let url = sink.listen();
    let place = Place::new(
        "name: demo\nnotify: [{webhook: \"${{ secrets.HOOK }}\"}]\nstages:\n  ok: {approval: {approvers: [ops]}}\n",
    );
    let (code, said) = place.call(&["run", "--no-wait"], &secrets(&url));
    assert_eq!(code, Some(10), "{said}");
    assert_eq!(sink.events(), ["waiting"]);
    let command = sink.came.lock().unwrap()[0].1["command"].as_str().unwrap().to_owned();
    assert!(command.starts_with("approve: slipway approve ") && command.ends_with(" ok"), "{command}");
}

/// A mail server that answers `answer` to every receiver; gives its URL.
fn refusing(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut out = stream.try_clone().unwrap();
            out.write_all(b"220 sink\r\n").unwrap();
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let said = if line.starts_with("RCPT") { answer } else { "250 ok" };
                let _ = out.write_all(format!("{said}\r\n").as_bytes());
            }
        }
    });
    url
}

const MAIL: &str = "name: demo\nstages:\n  tell: {notify: {email: {to: [\"${{ vars.TO }}\", b@example.com], \
                    from: ci@example.com}, message: \"Größe ${{ secrets.S }}\\nsecond\"}}\n";

#[test]
fn mails_reach_a_real_server() {
    let ground = Command::new("scripts/testground-smtp").output().unwrap();
    let said = String::from_utf8_lossy(&ground.stdout).into_owned();
    let Some((server, folder)) = said.trim().split_once(' ').filter(|_| ground.status.success()) else {
        println!("skipped: no mail sink: {}", String::from_utf8_lossy(&ground.stderr));
        return;
    };
    let place = Place::new(MAIL);
    let smtp = format!("smtp://{server}");
    let env = [("SLIPWAY_SMTP", smtp.as_str()), ("SLIPWAY_SECRET_S", "hunter2")];
    let name = place.path("").file_name().unwrap().to_string_lossy().trim_start_matches('.').to_owned();
    let (code, said) = place.call(&["run", "--var", &format!("TO={name}@example.com")], &env);
    assert_eq!(code, Some(0), "{said}");
    // Other tests send there too.
    let mails: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok())
        .filter(|mail| mail.contains(&format!("{name}@example.com")))
        .collect();
    assert_eq!(mails.len(), 1, "{said}");
    assert!(mails[0].contains("b@example.com") && mails[0].contains("From: ci@example.com"), "{}", mails[0]);
    assert!(!mails[0].contains("hunter2"), "{}", mails[0]);
}

#[test]
fn a_mail_that_is_refused_fails_the_stage_and_one_that_may_pass_later_does_not() {
    let place = Place::new(MAIL);
    for (answer, code, words) in
        [("550 nobody of that name", 1, "550"), ("451 come later", 0, "it stays in the outbox")]
    {
        let smtp = refusing(answer);
        let env = [("SLIPWAY_SMTP", smtp.as_str()), ("SLIPWAY_SECRET_S", "hunter2")];
        let (exit, said) = place.call(&["run", "--var", "TO=a@example.com"], &env);
        assert_eq!(exit, Some(code), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
