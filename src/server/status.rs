//! Statuses of commits: put into the outbox when a run changes, delivered from there until the forge has taken them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::clock::{Clock, SystemClock};
use crate::event::{Event, Outcome, Record};
use crate::forge::contract::{CommitStatus, Forge, StatusState};
use crate::id::RunId;
use crate::sink::Sink;
use crate::store::contract::outbox::{Letter, NewLetter, Outbox, next_try};
use crate::store::contract::{Sealer, StoreError};
use crate::store::seal::FolderSealer;
use crate::store::sqlite::SqliteStore;

use super::origin::Origin;

/// What these letters are called in the outbox.
const KIND: &str = "status";
/// Letters that are claimed at once, and for how long: twice what a request may take, for each.
const CLAIM: usize = 8;
const LEASE: Duration = Duration::from_secs(CLAIM as u64 * 40);
/// How often the outbox is looked at, when nobody says that something is new.
const LOOK: Duration = Duration::from_secs(1);

/// A letter: a status, and the repository that it goes to.
#[derive(Debug, Serialize, Deserialize)]
struct StatusLetter {
    repository: String,
    status: CommitStatus,
}

/// Puts and delivers statuses.
pub struct Statuses {
    store: SqliteStore,
    sealer: FolderSealer,
    forges: HashMap<String, Arc<dyn Forge>>,
    public_url: Option<String>,
    fresh: Notify,
}

impl Statuses {
    /// For these forges by repository; links lead to `public_url`.
    pub fn new(store: SqliteStore, forges: HashMap<String, Arc<dyn Forge>>, public_url: Option<String>) -> Self {
        let sealer = FolderSealer::new(store.state());
        Self { store, sealer, forges, public_url, fresh: Notify::new() }
    }

    /// Puts a status of a run. `key` tells letters of a run apart: each is put once.
    pub fn put(
        &self,
        run: &RunId,
        origin: &Origin,
        key: &str,
        state: StatusState,
        said: &str,
    ) -> Result<(), StoreError> {
        let url = self.public_url.as_ref().map(|root| format!("{root}/runs/{run}"));
        self.put_letter(Some(run), origin, &format!("status.{run}.{key}"), (state, said, url))
    }

    /// Puts the status of a file for which there is no run.
    pub fn put_without_run(&self, origin: &Origin, key: &str, said: &str) -> Result<(), StoreError> {
        self.put_letter(
            None,
            origin,
            &format!("status.{}.{}.{key}", origin.repository, origin.delivery),
            (StatusState::Error, said, None),
        )
    }

    fn put_letter(
        &self,
        run: Option<&RunId>,
        origin: &Origin,
        key: &str,
        (state, description, url): (StatusState, &str, Option<String>),
    ) -> Result<(), StoreError> {
        if !self.forges.contains_key(&origin.repository) {
            return Ok(());
        }
        let Origin { sha, context, repository, .. } = origin;
        let status = CommitStatus {
            sha: sha.clone(),
            context: context.clone(),
            state,
            description: description.to_owned(),
            url,
        };
        let letter = StatusLetter { repository: repository.clone(), status };
        let json = serde_json::to_vec(&letter).map_err(|e| StoreError::failed("write a status", e))?;
        let new = NewLetter {
            key: key.to_owned(),
            kind: KIND.to_owned(),
            run: run.cloned(),
            topic: format!("status.{repository}.{sha}.{context}"),
            about: format!("status \"{context}\" of {} in \"{repository}\"", sha.get(..12).unwrap_or(sha)),
            payload: self.sealer.seal(&json),
        };
        Outbox::put(&self.store, &new, SystemClock.now())?;
        self.fresh.notify_one();
        Ok(())
    }

    /// The last status of a run.
    pub fn put_end(&self, run: &RunId, origin: &Origin, outcome: Outcome) -> Result<(), StoreError> {
        let (state, said) = match outcome {
            Outcome::Success => (StatusState::Success, "it did what it should"),
            Outcome::Skipped => (StatusState::Success, "nothing had to run"),
            Outcome::Failure => (StatusState::Failure, "it failed"),
            Outcome::Cancelled => (StatusState::Error, "it was cancelled"),
            Outcome::Lost => (StatusState::Error, "what became of it is not known"),
        };
        self.put(run, origin, "end", state, said)
    }

    /// Delivers, for ever.
    pub async fn deliver(&self, say: &(dyn Fn(&str) + Sync)) {
        loop {
            let claimed = self.store.claim(KIND, SystemClock.now(), LEASE, CLAIM).unwrap_or_else(|error| {
                say(&format!("the outbox cannot be read: {error}"));
                Vec::new()
            });
            let idle = claimed.is_empty();
            for letter in claimed {
                if let Err(error) = self.deliver_one(&letter, say).await {
                    say(&format!("the outbox cannot be written: {error}"));
                }
            }
            if idle {
                let _ = tokio::time::timeout(LOOK, self.fresh.notified()).await;
            }
        }
    }

    async fn deliver_one(&self, letter: &Letter, say: &(dyn Fn(&str) + Sync)) -> Result<(), StoreError> {
        let opened = self.sealer.open(&letter.payload);
        let Some(StatusLetter { repository, status }) = opened.ok().and_then(|json| serde_json::from_slice(&json).ok())
        else {
            return self.store.give_up(&letter.key, "the letter cannot be read");
        };
        let Some(forge) = self.forges.get(&repository) else {
            return self.store.give_up(&letter.key, "the repository is not configured any more");
        };
        let error = match forge.status(&status).await {
            Ok(()) => return self.store.done(&letter.key),
            Err(error) => error,
        };
        let now = SystemClock.now();
        let due = if error.is_final() {
            None
        } else {
            next_try(&letter.key, letter.put, now, letter.tries, error.retry_after())
        };
        match due {
            Some(due) => self.store.retry(&letter.key, due, &error.to_string()),
            None => {
                say(&format!("given up: {error}"));
                self.store.give_up(&letter.key, &error.to_string())
            }
        }
    }
}

/// Tells of a run while it goes on: it waits for people, it goes on.
pub struct StatusSink {
    /// Where statuses go.
    pub statuses: Arc<Statuses>,
    /// The run.
    pub run: RunId,
    /// Where it comes from.
    pub origin: Origin,
}

impl Sink for StatusSink {
    fn record(&mut self, record: &Record) {
        let (said, state) = match &record.event {
            Event::RunStarted { .. } => ("it runs".to_owned(), StatusState::Pending),
            Event::ApprovalWaiting { stage, .. } => {
                (format!("stage \"{stage}\" waits for a person"), StatusState::Pending)
            }
            Event::ApprovalGiven { stage, .. } => (format!("it goes on after stage \"{stage}\""), StatusState::Pending),
            Event::RunFinished { outcome } => {
                // What cannot be put now is put at the next start of the server.
                return drop(self.statuses.put_end(&self.run, &self.origin, *outcome));
            }
            _ => return,
        };
        let _ = self.statuses.put(&self.run, &self.origin, &record.seq.to_string(), state, &said);
    }
}
