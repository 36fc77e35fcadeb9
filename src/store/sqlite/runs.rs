//! Runs: rows in the database, the rest in the run's folder.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};

use crate::clock::Timestamp;
use crate::event::{Outcome, Record};
use crate::id::RunId;
use crate::journal::decode;
use crate::plan::ir::PlanInputs;
use crate::store::contract::{Journal, NewRun, Request, RunFilter, RunRow, Store, StoreError, StoredRun};
use crate::store::folder::make_private;
use crate::store::lock::{Lock, run_lock};
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
        let connection = self.connection();
        let insert = "INSERT INTO runs (run, number, pipeline, name, file, checkout, event_name, commit_sha, plan_hash, \
                      origin, started) VALUES (?1, (SELECT COALESCE(MAX(number), 0) + 1 FROM runs WHERE checkout = ?5 AND \
                      file = ?4), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        connection
            .execute(
                insert,
                (
                    new.run.as_str(),
                    &new.pipeline,
                    &new.name,
                    &new.inputs.path,
                    new.checkout.to_string_lossy(),
                    &new.inputs.event_name,
                    &new.commit,
                    &new.plan_hash,
                    new.origin.as_ref().map(RunId::as_str),
                    new.started.0,
                ),
            )
            .map_err(failed("record the run"))?;
        Ok(find(&connection, &new.run)?.0)
    }

    fn load(&self, run: &RunId) -> Result<StoredRun, StoreError> {
        let (row, plan_hash) = find(&self.connection(), run)?;
        let folder = self.state().run(run);
        let read = |name: &str| {
            fs::read_to_string(folder.join(name))
                .map_err(|e| StoreError::failed(format!("read \"{}\"", folder.join(name).display()), e))
        };
        let inputs: PlanInputs = serde_json::from_str(&read("inputs.json")?)
            .map_err(|e| StoreError::Unreadable(format!("the inputs of run \"{run}\" cannot be read: {e}")))?;
        Ok(StoredRun { row, text: read("pipeline.yml")?, inputs, plan_hash })
    }

    fn records(&self, run: &RunId, after: u64) -> Result<Vec<Record>, StoreError> {
        let connection = self.connection();
        let what = "read the journal";
        let mut query = connection
            .prepare_cached("SELECT seq, body FROM records WHERE run = ?1 AND seq > ?2 ORDER BY seq")
            .map_err(failed(what))?;
        let mut rows = query.query((run.as_str(), after as i64)).map_err(failed(what))?;
        let mut records = Vec::new();
        while let Some(row) = rows.next().map_err(failed(what))? {
            let seq: i64 = row.get(0).map_err(failed(what))?;
            let body = row.get_ref(1).and_then(|value| Ok(value.as_str()?)).map_err(failed(what))?;
            records.push(decode(seq as u64, body).map_err(|e| StoreError::Unreadable(format!("run \"{run}\": {e}")))?);
        }
        Ok(records)
    }

    fn journal(&self, run: &RunId) -> Result<Arc<dyn Journal>, StoreError> {
        Ok(Arc::new(self.writer()?.journal(run)))
    }

    fn list(&self, filter: &RunFilter) -> Result<Vec<RunRow>, StoreError> {
        let what = "list runs";
        let checkout = filter.checkout.as_ref().map(|path| path.to_string_lossy().into_owned());
        let limit = if filter.limit == 0 { -1 } else { filter.limit as i64 };
        let sql = format!(
            "SELECT {COLUMNS} FROM runs WHERE (?1 IS NULL OR checkout = ?1) AND (NOT ?2 OR outcome IS NULL) \
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
        let found: Vec<String> = match prefix.strip_prefix('#').and_then(|serial| serial.parse::<i64>().ok()) {
            Some(serial) => connection
                .query_row("SELECT run FROM runs WHERE serial = ?1", [serial], |row| row.get(0))
                .optional()
                .map_err(failed(what))?
                .into_iter()
                .collect(),
            None => {
                // Letters and digits only: nothing in it means something to LIKE.
                let plain: String = prefix.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
                let mut query = connection
                    .prepare("SELECT run FROM runs WHERE run LIKE ?1 || '%' ORDER BY serial DESC LIMIT 6")
                    .map_err(failed(what))?;
                let rows = query.query_map([&plain], |row| row.get(0)).map_err(failed(what))?;
                let found = rows.collect::<Result<Vec<String>, _>>().map_err(failed(what))?;
                if plain.is_empty() || plain.len() != prefix.len() { Vec::new() } else { found }
            }
        };
        match found.as_slice() {
            [] => Err(StoreError::NotFound(format!("there is no run \"{prefix}\"; `slipway runs --all` lists them"))),
            [one] => Ok(RunId::from(one.as_str())),
            many => Err(StoreError::NotFound(format!(
                "\"{prefix}\" may be any of {}; give more of the id",
                many.iter().map(|run| format!("\"{run}\"")).collect::<Vec<_>>().join(", ")
            ))),
        }
    }

    fn request(&self, run: &RunId, request: &Request) -> Result<(), StoreError> {
        let body = serde_json::to_string(request).map_err(|e| StoreError::failed("write the request", e))?;
        self.connection()
            .execute("INSERT INTO requests (run, body) VALUES (?1, ?2)", (run.as_str(), body))
            .map_err(failed("write the request"))?;
        wake(&self.state().run(run));
        Ok(())
    }

    fn take_requests(&self, run: &RunId) -> Result<Vec<Request>, StoreError> {
        let what = "read requests";
        let connection = self.connection();
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
        let connection = self.connection();
        let remove = || -> rusqlite::Result<()> {
            for table in ["records", "requests", "groups", "runs"] {
                connection.execute(&format!("DELETE FROM {table} WHERE run = ?1"), [run.as_str()])?;
            }
            Ok(())
        };
        remove().map_err(failed("remove the run"))?;
        let folder = self.state().run(run);
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
        .ok_or_else(|| StoreError::NotFound(format!("there is no run \"{run}\"; `slipway runs --all` lists them")))
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
