//! Logs as segment files with an offset index, never rows.
//!
//! ```text
//! runs/<id>/logs/<job>/<attempt>/job/0000000000000000.log      the job's preparation and clean-up
//! runs/<id>/logs/<job>/<attempt>/<step>/0000000000000000.log   a segment; its name is the offset of its first byte
//! runs/<id>/logs/<job>/<attempt>/<step>/lines.idx              (line, offset) every so many lines, 16 bytes each
//! runs/<id>/logs/<job>/<attempt>/<step>/summary.md             the step's summary
//! ```
//!
//! Nothing is made before the first byte. Readers may read while a writer writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::id::{AttemptId, RunId, StepKey};
use crate::store::contract::{LogWriter, Logs};
use crate::store::folder::{StateFolder, make_private};

/// A segment is closed at this size.
const SEGMENT: u64 = 4 * 1024 * 1024;
/// Bytes kept in memory before they are written without being asked to.
const BUFFER: usize = 64 * 1024;
/// An index entry every so many lines.
const LINES_PER_ENTRY: u64 = 1000;
const INDEX: &str = "lines.idx";

/// The logs of a state folder.
#[derive(Debug, Clone)]
pub struct FileLogs {
    state: StateFolder,
}

impl FileLogs {
    /// Of `state`.
    pub fn new(state: &StateFolder) -> Self {
        Self { state: state.clone() }
    }

    fn attempt(&self, run: &RunId, attempt: &AttemptId) -> PathBuf {
        self.state.run(run).join("logs").join(attempt.job.as_str()).join(attempt.attempt.to_string())
    }

    fn step(&self, run: &RunId, step: &StepKey) -> PathBuf {
        self.attempt(run, &step.attempt_id()).join(step.step.to_string())
    }

    /// The offset of the first of the last `lines` lines of a step's log.
    pub fn tail_offset(&self, run: &RunId, step: &StepKey, lines: u64) -> io::Result<u64> {
        let folder = self.step(run, step);
        let (total, _) = count_lines(&folder)?;
        offset_of_line(&folder, total.saturating_sub(lines))
    }

    /// A step's summary, if it wrote one.
    pub fn summary(&self, run: &RunId, step: &StepKey) -> io::Result<Option<String>> {
        match fs::read_to_string(self.step(run, step).join("summary.md")) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Logs for FileLogs {
    fn open(&self, run: &RunId, step: &StepKey, at: u64) -> io::Result<Box<dyn LogWriter>> {
        SegmentWriter::open(self.step(run, step), at).map(|writer| Box::new(writer) as Box<dyn LogWriter>)
    }

    fn open_job(&self, run: &RunId, attempt: &AttemptId) -> io::Result<Box<dyn LogWriter>> {
        let folder = self.attempt(run, attempt).join("job");
        let at = length(&folder)?;
        SegmentWriter::open(folder, at).map(|writer| Box::new(writer) as Box<dyn LogWriter>)
    }

    fn read(&self, run: &RunId, step: &StepKey, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        read(&self.step(run, step), offset, limit)
    }

    fn read_job(&self, run: &RunId, attempt: &AttemptId, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        read(&self.attempt(run, attempt).join("job"), offset, limit)
    }

    fn write_summary(&self, run: &RunId, step: &StepKey, text: &str) -> io::Result<()> {
        let folder = self.step(run, step);
        make_private(&folder)?;
        fs::write(folder.join("summary.md"), text)
    }
}

/// Writes one log.
struct SegmentWriter {
    folder: PathBuf,
    /// Offset of the segment that is written.
    segment: u64,
    file: Option<File>,
    /// Bytes on disk, over all segments.
    written: u64,
    buffer: Vec<u8>,
    /// Line ends so far, counted when the index needs them.
    lines: u64,
    index: Option<File>,
}

impl SegmentWriter {
    /// At length `at`; what stands behind it is cut off.
    fn open(folder: PathBuf, at: u64) -> io::Result<Self> {
        let mut writer =
            Self { folder, segment: at, file: None, written: at, buffer: Vec::new(), lines: 0, index: None };
        let mut segments = match segments(&writer.folder) {
            Ok(segments) => segments,
            // The usual case: a step that has not said anything.
            Err(error) if error.kind() == io::ErrorKind::NotFound && at == 0 => return Ok(writer),
            Err(error) => return Err(error),
        };
        while let Some(last) = segments.pop() {
            let path = segment_path(&writer.folder, last);
            if last >= at {
                fs::remove_file(path)?;
                continue;
            }
            let file = OpenOptions::new().write(true).open(path)?;
            if last + file.metadata()?.len() < at {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("the log in \"{}\" is shorter than the journal says ({at} bytes)", writer.folder.display()),
                ));
            }
            file.set_len(at - last)?;
            writer.segment = last;
            writer.file = Some(file);
            break;
        }
        if let Some(file) = &mut writer.file {
            file.seek(SeekFrom::End(0))?;
        }
        writer.cut_index(at)?;
        Ok(writer)
    }

