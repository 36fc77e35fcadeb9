use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use crate::client::shim::{Dial, ShimClient, Stream, UnixDial, write_embedded};
use crate::event::Exit;
use crate::id::{AttemptId, JobId};
use crate::runner::contract::{RunnerError, StepCommand, StepEvent};

/// A way to the shim that breaks after so many bytes, each time.
struct Breaking {
    dial: UnixDial,
    bytes: u64,
    dials: Arc<AtomicU64>,
}

struct BreakingStream {
    stream: UnixStream,
    left: u64,
}

#[async_trait]
impl Dial for Breaking {
    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        let count = self.dials.fetch_add(1, Ordering::Relaxed);
        let stream = UnixStream::connect(&self.dial.socket).await?;
        // Each breaks somewhere else, in the middle of frames too.
        Ok(Box::new(BreakingStream { stream, left: self.bytes + 7919 * count % 65536 }))
    }
}

impl AsyncRead for BreakingStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let limit = usize::try_from(self.left).unwrap().min(buffer.remaining());
        if limit == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(limit));
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut part);
        let filled = part.filled().len();
        buffer.advance(filled);
        self.left -= filled as u64;
        polled
    }
}

impl AsyncWrite for BreakingStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A shim in the background; whoever asks for it shuts it down.
fn serve(folder: &Path) -> UnixDial {
    let dial = UnixDial { socket: folder.join("socket") };
    let mut command = Command::new(write_embedded(folder).unwrap());
    command.arg("serve").arg("--dir").arg(folder.join("dir")).arg("--socket").arg(&dial.socket);
    command.arg("--token-file").arg(folder.join("token")).args(["--detach", "--window", "60"]).stdin(Stdio::null());
    // Another test's fork may hold the program open for writing for a moment.
    for _ in 0..1000 {
        std::fs::write(folder.join("token"), "token").unwrap();
        if command.status().is_ok_and(|status| status.success()) {
            return dial;
        }
    }
    panic!("the shim cannot be started");
}

fn command(attempt: &AttemptId, step: u32, script: &str) -> StepCommand {
    StepCommand {
        key: attempt.step(step),
        argv: ["sh", "-c", script].map(str::to_owned).into(),
        env: Vec::new(),
        path: Vec::new(),
        cwd: "/".to_owned(),
        files: vec![("given".to_owned(), vec![b'x'; 600_000])],
        collect: vec!["given".to_owned()],
    }
}

#[tokio::test]
async fn each_byte_comes_once_over_streams_that_break() {
    let folder = tempfile::tempdir().unwrap();
    let dials = Arc::new(AtomicU64::new(0));
    let dial = Breaking { dial: serve(folder.path()), bytes: 700_000, dials: Arc::clone(&dials) };
    let client = ShimClient::connect("test", Arc::new(dial), b"token".to_vec()).await.unwrap();
    let attempt = AttemptId::new(JobId::from("build"), 1);
    let script = "seq 100000; exit 3";
    let expected: String = (1..=100_000).map(|i| format!("{i}\n")).collect();
    let mut streams = Vec::new();
    for step in 0..3 {
        streams.push(client.start(command(&attempt, step, script)).await.unwrap());
    }
    for mut events in streams {
        let mut text = Vec::new();
        let exit = loop {
            match events.recv().await.expect("an end") {
                StepEvent::Output { offset, bytes } => {
                    assert_eq!(offset, text.len() as u64);
                    text.extend(bytes);
                }
                StepEvent::Exited(exit) => break exit,
                StepEvent::Lost { reason } => panic!("lost: {reason}"),
            }
        };
        assert!(String::from_utf8(text).unwrap() == expected);
        assert_eq!(exit.exit, Exit::Code(3));
        let [(name, content)] = exit.files.as_slice() else { panic!("{} files", exit.files.len()) };
        assert!(name == "given" && *content == vec![b'x'; 600_000]);
    }
    assert!(dials.load(Ordering::Relaxed) > 3);
    assert_eq!(client.end(&attempt).await.unwrap(), 0);
    client.shutdown().await.unwrap();
    client.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_shim_that_is_gone_is_told_to_all() {
    let folder = tempfile::tempdir().unwrap();
    let dial = Arc::new(serve(folder.path()));
    let client = ShimClient::connect("test", Arc::clone(&dial) as Arc<dyn Dial>, b"token".to_vec()).await.unwrap();
    let attempt = AttemptId::new(JobId::from("build"), 1);
    let mut events = client.start(command(&attempt, 0, "exec sleep 1000")).await.unwrap();
    let other = ShimClient::connect("test", dial, b"token".to_vec()).await.unwrap();
    other.shutdown().await.unwrap();
    let mut last = None;
    while let Some(event) = events.recv().await {
        last = Some(event);
    }
    // It may have heard of the kill, or only of the shim's end.
    assert!(matches!(last, Some(StepEvent::Lost { .. } | StepEvent::Exited(_))), "{last:?}");
    let Err(RunnerError::Lost { .. }) = client.start(command(&attempt, 1, "true")).await else { panic!() };
    assert!(client.is_lost());
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let dial = Arc::new(serve(folder.path()));
    let client = ShimClient::connect("test", Arc::clone(&dial) as Arc<dyn Dial>, b"token".to_vec()).await.unwrap();
    let attempt = AttemptId::new(JobId::from("build"), 1);
    let mut large = command(&attempt, 0, "true");
    large.env.push(("A".to_owned(), "x".repeat(5 << 20)));
    let Err(RunnerError::Start { reason, .. }) = client.start(large).await else { panic!() };
    assert!(reason.contains("4 MiB"), "{reason}");
    // What only the system finds too large is refused too, and the connection stays.
    let mut long = command(&attempt, 1, "true");
    long.env.push(("A".to_owned(), "x".repeat(1 << 20)));
    assert!(matches!(client.start(long).await, Err(RunnerError::Start { .. })));
    let wrong = ShimClient::connect("test", dial, b"wrong".to_vec());
    assert!(matches!(wrong.await, Err(RunnerError::Other { .. })));
    client.shutdown().await.unwrap();
}
