//! Runs: rows in the database, the rest in the run's folder.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior};

use crate::clock::Timestamp;
use crate::event::{Outcome, Record};
use crate::id::RunId;
use crate::journal::decode;
use crate::plan::ir::PlanInputs;
use crate::store::contract::{Journal, NewRun, Request, RunFilter, RunRow, Store, StoreError, StoredRun};
use crate::store::folder::make_private;
use crate::store::lock::{Lock, TryLock, run_lock};
use crate::store::wake::WAKE;

use super::{SqliteStore, failed};

const COLUMNS: &str = "run, number, serial, pipeline, name, file, checkout, event_name, commit_sha, started, finished, \
                       outcome, origin, plan_hash";

impl Store for SqliteStore {
    fn create(&self, new: &NewRun) -> Result<RunRow, StoreError> {
        let folder = self.state().run(&new.run);
        let inputs = serde_json::to_string(&new.inputs).map_err(|e| StoreError::failed("keep the run's inputs", e))?;
        let write = |name: &str, text: &str| {
            fs::write(folder.join(name), text)
                .map_err(|e| StoreError::failed(format!("write \"{}\"", folder.join(name).display()), e))
        };
        make_private(&folder).map_err(|e| StoreError::failed(format!("make \"{}\"", folder.display()), e))?;
        write("pipeline.yml", &new.text)?;
        write("inputs.json", &inputs)?;
        write("plan.json", &new.plan_json)?;
        insert(&mut self.connection(), new).map_err(failed("record the run"))
    }

    fn load(&self, run: &RunId) -> Result<StoredRun, StoreError> {
        let (row, plan_hash) = find(&self.connection(), run)?;
        let folder = self.state().run(run);
        let read = |name: &str| {
            fs::read_to_string(folder.join(name)).map_err(|e| {
                StoreError::Unreadable(format!("failed to read \"{}\" of the run: {e}", folder.join(name).display()))
            })
        };
        let inputs: PlanInputs = serde_json::from_str(&read("inputs.json")?)
            .map_err(|e| StoreError::Unreadable(format!("\"inputs.json\" of run \"{run}\" cannot be read: {e}")))?;
        Ok(StoredRun { row, text: read("pipeline.yml")?, inputs, plan_hash })
    }

    fn records(&self, run: &RunId, after: u64) -> Result<Vec<Record>, StoreError> {
        let connection = self.connection();
        let what = "read the journal";
        find(&connection, run)?;
        let mut query = connection
            .prepare_cached("SELECT seq, body FROM records WHERE run = ?1 AND seq > ?2 ORDER BY seq")
            .map_err(failed(what))?;
        let mut rows = query.query((run.as_str(), i64::try_from(after).unwrap_or(i64::MAX))).map_err(failed(what))?;
        let mut records = Vec::new();
        while let Some(row) = rows.next().map_err(failed(what))? {
            let seq: i64 = row.get(0).map_err(failed(what))?;
            let body = row.get_ref(1).and_then(|value| Ok(value.as_str()?)).map_err(failed(what))?;
            records.push(decode(seq as u64, body).map_err(|e| StoreError::Unreadable(format!("run \"{run}\": {e}")))?);
        }
        Ok(records)
    }

    fn journal(&self, run: &RunId) -> Result<Arc<dyn Journal>, StoreError> {
        find(&self.connection(), run)?;
        Ok(Arc::new(self.writer()?.journal(run)))
    }

    fn list(&self, filter: &RunFilter) -> Result<Vec<RunRow>, StoreError> {
        let what = "list runs";
        let checkout = filter.checkout.as_ref().map(|path| path.to_string_lossy().into_owned());
        let limit = if filter.limit == 0 { -1 } else { filter.limit as i64 };
        let sql = format!(
            "SELECT {COLUMNS} FROM runs WHERE (?1 IS NULL OR checkout = ?1 OR substr(checkout, 1, length(?1) + 1) = ?1 || '/') AND (NOT ?2 OR outcome IS NULL) \
             ORDER BY serial DESC LIMIT ?3"
        );
        let connection = self.connection();
        let mut query = connection.prepare_cached(&sql).map_err(failed(what))?;
        let rows = query.query_map((checkout, filter.unfinished, limit), row).map_err(failed(what))?;
        rows.map(|row| row.map(|(row, _)| row).map_err(failed(what))).collect()
    }

