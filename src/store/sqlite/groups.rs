//! Concurrency groups across processes (runners.md 3.3.7): one holds, one waits, a newcomer takes the place of who waits.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::id::RunId;
use crate::store::contract::{GroupAnswer, Groups, Request, Store, StoreError};
use crate::store::lock::{Lock, run_lock};

use super::{SqliteStore, failed};

/// The place of who holds a group; others wait at higher ones.
const HELD: i64 = 0;

impl Groups for SqliteStore {
    fn acquire(&self, group: &str, run: &RunId, holder: &str, cancel: bool) -> Result<GroupAnswer, StoreError> {
        let what = "ask for the concurrency group";
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed(what))?;
        let stale = |other: &RunId| other != run && self.is_over(&transaction, other);
        let mut members = members(&transaction, group).map_err(failed(what))?;
        for member in members.iter().filter(|member| stale(&member.run)) {
            leave(&transaction, group, &member.holder).map_err(failed(what))?;
        }
        members.retain(|member| !stale(&member.run));
        let position = members.iter().find(|member| member.holder == holder).map(|member| member.position);
        let asked_before = position.is_some() || seen(&transaction, group, holder).map_err(failed(what))?;
        let held = members.iter().find(|member| member.position == HELD && member.holder != holder);
        let (answer, ask) = match (position, held) {
            (Some(HELD), _) => (GroupAnswer::Acquired, None),
            (_, None) if position.is_some() || !asked_before => {
                enter(&transaction, group, run, holder, HELD).map_err(failed(what))?;
                (GroupAnswer::Acquired, None)
            }
            (Some(_), Some(_)) => (GroupAnswer::Wait, None),
            (None, _) if asked_before => (GroupAnswer::Superseded, None),
            (None, held) => {
                // A newcomer: who waited before is taken out, and told so when he asks again.
                for waiting in members.iter().filter(|member| member.position != HELD) {
                    leave(&transaction, group, &waiting.holder).map_err(failed(what))?;
                    remember(&transaction, group, &waiting.run, &waiting.holder).map_err(failed(what))?;
                }
                enter(&transaction, group, run, holder, 1).map_err(failed(what))?;
                (GroupAnswer::Wait, held.filter(|_| cancel).map(|held| held.run.clone()))
            }
            (Some(_), None) => (GroupAnswer::Wait, None),
        };
        transaction.commit().map_err(failed(what))?;
        drop(connection);
        if let Some(other) = ask.filter(|other| other != run) {
            self.request(&other, &Request::Cancel { by: format!("concurrency group \"{group}\"") })?;
        }
        Ok(answer)
    }

    fn release(&self, group: &str, _run: &RunId, holder: &str) -> Result<(), StoreError> {
        leave(&self.connection(), group, holder).map_err(failed("give back the concurrency group"))
    }
}

impl SqliteStore {
    /// Whether a run can never give back what it holds: it has ended, or is unknown, or nobody owns it. A run that is
    /// interrupted asks again when it is resumed.
    fn is_over(&self, connection: &Connection, run: &RunId) -> bool {
        let outcome = connection
            .query_row("SELECT outcome FROM runs WHERE run = ?1", [run.as_str()], |row| row.get::<_, Option<String>>(0))
            .optional();
        match outcome {
            Ok(Some(None)) => Lock::holder(&run_lock(&self.state().run(run))).is_none(),
            Ok(Some(Some(_)) | None) => true,
            Err(_) => false,
        }
    }
}

struct Member {
    holder: String,
    run: RunId,
    position: i64,
}

/// Marks who was superseded, so that he hears it once.
const SUPERSEDED: i64 = -1;

fn members(connection: &Connection, group: &str) -> rusqlite::Result<Vec<Member>> {
    let mut query = connection.prepare_cached(
        "SELECT holder, run, position FROM groups WHERE name = ?1 AND position >= 0 ORDER BY position",
    )?;
    let rows = query.query_map([group], |row| {
        Ok(Member { holder: row.get(0)?, run: RunId::from(row.get::<_, String>(1)?), position: row.get(2)? })
    })?;
    rows.collect()
}

fn seen(connection: &Connection, group: &str, holder: &str) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM groups WHERE name = ?1 AND holder = ?2 AND position = ?3";
    Ok(connection.execute(sql, (group, holder, SUPERSEDED))? > 0)
}

fn remember(connection: &Connection, group: &str, run: &RunId, holder: &str) -> rusqlite::Result<()> {
    enter(connection, group, run, holder, SUPERSEDED)
}

fn enter(connection: &Connection, group: &str, run: &RunId, holder: &str, position: i64) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO groups (name, holder, run, position) VALUES (?1, ?2, ?3, ?4)";
    connection.execute(sql, (group, holder, run.as_str(), position)).map(drop)
}

fn leave(connection: &Connection, group: &str, holder: &str) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM groups WHERE name = ?1 AND holder = ?2", (group, holder)).map(drop)
}
