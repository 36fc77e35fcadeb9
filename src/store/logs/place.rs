//! Where a log's files are.

use std::io;
use std::path::PathBuf;

use crate::id::{AttemptId, RunId, StepKey};
use crate::store::folder::{StateFolder, make_private};

/// Bytes of a segment. A log of a hundred bytes is one file, one of a gigabyte 256.
pub(super) const SEGMENT: u64 = 4 << 20;

/// A log's folder and name.
#[derive(Debug, Clone)]
pub(super) struct LogPlace {
    folder: PathBuf,
    name: String,
}

impl LogPlace {
    pub(super) fn of_step(state: &StateFolder, run: &RunId, step: &StepKey) -> Self {
        Self { folder: folder(state, run, &step.attempt_id()), name: step.step.to_string() }
    }

    pub(super) fn of_job(state: &StateFolder, run: &RunId, attempt: &AttemptId) -> Self {
        Self { folder: folder(state, run, attempt), name: "job".to_owned() }
    }

    /// The file of segment `number`, from 0.
    pub(super) fn segment(&self, number: u64) -> PathBuf {
        match number {
            0 => self.folder.join(format!("{}.log", self.name)),
            number => self.folder.join(format!("{}.{number}.log", self.name)),
        }
    }

    pub(super) fn index(&self) -> PathBuf {
        self.folder.join(format!("{}.idx", self.name))
    }

    pub(super) fn summary(&self) -> PathBuf {
        self.folder.join(format!("{}.md", self.name))
    }

    /// Does what makes a file; only when the folder is not there makes it and tries again. The second log of a job costs no call more.
    pub(super) fn with_folder<T>(&self, make: impl Fn(&Self) -> io::Result<T>) -> io::Result<T> {
        match make(self) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                make_private(&self.folder)?;
                make(self)
            }
            other => other,
        }
    }
}

/// The folder of an attempt's logs: one for all its steps, so that a step costs no folder of its own. What a file system could
/// take amiss is written as `%xx`, though the ids that files can have need none of that.
fn folder(state: &StateFolder, run: &RunId, attempt: &AttemptId) -> PathBuf {
    let mut name = String::new();
    for byte in attempt.job.as_str().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    // The number behind it keeps `..` from being a way out.
    state.run(run).join("logs").join(format!("{name}-{}", attempt.attempt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::JobId;

    #[test]
    fn names_stay_in_their_folder() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateFolder::open_at(temp.path().to_owned()).unwrap();
        let name = |job: &str| {
            let folder = folder(&state, &RunId::from("r"), &AttemptId::new(JobId::from(job), 2));
            folder.strip_prefix(state.run(&RunId::from("r")).join("logs")).unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(name("test.12"), "test.12-2");
        assert_eq!(name("../x/é"), "..%2fx%2f%c3%a9-2");
    }
}
