//! The ports of what is kept: runs and their journal, logs, artifacts, caches, concurrency groups, sealed values.
//!
//! Calls are short and block (SQLite, files), except [`Journal::append`], which only queues.

pub mod outbox;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::clock::Timestamp;
use crate::event::{KeptFile, Order, Outcome, Record, Sealed};
use crate::id::{AttemptId, JobId, RunId, StageId, StepKey};
use crate::plan::ir::PlanInputs;

/// A run that was interrupted can be taken up for so long; until then it keeps its sandboxes and its concurrency groups.
pub const RESUME_WINDOW: Duration = Duration::from_secs(3600);

/// Why something could not be kept or found.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Nothing of that name, or an ambiguous one; the message says what there is.
    #[error("{0}")]
    NotFound(String),
    /// Somebody else holds it.
    #[error("{0}")]
    Held(String),
    /// Written by a newer Slipway, or damaged.
    #[error("{0}")]
    Unreadable(String),
    /// The disk or the database failed: what was tried, and why it failed.
    #[error("failed to {what}: {reason}")]
    Failed {
        /// What was tried.
        what: String,
        /// Why it failed.
        reason: String,
    },
}

impl StoreError {
    /// `failed to {what}: {reason}`.
    pub fn failed(what: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        StoreError::Failed { what: what.into(), reason: reason.to_string() }
    }
}

/// Resolves when a record is committed.
pub struct Committed(pub oneshot::Receiver<Result<(), StoreError>>);

impl Future for Committed {
    type Output = Result<(), StoreError>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|r| r.unwrap_or_else(|_| Err(StoreError::failed("write the journal", "its writer has ended"))))
    }
}

/// A run's journal. Records are committed in the order in which they were appended; whatever has arrived while a commit
/// was under way goes into the next one (group commit; the writer never waits for more).
pub trait Journal: Send + Sync {
    /// Queues a record; the future resolves after its commit. With `sync` the commit reaches the disk itself
    /// (effects outside the machine), whatever the mode.
    fn append(&self, record: Record, sync: bool) -> Committed;
}

/// A run as it is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its id.
    pub run: RunId,
    /// `github.run_number`: counts from 1 in each pipeline of a checkout.
    pub number: u64,
    /// Unique in the state folder, counts from 1: `github.run_id`.
    pub serial: u64,
    /// The pipeline's name.
    pub pipeline: String,
    /// The run's name.
    pub name: String,
    /// The file.
    pub file: String,
    /// The checkout's root.
    pub checkout: PathBuf,
    /// The event's name.
    pub event_name: String,
    /// The commit.
    pub commit: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The run that it repeats.
    pub origin: Option<RunId>,
}

/// A run to be made. The text and inputs are kept in the run's folder: `resume` and `rerun` never read the file again.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub run: RunId,
    /// The pipeline's name.
    pub pipeline: String,
    /// The run's name.
    pub name: String,
    /// The file's text.
    pub text: String,
    /// What the plan was made from.
    pub inputs: PlanInputs,
    /// The plan for people and tools (`plan --format json`).
    pub plan_json: String,
    /// The plan's hash.
    pub plan_hash: String,
    /// The checkout's root.
    pub checkout: PathBuf,
    /// The commit.
    pub commit: String,
    /// When.
    pub started: Timestamp,
    /// The run that it repeats.
    pub origin: Option<RunId>,
}

/// What is stored of a run beside its records.
#[derive(Debug, Clone)]
pub struct StoredRun {
    /// Its row.
    pub row: RunRow,
    /// The file's text.
    pub text: String,
    /// What the plan was made from.
    pub inputs: PlanInputs,
    /// The plan's hash.
    pub plan_hash: String,
}

/// Which runs to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only of this checkout, and of folders within it.
    pub checkout: Option<PathBuf>,
    /// Only those without an end.
    pub unfinished: bool,
    /// At most so many; 0 is no limit.
    pub limit: usize,
}

/// What other processes ask of the owner of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// Cancel the run.
    Cancel {
        /// Who asks.
        by: String,
    },
    /// Decide on a stage that waits for people.
    Decide {
        /// The stage.
        stage: StageId,
        /// Whether it is approved.
        approved: bool,
        /// Who decides.
        by: String,
        /// The groups that they are in.
        #[serde(default)]
        groups: Vec<String>,
        /// Their comment.
        #[serde(default)]
        comment: String,
        /// What they fill in.
        #[serde(default)]
        inputs: Vec<(String, String)>,
    },
    /// Order something of a deploy under way.
    Order {
        /// The stage.
        stage: StageId,
        /// The order.
        order: Order,
        /// Who orders.
        by: String,
    },
}

/// Runs and their journals.
pub trait Store: Send + Sync {
    /// Makes a run: its row, and its folder with text, inputs and plan. The row comes back with its numbers.
    fn create(&self, new: &NewRun) -> Result<RunRow, StoreError>;

    /// What is stored of a run.
    fn load(&self, run: &RunId) -> Result<StoredRun, StoreError>;

