//! A step: its process, its output, and who reads it.

use std::fs::{self, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use super::peer::Peer;
use super::protocol::{
    Answer, FILE_CHUNK, MAX_COLLECTED, OUTPUT_CHUNK, Refusal, STREAM_WINDOW, StepEnd, StepSignal, encode_output,
    plain_name,
};
use super::spool::Spool;
use super::sys;

/// Where a step stands.
pub enum Phase {
    /// Its process is being made; who has asked, and signals that it will get.
    Launching { askers: Vec<u64>, signals: Vec<StepSignal> },
    /// An earlier shim has started it.
    Claimed,
    /// Its process could not be made.
    Refused(Refusal, String),
    /// Its process runs.
    Running,
    /// Its process has ended.
    Over(StepEnd),
}

/// Who reads a step's stream, and how far it has come.
pub struct Reader {
    pub peer: u64,
    sent: u64,
    credit: u64,
    /// File that is sent, its offset, and the names sent before.
    file: usize,
    file_offset: u64,
    sent_files: Vec<String>,
}

impl Reader {
    pub fn new(peer: u64, offset: u64) -> Self {
        Self { peer, sent: offset, credit: offset, file: 0, file_offset: 0, sent_files: Vec::new() }
    }

    pub fn credit(&mut self, offset: u64) {
        self.credit = self.credit.max(offset);
    }

    fn room(&self) -> u64 {
        self.credit.saturating_add(STREAM_WINDOW).saturating_sub(self.sent)
    }
}

/// A step that was started, or refused.
pub struct Step {
    pub key: String,
    pub job: String,
    pub folder: PathBuf,
    pub pid: i32,
    pub phase: Phase,
    pub pipe: Option<OwnedFd>,
    /// Whether the event loop watches the pipe.
    pub watched: bool,
    pub spool: Spool,
    pub spool_bytes: u64,
    pub collect: Vec<String>,
    pub reader: Option<Reader>,
}

/// What came of reading a pipe.
#[derive(PartialEq, Eq)]
pub enum Pipe {
    /// There may be more.
    Open,
    /// Nobody holds the other end any more.
    Closed,
}

impl Step {
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    /// Whether a process of it runs, or is about to.
    pub fn is_alive(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Launching { .. })
    }

    /// The answer to who asks for its stream.
    pub fn opened(&self) -> Answer {
        let key = self.key.clone();
        match &self.phase {
            Phase::Refused(reason, detail) => Answer::Refused { key, reason: *reason, detail: detail.clone() },
            Phase::Claimed => Answer::Lost { key },
            Phase::Launching { .. } | Phase::Running | Phase::Over(_) => Answer::Started { key },
        }
    }

    /// Whether more output may be taken in. After the end it is thrown away, so that is always possible.
    pub fn wants_output(&self) -> bool {
        !self.is_running() || (!self.spool.is_stuck() && self.spool.unacknowledged() < self.spool_bytes)
    }

    /// Reads once from the pipe. `peer` is the reader's connection.
    pub fn read_pipe(&mut self, buffer: &mut [u8], peer: Option<&mut Peer>) -> Pipe {
        let Some(pipe) = &self.pipe else { return Pipe::Closed };
        match sys::read_fd(pipe.as_raw_fd(), buffer) {
            Ok(0) => Pipe::Closed,
            Ok(n) => {
                if self.is_running() {
                    self.take(&buffer[..n], peer);
                }
                Pipe::Open
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted) => {
                Pipe::Open
            }
            Err(_) => Pipe::Closed,
        }
    }

    fn take(&mut self, bytes: &[u8], peer: Option<&mut Peer>) {
        let offset = self.spool.end();
        self.spool.append(bytes);
        if let (Some(reader), Some(peer)) = (&mut self.reader, peer)
            && reader.sent == offset
            && reader.room() >= bytes.len() as u64
            && peer.has_room()
        {
            encode_output(peer.out(), &self.key, offset, bytes);
            reader.sent += bytes.len() as u64;
        }
    }

    /// The process has ended: takes what it has written. What background processes write from here on is not waited for.
    pub fn end(&mut self, end: StepEnd, buffer: &mut [u8], mut peer: Option<&mut Peer>) {
        let mut left = self.pipe.as_ref().map_or(0, |pipe| sys::waiting_bytes(pipe.as_raw_fd()));
        while left > 0 {
            let before = self.spool.end();
            let length = left.min(buffer.len());
            if self.read_pipe(&mut buffer[..length], peer.as_deref_mut()) == Pipe::Closed {
                break;
            }
            let taken = usize::try_from(self.spool.end() - before).unwrap_or(0);
            if taken == 0 {
                break;
            }
            left -= taken;
        }
        self.phase = Phase::Over(end);
    }

    /// Sends the reader what it may get: output, then files, then the exit.
    pub fn pump(&mut self, buffer: &mut [u8], peer: &mut Peer) {
        let Some(reader) = &mut self.reader else { return };
        loop {
            if !peer.has_room() {
                peer.starved = true;
                return;
            }
            reader.sent = reader.sent.max(self.spool.acked());
            if reader.sent < self.spool.end() {
                let room = usize::try_from(reader.room()).unwrap_or(usize::MAX).min(OUTPUT_CHUNK).min(buffer.len());
                if room == 0 {
                    return;
                }
                match self.spool.read(reader.sent, &mut buffer[..room]) {
                    Ok(n) if n > 0 => {
                        encode_output(peer.out(), &self.key, reader.sent, &buffer[..n]);
                        reader.sent += n as u64;
                    }
                    // Somebody has destroyed the spool: the reader learns of the gap by the offset.
                    _ => reader.sent = self.spool.end(),
                }
                continue;
            }
            let Phase::Over(exit) = &self.phase else { return };
            let Some(name) = self.collect.get(reader.file) else {
                let files = std::mem::take(&mut reader.sent_files);
                peer.say(&Answer::Exited { key: self.key.clone(), exit: *exit, files });
                self.reader = None;
                return;
            };
            match read_file(&self.folder, name, reader.file_offset) {
                Some(bytes) => {
                    if reader.file_offset == 0 {
                        reader.sent_files.push(name.clone());
                    }
                    let length = bytes.len();
                    reader.file_offset += length as u64;
                    if length > 0 {
                        peer.say(&Answer::File { key: self.key.clone(), name: name.clone(), bytes });
                    }
                    if length < FILE_CHUNK || reader.file_offset >= MAX_COLLECTED {
                        (reader.file, reader.file_offset) = (reader.file + 1, 0);
                    }
                }
                None => (reader.file, reader.file_offset) = (reader.file + 1, 0),
            }
        }
    }
}

/// A piece of a plain file in the step's folder: neither a link nor a pipe that would be waited for.
fn read_file(folder: &std::path::Path, name: &str, offset: u64) -> Option<Vec<u8>> {
    if !plain_name(name) {
        return None;
    }
    let path = folder.join(name);
    let size = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?.len();
    let left = usize::try_from(size.min(MAX_COLLECTED).saturating_sub(offset)).unwrap_or(usize::MAX).min(FILE_CHUNK);
    let mut bytes = vec![0; left];
    if left > 0 {
        let file = OpenOptions::new().read(true).custom_flags(sys::O_NONBLOCK | sys::O_NOFOLLOW).open(&path).ok()?;
        let mut filled = 0;
        while filled < left {
            match file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) | Err(_) => break,
                Ok(n) => filled += n,
            }
        }
        bytes.truncate(filled);
    }
    Some(bytes)
}