    /// Index entries beyond `at` go; the lines behind the last one are counted again.
    fn cut_index(&mut self, at: u64) -> io::Result<()> {
        let path = self.folder.join(INDEX);
        let entries: Vec<(u64, u64)> = index(&self.folder)?.into_iter().filter(|(_, offset)| *offset <= at).collect();
        let (line, offset) = entries.last().copied().unwrap_or((0, 0));
        if path.exists() {
            OpenOptions::new().write(true).open(&path)?.set_len(entries.len() as u64 * 16)?;
        }
        self.lines = line;
        let mut from = offset;
        while from < at {
            let chunk = read(&self.folder, from, BUFFER.min((at - from) as usize))?;
            if chunk.is_empty() {
                break;
            }
            self.lines += count(&chunk);
            from += chunk.len() as u64;
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if self.file.is_none() || self.written - self.segment >= SEGMENT {
            make_private(&self.folder)?;
            self.segment = self.written;
            let path = segment_path(&self.folder, self.segment);
            self.file = Some(OpenOptions::new().write(true).create(true).truncate(true).open(path)?);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(&self.buffer)?;
        let buffer = std::mem::take(&mut self.buffer);
        self.index_lines(&buffer)?;
        self.written += buffer.len() as u64;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    fn index_lines(&mut self, bytes: &[u8]) -> io::Result<()> {
        let lines = count(bytes);
        if self.lines / LINES_PER_ENTRY == (self.lines + lines) / LINES_PER_ENTRY {
            self.lines += lines;
            return Ok(());
        }
        let mut entries = Vec::new();
        for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            self.lines += 1;
            if self.lines.is_multiple_of(LINES_PER_ENTRY) {
                entries.extend_from_slice(&self.lines.to_le_bytes());
                entries.extend_from_slice(&(self.written + at as u64 + 1).to_le_bytes());
            }
        }
        let index = match &mut self.index {
            Some(index) => index,
            None => {
                let open = OpenOptions::new().append(true).create(true).open(self.folder.join(INDEX))?;
                self.index.insert(open)
            }
        };
        index.write_all(&entries)
    }
}

impl LogWriter for SegmentWriter {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER { self.write() } else { Ok(()) }
    }

    fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write()
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        // Whoever cares about an error has flushed before.
        let _ = self.write();
    }
}

fn segment_path(folder: &Path, offset: u64) -> PathBuf {
    folder.join(format!("{offset:016x}.log"))
}

/// Offsets of a log's segments, in order.
fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut offsets = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".log"))
            && let Ok(offset) = u64::from_str_radix(stem, 16)
        {
            offsets.push(offset);
        }
    }
    offsets.sort_unstable();
    Ok(offsets)
}

