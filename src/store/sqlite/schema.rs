//! Tables, and how older databases become present ones.

use std::path::Path;

use rusqlite::Connection;

use crate::store::contract::StoreError;

/// The version that this code writes.
const VERSION: i64 = 1;

const TABLES: &str = "
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
";

/// Brings the database to the present version; a newer one is refused.
pub fn migrate(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |e: rusqlite::Error| StoreError::failed(format!("read the database \"{}\"", path.display()), e);
    let version = || connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    match version().map_err(failed)? {
        VERSION => Ok(()),
        0 => {
            connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
            // Another process may have been faster.
            let made = match version() {
                Ok(0) => connection.execute_batch(&format!("{TABLES} PRAGMA user_version = {VERSION};")),
                other => other.map(drop),
            };
            let end = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
            let ended = connection.execute_batch(end);
            made.and(ended).map_err(failed)
        }
        newer => Err(StoreError::Unreadable(format!(
            "the database \"{}\" has version {newer}, and this Slipway knows {VERSION}: use the newer Slipway, or another SLIPWAY_HOME",
            path.display()
        ))),
    }
}
