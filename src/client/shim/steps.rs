//! The steps of a connection: who waits for what, and how far each stream has come.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::client::shim::protocol::{Answer, OUTPUT_CHUNK, Refusal, Request, STREAM_WINDOW, StepEnd};
use crate::event::Exit;
use crate::runner::contract::{StepEvent, StepExit};

/// Events that may wait in a step's channel; with [`STREAM_WINDOW`] this bounds what a stalled reader costs.
const CHANNEL_EVENTS: usize = 16;

/// What became of a start or attach.
#[derive(Debug)]
pub(super) enum Opened {
    /// The stream is open.
    Known,
    /// No such step.
    Unknown,
    /// It could not be started.
    Refused(Refusal, String),
}

/// All steps of a connection.
pub(super) struct StepTable {
    state: Mutex<State>,
    requests: mpsc::WeakSender<Vec<u8>>,
}

#[derive(Default)]
struct State {
    steps: HashMap<String, Entry>,
    ends: HashMap<String, Vec<oneshot::Sender<u32>>>,
    byes: Vec<oneshot::Sender<()>>,
    lost: Option<String>,
    opened: u64,
}

struct Entry {
    /// Tells a step's streams apart: a later attach takes the place of an earlier one.
    generation: u64,
    reply: Option<oneshot::Sender<Opened>>,
    /// The start's frames, until it was answered: said again on a new stream.
    unanswered: Option<Vec<u8>>,
    collect: Vec<String>,
    received: u64,
    accepted: u64,
    credited: u64,
    events: mpsc::Sender<StepEvent>,
    /// What the channel had no room for; a task of its own moves it on.
    waiting: VecDeque<StepEvent>,
    moving: bool,
    /// Its last event has come and waits to be moved: the shim has nothing more to say of it.
    finished: bool,
    parts: Vec<(String, Vec<u8>)>,
}

