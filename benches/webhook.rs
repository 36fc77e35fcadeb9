//! Webhooks accepted durably a second, and the way from a push to its first step: `cargo bench --bench webhook`.
//!
//! The real server, over sockets, with signed bodies of a real size; its worker takes the deliveries out meanwhile. Beside it what
//! one sync of the same size costs on this disk, in the same run. Then pushes one at a time to a repository on this machine, from
//! the first byte of the webhook to the first command of the first step, on the host.

#![expect(clippy::unwrap_used, reason = "a bench that cannot run says so by failing")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use slipway::clock::{instant, system_time};
use slipway::forge::signature::sign;
use slipway::secret::Secret;

const SECRET: &str = "a secret for the bench";
/// Forges keep so many connections open at once here.
const CONNECTIONS: usize = 32;
const EACH: usize = 125;
const SYNCS: usize = 200;
const PUSHES: usize = 20;

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let origin = folder.path().join("origin");
    let mark = folder.path().join("mark");
    git(folder.path(), &["init", "--quiet", "origin"]);
    let step = format!("date +%s%N > {}", mark.display());
    std::fs::write(origin.join("slipway.yml"), format!("on: push\nstages: {{a: {{run: '{step}', shell: sh}}}}\n"))
        .unwrap();
    git(&origin, &["add", "."]);
    git(&origin, &["commit", "--quiet", "-m", "first"]);
    let sha = git(&origin, &["rev-parse", "HEAD"]);
    let config = format!(
        "[repositories.bench]\nforge = 'github'\nproject = 'o/r'\nurl = '{}'\nwebhook-secret = '{SECRET}'\nhost-runner = true\n",
        origin.display()
    );
    std::fs::write(folder.path().join("server.toml"), config).unwrap();
    let (mut server, at) = start(folder.path());

    let before = syncs(folder.path());
    // A branch that is gone: all of the way in, and nothing to run.
    let body = payload(&"0".repeat(40));
    let started = instant();
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let body = &body;
        let all: Vec<_> = (0..CONNECTIONS).map(|n| scope.spawn(move || flood(at, n, body))).collect();
        all.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    let took = started.elapsed();
    let after = syncs(folder.path());
    times.sort();
    let mut floor: Vec<Duration> = before.into_iter().chain(after).collect();
    floor.sort();
    let count = times.len() as f64;
    println!(
        "webhooks of {} bytes on {CONNECTIONS} connections: {:.0} a second, p50 {}, p99 {} (one sync: p50 {}, p99 {}; {:.1} webhooks a sync)",
        body.len(),
        count / took.as_secs_f64(),
        ms(at_percent(&times, 50)),
        ms(at_percent(&times, 99)),
        ms(at_percent(&floor, 50)),
        ms(at_percent(&floor, 99)),
        count / (took.as_secs_f64() / at_percent(&floor, 50).as_secs_f64()),
    );
    drop(ended(&mut server));

    let (mut server, at) = start(folder.path());
    let mut firsts = Vec::new();
    for n in 0..PUSHES {
        let _ = std::fs::remove_file(&mark);
        let began = system_time().duration_since(std::time::UNIX_EPOCH).unwrap();
        let mut stream = TcpStream::connect(at).unwrap();
        send(&mut stream, &format!("push-{n}"), &payload(&sha));
        let nanoseconds = loop {
            match std::fs::read_to_string(&mark).ok().and_then(|text| text.trim().parse::<u64>().ok()) {
                Some(found) => break found,
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        firsts.push(Duration::from_nanos(nanoseconds).saturating_sub(began));
        // The run's end is not what is measured.
        std::thread::sleep(Duration::from_millis(300));
    }
    firsts.sort();
    println!(
        "push to first step on the host, {PUSHES} pushes: p50 {}, p90 {} (fetch, checkout, plan, copy, start)",
        ms(at_percent(&firsts, 50)),
        ms(at_percent(&firsts, 90)),
    );
    drop(ended(&mut server));
}

fn ended(server: &mut Child) -> std::io::Result<std::process::ExitStatus> {
    server.kill()?;
    server.wait()
}

fn start(folder: &Path) -> (Child, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_slipway"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config", "server.toml", "--data", "data"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let at = line.trim().rsplit("http://").next().unwrap().parse().unwrap();
    (child, at)
}

/// A push with some commits, of about the size that forges send.
fn payload(after: &str) -> Vec<u8> {
    let commit = serde_json::json!({
        "id": after, "message": "a change ".repeat(20), "added": [], "removed": [], "modified": ["src/main.rs"],
        "author": {"name": "ann", "email": "ann@example.com", "username": "ann"}, "url": "u".repeat(120),
    });
    let payload = serde_json::json!({
        "ref": "refs/heads/main", "before": "1".repeat(40), "after": after,
        "repository": {"id": 1, "full_name": "o/r", "description": "d".repeat(4000)},
        "commits": vec![commit; 5], "sender": {"login": "ann"},
    });
    payload.to_string().into_bytes()
}

fn flood(at: SocketAddr, connection: usize, body: &[u8]) -> Vec<Duration> {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_nodelay(true).unwrap();
    let time = |n| {
        let start = instant();
        send(&mut stream, &format!("{connection}-{n}"), body);
        start.elapsed()
    };
    (0..EACH).map(time).collect()
}

/// One webhook on a connection that stays.
fn send(stream: &mut TcpStream, id: &str, body: &[u8]) {
    let signature = sign(&Secret::new(SECRET), body);
    let mut request = format!(
        "POST /hooks/bench HTTP/1.1\r\nhost: bench\r\nx-github-event: push\r\nx-github-delivery: {id}\r\n\
         x-hub-signature-256: sha256={signature}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    stream.write_all(&request).unwrap();
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "hung up on: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("HTTP/1.1 202"), "{text}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if rest.len() >= length.parse().unwrap() {
            return;
        }
    }
}

/// What writing and syncing a webhook's bytes costs here.
fn syncs(folder: &Path) -> Vec<Duration> {
    let mut file = File::create(folder.join("floor")).unwrap();
    let body = payload(&"0".repeat(40));
    let mut once = || {
        let start = instant();
        file.write_all(&body).unwrap();
        file.sync_data().unwrap();
        start.elapsed()
    };
    (0..SYNCS).map(|_| once()).collect()
}

fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=ann", "-c", "user.email=ann@example.com", "-c", "init.defaultBranch=main"])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn at_percent(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