fn segments_or_none(folder: &Path) -> io::Result<Vec<u64>> {
    match segments(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

fn length(folder: &Path) -> io::Result<u64> {
    match segments_or_none(folder)?.last() {
        Some(last) => Ok(last + fs::metadata(segment_path(folder, *last))?.len()),
        None => Ok(0),
    }
}

fn read(folder: &Path, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
    let segments = segments_or_none(folder)?;
    let mut out = Vec::new();
    let first = segments.partition_point(|start| *start <= offset).saturating_sub(1);
    for start in &segments[first.min(segments.len())..] {
        let at = offset + out.len() as u64;
        if at < *start || out.len() >= limit {
            break;
        }
        let mut file = File::open(segment_path(folder, *start))?;
        file.seek(SeekFrom::Start(at - start))?;
        file.take((limit - out.len()) as u64).read_to_end(&mut out)?;
    }
    Ok(out)
}

/// Entries (line, offset): line `line` (from 0) begins at `offset`.
fn index(folder: &Path) -> io::Result<Vec<(u64, u64)>> {
    let bytes = match fs::read(folder.join(INDEX)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    Ok(bytes.chunks_exact(16).map(|entry| (number(&entry[..8]), number(&entry[8..]))).collect())
}

/// Lines of a log (an unfinished last one counts), and its length.
fn count_lines(folder: &Path) -> io::Result<(u64, u64)> {
    let (mut lines, mut at) = index(folder)?.last().copied().unwrap_or((0, 0));
    let mut last = b'\n';
    loop {
        let chunk = read(folder, at, BUFFER)?;
        let Some(end) = chunk.last() else { break };
        last = *end;
        lines += count(&chunk);
        at += chunk.len() as u64;
    }
    Ok((lines + u64::from(last != b'\n'), at))
}

/// Where line `line` (from 0) begins.
fn offset_of_line(folder: &Path, line: u64) -> io::Result<u64> {
    let entries = index(folder)?;
    let known = entries.partition_point(|(number, _)| *number <= line).checked_sub(1).map(|i| entries[i]);
    let (mut number, mut at) = known.unwrap_or((0, 0));
    while number < line {
        let chunk = read(folder, at, BUFFER)?;
        if chunk.is_empty() {
            break;
        }
        for (i, _) in chunk.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            number += 1;
            if number == line {
                return Ok(at + i as u64 + 1);
            }
        }
        at += chunk.len() as u64;
    }
    Ok(at)
}

fn count(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs() -> (tempfile::TempDir, FileLogs, RunId, StepKey) {
        let temp = tempfile::tempdir().expect("a folder");
        let state = StateFolder::open_at(temp.path().join("state")).expect("opens");
        (temp, FileLogs::new(&state), RunId::from("r"), AttemptId::new("j".into(), 1).step(0))
    }

    #[test]
    fn a_step_that_says_nothing_leaves_nothing() {
        let (_temp, logs, run, step) = logs();
        drop(logs.open(&run, &step, 0).expect("opens"));
        assert!(!logs.step(&run, &step).exists());
        assert!(logs.read(&run, &step, 0, 10).expect("reads").is_empty());
    }

    #[test]
    fn what_is_flushed_can_be_read_and_cut_off() {
        let (_temp, logs, run, step) = logs();
        let mut writer = logs.open(&run, &step, 0).expect("opens");
        writer.append(b"one\ntwo\nthree").expect("writes");
        writer.flush().expect("writes");
        assert_eq!(writer.len(), 13);
        drop(writer);
        let mut writer = logs.open(&run, &step, 4).expect("opens");
        writer.append(b"2\n").expect("writes");
        drop(writer);
        assert_eq!(logs.read(&run, &step, 0, 100).expect("reads"), b"one\n2\n");
        assert!(logs.open(&run, &step, 100).is_err(), "a log is never shorter than the journal says");
    }

    #[test]
    fn long_logs_are_many_segments_and_seek_by_line() {
        let (_temp, logs, run, step) = logs();
        let mut writer = logs.open(&run, &step, 0).expect("opens");
        let lines: Vec<String> = (0..300_000).map(|i| format!("this is line {i:>12}\n")).collect();
        for chunk in lines.chunks(7) {
            writer.append(chunk.concat().as_bytes()).expect("writes");
        }
        drop(writer);
        assert!(segments(&logs.step(&run, &step)).expect("reads").len() > 1);
        let at = logs.tail_offset(&run, &step, 3).expect("reads");
        let tail = logs.read(&run, &step, at, 1000).expect("reads");
        assert_eq!(tail, lines[299_997..].concat().as_bytes());
        let all = logs.read(&run, &step, 0, usize::MAX).expect("reads");
        assert_eq!(all, lines.concat().as_bytes());
        let middle = lines[..150_000].concat().len() as u64;
        drop(logs.open(&run, &step, middle).expect("cuts"));
        assert_eq!(count_lines(&logs.step(&run, &step)).expect("counts"), (150_000, middle));
    }
}
