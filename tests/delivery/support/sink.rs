//! Small servers of a test: one that keeps what is posted to it, and one that brings requests to the edge under a host's name, since
//! the names of a test stand in no DNS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Keeps what is posted to it.
pub(crate) struct Sink {
    address: SocketAddr,
    kept: Arc<Mutex<Vec<String>>>,
}

impl Sink {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::new(Mutex::new(Vec::new()));
        let into = kept.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(body) = take(&stream) {
                    into.lock().unwrap().push(body);
                }
            }
        });
        Self { address, kept }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// The bodies, in the order in which they came.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.kept.lock().unwrap().clone()
    }
}

/// Reads one request and answers "ok".
fn take(stream: &TcpStream) -> Option<String> {
    let mut input = BufReader::new(stream);
    let head = head(&mut input)?;
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    input.read_exact(&mut body).ok()?;
    let mut out = stream;
    out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").ok()?;
    Some(String::from_utf8_lossy(&body).into_owned())
}

fn head(input: &mut BufReader<&TcpStream>) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            return Some(lines);
        }
        lines.push(line);
    }
}

/// An address at which `edge` answers as if it had been called by the name `host`. Only for requests without a body.
pub(crate) fn known_as(edge: &str, host: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (edge, host) = (edge.to_owned(), host.to_owned());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (edge, host) = (edge.clone(), host.clone());
            std::thread::spawn(move || {
                let _ = pass(&stream, &edge, &host);
            });
        }
    });
    format!("http://{address}")
}

fn pass(stream: &TcpStream, edge: &str, host: &str) -> Option<()> {
    let head = head(&mut BufReader::new(stream))?;
    let mut to = TcpStream::connect(edge).ok()?;
    let mut text = format!("{}\r\nHost: {host}\r\nConnection: close\r\n", head.first()?);
    for line in &head[1..] {
        let name = line.split(':').next()?;
        if !name.eq_ignore_ascii_case("host") && !name.eq_ignore_ascii_case("connection") {
            text.push_str(&format!("{line}\r\n"));
        }
    }
    to.write_all(format!("{text}\r\n").as_bytes()).ok()?;
    let mut out = stream;
    std::io::copy(&mut to, &mut out).ok()?;
    Some(())
}
