//! What the server needs of the edge: planning a file, and driving a run.

use std::path::Path;

use tokio::sync::mpsc;

use crate::event::Outcome;
use crate::forge::trust::Rights;
use crate::forge::webhook::Happening;
use crate::id::RunId;
use crate::sink::Sink;
use crate::store::contract::NewRun;

use super::config::Repository;

/// What is to run.
pub struct Order<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// What happened.
    pub happening: &'a Happening,
    /// What it may do.
    pub rights: &'a Rights,
    /// What stands for the checkout in the list of runs: run numbers, concurrency groups and caches are counted by it.
    pub scope: &'a Path,
}

/// What is to be done about a file.
pub enum Verdict {
    /// A run; its id is the caller's to set.
    Run(Box<NewRun>),
    /// Its `on` does not let the event through; why.
    NotMeant(String),
    /// It cannot be run; what is wrong with it, in lines.
    Invalid(String),
}

/// Plans and drives. Calls block; each run is driven on a thread of its own.
pub trait Launcher: Send + Sync {
    /// Plans the file at `path` (from the root of the repository).
    fn plan(&self, order: &Order<'_>, path: &str, text: Vec<u8>) -> Verdict;

    /// Drives a run to its end, or takes it up; `None` when it did not end. An error says why it cannot go on.
    fn drive(
        &self,
        repository: &Repository,
        run: &RunId,
        sinks: Vec<Box<dyn Sink>>,
        interrupts: mpsc::Receiver<String>,
    ) -> Result<Option<Outcome>, String>;
}
