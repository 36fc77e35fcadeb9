//! The calls of a runner on a shim.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::client::shim::dial::Dial;
use crate::client::shim::driver::{self, Driver};
use crate::client::shim::protocol::{FILE_CHUNK, MAX_FRAME, MAX_PUT, Refusal, Request, Start, StepSignal};
use crate::client::shim::steps::{Opened, StepTable};
use crate::id::{AttemptId, StepKey};
use crate::runner::contract::{RunnerError, Signal, StepCommand, StepEvent};

/// Requests that may wait to be written; callers wait when there are more.
const QUEUED_REQUESTS: usize = 256;
/// How long `end` and `shutdown` wait for the shim's word.
const END_DEADLINE: Duration = Duration::from_secs(15);

/// A connection to a shim. Cheap to clone; all calls may be made at once.
#[derive(Clone)]
pub struct ShimClient {
    name: Arc<str>,
    requests: mpsc::Sender<Vec<u8>>,
    steps: Arc<StepTable>,
}

impl ShimClient {
    /// Connects and says the token. While the shim does not listen yet it is tried again, for ten seconds.
    /// `name` stands in errors: the sandbox, or the run.
    pub async fn connect(name: &str, dial: Arc<dyn Dial>, token: Vec<u8>) -> Result<Self, RunnerError> {
        let stream = driver::open(&*dial, &token, driver::CONNECT_ABSENCE).await.map_err(|source| {
            RunnerError::Other { what: format!("failed to reach the shim of \"{name}\""), source: source.into() }
        })?;
        let (requests, queue) = mpsc::channel(QUEUED_REQUESTS);
        let steps = Arc::new(StepTable::new(requests.downgrade()));
        tokio::spawn(Driver { dial, token, queue, steps: Arc::clone(&steps) }.run(stream));
        Ok(Self { name: name.into(), requests, steps })
    }

    /// Whether the shim is known to be gone.
    pub fn is_lost(&self) -> bool {
        self.steps.lost().is_some()
    }

    /// As [`Sandbox::start`](crate::runner::contract::Sandbox::start).
    pub async fn start(&self, command: StepCommand) -> Result<mpsc::Receiver<StepEvent>, RunnerError> {
        let key = command.key.to_string();
        let program = command.argv.first().cloned().unwrap_or_default();
        let collect = command.collect.clone();
        let frames = start_frames(&key, command).map_err(|what| RunnerError::Start {
            program: program.clone(),
            reason: format!("{what}; pass large data in a file of the workspace"),
        })?;
        let (reply, answer) = oneshot::channel();
        let events = self.steps.open(&key, 0, Some(frames.clone()), collect, reply);
        self.send(frames).await?;
        match self.answer(answer).await? {
            Opened::Known => Ok(events),
            Opened::Refused(reason, detail) => Err(refused(program, reason, detail)),
            Opened::Unknown => Err(self.lost("the shim does not know a step that it was told to start")),
        }
    }

    /// As [`Sandbox::attach`](crate::runner::contract::Sandbox::attach).
    pub async fn attach(
        &self,
        key: &StepKey,
        offset: u64,
        collect: &[String],
    ) -> Result<Option<mpsc::Receiver<StepEvent>>, RunnerError> {
        let key = key.to_string();
        let (reply, answer) = oneshot::channel();
        let events = self.steps.open(&key, offset, None, collect.to_vec(), reply);
        self.request(&Request::Attach { key, offset, collect: collect.to_vec() }).await?;
        match self.answer(answer).await? {
            Opened::Known => Ok(Some(events)),
            Opened::Unknown => Ok(None),
            Opened::Refused(reason, detail) => Err(refused(String::new(), reason, detail)),
        }
    }

    /// As [`Sandbox::signal`](crate::runner::contract::Sandbox::signal).
    pub async fn signal(&self, key: &StepKey, signal: Signal) -> Result<(), RunnerError> {
        let signal = match signal {
            Signal::Interrupt => StepSignal::Interrupt,
            Signal::Terminate => StepSignal::Terminate,
            Signal::Kill => StepSignal::Kill,
        };
        self.request(&Request::Signal { key: key.to_string(), signal }).await
    }

