//! HTTP by hand, so that a test can also say what no client would.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use slipway::forge::signature::sign;
use slipway::secret::Secret;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A server that has heard enough may reset the connection behind its answer.
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }
}

/// Sends bytes as they are, and reads to the end.
pub(crate) fn raw(at: SocketAddr, parts: &[&[u8]]) -> Answer {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    for part in parts {
        if stream.write_all(part).is_err() {
            break;
        }
    }
    Answer::read(&mut stream)
}

/// One request with these headers.
pub(crate) fn send(at: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "content-length") {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    head.push_str("\r\n");
    raw(at, &[head.as_bytes(), body])
}

pub(crate) fn get(at: SocketAddr, path: &str) -> Answer {
    send(at, "GET", path, &[], b"")
}

/// A webhook as GitHub signs it.
pub(crate) fn github(at: SocketAddr, repository: &str, secret: &str, event: &str, id: &str, body: &[u8]) -> Answer {
    let signature = format!("sha256={}", sign(&Secret::new(secret), body));
    let headers = [("x-hub-signature-256", signature.as_str()), ("x-github-event", event), ("x-github-delivery", id)];
    send(at, "POST", &format!("/hooks/{repository}"), &headers, body)
}
