//! HTTP/1.1, as much as is needed: a thread a connection, keep-alive, bounded heads, bodies read and dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::settings::Settings;

const HEAD: u64 = 16 * 1024;
const BODY: u64 = 1024 * 1024;
const IDLE: Duration = Duration::from_secs(90);

pub struct Request {
    pub path: String,
    pub query: String,
    pub id: Option<String>,
    length: u64,
    close: bool,
}

pub struct Reply {
    pub status: u16,
    pub kind: &'static str,
    pub body: String,
}

impl Reply {
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: body.into() }
    }
}

pub type Answer = fn(&Settings, &Request) -> Reply;

pub struct Server {
    closed: Arc<AtomicBool>,
    /// Requests that are being answered.
    busy: Arc<AtomicUsize>,
}

impl Server {
    pub fn start(port: u16, settings: Arc<Settings>, answer: Answer) -> Self {
        let listener = match TcpListener::bind(("0.0.0.0", port)) {
            Ok(listener) => listener,
            Err(why) => {
                eprintln!("port {port} cannot be had: {why}");
                std::process::exit(1);
            }
        };
        let (closed, busy) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let server = Self { closed: closed.clone(), busy: busy.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if closed.load(Ordering::SeqCst) {
                    break;
                }
                let (settings, busy) = (settings.clone(), busy.clone());
                let spawned = thread::Builder::new().stack_size(128 * 1024);
                // Without a thread to be had the connection is dropped, which is all that can be done.
                let _ = spawned.spawn(move || connection(stream, &settings, &busy, answer));
            }
        });
        server
    }

    /// Takes no more connections, and waits for the requests that are being answered.
    pub fn close(&self, patience: Duration) {
        self.closed.store(true, Ordering::SeqCst);
        let start = Instant::now();
        while self.busy.load(Ordering::SeqCst) > 0 && start.elapsed() < patience {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn connection(stream: TcpStream, settings: &Settings, busy: &AtomicUsize, answer: Answer) {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(IDLE));
    let Ok(mut out) = stream.try_clone() else { return };
    let mut input = BufReader::new(stream);
    while let Some(request) = read(&mut input) {
        busy.fetch_add(1, Ordering::SeqCst);
        let reply = answer(settings, &request);
        let close = request.close || settings.is_draining();
        let sent = write(&mut out, &reply, &settings.version, close);
        busy.fetch_sub(1, Ordering::SeqCst);
        if close || sent.is_err() {
            return;
        }
    }
}

/// The next request; `None` at the end of the connection, and for what is no request.
fn read(input: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut head = input.by_ref().take(HEAD);
    let mut line = String::new();
    head.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split_whitespace();
    let (_method, target, version) = (words.next()?, words.next()?.to_string(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut request =
        Request { path: path.into(), query: query.into(), id: None, length: 0, close: version == "HTTP/1.0" };
    loop {
        let mut line = String::new();
        head.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => request.length = value.parse().ok().filter(|length| *length <= BODY)?,
            "transfer-encoding" => return None,
            "connection" => request.close = value.eq_ignore_ascii_case("close"),
            "x-request-id" => request.id = Some(value.chars().filter(char::is_ascii_graphic).take(128).collect()),
            _ => {}
        }
    }
    let length = request.length;
    let dropped = std::io::copy(&mut input.by_ref().take(length), &mut std::io::sink()).ok()?;
    (dropped == length).then_some(request)
}

fn write(out: &mut TcpStream, reply: &Reply, version: &str, close: bool) -> std::io::Result<()> {
    let word = match reply.status {
        200 => "OK",
        404 => "Not Found",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    };
    let connection = if close { "close" } else { "keep-alive" };
    // One write, so that an end in between cannot leave half an answer.
    let whole = format!(
        "HTTP/1.1 {} {word}\r\nContent-Type: {}\r\nContent-Length: {}\r\nX-Version: {version}\r\nConnection: {connection}\r\n\r\n{}",
        reply.status,
        reply.kind,
        reply.body.len(),
        reply.body
    );
    out.write_all(whole.as_bytes())
}