    fn resolve(&self, prefix: &str) -> Result<RunId, StoreError> {
        let what = "look for the run";
        let connection = self.connection();
        if let Some(serial) = prefix.strip_prefix('#') {
            let serial = serial.parse::<u32>().map_err(|_| unknown(prefix))?;
            let mut query =
                connection.prepare_cached("SELECT run FROM runs WHERE serial = ?1").map_err(failed(what))?;
            let found = query.query_row([serial], |row| row.get::<_, String>(0)).optional().map_err(failed(what))?;
            return found.map(RunId::from).ok_or_else(|| unknown(prefix));
        }
        let plain = prefix.to_ascii_lowercase();
        if plain.is_empty() || !plain.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(unknown(prefix));
        }
        // `{` stands behind `z`: a range that the index answers.
        let mut query = connection
            .prepare_cached("SELECT run FROM runs WHERE run >= ?1 AND run < ?1 || '{' ORDER BY run DESC LIMIT ?2")
            .map_err(failed(what))?;
        let rows = query.query_map((&plain, SHOWN as i64 + 1), |row| row.get(0)).map_err(failed(what))?;
        choose(&plain, rows.collect::<Result<Vec<String>, _>>().map_err(failed(what))?)
    }

    fn request(&self, run: &RunId, request: &Request) -> Result<(), StoreError> {
        let body = serde_json::to_string(request).map_err(|e| StoreError::failed("write the request", e))?;
        let connection = self.connection();
        find(&connection, run)?;
        connection
            .execute("INSERT INTO requests (run, body) VALUES (?1, ?2)", (run.as_str(), body))
            .map_err(failed("write the request"))?;
        drop(connection);
        wake(&self.state().run(run));
        Ok(())
    }

    fn take_requests(&self, run: &RunId) -> Result<Vec<Request>, StoreError> {
        let what = "read requests";
        let connection = self.connection();
        // Mostly there is nothing, and looking keeps nobody out.
        let any: bool = connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM requests WHERE run = ?1)")
            .and_then(|mut query| query.query_row([run.as_str()], |row| row.get(0)))
            .map_err(failed(what))?;
        if !any {
            return Ok(Vec::new());
        }
        let mut query = connection
            .prepare_cached("DELETE FROM requests WHERE run = ?1 RETURNING id, body")
            .map_err(failed(what))?;
        let rows = query
            .query_map([run.as_str()], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
            .map_err(failed(what))?;
        let mut list = rows.collect::<Result<Vec<_>, _>>().map_err(failed(what))?;
        list.sort();
        let read = |(_, body): (i64, String)| {
            serde_json::from_str(&body).map_err(|e| StoreError::Unreadable(format!("a request cannot be read: {e}")))
        };
        list.into_iter().map(read).collect()
    }

    fn remove(&self, run: &RunId) -> Result<(), StoreError> {
        let row = match find(&self.connection(), run) {
            Ok((row, _)) => Some(row),
            // Its folder may be there still, when a crash came between.
            Err(StoreError::NotFound(_)) => None,
            Err(error) => return Err(error),
        };
        let folder = self.state().run(run);
        // Held until the folder is gone, so that nobody takes the run up meanwhile.
        let _lock = match folder.exists() {
            true => match Lock::try_at(&run_lock(&folder), &format!("process {} (removing)", std::process::id()))? {
                TryLock::Held(lock) => Some(lock),
                TryLock::Taken(who) => return Err(StoreError::Held(format!("the run \"{run}\" belongs to {who}"))),
            },
            false => None,
        };
        if row.is_some_and(|row| row.outcome.is_none()) {
            return Err(StoreError::Held(format!("the run \"{run}\" is not over; `slipway resume {run}` takes it up")));
        }
        delete(&mut self.connection(), run).map_err(failed("remove the run"))?;
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::failed(format!("remove \"{}\"", folder.display()), error))
            }
            _ => Ok(()),
        }
    }
}

impl SqliteStore {
    /// Who owns the run now, if anybody does: what its lock says.
    pub fn owner(&self, run: &RunId) -> Option<String> {
        Lock::holder(&run_lock(&self.state().run(run)))
    }

    /// A run that nobody can take up any more is over: what became of it is lost. The caller holds its lock.
    pub fn abandon(&self, run: &RunId, at: Timestamp) -> Result<(), StoreError> {
        self.connection()
            .execute(
                "UPDATE runs SET finished = ?2, outcome = 'lost' WHERE run = ?1 AND outcome IS NULL",
                (run.as_str(), at.0),
            )
            .map(drop)
            .map_err(failed("end the run"))
    }
}

