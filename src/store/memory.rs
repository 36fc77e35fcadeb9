//! A store in memory, for tests of what stands on the ports: the same contracts, nothing kept. Its sealer hides values and
//! protects nothing.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::sync::oneshot;

use crate::event::{Event, Record, Sealed};
use crate::id::{AttemptId, RunId, StepKey};
use crate::store::contract::{
    Committed, GroupAnswer, Groups, Journal, LogWriter, Logs, NewRun, Request, RunFilter, RunRow, Sealer, Store,
    StoreError, StoredRun,
};
use crate::store::group::Queue;
use crate::store::memory_outbox::Letters;
use crate::store::sqlite::{choose, unknown};

/// The store. Clones share what it holds.
#[derive(Clone, Default)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    runs: BTreeMap<RunId, MemoryRun>,
    /// Serials given so far.
    serials: u64,
    /// Numbers given so far, by checkout and file.
    numbers: HashMap<(PathBuf, String), u64>,
    groups: HashMap<(PathBuf, String), Queue>,
    logs: HashMap<(RunId, String), Vec<u8>>,
    letters: Letters,
}

struct MemoryRun {
    stored: StoredRun,
    records: Vec<Record>,
    requests: Vec<Request>,
    broken: bool,
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outbox's letters, under the lock.
    pub(in crate::store) fn with_letters<T>(&self, work: impl FnOnce(&mut Letters) -> T) -> T {
        work(&mut self.lock().letters)
    }

    fn log(&self, run: &RunId, name: String, at: u64) -> Box<dyn LogWriter> {
        let key = (run.clone(), name);
        if let Some(log) = self.lock().logs.get_mut(&key) {
            log.truncate(usize::try_from(at).unwrap_or(usize::MAX));
        }
        Box::new(MemoryLog { store: self.clone(), key, held: Vec::new(), written: at })
    }

    fn bytes(&self, key: (RunId, String), offset: u64, limit: usize) -> Vec<u8> {
        let inner = self.lock();
        let log = inner.logs.get(&key).map(Vec::as_slice).unwrap_or_default();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(log.len());
        log[start..log.len().min(start.saturating_add(limit))].to_vec()
    }

    /// A step's summary; empty when there is none.
    pub fn summary(&self, run: &RunId, step: &StepKey) -> String {
        let bytes = self.bytes((run.clone(), format!("{step} summary")), 0, usize::MAX);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Inner {
    fn run(&mut self, run: &RunId) -> Result<&mut MemoryRun, StoreError> {
        self.runs.get_mut(run).ok_or_else(|| unknown(run.as_str()))
    }

    fn scope(&mut self, run: &RunId, group: &str) -> Result<(PathBuf, String), StoreError> {
        Ok((self.run(run)?.stored.row.checkout.clone(), group.to_lowercase()))
    }
}

impl Store for MemoryStore {
    fn create(&self, new: &NewRun) -> Result<RunRow, StoreError> {
        let inner = &mut *self.lock();
        if inner.runs.contains_key(&new.run) {
            return Err(StoreError::failed(format!("make the run \"{}\"", new.run), "there is one of that id"));
        }
        inner.serials += 1;
        let number = inner.numbers.entry((new.checkout.clone(), new.inputs.path.clone())).or_default();
        *number += 1;
        let row = RunRow {
            run: new.run.clone(),
            number: *number,
            serial: inner.serials,
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
        };
        let stored = StoredRun {
            row: row.clone(),
            text: new.text.clone(),
            inputs: new.inputs.clone(),
            plan_hash: new.plan_hash.clone(),
        };
        let run = MemoryRun { stored, records: Vec::new(), requests: Vec::new(), broken: false };
        inner.runs.insert(new.run.clone(), run);
        Ok(row)
    }

    fn load(&self, run: &RunId) -> Result<StoredRun, StoreError> {
        Ok(self.lock().run(run)?.stored.clone())
    }

    fn records(&self, run: &RunId, after: u64) -> Result<Vec<Record>, StoreError> {
        Ok(self.lock().run(run)?.records.iter().filter(|record| record.seq > after).cloned().collect())
    }

    fn journal(&self, run: &RunId) -> Result<Arc<dyn Journal>, StoreError> {
        self.lock().run(run)?;
        Ok(Arc::new(MemoryJournal { store: self.clone(), run: run.clone() }))
    }

    fn list(&self, filter: &RunFilter) -> Result<Vec<RunRow>, StoreError> {
        let inner = self.lock();
        let mut rows: Vec<&RunRow> = inner.runs.values().map(|run| &run.stored.row).collect();
        rows.retain(|row| filter.checkout.as_ref().is_none_or(|checkout| row.checkout.starts_with(checkout)));
        rows.retain(|row| !filter.unfinished || row.outcome.is_none());
        rows.sort_by_key(|row| std::cmp::Reverse(row.serial));
        let limit = if filter.limit == 0 { rows.len() } else { filter.limit };
        Ok(rows.into_iter().take(limit).cloned().collect())
    }

    fn resolve(&self, prefix: &str) -> Result<RunId, StoreError> {
        let inner = self.lock();
        if let Some(serial) = prefix.strip_prefix('#') {
            let found = inner.runs.values().find(|run| serial.parse() == Ok(run.stored.row.serial));
            return found.map(|run| run.stored.row.run.clone()).ok_or_else(|| unknown(prefix));
        }
        let prefix = prefix.to_ascii_lowercase();
        let begins = |id: &&RunId| !prefix.is_empty() && id.as_str().starts_with(&prefix);
        choose(&prefix, inner.runs.keys().rev().filter(begins).map(|id| id.to_string()).collect())
    }

    fn request(&self, run: &RunId, request: &Request) -> Result<(), StoreError> {
        self.lock().run(run)?.requests.push(request.clone());
        Ok(())
    }

    fn take_requests(&self, run: &RunId) -> Result<Vec<Request>, StoreError> {
        Ok(std::mem::take(&mut self.lock().run(run)?.requests))
    }

    fn remove(&self, run: &RunId) -> Result<(), StoreError> {
        let inner = &mut *self.lock();
        if inner.runs.get(run).is_some_and(|run| run.stored.row.outcome.is_none()) {
            return Err(StoreError::Held(format!("the run \"{run}\" is not over")));
        }
        inner.runs.remove(run);
        inner.logs.retain(|(of, _), _| of != run);
        inner.letters.forget(run);
        Ok(())
    }
}

struct MemoryJournal {
    store: MemoryStore,
    run: RunId,
}

impl Journal for MemoryJournal {
    fn append(&self, record: Record, _sync: bool) -> Committed {
        let (done, committed) = oneshot::channel();
        let result = self.store.lock().run(&self.run).and_then(|run| {
            if run.broken || run.records.last().is_some_and(|last| last.seq >= record.seq) {
                run.broken = true;
                return Err(StoreError::failed("write the journal", format!("record {} is there", record.seq)));
            }
            if let Event::RunFinished { outcome } = record.event {
                run.stored.row.outcome = Some(outcome);
                run.stored.row.finished = Some(record.at);
            }
            run.records.push(record);
            Ok(())
        });
        // Whoever does not wait has dropped the other end.
        let _ = done.send(result);
        Committed(committed)
    }
}

struct MemoryLog {
    store: MemoryStore,
    key: (RunId, String),
    held: Vec<u8>,
    written: u64,
}

impl LogWriter for MemoryLog {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.written + self.held.len() as u64
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut inner = self.store.lock();
        let log = inner.logs.entry(self.key.clone()).or_default();
        log.resize(usize::try_from(self.written).unwrap_or(usize::MAX), 0);
        self.written += self.held.len() as u64;
        log.append(&mut self.held);
        Ok(())
    }
}

impl Drop for MemoryLog {
    fn drop(&mut self) {
        if !self.held.is_empty() {
            let _ = self.flush();
        }
    }
}

impl Logs for MemoryStore {
    fn open(&self, run: &RunId, step: &StepKey, at: u64) -> io::Result<Box<dyn LogWriter>> {
        Ok(self.log(run, step.to_string(), at))
    }

