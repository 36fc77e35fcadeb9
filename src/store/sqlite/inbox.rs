//! The inbox of webhooks: a database of its own beside the runs', so that a flood of webhooks never holds up a journal.
//!
//! Webhooks go through one writer thread, as journal records do: it takes what has arrived and commits that as one transaction,
//! down to the disk (`synchronous=FULL`), and only then are the receipts given. A lone webhook costs one sync, a flood shares it.
//! What the worker says goes the same way: two writers of one database would wait for each other.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params, params_from_iter};
use tokio::sync::oneshot;

use crate::clock::Timestamp;
use crate::store::contract::StoreError;
use crate::store::inbox::{Accepted, Delivery, DeliveryState, Inbox, NewDelivery, Receipt};

use super::{Durability, failed, schema};

/// Webhooks that wait for the writer; their bodies are bounded by whoever reads them.
const QUEUE: usize = 1024;
/// Webhooks of one transaction.
const BATCH: usize = 256;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT NOT NULL,
    delivery TEXT NOT NULL,
    event TEXT NOT NULL,
    received INTEGER NOT NULL,
    body BLOB NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    due INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    delays INTEGER NOT NULL DEFAULT 0,
    note TEXT NOT NULL DEFAULT '',
    runs TEXT NOT NULL DEFAULT 'null',
    UNIQUE (repository, delivery)
) STRICT;
-- In the order in which they are taken: the first that fits ends the search, however many wait or are over.
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (seq, due, repository) WHERE state = 'waiting';
";
const COLUMNS: &str = "seq, repository, delivery, event, received, body, state, tries, delays, note, runs";