fn find(connection: &Connection, run: &RunId) -> Result<(RunRow, String), StoreError> {
    connection
        .query_row(&format!("SELECT {COLUMNS} FROM runs WHERE run = ?1"), [run.as_str()], row)
        .optional()
        .map_err(failed("read the run"))?
        .ok_or_else(|| unknown(run.as_str()))
}

/// Ids shown of an ambiguous name.
const SHOWN: usize = 5;

/// There is no such run.
pub(in crate::store) fn unknown(name: &str) -> StoreError {
    StoreError::NotFound(format!("there is no run \"{name}\"; `slipway runs --all` lists them"))
}

/// The one of `found` (those that begin with `name`, newest first) that is meant.
pub(in crate::store) fn choose(name: &str, mut found: Vec<String>) -> Result<RunId, StoreError> {
    if let Some(whole) = found.iter().position(|id| id == name) {
        return Ok(RunId::from(found.swap_remove(whole)));
    }
    match found.as_slice() {
        [] => Err(unknown(name)),
        [one] => Ok(RunId::from(one.as_str())),
        many => {
            let shown: Vec<String> = many.iter().take(SHOWN).map(|id| format!("\"{id}\"")).collect();
            let more = if many.len() > SHOWN { " or others" } else { "" };
            Err(StoreError::NotFound(format!(
                "\"{name}\" may be any of {}{more}; give more of the id",
                shown.join(", ")
            )))
        }
    }
}

fn insert(connection: &mut Connection, new: &NewRun) -> rusqlite::Result<RunRow> {
    let checkout = new.checkout.to_string_lossy();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let number: i64 = transaction
        .prepare_cached(
            "INSERT INTO counters (checkout, file, last) VALUES (?1, ?2, 1)
             ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last",
        )?
        .query_row((&checkout, &new.inputs.path), |row| row.get(0))?;
    let serial: i64 = transaction
        .prepare_cached(
            "INSERT INTO runs (run, number, pipeline, name, file, checkout, event_name, commit_sha, plan_hash, origin, \
             started) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) RETURNING serial",
        )?
        .query_row(
            (
                new.run.as_str(),
                number,
                &new.pipeline,
                &new.name,
                &new.inputs.path,
                &checkout,
                &new.inputs.event_name,
                &new.commit,
                &new.plan_hash,
                new.origin.as_ref().map(RunId::as_str),
                new.started.0,
            ),
            |row| row.get(0),
        )?;
    transaction.commit()?;
    Ok(RunRow {
        run: new.run.clone(),
        number: number as u64,
        serial: serial as u64,
        pipeline: new.pipeline.clone(),
        name: new.name.clone(),
        file: new.inputs.path.clone(),
        checkout: new.checkout.clone(),
        event_name: new.inputs.event_name.clone(),
        commit: new.commit.clone(),
        started: new.started,
        finished: None,
        outcome: None,
        origin: new.origin.clone(),
    })
}

fn delete(connection: &mut Connection, run: &RunId) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for table in ["records", "requests", "groups", "runs"] {
        transaction.execute(&format!("DELETE FROM {table} WHERE run = ?1"), [run.as_str()])?;
    }
    // A letter that still waits must arrive all the same.
    transaction.execute("DELETE FROM outbox WHERE run = ?1 AND state <> 'waiting'", [run.as_str()])?;
    transaction.commit()
}

fn row(row: &Row<'_>) -> rusqlite::Result<(RunRow, String)> {
    let outcome: Option<String> = row.get(11)?;
    let outcome = outcome.and_then(|text| serde_json::from_value::<Outcome>(text.into()).ok());
    let found = RunRow {
        run: RunId::from(row.get::<_, String>(0)?),
        number: row.get::<_, i64>(1)? as u64,
        serial: row.get::<_, i64>(2)? as u64,
        pipeline: row.get(3)?,
        name: row.get(4)?,
        file: row.get(5)?,
        checkout: PathBuf::from(row.get::<_, String>(6)?),
        event_name: row.get(7)?,
        commit: row.get(8)?,
        started: Timestamp(row.get(9)?),
        finished: row.get::<_, Option<i64>>(10)?.map(Timestamp),
        outcome,
        origin: row.get::<_, Option<String>>(12)?.map(RunId::from),
    };
    Ok((found, row.get(13)?))
}

/// Wakes the owner of a run. When nobody listens, the owner looks by itself four times a second.
fn wake(folder: &Path) {
    if let Ok(socket) = UnixDatagram::unbound() {
        // A full or missing socket changes nothing: see above.
        let _ = socket.set_nonblocking(true);
        let _ = socket.send_to(&[1], folder.join(WAKE));
    }
}
