//! Opening the database, and the steps from each version of its tables to the next.
//!
//! Opening a database that is up to date asks it one question (its version). Making or changing one is done under a lock of
//! its own, since a change of the journal mode does not wait for others as transactions do.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::store::contract::StoreError;
use crate::store::sqlite::{Durability, failed};

/// How long a statement waits for another process's transaction. Those are short; so long means that somebody hangs.
const BUSY: Duration = Duration::from_secs(30);

/// Pages of the write-ahead log after which they are moved into the database, which costs two syncs. So much (4 MiB) is read
/// again at the next start.
const CHECKPOINT_PAGES: u32 = 1000;

/// Prepared statements kept; there are fewer.
const STATEMENTS: usize = 64;

/// `MIGRATIONS[v]` takes the tables from version `v` to the next. Only ever added to.
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE runs (
    serial INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL UNIQUE,
    number INTEGER NOT NULL,
    pipeline TEXT NOT NULL,
    name TEXT NOT NULL,
    file TEXT NOT NULL,
    checkout TEXT NOT NULL,
    event_name TEXT NOT NULL,
    commit_sha TEXT NOT NULL,
    plan_hash TEXT NOT NULL,
    origin TEXT,
    started INTEGER NOT NULL,
    finished INTEGER,
    outcome TEXT
) STRICT;
CREATE INDEX runs_of_checkout ON runs (checkout, file);
CREATE TABLE records (
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE TABLE groups (
    name TEXT NOT NULL,
    holder TEXT NOT NULL,
    run TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (name, holder)
) STRICT, WITHOUT ROWID;
",
    "
-- A number is never given twice, though runs are removed, and the next one is known without counting.
CREATE TABLE counters (
    checkout TEXT NOT NULL,
    file TEXT NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (checkout, file)
) STRICT, WITHOUT ROWID;
INSERT INTO counters SELECT checkout, file, MAX(number) FROM runs GROUP BY checkout, file;
-- Groups are of a checkout, and keep the order of those who wait.
DROP TABLE groups;
CREATE TABLE groups (
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    place INTEGER NOT NULL,
    run TEXT NOT NULL,
    holder TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (scope, name, place)
) STRICT, WITHOUT ROWID;
",
    "
-- Letters that must arrive. Those that are over stay without payload, so that none is put twice.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    run TEXT,
    topic TEXT NOT NULL,
    about TEXT NOT NULL,
    payload TEXT NOT NULL,
    put INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    due INTEGER NOT NULL,
    leased INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX outbox_waiting ON outbox (kind, due) WHERE state = 'waiting';
CREATE INDEX outbox_of_run ON outbox (run);
CREATE INDEX outbox_of_topic ON outbox (topic) WHERE topic <> '';
",
];

/// Opens the database at `path`, makes it or brings it up to date. A newer one is refused.
pub fn open(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    let what = format!("open the database \"{}\"", path.display());
    let failed = failed(&what);
    let mut connection = connect(path, durability, &what)?;
    let latest = MIGRATIONS.len() as i64;
    let version = version(&connection).map_err(&failed)?;
    if version > latest {
        return Err(StoreError::Unreadable(format!(
            "failed to {what}: a newer slipway made it (its tables have version {version}, this slipway knows up to \
             {latest}); use the newer one, or another SLIPWAY_HOME"
        )));
    }
    if version < latest {
        let _lock = exclusive(path).map_err(|e| StoreError::failed(&what, e))?;
        migrate(&mut connection).map_err(&failed)?;
    }
    Ok(connection)
}

/// A connection to the database at `path`, whose file is made where it is missing.
pub(super) fn connect(path: &Path, durability: Durability, what: &str) -> Result<Connection, StoreError> {
    // Made here and not by SQLite, so that it is its owner's alone from the start.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(StoreError::failed(what, e)),
        _ => {}
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed(what))?;
    prepare(&connection, durability).map_err(failed(what))?;
    Ok(connection)
}

/// Settings of the connection; none of them touches the disk.
fn prepare(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "synchronous", durability.mode())?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // Whoever closes last need not wait for two syncs: whoever opens next reads the log.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(())
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Keeps other processes from making the same database at once.
fn exclusive(path: &Path) -> std::io::Result<std::fs::File> {
    let lock = path.with_extension("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock)?;
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been here first.
    let from = usize::try_from(version(&transaction)?).unwrap_or(0);
    for (version, step) in MIGRATIONS.iter().enumerate().skip(from) {
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version as i64 + 1)?;
    }
    transaction.commit()
}
