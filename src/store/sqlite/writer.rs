//! The writer of journals: one thread for all runs of the process.
//!
//! It sleeps until a record comes, takes what else has arrived, and commits that as one transaction; whatever comes meanwhile
//! is the next one. It never waits for more, so a lone record costs one wake and one commit, and a flood fills large ones.
//! Records become JSON here, not in the caller's loop.
//!
//! A record that must reach the disk makes its transaction a synced one (`synchronous=FULL`): in WAL mode that syncs the whole
//! log, and with it everything committed before.
//!
//! When a transaction fails its records are tried one by one, so that a wrong one (a place taken already) does not take others down.
//! After a failure its run takes no more: a journal has no gaps.

use std::collections::HashSet;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use crate::event::{Event, Outcome, Record};
use crate::id::RunId;
use crate::journal::encode;
use crate::store::contract::{Committed, Journal, StoreError};

use super::{Durability, failed, schema};

/// Records that wait for the writer. Whoever appends to a full queue waits: events may not be lost.
const QUEUE: usize = 16 * 1024;

/// Records of one transaction; bounds how long other processes wait for theirs.
const BATCH: usize = if cfg!(feature = "faults") { 1 } else { 4096 };

/// A record on its way.
struct Entry {
    run: RunId,
    record: Record,
    sync: bool,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// The thread. Dropping it writes what is queued and waits for that.
pub(super) struct Writer {
    queue: Mutex<Option<SyncSender<Entry>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread; it opens a connection of its own.
    pub(super) fn start(database: &Path, durability: Durability) -> Result<Self, StoreError> {
        let connection = schema::open(database, durability)?;
        let (queue, entries) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || Committer::new(connection, durability).work(&entries))
            .map_err(|e| StoreError::failed("start the journal's writer", e))?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    /// A run's journal.
    pub(super) fn journal(self: &Arc<Self>, run: &RunId) -> RunJournal {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        RunJournal { run: run.clone(), queue, _writer: Arc::clone(self) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Without a sender the thread ends once the queue is empty.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic of the thread has told every waiter already: their senders are gone.
            let _ = thread.join();
        }
    }
}

/// One run's journal. Fields are dropped in order: the sender before the writer that waits for all senders.
pub(super) struct RunJournal {
    run: RunId,
    queue: Option<SyncSender<Entry>>,
    _writer: Arc<Writer>,
}

impl Journal for RunJournal {
    fn append(&self, record: Record, sync: bool) -> Committed {
        let (done, committed) = oneshot::channel();
        if let Some(queue) = &self.queue {
            // A writer that has ended drops `done`, and `Committed` says so.
            let _ = queue.send(Entry { run: self.run.clone(), record, sync, done });
        }
        Committed(committed)
    }
}

struct Committer {
    connection: Connection,
    durability: Durability,
    /// Runs whose journal has failed.
    broken: HashSet<RunId>,
    #[cfg(feature = "faults")]
    faults: faults::Faults,
}

impl Committer {
    fn new(connection: Connection, durability: Durability) -> Self {
        Self {
            connection,
            durability,
            broken: HashSet::new(),
            #[cfg(feature = "faults")]
            faults: faults::Faults::from_env(),
        }
    }

    fn work(&mut self, entries: &Receiver<Entry>) {
        let mut batch = Vec::new();
        while let Ok(first) = entries.recv() {
            batch.push(first);
            while batch.len() < BATCH
                && let Ok(next) = entries.try_recv()
            {
                batch.push(next);
            }
            self.commit(&mut batch);
        }
    }

    fn commit(&mut self, batch: &mut Vec<Entry>) {
        let sync = batch.iter().any(|entry| entry.sync);
        if self.broken.is_empty() && self.write(batch, sync).is_ok() {
            batch.drain(..).for_each(|entry| answer(entry, Ok(())));
            return;
        }
        for entry in batch.drain(..) {
            let result = if self.broken.contains(&entry.run) {
                Err(StoreError::failed("write the journal", "an earlier record of this run could not be written"))
            } else {
                let what = format!("write record {} of the journal", entry.record.seq);
                self.write(std::slice::from_ref(&entry), entry.sync).map_err(failed(&what))
            };
            if result.is_err() {
                self.broken.insert(entry.run.clone());
            }
            answer(entry, result);
        }
    }

    /// All of `batch`, or nothing.
    fn write(&mut self, batch: &[Entry], sync: bool) -> rusqlite::Result<()> {
        // Before the transaction, so that it keeps others out for as short as can be.
        let bodies: Vec<String> = batch.iter().map(|entry| encode(&entry.record)).collect();
        let raise = sync && self.durability == Durability::Process;
        if raise {
            self.connection.pragma_update(None, "synchronous", "FULL")?;
        }
        let result = self.transact(batch, &bodies);
        if raise {
            self.connection.pragma_update(None, "synchronous", self.durability.mode())?;
        }
        result
    }

    fn transact(&mut self, batch: &[Entry], bodies: &[String]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO records (run, seq, body) VALUES (?1, ?2, ?3)")?;
            for (entry, body) in batch.iter().zip(bodies) {
                insert.execute((entry.run.as_str(), entry.record.seq as i64, body))?;
                // The list of runs is right the moment the run's end is.
                if let Event::RunFinished { outcome } = entry.record.event {
                    transaction
                        .prepare_cached("UPDATE runs SET finished = ?2, outcome = ?3 WHERE run = ?1")?
                        .execute((entry.run.as_str(), entry.record.at.0, outcome_name(outcome)))?;
                }
            }
        }
        #[cfg(feature = "faults")]
        self.faults.before_commit();
        transaction.commit()?;
        #[cfg(feature = "faults")]
        self.faults.after_commit();
        Ok(())
    }
}

/// An outcome as its JSON has it.
fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Lost => "lost",
        other => other.github(),
    }
}

/// Whoever does not wait for the commit has dropped the other end.
fn answer(entry: Entry, result: Result<(), StoreError>) {
    let _ = entry.done.send(result);
}

/// The kill-point test's hook: ends the process beside the commit of the n-th record, as a crash would.
#[cfg(feature = "faults")]
mod faults {
    pub(super) struct Faults {
        kill_at: Option<(u64, bool)>,
        count_file: Option<std::path::PathBuf>,
        count: u64,
    }

    impl Faults {
        /// `SLIPWAY_KILL_AT=N:before|after`; `SLIPWAY_KILL_COUNT_FILE` is told how many records were committed.
        pub(super) fn from_env() -> Self {
            let kill_at = std::env::var("SLIPWAY_KILL_AT").ok().map(|text| {
                let point = text.split_once(':').and_then(|(n, side)| match side {
                    "before" => Some((n.parse().ok()?, true)),
                    "after" => Some((n.parse().ok()?, false)),
                    _ => None,
                });
                point.expect("SLIPWAY_KILL_AT is N:before or N:after")
            });
            Self { kill_at, count_file: std::env::var_os("SLIPWAY_KILL_COUNT_FILE").map(Into::into), count: 0 }
        }

        pub(super) fn before_commit(&self) {
            if self.kill_at == Some((self.count + 1, true)) {
                std::process::abort();
            }
        }

        pub(super) fn after_commit(&mut self) {
            self.count += 1;
            if let Some(path) = &self.count_file {
                // After each commit, since nobody knows which is the last. The test sees a file that is missing.
                let _ = std::fs::write(path, self.count.to_string());
            }
            if self.kill_at == Some((self.count, false)) {
                std::process::abort();
            }
        }
    }
}