    /// Its records after `after` (0 gives all), in order.
    fn records(&self, run: &RunId, after: u64) -> Result<Vec<Record>, StoreError>;

    /// Opens its journal for writing; the caller holds the run's lock.
    fn journal(&self, run: &RunId) -> Result<std::sync::Arc<dyn Journal>, StoreError>;

    /// Runs, newest first.
    fn list(&self, filter: &RunFilter) -> Result<Vec<RunRow>, StoreError>;

    /// The run that `prefix` names; an unknown or ambiguous one is `NotFound` with what there is.
    fn resolve(&self, prefix: &str) -> Result<RunId, StoreError>;

    /// Puts a request and wakes the owner.
    fn request(&self, run: &RunId, request: &Request) -> Result<(), StoreError>;

    /// Takes the requests that wait (each is given once).
    fn take_requests(&self, run: &RunId) -> Result<Vec<Request>, StoreError>;

    /// Removes a run that is over: row, records, folder.
    fn remove(&self, run: &RunId) -> Result<(), StoreError>;
}

/// One step's masked log, append only, in segment files with an offset index.
pub trait LogWriter: Send {
    /// Appends; kept in memory until `flush` or until it is a few KiB.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Bytes in the log, those in memory too.
    fn len(&self) -> u64;

    /// Whether it is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes what was appended visible to readers.
    fn flush(&mut self) -> io::Result<()>;
}

/// Logs of runs.
pub trait Logs: Send + Sync {
    /// Opens a step's log at length `at` (what stands behind it is cut off). Nothing is made on disk before the first byte.
    fn open(&self, run: &RunId, step: &StepKey, at: u64) -> io::Result<Box<dyn LogWriter>>;

    /// Opens the log of a job's preparation and clean-up.
    fn open_job(&self, run: &RunId, attempt: &AttemptId) -> io::Result<Box<dyn LogWriter>>;

    /// Bytes of a step's log from `offset` on, at most `limit`; empty at its end.
    fn read(&self, run: &RunId, step: &StepKey, offset: u64, limit: usize) -> io::Result<Vec<u8>>;

    /// The same of a job's log.
    fn read_job(&self, run: &RunId, attempt: &AttemptId, offset: u64, limit: usize) -> io::Result<Vec<u8>>;

    /// Keeps a step's summary (masked Markdown).
    fn write_summary(&self, run: &RunId, step: &StepKey, text: &str) -> io::Result<()>;
}

/// Files kept with runs.
pub trait Artifacts: Send + Sync {
    /// Keeps the files below `workspace` that match `patterns` (globs; `!` takes away), never through a symbolic link that
    /// leaves the workspace. Replaces what the stage's job kept before.
    fn keep(&self, run: &RunId, job: &JobId, workspace: &Path, patterns: &[String]) -> io::Result<Vec<KeptFile>>;

    /// Puts what `stage`'s jobs kept into `workspace` at the same paths.
    fn restore(&self, run: &RunId, stage: &StageId, workspace: &Path) -> io::Result<Vec<KeptFile>>;

    /// Takes what `job` of run `from` kept over into run `run`.
    fn adopt(&self, from: &RunId, run: &RunId, job: &JobId) -> io::Result<()>;
}

/// Folders kept between runs.
pub trait Caches: Send + Sync {
    /// Restores the newest entry whose key is `key` or begins with one of `restore_keys` in turn; gives the entry's key.
    /// `paths` are absolute.
    fn restore(&self, scope: &str, key: &str, restore_keys: &[String], paths: &[PathBuf])
    -> io::Result<Option<String>>;

    /// Keeps `paths` under `key`, unless the key exists. Bounded: the least recently used goes first.
    fn save(&self, scope: &str, key: &str, paths: &[PathBuf]) -> io::Result<bool>;
}

/// How a concurrency group answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupAnswer {
    /// It is ours.
    Acquired,
    /// Somebody has it; ask again when `changed` (poll every 250 ms).
    Wait,
    /// A newcomer took our place in the queue: we are cancelled.
    Superseded,
}

/// Concurrency groups across the processes of one state folder (runners.md 3.3.7): one holds, one waits.
pub trait Groups: Send + Sync {
    /// Asks for `group` on behalf of `holder` (a run, or run/job). `cancel` asks to cancel the present holder.
    fn acquire(&self, group: &str, run: &RunId, holder: &str, cancel: bool) -> Result<GroupAnswer, StoreError>;

    /// Gives it back, or leaves the queue. Succeeds when it is not held.
    fn release(&self, group: &str, run: &RunId, holder: &str) -> Result<(), StoreError>;
}

/// Seals values under the run's own key, which is sealed under the state folder's key.
pub trait Sealer: Send + Sync {
    /// Seals.
    fn seal(&self, clear: &[u8]) -> Sealed;

    /// Opens; fails when the key was erased or the text is damaged.
    fn open(&self, sealed: &Sealed) -> Result<Vec<u8>, StoreError>;
}
