//! T01 to T04 and T32: what comes in, and what does not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use slipway::clock::Timestamp;
use slipway::forge::signature::sign;
use slipway::secret::Secret;
use slipway::server::app::{App, router};
use slipway::server::config::ServerConfig;
use slipway::server::hooks::Budget;
use slipway::server::listen::serve;
use slipway::store::folder::StateFolder;
use slipway::store::inbox::Inbox;
use slipway::store::sqlite::{Durability, SqliteInbox, SqliteStore};
use tokio::sync::watch;

use crate::client::{Answer, get, github, raw, send};

const SECRET: &str = "a secret of the shop";
const CONFIG: &str = "
[repositories.shop]
forge = 'github'
url = 'https://forge.example/o/shop.git'
webhook-secret = 'a secret of the shop'
[repositories.lab]
forge = 'gitlab'
url = 'https://forge.example/o/lab.git'
webhook-secret = 'a secret of the lab'
";

/// A server without a worker: what comes in stays.
struct Ground {
    at: SocketAddr,
    inbox: Arc<SqliteInbox>,
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inbox = Arc::new(SqliteInbox::open(&folder.path().join("inbox.db")).unwrap());
        let app = Arc::new(App {
            config: Arc::new(ServerConfig::read(CONFIG, Path::new("/"), &|_| None).unwrap()),
            store: SqliteStore::open(&StateFolder::open_at(folder.path().join("state")).unwrap(), Durability::Power)
                .unwrap(),
            inbox: Arc::clone(&inbox) as Arc<dyn Inbox>,
            fresh: tokio::sync::Notify::new(),
            budget: Budget::default(),
            voice: Arc::new(|_| {}),
        });
        let (stop, stopped) = watch::channel(false);
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                serve(listener, router(app), stopped).await;
            });
        });
        Self { at: told.recv().unwrap(), inbox, stop, thread: Some(thread), _folder: folder }
    }

    fn rows(&self) -> usize {
        self.inbox.due(Timestamp(i64::MAX), &[], 10_000).unwrap().len()
    }

    fn push(&self, id: &str, body: &[u8]) -> Answer {
        github(self.at, "shop", SECRET, "push", id, body)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn t01_forged_webhooks_leave_no_row() {
    let ground = Ground::new();
    let body = b"{\"ref\":\"refs/heads/main\"}";
    let right = format!("sha256={}", sign(&Secret::new(SECRET), body));
    let wrong = format!("sha256={}", sign(&Secret::new("a secret of the lab"), body));
    let sha1 = "sha1=5eb63bbbe01eeed093cb22bb8f5acdc3";
    let hook = |path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let mut all = vec![("x-github-event", "push"), ("x-github-delivery", "d-1")];
        all.extend(headers);
        send(ground.at, "POST", path, &all, body).status
    };
    assert_eq!(hook("/hooks/shop", &[], body), 401);
    assert_eq!(hook("/hooks/shop", &[("x-hub-signature", sha1)], body), 401);
    assert_eq!(hook("/hooks/shop", &[("x-hub-signature-256", "sha256=garbage")], body), 401);
    assert_eq!(hook("/hooks/shop", &[("x-hub-signature-256", &wrong)], body), 401);
    assert_eq!(hook("/hooks/shop", &[("x-hub-signature-256", &right)], b"{\"ref\":\"refs/heads/Main\"}"), 401);
    assert_eq!(hook("/hooks/shop", &[("x-hub-signature-256", &right)], b"{\"ref\": \"refs/heads/main\"}"), 401);
    assert_eq!(hook("/hooks/lab", &[("x-hub-signature-256", &wrong)], body), 401);
    assert_eq!(hook("/hooks/none", &[("x-hub-signature-256", &right)], body), 401);
    assert_eq!(ground.rows(), 0);
    assert_eq!(hook("/hooks/shop", &[("x-hub-signature-256", &right)], body), 202);
    assert_eq!(ground.rows(), 1);
}

#[test]
fn t03_a_delivery_that_comes_a_hundred_times_at_once_is_there_once() {
    let ground = Ground::new();
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let sent: Vec<_> = (0..100).map(|_| scope.spawn(|| ground.push("d-1", b"{}"))).collect();
        sent.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.json()["replay"] == false).count(), 1);
    assert!(answers.iter().all(|answer| answer.json()["accepted"] == answers[0].json()["accepted"]));
    assert_eq!(ground.rows(), 1);
    assert_eq!(ground.push("d-2", b"{}").json()["replay"], false);
}

