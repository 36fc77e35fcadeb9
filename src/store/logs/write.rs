//! Writing a log.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use crate::store::contract::LogWriter;
use crate::store::logs::index::{BLOCK, Counter};
use crate::store::logs::place::{LogPlace, SEGMENT};
use crate::store::logs::read::LogReader;

/// So much waits in memory before it is written by itself.
const BUFFER: usize = 64 << 10;

/// Writes one log. What is in memory when it is dropped is written then, as far as that goes.
pub(super) struct FileWriter {
    place: LogPlace,
    /// Bytes in the files.
    written: u64,
    buffer: Vec<u8>,
    /// The segment that `written` is in, once it was needed.
    segment: Option<File>,
    counter: Counter,
    index: Option<File>,
}

impl FileWriter {
    /// At length `at`: what stands behind it is cut off. Where the log is shorter (a power loss took its end), bytes of zero take
    /// the place of what is missing, so that offsets stay true.
    pub(super) fn open(place: LogPlace, at: u64) -> io::Result<Self> {
        let mut writer =
            Self { place, written: at, buffer: Vec::new(), segment: None, counter: Counter::default(), index: None };
        if at == 0 {
            // Nearly always there is nothing, and asking costs one call.
            if remove(&writer.place.segment(0))? {
                writer.cut(1)?;
                remove(&writer.place.index())?;
            }
            return Ok(writer);
        }
        writer.fill()?;
        writer.cut(at / SEGMENT + 1)?;
        writer.count()?;
        Ok(writer)
    }

    /// Brings the segments up to `written` to their full lengths.
    fn fill(&mut self) -> io::Result<()> {
        let last = self.written / SEGMENT;
        // Segments before the last are full unless something was lost; the first that is missing tells.
        for number in 0..last {
            match fs::metadata(self.place.segment(number)) {
                Ok(file) if file.len() == SEGMENT => {}
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => self.open_segment(number)?.set_len(SEGMENT)?,
            }
        }
        if !self.written.is_multiple_of(SEGMENT) {
            let segment = self.open_segment(last)?;
            segment.set_len(self.written % SEGMENT)?;
            self.segment = Some(segment);
        } else {
            remove(&self.place.segment(last))?;
        }
        Ok(())
    }

    /// Removes the segments from `number` on. They have no gaps.
    fn cut(&self, number: u64) -> io::Result<()> {
        for number in number.. {
            if !remove(&self.place.segment(number))? {
                break;
            }
        }
        Ok(())
    }

    /// Counts the lines up to `written`, and makes the index agree.
    fn count(&mut self) -> io::Result<()> {
        let reader = LogReader::new(self.place.clone());
        if self.written < BLOCK {
            remove(&self.place.index())?;
            self.counter = Counter::at(self.written, reader.ends(self.written)?);
            return Ok(());
        }
        let index = self.open_index()?;
        // What the index knows of whole blocks is true: it is written after them.
        let known = (index.metadata()?.len() / 8).min(self.written / BLOCK);
        index.set_len(known * 8)?;
        let mut counter = Counter::at(known * BLOCK, reader.ends(known * BLOCK)?);
        let mut at = known * BLOCK;
        let mut entries = Vec::new();
        while at < self.written {
            let want = usize::try_from((self.written - at).min(BLOCK)).expect("a block fits memory");
            let bytes = reader.read(at, want)?;
            counter.feed(&bytes, &mut entries);
            at += bytes.len() as u64;
            if bytes.is_empty() {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the log changed while it was counted"));
            }
        }
        index.write_all_at(&entries, known * 8)?;
        self.index = Some(index);
        self.counter = counter;
        Ok(())
    }

    fn open_segment(&self, number: u64) -> io::Result<File> {
        self.place.with_folder(|place| writable().open(place.segment(number)))
    }

    fn open_index(&self) -> io::Result<File> {
        writable().open(self.place.index())
    }

    fn write(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let result = self.write_bytes(&buffer);
        self.buffer = buffer;
        // What could not be written stays for the next time.
        self.buffer.drain(..result.as_ref().map_or_else(|(written, _)| *written, |()| self.buffer.len()));
        result.map_err(|(_, error)| error)
    }

    /// Writes all, or says how much of it was.
    fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut done = 0;
        while done < bytes.len() {
            let within = self.written % SEGMENT;
            let room = usize::try_from(SEGMENT - within).unwrap_or(usize::MAX);
            let part = &bytes[done..bytes.len().min(done + room)];
            self.write_part(part, within).map_err(|error| (done, error))?;
            done += part.len();
        }
        Ok(())
    }

    /// Writes what belongs to one segment.
    fn write_part(&mut self, part: &[u8], within: u64) -> io::Result<()> {
        if within == 0 {
            self.segment = None;
        }
        let segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.open_segment(self.written / SEGMENT)?,
        };
        self.segment.insert(segment).write_all_at(part, within)?;
        let blocks = self.written / BLOCK;
        let mut entries = Vec::new();
        self.counter.feed(part, &mut entries);
        self.written += part.len() as u64;
        if !entries.is_empty() {
            let index = match self.index.take() {
                Some(index) => index,
                None => self.open_index()?,
            };
            self.index.insert(index).write_all_at(&entries, blocks * 8)?;
        }
        Ok(())
    }
}

impl LogWriter for FileWriter {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.is_empty() && bytes.len() >= BUFFER {
            // Much at once needs no copy.
            return self.write_bytes(bytes).map_err(|(done, error)| {
                self.buffer.extend_from_slice(&bytes[done..]);
                error
            });
        }
        // A disk that is full must not fill memory too.
        if self.buffer.len() >= BUFFER {
            self.write()?;
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER { self.write() } else { Ok(()) }
    }

    fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() { Ok(()) } else { self.write() }
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        // Whoever needs to know has flushed.
        let _ = self.flush();
    }
}

fn writable() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options
}

/// Removes a file; false when there is none.
fn remove(path: &std::path::Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