    fn open_job(&self, run: &RunId, attempt: &AttemptId) -> io::Result<Box<dyn LogWriter>> {
        let key = (run.clone(), attempt.to_string());
        let at = self.lock().logs.get(&key).map_or(0, |log| log.len() as u64);
        Ok(self.log(run, attempt.to_string(), at))
    }

    fn read(&self, run: &RunId, step: &StepKey, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        Ok(self.bytes((run.clone(), step.to_string()), offset, limit))
    }

    fn read_job(&self, run: &RunId, attempt: &AttemptId, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        Ok(self.bytes((run.clone(), attempt.to_string()), offset, limit))
    }

    fn write_summary(&self, run: &RunId, step: &StepKey, text: &str) -> io::Result<()> {
        self.lock().logs.insert((run.clone(), format!("{step} summary")), text.as_bytes().to_vec());
        Ok(())
    }
}

impl Groups for MemoryStore {
    fn acquire(&self, group: &str, run: &RunId, holder: &str, cancel: bool) -> Result<GroupAnswer, StoreError> {
        let inner = &mut *self.lock();
        let key = inner.scope(run, group)?;
        let runs = &inner.runs;
        let queue = inner.groups.entry(key).or_default();
        queue.sweep(|place| runs.get(&place.run).is_some_and(|run| run.stored.row.outcome.is_none()));
        let (answer, arrived) = queue.acquire(run, holder);
        let victim = queue.holder().map(|place| place.run.clone()).filter(|victim| cancel && arrived && victim != run);
        if let Some(victim) = victim {
            inner.run(&victim)?.requests.push(Request::Cancel { by: format!("concurrency group \"{group}\"") });
        }
        Ok(answer)
    }

    fn release(&self, group: &str, run: &RunId, holder: &str) -> Result<(), StoreError> {
        let inner = &mut *self.lock();
        let key = inner.scope(run, group)?;
        inner.groups.entry(key).or_default().release(run, holder);
        Ok(())
    }
}

impl Sealer for MemoryStore {
    fn seal(&self, clear: &[u8]) -> Sealed {
        Sealed(BASE64.encode(clear))
    }

    fn open(&self, sealed: &Sealed) -> Result<Vec<u8>, StoreError> {
        BASE64.decode(&sealed.0).map_err(|e| StoreError::Unreadable(format!("a sealed value is damaged: {e}")))
    }
}