#[test]
fn gitlab_is_known_by_its_token_and_its_idempotency_key() {
    let ground = Ground::new();
    let hook = |token: &str, key: &str| {
        let headers = [
            ("x-gitlab-token", token),
            ("x-gitlab-event", "Push Hook"),
            ("idempotency-key", key),
            ("x-gitlab-event-uuid", "u"),
        ];
        send(ground.at, "POST", "/hooks/lab", &headers, b"{}")
    };
    assert_eq!(hook("a secret of the shop", "k-1").status, 401);
    assert_eq!(hook("a secret of the lab", "k-1").json()["replay"], false);
    assert_eq!(hook("a secret of the lab", "k-1").json()["replay"], true);
    assert_eq!(hook("a secret of the lab", "k-2").json()["replay"], false);
    let nameless = send(ground.at, "POST", "/hooks/lab", &[("x-gitlab-token", "a secret of the lab")], b"{}");
    assert_eq!((nameless.status, ground.rows()), (400, 2));
}

/// Resident memory of this process in bytes.
fn memory() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn t04_bombs_are_turned_away_before_they_are_in_memory() {
    let ground = Ground::new();
    let huge = (4_u64 << 30).to_string();
    let long = send(ground.at, "POST", "/hooks/shop", &[("content-length", &huge)], b"{}");
    assert_eq!(long.status, 413);
    let zipped = send(ground.at, "POST", "/hooks/shop", &[("content-encoding", "gzip")], b"\x1f\x8b");
    assert_eq!(zipped.status, 415);
    // One that does not say how long it is.
    let before = memory();
    let mut stream = TcpStream::connect(ground.at).unwrap();
    stream.write_all(b"POST /hooks/shop HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    let piece = [b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
    let sent = (0..200).take_while(|_| stream.write_all(&piece).is_ok()).count();
    let grown = memory().saturating_sub(before);
    assert!(sent < 200, "all 200 MiB were taken");
    assert!(grown <= 2 * (25 << 20) + (16 << 20), "{grown} bytes more");
    // A hundred thousand headers, and a head that never ends.
    let mut head = b"GET /healthz HTTP/1.1\r\nhost: a\r\n".to_vec();
    (0..100_000).for_each(|i| head.extend(format!("x-{i}: y\r\n").bytes()));
    head.extend(b"\r\n");
    assert!(matches!(raw(ground.at, &[&head]).status, 0 | 400 | 431));
    assert_eq!((get(ground.at, "/healthz").status, ground.rows()), (200, 0));
}

#[test]
fn t04_whoever_dawdles_is_hung_up_on_and_holds_nobody_up() {
    let ground = Ground::new();
    let open = |text: &[u8]| {
        let mut stream = TcpStream::connect(ground.at).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(text).unwrap();
        stream
    };
    let slow: Vec<TcpStream> = (0..50).map(|_| open(b"POST /hooks/shop HTTP/1.1\r\nx: ")).collect();
    let mut body = open(b"POST /hooks/shop HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n{");
    assert_eq!(ground.push("d-1", b"{}").status, 202);
    let mut answer = String::new();
    body.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    for mut stream in slow {
        // Closed, with or without a word.
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(ended.is_ok() || ended.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset));
    }
    assert_eq!(ground.rows(), 1);
}

#[test]
fn t32_only_the_routes_exist() {
    let ground = Ground::new();
    for path in [
        "/hooks",
        "/hooks/",
        "/hooks/shop/",
        "//hooks/shop",
        "/hooks/shop/..",
        "/hooks/shop;.jsp",
        "/hooks/%2e%2e/x",
        "/Hooks/shop",
        "/hooks/shop%00",
        "/admin",
        "/.git/config",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/..%2fhooks/shop",
        "/static/../inbox.db",
    ] {
        for method in ["GET", "PUT", "DELETE", "PATCH", "TRACE", "HOOKS"] {
            let answer = send(ground.at, method, path, &[("x-http-method-override", "POST")], b"");
            assert!(matches!(answer.status, 400 | 404 | 405), "{method} {path}: {answer:?}");
        }
        let posted = send(ground.at, "POST", path, &[], b"{}");
        assert!(matches!(posted.status, 400 | 401 | 404 | 405), "POST {path}: {posted:?}");
    }
    let answer = get(ground.at, "/healthz");
    for header in
        ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff", "cache-control: no-store"]
    {
        assert!(answer.head.contains(header), "{}", answer.head);
    }
    assert_eq!(ground.rows(), 0);
}

/// T02: secrets are compared by what takes the same time for all, and by nothing else.
#[test]
fn t02_no_source_compares_a_secret_by_its_bytes() {
    for folder in ["src/forge", "src/server"] {
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for line in code.lines().filter(|line| line.contains("expose()") || line.contains("secret")) {
                let compares = [" == ", " != ", ".eq(", "starts_with("].iter().any(|sign| line.contains(sign));
                // Two secrets of the configuration, when it is read.
                let of_config = path.ends_with("config.rs") && line.contains("known.token");
                assert!(!compares || of_config, "{}: {line}", path.display());
            }
        }
    }
}
