//! The runs of the server: each is driven on a thread of its own, so many at once; after a restart those that were interrupted are
//! taken up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::event::{Event, Record};
use crate::id::RunId;
use crate::sink::Sink;
use crate::store::contract::{RunFilter, Store};
use crate::store::sqlite::SqliteStore;

use super::config::ServerConfig;
use super::launch::Launcher;
use super::origin::Origin;
use super::status::{StatusSink, Statuses};

/// So many of the newest runs are looked at for a last status that was not put.
const LOOKED_AT: usize = 200;

/// Keeps runs going.
pub struct Keeper {
    config: Arc<ServerConfig>,
    store: SqliteStore,
    launcher: Arc<dyn Launcher>,
    statuses: Arc<Statuses>,
    places: Arc<Semaphore>,
    /// Runs that wait for a place or are under way, and how each is told to end.
    active: Mutex<HashMap<RunId, mpsc::Sender<String>>>,
    voice: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Keeper {
    /// With nothing under way.
    pub fn new(
        config: Arc<ServerConfig>,
        store: SqliteStore,
        launcher: Arc<dyn Launcher>,
        statuses: Arc<Statuses>,
        voice: Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Self {
        let places = Arc::new(Semaphore::new(config.max_runs));
        Self { config, store, launcher, statuses, places, active: Mutex::default(), voice }
    }

    /// Runs that wait or are under way.
    pub fn active(&self) -> usize {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Takes up what was interrupted, and puts last statuses that nobody came to put.
    pub fn take_up(self: &Arc<Self>) {
        let state = self.store.state().clone();
        let rows = self.store.list(&RunFilter { unfinished: true, ..RunFilter::default() }).unwrap_or_default();
        for row in rows.into_iter().rev() {
            if let Some(origin) = Origin::read(&state.run(&row.run)) {
                (self.voice)(&format!("run {} of \"{}\" is taken up", row.run, origin.repository));
                self.add(row.run, origin);
            }
        }
        let newest = self.store.list(&RunFilter { limit: LOOKED_AT, ..RunFilter::default() }).unwrap_or_default();
        for row in newest {
            if let (Some(outcome), Some(origin)) = (row.outcome, Origin::read(&state.run(&row.run))) {
                let _ = self.statuses.put_end(&row.run, &origin, outcome);
            }
        }
    }

    /// Drives a run, when there is a place. One that is there already is left alone.
    pub fn add(self: &Arc<Self>, run: RunId, origin: Origin) {
        let (sender, interrupts) = mpsc::channel(4);
        {
            let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
            if active.contains_key(&run) {
                return;
            }
            active.insert(run.clone(), sender);
        }
        let keeper = Arc::clone(self);
        tokio::spawn(async move {
            if let Ok(place) = Arc::clone(&keeper.places).acquire_owned().await {
                let (inner, id) = (Arc::clone(&keeper), run.clone());
                let driven = tokio::task::spawn_blocking(move || inner.drive(&id, origin, place, interrupts)).await;
                if driven.is_err() {
                    (keeper.voice)(&format!("run {run} broke off; it is taken up at the next start"));
                }
            }
            keeper.active.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
        });
    }

    fn drive(&self, run: &RunId, origin: Origin, place: OwnedSemaphorePermit, interrupts: mpsc::Receiver<String>) {
        let Some(repository) = self.config.repositories.get(&origin.repository) else {
            (self.voice)(&format!(
                "run {run} is of \"{}\", which is not configured any more: it stays",
                origin.repository
            ));
            return;
        };
        let told = StatusSink { statuses: Arc::clone(&self.statuses), run: run.clone(), origin: origin.clone() };
        let sinks: Vec<Box<dyn Sink>> = vec![Box::new(told), Box::new(PlaceSink { place: Some(place) })];
        match self.launcher.drive(repository, run, sinks, interrupts) {
            Ok(Some(outcome)) => {
                (self.voice)(&format!("run {run} of \"{}\" is over: {}", origin.repository, outcome.github()));
                let _ = self.statuses.put_end(run, &origin, outcome);
            }
            Ok(None) => {}
            Err(error) => (self.voice)(&format!("run {run} cannot go on: {error}")),
        }
    }
}

/// A run that waits for people gives its place away: it may wait for days.
struct PlaceSink {
    place: Option<OwnedSemaphorePermit>,
}

impl Sink for PlaceSink {
    fn record(&mut self, record: &Record) {
        if matches!(record.event, Event::ApprovalWaiting { .. }) {
            self.place = None;
        }
    }
}
