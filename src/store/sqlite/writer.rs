//! The one writer of journal records: group commit. Whatever has arrived while a commit was under way goes into the next
//! one; the writer never waits for more. Records become JSON here, so that the engine's loop need not do it.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::event::{Event, Record};
use crate::id::RunId;
use crate::journal::encode;
use crate::store::contract::{Committed, Journal, StoreError};

use super::{Durability, connect};

/// Records that may wait; whoever appends beyond that waits, and the writer is never so far behind.
const QUEUE: usize = 65_536;
/// Records of one commit: bounds how long the first of them waits.
const BATCH: usize = if cfg!(feature = "faults") { 1 } else { 8192 };

struct Append {
    run: RunId,
    record: Record,
    sync: bool,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// The thread, and the way to it.
pub struct Writer {
    sender: Option<SyncSender<Append>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts it with a connection of its own.
    pub fn start(database: &Path, durability: Durability) -> Result<Self, StoreError> {
        let connection = connect(database, durability)?;
        let (sender, receiver) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || serve(&connection, &receiver, durability))
            .map_err(|e| StoreError::failed("start the journal's writer", e))?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    /// The journal of one run.
    pub fn journal(&self, run: &RunId) -> RunJournal {
        RunJournal { run: run.clone(), sender: self.sender.clone() }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // It ends when the last journal is dropped, after committing all that was appended. Journals that outlive the
            // store keep it alive; then the process's end ends it.
            drop(thread);
        }
    }
}

/// A run's way to the writer.
pub struct RunJournal {
    run: RunId,
    sender: Option<SyncSender<Append>>,
}

impl Journal for RunJournal {
    fn append(&self, record: Record, sync: bool) -> Committed {
        let (done, committed) = oneshot::channel();
        let append = Append { run: self.run.clone(), record, sync, done };
        if let Some(sender) = &self.sender {
            // When the writer is gone the receiver says so.
            let _ = sender.send(append);
        }
        Committed(committed)
    }
}

fn serve(connection: &Connection, receiver: &Receiver<Append>, durability: Durability) {
    let mut faults = Faults::from_environment();
    let mut batch = Vec::new();
    while let Ok(first) = receiver.recv() {
        batch.push(first);
        while batch.len() < BATCH
            && let Ok(next) = receiver.try_recv()
        {
            batch.push(next);
        }
        faults.before(&batch);
        let result = commit(connection, &batch, durability);
        if result.is_ok() {
            faults.after();
        }
        for append in batch.drain(..) {
            // Nobody has to wait for a commit.
            let _ = append.done.send(result.clone());
        }
    }
}

fn commit(connection: &Connection, batch: &[Append], durability: Durability) -> Result<(), StoreError> {
    let failed = |e: rusqlite::Error| StoreError::failed("write the journal", e);
    // A commit that must reach the disk is made with synchronous=FULL: SQLite then syncs the WAL before it returns.
    let sync = durability == Durability::Process && batch.iter().any(|append| append.sync);
    if sync {
        connection.execute_batch("PRAGMA synchronous=FULL").map_err(failed)?;
    }
    let written = insert(connection, batch).map_err(failed);
    if sync {
        connection.execute_batch("PRAGMA synchronous=NORMAL").map_err(failed)?;
    }
    written
}

fn insert(connection: &Connection, batch: &[Append]) -> rusqlite::Result<()> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let rows =
        || -> rusqlite::Result<()> {
            let mut insert = connection.prepare_cached("INSERT INTO records (run, seq, body) VALUES (?1, ?2, ?3)")?;
            for Append { run, record, .. } in batch {
                insert.execute((run.as_str(), record.seq as i64, encode(record)))?;
                // The list of runs is right the moment the run's end is.
                if let Event::RunFinished { outcome } = &record.event {
                    let outcome = serde_json::to_value(outcome).ok();
                    let outcome = outcome.as_ref().and_then(|outcome| outcome.as_str()).unwrap_or_default();
                    connection
                        .prepare_cached("UPDATE runs SET finished = ?2, outcome = ?3 WHERE run = ?1")?
                        .execute((run.as_str(), record.at.0, outcome))?;
                }
            }
            Ok(())
        }();
    let end = if rows.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = connection.prepare_cached(end)?.execute([]).map(drop);
    rows.and(ended)
}

/// The kill-point harness: with the feature `faults` each record is its own commit, and `SLIPWAY_KILL_AT=N:before|after` aborts
/// the process beside the commit of the N-th record that this process appends. Without the feature it does nothing.
#[derive(Default)]
struct Faults {
    at: Option<(u64, bool)>,
    seen: u64,
}

impl Faults {
    fn from_environment() -> Self {
        if !cfg!(feature = "faults") {
            return Self::default();
        }
        let at = std::env::var("SLIPWAY_KILL_AT").ok().and_then(|text| {
            let (number, when) = text.split_once(':')?;
            Some((number.parse().ok()?, when == "after"))
        });
        Self { at, seen: 0 }
    }

    fn before(&mut self, batch: &[Append]) {
        self.seen += batch.len() as u64;
        if self.at == Some((self.seen, false)) {
            std::process::abort();
        }
    }

    fn after(&self) {
        if self.at == Some((self.seen, true)) {
            std::process::abort();
        }
    }
}