impl StepTable {
    pub(super) fn new(requests: mpsc::WeakSender<Vec<u8>>) -> Self {
        Self { state: Mutex::default(), requests }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The table is whole between any two statements that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for a step's stream, from `offset`.
    pub(super) fn open(
        &self,
        key: &str,
        offset: u64,
        unanswered: Option<Vec<u8>>,
        collect: Vec<String>,
        reply: oneshot::Sender<Opened>,
    ) -> mpsc::Receiver<StepEvent> {
        let (events, receiver) = mpsc::channel(CHANNEL_EVENTS);
        let mut state = self.state();
        if state.lost.is_some() {
            // The dropped reply is the answer.
            return receiver;
        }
        state.opened += 1;
        let entry = Entry {
            generation: state.opened,
            reply: Some(reply),
            unanswered,
            collect,
            received: offset,
            accepted: offset,
            credited: offset,
            events,
            waiting: VecDeque::new(),
            moving: false,
            finished: false,
            parts: Vec::new(),
        };
        state.steps.insert(key.to_owned(), entry);
        receiver
    }

    /// `reply` hears when the job is ended.
    pub(super) fn expect_end(&self, job: &str, reply: oneshot::Sender<u32>) {
        let mut state = self.state();
        if state.lost.is_none() {
            state.ends.entry(job.to_owned()).or_default().push(reply);
        }
    }

    /// Resolves when the shim is gone.
    pub(super) fn expect_bye(&self) -> oneshot::Receiver<()> {
        let (reply, gone) = oneshot::channel();
        let mut state = self.state();
        if state.lost.is_none() {
            state.byes.push(reply);
        }
        gone
    }

    /// Whether the shim was asked to end, so that a broken stream is no accident.
    pub(super) fn is_leaving(&self) -> bool {
        !self.state().byes.is_empty()
    }

    /// Why the shim is gone, if it is.
    pub(super) fn lost(&self) -> Option<String> {
        self.state().lost.clone()
    }

    /// What must be said on a new stream so that all goes on.
    pub(super) fn resume_frames(&self) -> Vec<u8> {
        let mut frames = Vec::new();
        let mut state = self.state();
        for (key, entry) in state.steps.iter_mut().filter(|(_, entry)| !entry.finished) {
            match &entry.unanswered {
                Some(start) => frames.extend_from_slice(start),
                None => {
                    entry.credited = entry.received;
                    let collect = entry.collect.clone();
                    Request::Attach { key: key.clone(), offset: entry.received, collect }.encode(&mut frames);
                }
            }
        }
        for job in state.ends.keys() {
            Request::End { job: job.clone() }.encode(&mut frames);
        }
        frames
    }

    /// The shim is gone for good: tells everybody.
    pub(super) fn lose_all(self: &Arc<Self>, reason: &str) {
        let mut state = self.state();
        state.lost = Some(reason.to_owned());
        state.ends.clear();
        state.byes.clear();
        for (key, mut entry) in std::mem::take(&mut state.steps) {
            if entry.finished {
                state.steps.insert(key, entry);
            } else if entry.reply.take().is_none() {
                self.finish(&mut state, key, entry, StepEvent::Lost { reason: reason.to_owned() });
            }
        }
    }

    /// Handles an answer; what must be said in return is appended to `out`.
    pub(super) fn take(self: &Arc<Self>, answer: Answer, out: &mut Vec<u8>) {
        let mut state = self.state();
        match answer {
            Answer::Ended { job, left } => {
                for reply in state.ends.remove(&job).unwrap_or_default() {
                    // Whoever asked may have stopped waiting.
                    let _: Result<(), u32> = reply.send(left);
                }
                let of_job = |key: &String| key.rsplit_once('/').is_some_and(|(of, _)| of == job);
                let open = state.steps.iter().filter(|(key, entry)| of_job(key) && !entry.finished);
                let keys: Vec<String> = open.map(|(key, _)| key.clone()).collect();
                for key in keys {
                    if let Some(entry) = state.steps.remove(&key) {
                        let reason = "its sandbox was closed".to_owned();
                        self.finish(&mut state, key, entry, StepEvent::Lost { reason });
                    }
                }
            }
            Answer::Started { key } => {
                if let Some(entry) = state.steps.get_mut(&key) {
                    entry.unanswered = None;
                    entry.parts.clear();
                    entry.answer(Opened::Known);
                }
            }
            Answer::Refused { key, reason, detail } => {
                if let Some(mut entry) = state.steps.remove(&key) {
                    entry.answer(Opened::Refused(reason, detail));
                }
            }
            Answer::Unknown { key } => {
                if let Some(mut entry) = state.steps.remove(&key)
                    && !entry.answer(Opened::Unknown)
                {
                    let reason = "the shim does not know the step any more".to_owned();
                    self.finish(&mut state, key, entry, StepEvent::Lost { reason });
                }
            }
            Answer::Lost { key } => {
                if let Some(mut entry) = state.steps.remove(&key) {
                    entry.answer(Opened::Known);
                    let reason = "the shim that had started it is gone".to_owned();
                    self.finish(&mut state, key, entry, StepEvent::Lost { reason });
                }
            }
            Answer::Output { key, offset, bytes } => {
                let Some(entry) = state.steps.get_mut(&key) else { return };
                let Some((offset, bytes)) = entry.unseen(offset, bytes) else { return };
                entry.received = offset + bytes.len() as u64;
                if !self.deliver(&key, entry, StepEvent::Output { offset, bytes }) {
                    state.steps.remove(&key);
                } else if let Some(offset) = entry.credit() {
                    Request::Credit { key, offset }.encode(out);
                }
            }
            Answer::File { key, name, bytes } => {
                if let Some(entry) = state.steps.get_mut(&key) {
                    match entry.parts.last_mut().filter(|(last, _)| *last == name) {
                        Some((_, content)) => content.extend_from_slice(&bytes),
                        None => entry.parts.push((name, bytes)),
                    }
                }
            }
            Answer::Exited { key, exit, files } => {
                if let Some(mut entry) = state.steps.remove(&key) {
                    let exit = match exit {
                        StepEnd::Code(code) => Exit::Code(code),
                        StepEnd::Signal(signal) => Exit::Signal(signal),
                        StepEnd::OutOfMemory => Exit::OutOfMemory,
                    };
                    let mut parts: HashMap<String, Vec<u8>> = entry.parts.drain(..).collect();
                    let files = files.into_iter().map(|name| {
                        let content = parts.remove(&name).unwrap_or_default();
                        (name, content)
                    });
                    let event = StepEvent::Exited(StepExit { exit, files: files.collect() });
                    self.finish(&mut state, key, entry, event);
                }
            }
            Answer::Welcome { .. } | Answer::Rejected { .. } | Answer::Bye => {}
        }
    }

    /// Delivers a step's last event. The entry stays only while something waits to be moved.
    fn finish(self: &Arc<Self>, state: &mut State, key: String, mut entry: Entry, event: StepEvent) {
        if self.deliver(&key, &mut entry, event) && entry.moving {
            entry.finished = true;
            state.steps.insert(key, entry);
        }
    }

    /// Hands an event on; never waits. `false` when nobody listens any more.
    fn deliver(self: &Arc<Self>, key: &str, entry: &mut Entry, event: StepEvent) -> bool {
        if entry.moving {
            entry.push_waiting(event);
            return true;
        }
        let end = output_end(&event);
        match entry.events.try_send(event) {
            Ok(()) => {
                entry.accepted = end.unwrap_or(entry.accepted);
                true
            }
            Err(TrySendError::Closed(_)) => false,
            Err(TrySendError::Full(event)) => {
                entry.push_waiting(event);
                entry.moving = true;
                tokio::spawn(Arc::clone(self).move_waiting(key.to_owned(), entry.generation, entry.events.clone()));
                true
            }
        }
    }

    /// Moves what waits into the channel as the reader makes room.
    async fn move_waiting(self: Arc<Self>, key: String, generation: u64, events: mpsc::Sender<StepEvent>) {
        loop {
            let Ok(permit) = events.reserve().await else { return };
            let (credit, done) = {
                let mut state = self.state();
                let Some(entry) = state.steps.get_mut(&key).filter(|e| e.generation == generation) else { return };
                let Some(event) = entry.waiting.pop_front() else { return };
                let last = !matches!(event, StepEvent::Output { .. });
                entry.accepted = output_end(&event).unwrap_or(entry.accepted);
                permit.send(event);
                entry.moving = !entry.waiting.is_empty();
                let (credit, done) = (entry.credit(), !entry.moving);
                if last {
                    state.steps.remove(&key);
                    return;
                }
                (credit, done)
            };
            if let (Some(offset), Some(requests)) = (credit, self.requests.upgrade()) {
                let mut frame = Vec::new();
                Request::Credit { key: key.clone(), offset }.encode(&mut frame);
                // Without a driver nothing more will come, and what waits is still to be moved.
                drop(requests.send(frame).await);
            }
            if done {
                return;
            }
        }
    }
}

impl Entry {
    /// Answers whoever opened the stream; `false` when that was done before.
    fn answer(&mut self, opened: Opened) -> bool {
        // Whoever asked may have stopped waiting; the next event will find the channel closed.
        self.reply.take().map(|reply| drop(reply.send(opened))).is_some()
    }

