//! A step's output that nobody has acknowledged yet: a file, made at the first byte, that gives back what it may forget.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use super::sys;

/// Acknowledged bytes are given back in pieces of at least this size, or all at once when nothing else is left.
const PUNCH_BYTES: u64 = 1 << 20;

/// Bytes `[freed, end)` of a step's output. What the file system had no room for is kept in memory at the end; then the
/// caller stops reading until [`Spool::settle`] has found room.
pub struct Spool {
    path: PathBuf,
    file: Option<File>,
    /// Offset in the stream of the file's first byte.
    base: u64,
    /// Offset in the stream of the file's end, where `memory` begins.
    file_end: u64,
    memory: Vec<u8>,
    acked: u64,
    punched: u64,
}

impl Spool {
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None, base: 0, file_end: 0, memory: Vec::new(), acked: 0, punched: 0 }
    }

    /// Bytes that the step has written in all.
    pub fn end(&self) -> u64 {
        self.file_end + self.memory.len() as u64
    }

    /// The first byte that may still be asked for.
    pub fn acked(&self) -> u64 {
        self.acked
    }

    pub fn unacknowledged(&self) -> u64 {
        self.end() - self.acked
    }

    /// Whether bytes wait in memory for room in the file system.
    pub fn is_stuck(&self) -> bool {
        !self.memory.is_empty()
    }

    pub fn append(&mut self, bytes: &[u8]) {
        if self.is_stuck() || self.write(bytes).is_err() {
            self.memory.extend_from_slice(bytes);
        }
    }

    /// Tries to bring what is in memory to the file.
    pub fn settle(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        if !memory.is_empty() && self.write(&memory).is_err() {
            self.memory = memory;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create_new(true).mode(0o600).custom_flags(sys::O_NOFOLLOW);
                self.file.insert(options.open(&self.path)?)
            }
        };
        file.write_all_at(bytes, self.file_end - self.base)?;
        self.file_end += bytes.len() as u64;
        Ok(())
    }

    /// Reads from `offset` on, which is at least [`Spool::acked`]; 0 at the end.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if offset >= self.file_end {
            let skip = usize::try_from(offset - self.file_end).unwrap_or(usize::MAX);
            let rest = self.memory.get(skip..).unwrap_or_default();
            let n = rest.len().min(buffer.len());
            buffer[..n].copy_from_slice(&rest[..n]);
            return Ok(n);
        }
        let in_file = usize::try_from(self.file_end - offset).unwrap_or(usize::MAX).min(buffer.len());
        match &self.file {
            Some(file) => file.read_at(&mut buffer[..in_file], offset - self.base),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Forgets what is below `offset`.
    pub fn acknowledge(&mut self, offset: u64) {
        let offset = offset.min(self.end());
        if offset <= self.acked {
            return;
        }
        self.acked = offset;
        if offset >= self.file_end {
            let dropped = usize::try_from(offset - self.file_end).unwrap_or(usize::MAX).min(self.memory.len());
            self.memory.drain(..dropped);
            if let Some(file) = &self.file
                && file.set_len(0).is_ok()
            {
                self.base = offset;
                self.file_end = offset;
                self.punched = offset;
            } else if self.file.is_none() {
                (self.base, self.file_end, self.punched) = (offset, offset, offset);
            }
        } else if offset - self.punched >= PUNCH_BYTES
            && let Some(file) = &self.file
        {
            // A file system that cannot give back a part gives back the whole once all is acknowledged.
            drop(sys::punch_hole(file, self.punched - self.base, offset - self.punched));
            self.punched = offset;
        }
    }

    /// Closes the file when nothing in it will be asked for any more and nothing will be added.
    pub fn close_if_done(&mut self) {
        if self.unacknowledged() == 0 {
            self.file = None;
        }
    }
}
