//! Runs, journals, requests and concurrency groups in one embedded SQLite database, in WAL mode.
//!
//! Journal records go through one writer thread a process ([`writer`]); everything else is short and takes the shared
//! connection. A local run survives the death of its process at no cost in speed (`synchronous=NORMAL`);
//! [`Durability::Power`] survives the loss of power too (`FULL`).

mod groups;
mod inbox;
mod outbox;
mod runs;
mod schema;
mod writer;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rusqlite::Connection;

use crate::store::contract::StoreError;
use crate::store::folder::StateFolder;

use writer::Writer;

pub use inbox::SqliteInbox;
pub(in crate::store) use runs::{choose, unknown};

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The death of the process.
    #[default]
    Process,
    /// The loss of power.
    Power,
}

impl Durability {
    /// As it is printed beside figures.
    pub fn mode(self) -> &'static str {
        match self {
            Durability::Process => "NORMAL",
            Durability::Power => "FULL",
        }
    }
}

/// Free space below this is kept for the next runs.
const COMPACT_BYTES: i64 = 1 << 20;

/// The store in a state folder. Cheap to clone.
#[derive(Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

struct Inner {
    state: StateFolder,
    durability: Durability,
    connection: Mutex<Connection>,
    /// Started by the first journal; lives as long as the store or any journal of it.
    writer: OnceLock<Arc<Writer>>,
}

impl SqliteStore {
    /// Opens (or makes) the database of `state`.
    pub fn open(state: &StateFolder, durability: Durability) -> Result<Self, StoreError> {
        let connection = Mutex::new(schema::open(&state.database(), durability)?);
        Ok(Self { inner: Arc::new(Inner { state: state.clone(), durability, connection, writer: OnceLock::new() }) })
    }

    /// The folder it is in.
    pub fn state(&self) -> &StateFolder {
        &self.inner.state
    }

    /// Gives space that removed runs took back to the disk, when that is worth it; gives the bytes that were freed. Rewrites the
    /// database, so it waits until nobody writes.
    pub fn compact(&self) -> Result<u64, StoreError> {
        let compact = || -> rusqlite::Result<u64> {
            let connection = self.connection();
            let number = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
            let (pages, free, size) = (number("page_count")?, number("freelist_count")?, number("page_size")?);
            if free * size < COMPACT_BYTES || free * 4 < pages {
                return Ok(0);
            }
            connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
            Ok(u64::try_from((pages - number("page_count")?) * size).unwrap_or(0))
        };
        compact().map_err(failed("compact the database"))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A statement that panicked left no transaction open: they roll back when dropped.
        self.inner.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> Result<&Arc<Writer>, StoreError> {
        if let Some(writer) = self.inner.writer.get() {
            return Ok(writer);
        }
        let writer = Writer::start(&self.inner.state.database(), self.inner.durability)?;
        Ok(self.inner.writer.get_or_init(|| Arc::new(writer)))
    }
}

/// A failed statement: what was tried, and why it failed. A file that is no sound database is `Unreadable`.
fn failed(what: &str) -> impl Fn(rusqlite::Error) -> StoreError + '_ {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DiskFull, NotADatabase};
    move |error| match error.sqlite_error_code() {
        Some(NotADatabase | DatabaseCorrupt) => StoreError::Unreadable(format!(
            "failed to {what}: \"slipway.db\" in the state folder is damaged ({error}); move it away to start anew, logs \
             stay in \"runs\""
        )),
        Some(DatabaseBusy) => StoreError::failed(what, "another process kept the database locked for too long"),
        Some(DiskFull) => StoreError::failed(what, "the disk is full"),
        _ => StoreError::failed(what, error),
    }
}

#[cfg(test)]
mod tests;
