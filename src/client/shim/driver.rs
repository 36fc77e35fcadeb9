//! The task that owns the stream: writes queued requests in batches, reads answers, dials again when the stream breaks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::client::shim::dial::{Dial, Stream};
use crate::client::shim::protocol::{Answer, MAX_FRAME, OLDEST_VERSION, OUTPUT_CHUNK, Request, VERSION, next_frame};
use crate::client::shim::steps::StepTable;
use crate::clock::instant;

/// How long a shim may take until it listens.
pub(super) const CONNECT_ABSENCE: Duration = Duration::from_secs(10);
/// How long a shim that was there may not be found. It does not come back, so this is for the way there.
const RECONNECT_ABSENCE: Duration = Duration::from_secs(3);
/// How long a shim that is there may take to answer: on a machine that stands still for a while its steps are not lost.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// Streams in a row that broke before the shim had said anything: then another will not help either.
const FRUITLESS_STREAMS: u32 = 3;
/// Requests written at once.
const BATCH: usize = 64;

/// What the task needs.
pub(super) struct Driver {
    pub(super) dial: Arc<dyn Dial>,
    pub(super) token: Vec<u8>,
    pub(super) queue: mpsc::Receiver<Vec<u8>>,
    pub(super) steps: Arc<StepTable>,
}

/// A stream on which the hello was answered, and bytes that came after the answer.
pub(super) struct Opened {
    stream: Box<dyn Stream>,
    read: Vec<u8>,
}

/// Why a session ended.
enum End {
    /// Nobody holds the client any more, or the shim said goodbye.
    Over,
    /// The stream broke; the requests of the batch may not have arrived.
    Broken(io::Error, Vec<u8>),
}

impl Driver {
    /// Runs until the client is dropped or the shim is gone.
    pub(super) async fn run(mut self, first: Opened) {
        let mut opened = first;
        let mut say_first = Vec::new();
        let mut fruitless = 0;
        let reason = loop {
            let mut heard = false;
            match self.session(opened, std::mem::take(&mut say_first), &mut heard).await {
                End::Over => break "the shim has ended".to_owned(),
                End::Broken(error, unsent) => {
                    if self.steps.is_leaving() {
                        break "the shim has ended".to_owned();
                    }
                    fruitless = if heard { 0 } else { fruitless + 1 };
                    if fruitless == FRUITLESS_STREAMS {
                        break format!("the connection to the shim breaks again and again ({error})");
                    }
                    match open(&*self.dial, &self.token, RECONNECT_ABSENCE).await {
                        Ok(again) => {
                            opened = again;
                            say_first = self.steps.resume_frames();
                            say_first.extend_from_slice(&unsent);
                        }
                        Err(again) => break format!("the connection to the shim broke ({error}; then {again})"),
                    }
                }
            }
        };
        self.queue.close();
        self.steps.lose_all(&reason);
    }

    async fn session(&mut self, opened: Opened, say_first: Vec<u8>, heard: &mut bool) -> End {
        let Opened { stream, mut read } = opened;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut batch: Vec<Vec<u8>> = Vec::with_capacity(BATCH);
        let mut out = say_first;
        loop {
            let used = match self.take_answers(&read, &mut out) {
                Ok(Some(used)) => used,
                Ok(None) => return End::Over,
                Err(error) => return End::Broken(error, out),
            };
            read.drain(..used);
            *heard |= used > 0;
            if !out.is_empty() {
                let written = async {
                    writer.write_all(&out).await?;
                    writer.flush().await
                };
                if let Err(error) = written.await {
                    return End::Broken(error, out);
                }
                out.clear();
            }
            read.reserve(OUTPUT_CHUNK);
            tokio::select! {
                count = self.queue.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return End::Over;
                    }
                    batch.drain(..).for_each(|frames| out.extend_from_slice(&frames));
                }
                result = reader.read_buf(&mut read) => match result {
                    Ok(0) => return End::Broken(io::ErrorKind::UnexpectedEof.into(), out),
                    Ok(_) => {}
                    Err(error) => return End::Broken(error, out),
                }
            }
        }
    }

    /// Handles the whole frames in `read`; gives the bytes they took, `None` after the shim's goodbye. What must be said
    /// in return is appended to `out`.
    fn take_answers(&self, read: &[u8], out: &mut Vec<u8>) -> io::Result<Option<usize>> {
        let mut used = 0;
        while let Some((body, length)) = next_frame(&read[used..], MAX_FRAME)? {
            used += length;
            let answer = Answer::decode(body)?;
            if answer == Answer::Bye {
                return Ok(None);
            }
            self.steps.take(answer, out);
        }
        Ok(Some(used))
    }
}

/// Dials until somebody is there, for as long as `absence`, and exchanges hello and welcome.
pub(super) async fn open(dial: &dyn Dial, token: &[u8], absence: Duration) -> io::Result<Opened> {
    let start = instant();
    let mut pause = Duration::from_millis(2);
    loop {
        match tokio::time::timeout(ANSWER_DEADLINE, greet(dial, token)).await {
            Ok(Err(error)) if may_be_starting(&error) && start.elapsed() < absence => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
            Ok(result) => return result,
            Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "the shim did not answer in time")),
        }
    }
}

fn may_be_starting(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

async fn greet(dial: &dyn Dial, token: &[u8]) -> io::Result<Opened> {
    let mut stream = dial.dial().await?;
    let mut hello = Vec::new();
    Request::Hello { version: VERSION, oldest: OLDEST_VERSION, token: token.to_vec() }.encode(&mut hello);
    stream.write_all(&hello).await?;
    stream.flush().await?;
    let mut read = Vec::with_capacity(OUTPUT_CHUNK);
    loop {
        if let Some((body, length)) = next_frame(&read, MAX_FRAME)? {
            let answer = Answer::decode(body)?;
            read.drain(..length);
            return match answer {
                Answer::Welcome { version } if (OLDEST_VERSION..=VERSION).contains(&version) => {
                    Ok(Opened { stream, read })
                }
                Answer::Welcome { version } => Err(io::Error::other(format!(
                    "the shim speaks version {version}, which this program does not know"
                ))),
                Answer::Rejected { reason } => Err(io::Error::new(io::ErrorKind::PermissionDenied, reason)),
                _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the first answer is no welcome")),
            };
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the shim closed the connection"));
        }
    }
}
