//! [`Groups`] on SQLite: a group's queue is a few rows, read and written in one transaction.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use serde::Deserialize;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::id::RunId;
use crate::store::contract::{GroupAnswer, Groups, RESUME_WINDOW, Request, Store, StoreError};
use crate::store::group::{Place, Queue, State};

use super::{SqliteStore, failed, unknown};

impl Groups for SqliteStore {
    fn acquire(&self, group: &str, run: &RunId, holder: &str, cancel: bool) -> Result<GroupAnswer, StoreError> {
        let what = format!("take the concurrency group \"{group}\"");
        let (answer, victim) = {
            let mut connection = self.connection();
            let (scope, name) = key(&connection, group, run)?;
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed(&what))?;
            let mut queue = load(&transaction, &scope, &name).map_err(failed(&what))?;
            let before = queue.clone();
            let mut problem = None;
            queue.sweep(|place| {
                place.run == *run
                    || self.is_alive(&transaction, place).unwrap_or_else(|e| {
                        problem.get_or_insert(e);
                        true
                    })
            });
            if let Some(error) = problem {
                return Err(failed(&what)(error));
            }
            let (answer, arrived) = queue.acquire(run, holder);
            if queue != before {
                save(&transaction, &scope, &name, &queue).and_then(|()| transaction.commit()).map_err(failed(&what))?;
            }
            // Asked once, when the newcomer arrives; a run does not cancel itself.
            let victim = queue.holder().map(|place| place.run.clone());
            (answer, victim.filter(|victim| cancel && arrived && victim != run))
        };
        if let Some(victim) = victim {
            match self.request(&victim, &Request::Cancel { by: format!("concurrency group \"{group}\"") }) {
                Ok(()) | Err(StoreError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(answer)
    }

    fn release(&self, group: &str, run: &RunId, holder: &str) -> Result<(), StoreError> {
        let what = format!("give back the concurrency group \"{group}\"");
        let mut connection = self.connection();
        let (scope, name) = key(&connection, group, run)?;
        let mut release = || -> rusqlite::Result<()> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut queue = load(&transaction, &scope, &name)?;
            queue.release(run, holder);
            save(&transaction, &scope, &name, &queue)?;
            transaction.commit()
        };
        release().map_err(failed(&what))
    }
}

impl SqliteStore {
    /// Whether whoever has the place may still come back to it.
    fn is_alive(&self, connection: &Connection, place: &Place) -> rusqlite::Result<bool> {
        if self.owner(&place.run).is_some() {
            return Ok(true);
        }
        // Without an owner nobody waits any more; a holder may be taken up again, until that is no longer allowed.
        if place.state != State::Holds {
            return Ok(false);
        }
        let run: Option<(bool, i64)> = connection
            .prepare_cached("SELECT outcome IS NOT NULL, started FROM runs WHERE run = ?1")?
            .query_row([place.run.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((false, started)) = run else { return Ok(false) };
        let last: Option<String> = connection
            .prepare_cached("SELECT body FROM records WHERE run = ?1 ORDER BY seq DESC LIMIT 1")?
            .query_row([place.run.as_str()], |row| row.get(0))
            .optional()?;
        let last =
            last.and_then(|body| serde_json::from_str::<Moment>(&body).ok()).map_or(Timestamp(started), |m| m.at);
        Ok(SystemClock.now().since(last) < RESUME_WINDOW)
    }
}

#[derive(Deserialize)]
struct Moment {
    at: Timestamp,
}

/// Groups are of a checkout, as GitHub's are of a repository; their names do not tell case apart.
fn key(connection: &Connection, group: &str, run: &RunId) -> Result<(String, String), StoreError> {
    let checkout: Option<String> = connection
        .prepare_cached("SELECT checkout FROM runs WHERE run = ?1")
        .and_then(|mut query| query.query_row([run.as_str()], |row| row.get(0)).optional())
        .map_err(failed("read the run"))?;
    Ok((checkout.ok_or_else(|| unknown(run.as_str()))?, group.to_lowercase()))
}

fn load(connection: &Connection, scope: &str, name: &str) -> rusqlite::Result<Queue> {
    let places = connection
        .prepare_cached("SELECT run, holder, state FROM groups WHERE scope = ?1 AND name = ?2 ORDER BY place")?
        .query_map((scope, name), |row| {
            let state = match row.get_ref(2)?.as_str()? {
                "holds" => State::Holds,
                "waits" => State::Waits,
                _ => State::Superseded,
            };
            Ok(Place { run: RunId::from(row.get::<_, String>(0)?), holder: row.get(1)?, state })
        })?
        .collect::<rusqlite::Result<Vec<Place>>>()?;
    Ok(Queue(places))
}

fn save(connection: &Connection, scope: &str, name: &str, queue: &Queue) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM groups WHERE scope = ?1 AND name = ?2")?.execute((scope, name))?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO groups (scope, name, place, run, holder, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (at, place) in queue.0.iter().enumerate() {
        let state = match place.state {
            State::Holds => "holds",
            State::Waits => "waits",
            State::Superseded => "superseded",
        };
        insert.execute((scope, name, at as i64, place.run.as_str(), &place.holder, state))?;
    }
    Ok(())
}
