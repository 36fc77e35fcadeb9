//! Logs of steps and jobs as files of the run's folder.
//!
//! ```text
//! logs/<job>-<attempt>/<step>.log      the first 4 MiB      <step>.1.log, <step>.2.log, ... the next ones
//! logs/<job>-<attempt>/<step>.idx      line ends before each 64 KiB of the log; none for logs that are shorter
//! logs/<job>-<attempt>/<step>.md       the summary          job.log: preparation and clean-up
//! ```
//!
//! All segments but the last are full, so a place in the log says which file and where in it. Readers may read while the writer
//! writes: they see what was flushed. The index is a help only: what it lacks is counted from the log itself.

mod index;
mod place;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::io;

use crate::id::{AttemptId, RunId, StepKey};
use crate::store::contract::{LogWriter, Logs};
use crate::store::folder::StateFolder;
use crate::store::logs::place::LogPlace;
use crate::store::logs::read::LogReader;
use crate::store::logs::write::FileWriter;

/// Logs of a state folder.
#[derive(Debug, Clone)]
pub struct FileLogs {
    state: StateFolder,
}

/// Which log of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LogName {
    /// A step's.
    Step(StepKey),
    /// A job's preparation and clean-up.
    Job(AttemptId),
}

impl FileLogs {
    /// Of `state`.
    pub fn new(state: &StateFolder) -> Self {
        Self { state: state.clone() }
    }

    /// Bytes in the log; 0 when there is none.
    pub fn len(&self, run: &RunId, name: &LogName) -> io::Result<u64> {
        self.reader(run, name).len()
    }

    /// Lines in the log; one without an end counts.
    pub fn lines(&self, run: &RunId, name: &LogName) -> io::Result<u64> {
        self.reader(run, name).lines()
    }

    /// Where line `line` (from 0) begins; `None` when the log has fewer.
    pub fn line(&self, run: &RunId, name: &LogName, line: u64) -> io::Result<Option<u64>> {
        self.reader(run, name).line(line)
    }

    /// Where the last `lines` lines begin; one without an end counts.
    pub fn tail(&self, run: &RunId, name: &LogName, lines: u64) -> io::Result<u64> {
        self.reader(run, name).tail(lines)
    }

    /// Bytes from `offset` on, at most `limit`; empty at the end.
    pub fn bytes(&self, run: &RunId, name: &LogName, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        self.reader(run, name).read(offset, limit)
    }

    /// A step's summary; empty when there is none.
    pub fn summary(&self, run: &RunId, step: &StepKey) -> io::Result<String> {
        match std::fs::read(LogPlace::of_step(&self.state, run, step).summary()) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(e) => Err(e),
        }
    }

    fn reader(&self, run: &RunId, name: &LogName) -> LogReader {
        LogReader::new(match name {
            LogName::Step(step) => LogPlace::of_step(&self.state, run, step),
            LogName::Job(attempt) => LogPlace::of_job(&self.state, run, attempt),
        })
    }
}

impl Logs for FileLogs {
    fn open(&self, run: &RunId, step: &StepKey, at: u64) -> io::Result<Box<dyn LogWriter>> {
        Ok(Box::new(FileWriter::open(LogPlace::of_step(&self.state, run, step), at)?))
    }

    /// Goes on at its end: an attempt that is taken up after a crash adds to what it said.
    fn open_job(&self, run: &RunId, attempt: &AttemptId) -> io::Result<Box<dyn LogWriter>> {
        let place = LogPlace::of_job(&self.state, run, attempt);
        let at = LogReader::new(place.clone()).len()?;
        Ok(Box::new(FileWriter::open(place, at)?))
    }

    fn read(&self, run: &RunId, step: &StepKey, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        LogReader::new(LogPlace::of_step(&self.state, run, step)).read(offset, limit)
    }

    fn read_job(&self, run: &RunId, attempt: &AttemptId, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        LogReader::new(LogPlace::of_job(&self.state, run, attempt)).read(offset, limit)
    }

    fn write_summary(&self, run: &RunId, step: &StepKey, text: &str) -> io::Result<()> {
        let place = LogPlace::of_step(&self.state, run, step);
        place.with_folder(|place| std::fs::write(place.summary(), text))
    }
}
