//! [`Outbox`] on SQLite. A letter stays as a row without payload once it is over, until its run is removed: its key keeps it from
//! being put again.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior};

use crate::clock::Timestamp;
use crate::event::Sealed;
use crate::id::RunId;
use crate::store::contract::StoreError;
use crate::store::contract::outbox::{Letter, LetterState, NewLetter, Outbox};

use super::{SqliteStore, failed};

const COLUMNS: &str = "key, kind, run, topic, about, payload, put, tries, due, state, reason";

impl Outbox for SqliteStore {
    fn put(&self, letter: &NewLetter, now: Timestamp) -> Result<bool, StoreError> {
        let what = format!("put \"{}\" into the outbox", letter.key);
        insert(&mut self.connection(), letter, now).map_err(failed(&what))
    }

    fn claim(&self, kind: &str, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<Letter>, StoreError> {
        let until = now.0.saturating_add(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX));
        claim(&mut self.connection(), kind, now, until, limit).map_err(failed("claim letters of the outbox"))
    }

    fn done(&self, key: &str) -> Result<(), StoreError> {
        self.end(key, LetterState::Done, "")
    }

    fn retry(&self, key: &str, due: Timestamp, reason: &str) -> Result<(), StoreError> {
        self.connection()
            .prepare_cached("UPDATE outbox SET due = ?2, reason = ?3, leased = 0 WHERE key = ?1 AND state = 'waiting'")
            .and_then(|mut update| update.execute((key, due.0, reason)))
            .map(drop)
            .map_err(failed(&format!("put off \"{key}\" in the outbox")))
    }

    fn give_up(&self, key: &str, reason: &str) -> Result<(), StoreError> {
        self.end(key, LetterState::Failed, reason)
    }

    fn letter(&self, key: &str) -> Result<Option<Letter>, StoreError> {
        self.connection()
            .prepare_cached(&format!("SELECT {COLUMNS} FROM outbox WHERE key = ?1"))
            .and_then(|mut query| query.query_row([key], letter).optional())
            .map_err(failed("read the outbox"))
    }

    fn letters_of(&self, run: &RunId) -> Result<Vec<Letter>, StoreError> {
        let connection = self.connection();
        let read = || -> rusqlite::Result<Vec<Letter>> {
            connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM outbox WHERE run = ?1 ORDER BY id"))?
                .query_map([run.as_str()], letter)?
                .collect()
        };
        read().map_err(failed("read the outbox"))
    }

    fn next_due(&self, kind: &str) -> Result<Option<Timestamp>, StoreError> {
        self.connection()
            .prepare_cached("SELECT MIN(MAX(due, leased)) FROM outbox WHERE kind = ?1 AND state = 'waiting'")
            .and_then(|mut query| query.query_row([kind], |row| row.get::<_, Option<i64>>(0)))
            .map(|due| due.map(Timestamp))
            .map_err(failed("read the outbox"))
    }
}

impl SqliteStore {
    fn end(&self, key: &str, state: LetterState, reason: &str) -> Result<(), StoreError> {
        // A superseded letter may have been on its way: it stays superseded, and no longer keeps its topic's next one waiting.
        self.connection()
            .prepare_cached(
                "UPDATE outbox SET leased = 0, payload = '', \
                 reason = CASE WHEN state = 'waiting' THEN ?3 ELSE reason END, \
                 state = CASE WHEN state = 'waiting' THEN ?2 ELSE state END WHERE key = ?1",
            )
            .and_then(|mut update| update.execute((key, state.name(), reason)))
            .map(drop)
            .map_err(failed(&format!("record what became of \"{key}\" in the outbox")))
    }
}

fn insert(connection: &mut Connection, letter: &NewLetter, now: Timestamp) -> rusqlite::Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let new = transaction
        .prepare_cached(
            "INSERT INTO outbox (key, kind, run, topic, about, payload, put, tries, due, leased, state, reason) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?7, 0, 'waiting', '') ON CONFLICT (key) DO NOTHING",
        )?
        .execute((
            &letter.key,
            &letter.kind,
            letter.run.as_ref().map(RunId::as_str),
            &letter.topic,
            &letter.about,
            &letter.payload.0,
            now.0,
        ))?
        == 1;
    if new && !letter.topic.is_empty() {
        transaction
            .prepare_cached(
                "UPDATE outbox SET state = 'superseded', payload = '' \
                 WHERE kind = ?1 AND topic = ?2 AND key <> ?3 AND state = 'waiting'",
            )?
            .execute((&letter.kind, &letter.topic, &letter.key))?;
    }
    transaction.commit()?;
    Ok(new)
}

fn claim(
    connection: &mut Connection,
    kind: &str,
    now: Timestamp,
    until: i64,
    limit: usize,
) -> rusqlite::Result<Vec<Letter>> {
    let none_is_due = "SELECT NOT EXISTS (SELECT 1 FROM outbox WHERE state = 'waiting' AND kind = ?1 AND due <= ?2)";
    // Asked first without a transaction: mostly there is nothing, and then nobody is kept waiting.
    if connection.prepare_cached(none_is_due)?.query_row((kind, now.0), |row| row.get(0))? {
        return Ok(Vec::new());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let letters = transaction
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM outbox WHERE state = 'waiting' AND kind = ?1 AND due <= ?2 AND leased <= ?2 \
             AND (topic = '' OR NOT EXISTS (SELECT 1 FROM outbox AS other WHERE other.topic = outbox.topic \
             AND other.kind = outbox.kind AND other.leased > ?2)) ORDER BY id LIMIT ?3"
        ))?
        .query_map((kind, now.0, i64::try_from(limit).unwrap_or(i64::MAX)), letter)?
        .collect::<rusqlite::Result<Vec<Letter>>>()?;
    for letter in &letters {
        transaction
            .prepare_cached("UPDATE outbox SET leased = ?2, tries = tries + 1 WHERE key = ?1")?
            .execute((&letter.key, until))?;
    }
    transaction.commit()?;
    Ok(letters.into_iter().map(|letter| Letter { tries: letter.tries + 1, ..letter }).collect())
}

fn letter(row: &Row<'_>) -> rusqlite::Result<Letter> {
    let state: String = row.get(9)?;
    Ok(Letter {
        key: row.get(0)?,
        kind: row.get(1)?,
        run: row.get::<_, Option<String>>(2)?.map(RunId::from),
        topic: row.get(3)?,
        about: row.get(4)?,
        payload: Sealed(row.get(5)?),
        put: Timestamp(row.get(6)?),
        tries: row.get(7)?,
        due: Timestamp(row.get(8)?),
        state: LetterState::of(&state).ok_or_else(|| {
            rusqlite::Error::FromSqlConversionFailure(
                9,
                rusqlite::types::Type::Text,
                format!("\"{state}\" is no state of a letter").into(),
            )
        })?,
        reason: row.get(10)?,
    })
}