/// What the writer does.
enum Entry {
    /// A webhook.
    Put(NewDelivery, oneshot::Sender<Result<Accepted, StoreError>>),
    /// A change of one delivery; the statement gives a number of it.
    Change(&'static str, Vec<Value>, oneshot::Sender<Result<Option<i64>, StoreError>>),
}

/// What came of it.
enum Written {
    Put(Accepted),
    Change(Option<i64>),
}

/// The inbox in a file. Dropping it writes what is queued and waits for that.
pub struct SqliteInbox {
    connection: Mutex<Connection>,
    queue: Option<SyncSender<Entry>>,
    thread: Option<JoinHandle<()>>,
}

impl SqliteInbox {
    /// Opens (or makes) the database at `path`.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let what = format!("open the inbox \"{}\"", path.display());
        let open = || -> Result<Connection, StoreError> {
            let connection = schema::connect(path, Durability::Power, &what)?;
            connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).map_err(failed(&what))?;
            connection.execute_batch(TABLES).map_err(failed(&what))?;
            Ok(connection)
        };
        let (connection, writer) = (open()?, open()?);
        let (queue, entries) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("inbox".to_owned())
            .spawn(move || work(writer, &entries))
            .map_err(|e| StoreError::failed("start the inbox's writer", e))?;
        Ok(Self { connection: Mutex::new(connection), queue: Some(queue), thread: Some(thread) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the writer; a delivery that is not there is an error.
    fn change(&self, what: &str, sql: &'static str, values: Vec<Value>) -> Result<i64, StoreError> {
        let (answer, changed) = oneshot::channel();
        if let Some(queue) = &self.queue {
            // A writer that has ended drops `answer`.
            let _ = queue.send(Entry::Change(sql, values, answer));
        }
        let ended = || StoreError::failed(what, "the inbox's writer has ended");
        let missing = || StoreError::NotFound(format!("failed to {what}: there is no such delivery"));
        changed.blocking_recv().map_err(|_| ended())??.ok_or_else(missing)
    }

    fn select(&self, rest: &str, values: impl rusqlite::Params) -> Result<Vec<Delivery>, StoreError> {
        let connection = self.connection();
        let read = || -> rusqlite::Result<Vec<Delivery>> {
            let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM deliveries {rest}"))?;
            statement.query_map(values, delivery)?.collect()
        };
        read().map_err(failed("read the inbox"))
    }
}

impl Drop for SqliteInbox {
    fn drop(&mut self) {
        // Without a sender the thread ends once the queue is empty.
        self.queue.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Inbox for SqliteInbox {
    fn put(&self, new: NewDelivery) -> Receipt {
        let (answer, receipt) = oneshot::channel();
        if let Some(queue) = &self.queue {
            // A full queue makes the caller try again: it must not stop the thread that serves others.
            if let Err(TrySendError::Full(Entry::Put(_, answer))) = queue.try_send(Entry::Put(new, answer)) {
                let _ = answer.send(Err(StoreError::Held("too many webhooks wait to be written".to_owned())));
            }
        }
        Receipt(receipt)
    }

    fn due(&self, now: Timestamp, but: &[String], limit: usize) -> Result<Vec<Delivery>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rest = "INDEXED BY deliveries_waiting WHERE state = 'waiting' AND due <= ?1 AND repository NOT IN (SELECT value FROM json_each(?2))
                    ORDER BY seq LIMIT ?3";
        self.select(rest, (now.0, serde_json::json!(but).to_string(), limit))
    }

    fn begin(&self, seq: u64) -> Result<u32, StoreError> {
        let sql = "UPDATE deliveries SET tries = tries + 1 WHERE seq = ?1 RETURNING tries";
        let tries = self.change("count a try of a delivery", sql, vec![number(seq)])?;
        Ok(u32::try_from(tries).unwrap_or(u32::MAX))
    }

    fn plan(&self, seq: u64, runs: &serde_json::Value) -> Result<(), StoreError> {
        let sql = "UPDATE deliveries SET runs = ?2 WHERE seq = ?1 RETURNING seq";
        self.change("write down the runs of a delivery", sql, vec![number(seq), runs.to_string().into()]).map(drop)
    }

    fn delay(&self, seq: u64, until: Timestamp, note: &str) -> Result<(), StoreError> {
        let sql =
            "UPDATE deliveries SET tries = 0, delays = delays + 1, due = ?2, note = ?3 WHERE seq = ?1 RETURNING seq";
        let values = vec![number(seq), until.0.into(), note.to_owned().into()];
        self.change("put off a delivery", sql, values).map(drop)
    }

    fn settle(&self, seq: u64, state: DeliveryState, note: &str) -> Result<(), StoreError> {
        // The body of one that is done is in its runs; that of a bad one is what people want to see.
        let sql = "UPDATE deliveries SET state = ?2, note = ?3, tries = 0,
                   body = CASE ?2 WHEN 'done' THEN x'' ELSE body END WHERE seq = ?1 RETURNING seq";
        let values = vec![number(seq), word(state).to_owned().into(), note.to_owned().into()];
        self.change("settle a delivery", sql, values).map(drop)
    }

    fn find(&self, repository: &str, delivery: &str) -> Result<Option<Delivery>, StoreError> {
        let found = self.select("WHERE repository = ?1 AND delivery = ?2", (repository, delivery))?;
        Ok(found.into_iter().next())
    }

    fn forget(&self, before: Timestamp) -> Result<usize, StoreError> {
        let sql = "DELETE FROM deliveries WHERE state <> 'waiting' AND received < ?1";
        self.connection().execute(sql, [before.0]).map_err(failed("forget old deliveries"))
    }
}

fn number(seq: u64) -> Value {
    seq.cast_signed().into()
}

fn word(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Waiting => "waiting",
        DeliveryState::Done => "done",
        DeliveryState::Quarantined => "quarantined",
    }
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let state: String = row.get(6)?;
    let runs: String = row.get(10)?;
    Ok(Delivery {
        seq: row.get::<_, i64>(0)?.cast_unsigned(),
        new: NewDelivery {
            repository: row.get(1)?,
            delivery: row.get(2)?,
            event: row.get(3)?,
            received: Timestamp(row.get(4)?),
            body: row.get(5)?,
        },
        state: match state.as_str() {
            "waiting" => DeliveryState::Waiting,
            "done" => DeliveryState::Done,
            _ => DeliveryState::Quarantined,
        },
        tries: row.get(7)?,
        delays: row.get(8)?,
        note: row.get(9)?,
        runs: serde_json::from_str(&runs).unwrap_or_default(),
    })
}

fn work(mut connection: Connection, entries: &Receiver<Entry>) {
    let mut batch = Vec::new();
    while let Ok(first) = entries.recv() {
        batch.push(first);
        while batch.len() < BATCH
            && let Ok(next) = entries.try_recv()
        {
            batch.push(next);
        }
        match write(&mut connection, &batch).map_err(failed("write the inbox")) {
            Ok(all) => batch.drain(..).zip(all).for_each(|(entry, written)| tell(entry, Ok(written))),
            Err(error) => batch.drain(..).for_each(|entry| tell(entry, Err(error.clone()))),
        }
    }
}

/// Whoever does not wait any more has dropped the other end.
fn tell(entry: Entry, result: Result<Written, StoreError>) {
    match (entry, result) {
        (Entry::Put(_, answer), Ok(Written::Put(accepted))) => drop(answer.send(Ok(accepted))),
        (Entry::Change(_, _, answer), Ok(Written::Change(found))) => drop(answer.send(Ok(found))),
        (Entry::Put(_, answer), Err(error)) => drop(answer.send(Err(error))),
        (Entry::Change(_, _, answer), Err(error)) => drop(answer.send(Err(error))),
        // Each entry gives what is written for it.
        (_, Ok(_)) => {}
    }
}

/// All of `batch`, or nothing.
fn write(connection: &mut Connection, batch: &[Entry]) -> rusqlite::Result<Vec<Written>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let all = batch.iter().map(|entry| match entry {
        Entry::Put(new, _) => insert(&transaction, new).map(Written::Put),
        Entry::Change(sql, values, _) => transaction
            .prepare_cached(sql)?
            .query_row(params_from_iter(values), |row| row.get(0))
            .optional()
            .map(Written::Change),
    });
    let all = all.collect::<rusqlite::Result<_>>()?;
    transaction.commit()?;
    Ok(all)
}

fn insert(transaction: &Transaction<'_>, new: &NewDelivery) -> rusqlite::Result<Accepted> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO deliveries (repository, delivery, event, received, body) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING RETURNING seq",
    )?;
    let values = params![new.repository, new.delivery, new.event, new.received.0, new.body];
    if let Some(seq) = insert.query_row(values, |row| row.get::<_, i64>(0)).optional()? {
        return Ok(Accepted { seq: seq.cast_unsigned(), fresh: true });
    }
    let mut find = transaction.prepare_cached("SELECT seq FROM deliveries WHERE repository = ?1 AND delivery = ?2")?;
    let seq: i64 = find.query_row((&new.repository, &new.delivery), |row| row.get(0))?;
    Ok(Accepted { seq: seq.cast_unsigned(), fresh: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(delivery: &str) -> NewDelivery {
        NewDelivery {
            repository: "shop".to_owned(),
            delivery: delivery.to_owned(),
            event: "push".to_owned(),
            body: b"{}".to_vec(),
            received: Timestamp(5),
        }
    }

    #[test]
    fn a_delivery_is_there_once_and_survives() {
        // The worker's calls block, so this is no async test.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let wait = |receipt: Receipt| runtime.block_on(receipt).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inbox.db");
        let inbox = SqliteInbox::open(&path).unwrap();
        let first = wait(inbox.put(new("a")));
        let again: Vec<Receipt> = (0..100).map(|_| inbox.put(new("a"))).collect();
        for receipt in again {
            assert_eq!(wait(receipt), Accepted { seq: first.seq, fresh: false });
        }
        assert!(wait(inbox.put(NewDelivery { repository: "other".to_owned(), ..new("a") })).fresh);
        drop(inbox);
        let inbox = SqliteInbox::open(&path).unwrap();
        let due = inbox.due(Timestamp(9), &[], 10).unwrap();
        assert_eq!(due.iter().map(|one| one.new.repository.as_str()).collect::<Vec<_>>(), ["shop", "other"]);
        assert_eq!((inbox.begin(first.seq).unwrap(), inbox.begin(first.seq).unwrap()), (1, 2));
        inbox.delay(first.seq, Timestamp(20), "the forge does not answer").unwrap();
        assert_eq!(inbox.due(Timestamp(19), &[], 10).unwrap().len(), 1);
        assert!(inbox.due(Timestamp(19), &["other".to_owned()], 10).unwrap().is_empty());
        let waited = inbox.due(Timestamp(20), &[], 1).unwrap().remove(0);
        assert_eq!((waited.tries, waited.delays, waited.new.body.len()), (0, 1, 2));
        inbox.plan(first.seq, &serde_json::json!([1])).unwrap();
        inbox.settle(first.seq, DeliveryState::Done, "1 run").unwrap();
        let done = inbox.find("shop", "a").unwrap().unwrap();
        assert_eq!((done.state, done.note.as_str(), done.new.body.len()), (DeliveryState::Done, "1 run", 0));
        assert_eq!(done.runs, serde_json::json!([1]));
        assert_eq!((inbox.forget(Timestamp(5)).unwrap(), inbox.forget(Timestamp(6)).unwrap()), (0, 1));
        assert!(inbox.settle(99, DeliveryState::Done, "").is_err());
    }
}
