//! Runs, journals, requests and concurrency groups in one embedded SQLite database, in WAL mode.
//!
//! Journal records go through one writer thread a process ([`writer`]); everything else is short and takes the shared
//! connection. A local run survives the death of its process at no cost in speed (`synchronous=NORMAL`);
//! [`Durability::Power`] survives the loss of power too (`FULL`).

mod groups;
mod runs;
mod schema;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use crate::store::contract::StoreError;
use crate::store::folder::StateFolder;

use writer::Writer;

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

/// How long a statement waits for another process's transaction.
const BUSY: Duration = Duration::from_secs(10);

/// The store in a state folder. Cheap to clone.
#[derive(Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

struct Inner {
    state: StateFolder,
    durability: Durability,
    connection: Mutex<Connection>,
    writer: OnceLock<Writer>,
}

impl SqliteStore {
    /// Opens (or makes) the database of `state`.
    pub fn open(state: &StateFolder, durability: Durability) -> Result<Self, StoreError> {
        let connection = connect(&state.database(), durability)?;
        schema::migrate(&connection, &state.database())?;
        let connection = Mutex::new(connection);
        Ok(Self { inner: Arc::new(Inner { state: state.clone(), durability, connection, writer: OnceLock::new() }) })
    }

    /// The folder it is in.
    pub fn state(&self) -> &StateFolder {
        &self.inner.state
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A statement that panicked left no transaction open: they roll back when dropped.
        self.inner.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> Result<&Writer, StoreError> {
        if let Some(writer) = self.inner.writer.get() {
            return Ok(writer);
        }
        let writer = Writer::start(&self.inner.state.database(), self.inner.durability)?;
        Ok(self.inner.writer.get_or_init(|| writer))
    }
}

fn connect(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    let failed = |e: rusqlite::Error| StoreError::failed(format!("open the database \"{}\"", path.display()), e);
    let connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(32);
    connection
        .execute_batch(&format!("PRAGMA journal_mode=WAL; PRAGMA synchronous={};", durability.mode()))
        .map_err(failed)?;
    Ok(connection)
}

/// A failed statement: what was tried, and the database's words.
fn failed(what: &str) -> impl Fn(rusqlite::Error) -> StoreError + '_ {
    move |error| StoreError::failed(what, error)
}

#[cfg(test)]
mod tests;