    /// As [`Sandbox::acknowledge`](crate::runner::contract::Sandbox::acknowledge).
    pub async fn acknowledge(&self, key: &StepKey, offset: u64) -> Result<(), RunnerError> {
        self.request(&Request::Ack { key: key.to_string(), offset }).await
    }

    /// Kills what is left of the attempt's steps, forgets them and removes their folders. Gives the number of processes
    /// that could not be killed in time (0 but for processes stuck in the kernel, or of other users).
    pub async fn end(&self, attempt: &AttemptId) -> Result<u32, RunnerError> {
        let job = attempt.to_string();
        let (reply, answer) = oneshot::channel();
        self.steps.expect_end(&job, reply);
        self.request(&Request::End { job }).await?;
        match tokio::time::timeout(END_DEADLINE, answer).await {
            Ok(Ok(left)) => Ok(left),
            Ok(Err(_)) => Err(self.lost("the connection ended")),
            Err(_) => Err(self.lost("it did not answer in time")),
        }
    }

    /// Kills everything that descends from the shim; the shim ends. Succeeds when it is gone already.
    pub async fn shutdown(&self) -> Result<(), RunnerError> {
        let gone = self.steps.expect_bye();
        if self.request(&Request::Shutdown).await.is_err() {
            return Ok(());
        }
        match tokio::time::timeout(END_DEADLINE, gone).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.lost("it did not end in time")),
        }
    }

    async fn request(&self, request: &Request) -> Result<(), RunnerError> {
        let mut frame = Vec::with_capacity(128);
        request.encode(&mut frame);
        self.send(frame).await
    }

    async fn send(&self, frames: Vec<u8>) -> Result<(), RunnerError> {
        match self.requests.send(frames).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.lost("no connection")),
        }
    }

    async fn answer(&self, answer: oneshot::Receiver<Opened>) -> Result<Opened, RunnerError> {
        answer.await.map_err(|_| self.lost("the connection ended"))
    }

    fn lost(&self, otherwise: &str) -> RunnerError {
        let reason = self.steps.lost().unwrap_or_else(|| otherwise.to_owned());
        RunnerError::Lost { name: self.name.to_string(), reason }
    }
}

fn start_frames(key: &str, command: StepCommand) -> Result<Vec<u8>, &'static str> {
    if command.files.iter().map(|(_, content)| content.len()).sum::<usize>() > MAX_PUT {
        return Err("the step's files are larger than 64 MiB");
    }
    let mut frames = Vec::with_capacity(4096);
    let mut files = Vec::with_capacity(command.files.len());
    for (name, content) in command.files {
        for piece in content.chunks(FILE_CHUNK) {
            Request::Put { key: key.to_owned(), name: name.clone(), bytes: piece.to_vec() }.encode(&mut frames);
        }
        files.push(name);
    }
    let put = frames.len();
    Request::Start(Start {
        key: key.to_owned(),
        argv: command.argv,
        env: command.env,
        path: command.path,
        cwd: command.cwd,
        files,
        collect: command.collect,
        spool_bytes: 0,
    })
    .encode(&mut frames);
    if frames.len() - put > MAX_FRAME {
        return Err("its arguments and environment are larger than 4 MiB");
    }
    Ok(frames)
}

fn refused(program: String, reason: Refusal, detail: String) -> RunnerError {
    let reason = match reason {
        Refusal::ProgramNotFound => format!("no such program in the step's PATH ({detail})"),
        Refusal::NotExecutable => format!("it cannot be executed ({detail})"),
        Refusal::CwdMissing => format!("the working directory is not there ({detail})"),
        Refusal::Invalid | Refusal::System => detail,
    };
    RunnerError::Start { program, reason }
}

impl From<crate::client::shim::protocol::Malformed> for io::Error {
    fn from(error: crate::client::shim::protocol::Malformed) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}
