//! A closed-loop client: each connection sends its next request when the last is answered. What was sent and not answered with a
//! 2xx is lost. Each request has an id, which the application prints.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use slipway::clock::instant;

const PATIENCE: Duration = Duration::from_secs(10);

/// How much load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Connections that are kept.
    pub(crate) kept: usize,
    /// Clients that connect for each request.
    pub(crate) fresh: usize,
    /// Requests a second of all together.
    pub(crate) rate: f64,
}

/// A request's fate.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) at: Instant,
    pub(crate) id: String,
    /// Status and version; or how it was lost.
    pub(crate) said: Result<(u16, String), String>,
}

impl Answer {
    pub(crate) fn is_lost(&self) -> bool {
        !matches!(self.said, Ok((200..=299, _)))
    }

    pub(crate) fn version(&self) -> Option<&str> {
        self.said.as_ref().ok().map(|(_, version)| version.as_str())
    }
}

/// Load under way.
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    answers: Arc<Mutex<Vec<Answer>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins; waits until the first answer is a good one, so that losses before are not the test's.
    pub(crate) fn begin(address: &(String, String), shape: Shape) -> Self {
        let (to, host) = address.clone();
        let start = instant();
        while request(&mut None, &to, &host, "first").map_or(true, |(status, _)| status != 200) {
            assert!(start.elapsed() < Duration::from_secs(30), "nothing answers at {to} for {host}");
            std::thread::sleep(Duration::from_millis(50));
        }
        let over = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(Mutex::new(Vec::new()));
        let count = shape.kept + shape.fresh;
        let pause = Duration::from_secs_f64(count as f64 / shape.rate);
        let clients = (0..count).map(|client| {
            let (to, host, over, answers) = (to.clone(), host.clone(), over.clone(), answers.clone());
            let kept = client < shape.kept;
            std::thread::spawn(move || {
                let mut stream = None;
                // Spread over the pause, so that the clients do not all speak at once.
                std::thread::sleep(pause.mul_f64(client as f64 / count as f64));
                let mut next = instant();
                let mut number = 0;
                while !over.load(Ordering::Relaxed) {
                    let id = format!("{client}-{number}");
                    number += 1;
                    let said = request(&mut stream, &to, &host, &id);
                    if !kept || said.is_err() {
                        stream = None;
                    }
                    answers.lock().unwrap().push(Answer { at: instant(), id, said });
                    next += pause;
                    std::thread::sleep(next.saturating_duration_since(instant()));
                    // One that was late does not catch up in a burst.
                    next = next.max(instant() - pause);
                }
            })
        });
        Self { clients: clients.collect(), over, answers }
    }

    /// The answers until now.
    pub(crate) fn so_far(&self) -> Vec<Answer> {
        self.answers.lock().unwrap().clone()
    }

    /// Ends when all that was sent is answered.
    pub(crate) fn end(self) -> Answers {
        self.over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        let mut all = std::mem::take(&mut *self.answers.lock().unwrap());
        all.sort_by_key(|answer| answer.at);
        Answers(all)
    }
}

/// All that was sent.
pub(crate) struct Answers(pub(crate) Vec<Answer>);

impl Answers {
    pub(crate) fn lost(&self) -> Vec<&Answer> {
        self.0.iter().filter(|answer| answer.is_lost()).collect()
    }

    /// How many answers each version gave.
    pub(crate) fn by_version(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for version in self.0.iter().filter_map(Answer::version) {
            *counts.entry(version).or_default() += 1;
        }
        counts
    }

    /// From the first to the last answer of a version.
    pub(crate) fn span(&self, version: &str) -> Option<Duration> {
        let mut of = self.0.iter().filter(|answer| answer.version() == Some(version));
        let first = of.next()?;
        Some(of.next_back().unwrap_or(first).at - first.at)
    }

    /// What was lost, for people.
    pub(crate) fn tell(&self) -> String {
        let lost = self.lost();
        let start = self.0.first().map(|answer| answer.at);
        let some = lost
            .iter()
            .take(20)
            .map(|answer| format!("{} after {:?}: {:?}", answer.id, start.map(|start| answer.at - start), answer.said));
        format!(
            "{} sent, {} lost, answered by {:?}\n{}",
            self.0.len(),
            lost.len(),
            self.by_version(),
            some.collect::<Vec<_>>().join("\n")
        )
    }
}

/// Sends one request, over the connection that is kept if there is one. A kept connection that the other side has closed in between
/// is opened anew, as every client does; one that ends under a request is a loss.
fn request(stream: &mut Option<BufReader<TcpStream>>, to: &str, host: &str, id: &str) -> Result<(u16, String), String> {
    let say = |what: &str, why: std::io::Error| format!("{what}: {why}");
    if stream.as_ref().is_some_and(|kept| !is_open(kept.get_ref())) {
        *stream = None;
    }
    if stream.is_none() {
        let address = to.parse().map_err(|_| format!("{to} is no address"))?;
        let new = TcpStream::connect_timeout(&address, PATIENCE).map_err(|why| say("connect", why))?;
        new.set_read_timeout(Some(PATIENCE)).map_err(|why| say("connect", why))?;
        new.set_nodelay(true).map_err(|why| say("connect", why))?;
        *stream = Some(BufReader::new(new));
    }
    let Some(input) = stream.as_mut() else { return Err("no connection".into()) };
    let text = format!("GET /mood HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {id}\r\n\r\n");
    input.get_mut().write_all(text.as_bytes()).map_err(|why| say("send", why))?;
    let mut line = String::new();
    input.read_line(&mut line).map_err(|why| say("read", why))?;
    let status =
        line.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or(format!("closed under it ({line:?})"))?;
    let (mut length, mut version, mut close) = (0, String::new(), false);
    loop {
        let mut line = String::new();
        input.read_line(&mut line).map_err(|why| say("read", why))?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "x-version" => version = value.trim().to_owned(),
            "connection" => close = value.trim().eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).map_err(|why| say("read", why))?;
    if close {
        *stream = None;
    }
    Ok((status, version))
}

fn is_open(stream: &TcpStream) -> bool {
    let mut byte = [0];
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    let peeked = stream.peek(&mut byte);
    let open = matches!(peeked, Err(ref why) if why.kind() == std::io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).is_ok() && open
}