    /// What of these bytes is new: a stream that was opened again repeats some.
    fn unseen(&self, offset: u64, mut bytes: Vec<u8>) -> Option<(u64, Vec<u8>)> {
        let seen = usize::try_from(self.received.saturating_sub(offset)).unwrap_or(usize::MAX);
        if seen >= bytes.len() {
            return None;
        }
        bytes.drain(..seen);
        Some((offset.max(self.received), bytes))
    }

    /// The offset to credit, once half a window was accepted.
    fn credit(&mut self) -> Option<u64> {
        let due = self.accepted >= self.credited + STREAM_WINDOW / 2;
        due.then(|| {
            self.credited = self.accepted;
            self.accepted
        })
    }

    fn push_waiting(&mut self, event: StepEvent) {
        if let (Some(StepEvent::Output { bytes: last, .. }), StepEvent::Output { bytes, .. }) =
            (self.waiting.back_mut(), &event)
            && last.len() + bytes.len() <= OUTPUT_CHUNK
        {
            last.extend_from_slice(bytes);
            return;
        }
        self.waiting.push_back(event);
    }
}

fn output_end(event: &StepEvent) -> Option<u64> {
    match event {
        StepEvent::Output { offset, bytes } => Some(offset + bytes.len() as u64),
        _ => None,
    }
}
