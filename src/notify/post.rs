//! The way of notices: into the outbox, and from there to their addresses.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify as Wake, watch};

use crate::clock::Clock;
use crate::id::RunId;
use crate::store::contract::outbox::{Letter, LetterState, NewLetter, Outbox, next_try};
use crate::store::contract::{Sealer, StoreError};

use super::address::Address;
use super::courier::{Courier, Undelivered};
use super::notice::Notice;

/// The kind of letters that are notices.
pub(super) const NOTICE: &str = "notice";

/// How long a letter is nobody else's while it is carried. Longer than any channel waits for an answer.
const LEASE: Duration = Duration::from_secs(60);

/// Letters that are carried at once.
const AT_ONCE: usize = 16;

/// How often the worker looks for what others put.
const LOOK: Duration = Duration::from_secs(1);

/// What a round of delivery came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Arrived.
    pub done: usize,
    /// Given up.
    pub failed: usize,
    /// To be tried again.
    pub later: usize,
}

/// A letter's payload.
#[derive(Serialize, Deserialize)]
struct Parcel {
    address: Address,
    notice: Notice,
}

/// Puts notices and delivers them.
pub struct Post {
    outbox: Arc<dyn Outbox>,
    sealer: Arc<dyn Sealer>,
    courier: Courier,
    clock: Arc<dyn Clock>,
    wake: Wake,
}

impl Post {
    /// Over this outbox. `sealer` seals what outlives its run (the state folder's).
    pub fn new(outbox: Arc<dyn Outbox>, sealer: Arc<dyn Sealer>, courier: Courier, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { outbox, sealer, courier, clock, wake: Wake::new() })
    }

    /// The outbox.
    pub fn outbox(&self) -> &dyn Outbox {
        self.outbox.as_ref()
    }

    pub(super) fn sealer(&self) -> &dyn Sealer {
        self.sealer.as_ref()
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Puts `notice` to `address` under `key`, once; gives whether it is new.
    pub fn put(&self, key: &str, notice: &Notice, address: &Address) -> Result<bool, StoreError> {
        let parcel = Parcel { address: address.clone(), notice: notice.clone() };
        let json = serde_json::to_vec(&parcel).map_err(|e| StoreError::failed("keep a notice", e))?;
        let letter = NewLetter {
            key: key.to_owned(),
            kind: NOTICE.to_owned(),
            run: Some(RunId::from(notice.card.id.as_str())),
            topic: String::new(),
            about: format!("\"{}\" by {}", notice.event, address.shown()),
            payload: self.sealer.seal(&json),
        };
        let new = self.outbox.put(&letter, self.clock.now())?;
        self.wake.notify_one();
        Ok(new)
    }

    /// Carries what is due, at most `limit` letters, whichever run they tell of.
    pub async fn deliver_due(&self, limit: usize) -> Result<Delivered, StoreError> {
        let mut total = Delivered::default();
        let mut left = limit;
        while left > 0 {
            let letters = self.outbox.claim(NOTICE, self.clock.now(), LEASE, left.min(AT_ONCE))?;
            if letters.is_empty() {
                break;
            }
            left -= letters.len();
            for state in join_all(letters.iter().map(|letter| self.carry(letter))).await {
                match state? {
                    LetterState::Done => total.done += 1,
                    LetterState::Failed => total.failed += 1,
                    LetterState::Waiting | LetterState::Superseded => total.later += 1,
                }
            }
        }
        Ok(total)
    }

    async fn carry(&self, letter: &Letter) -> Result<LetterState, StoreError> {
        let opened = self.sealer.open(&letter.payload).and_then(|json| {
            serde_json::from_slice::<Parcel>(&json)
                .map_err(|e| StoreError::Unreadable(format!("it cannot be read back: {e}")))
        });
        let parcel = match opened {
            Ok(parcel) => parcel,
            Err(error) => {
                self.outbox.give_up(&letter.key, &error.to_string())?;
                return Ok(LetterState::Failed);
            }
        };
        let now = self.clock.now();
        match self.courier.carry(&letter.key, &parcel.notice, &parcel.address, now).await {
            Ok(()) => {
                self.outbox.done(&letter.key)?;
                Ok(LetterState::Done)
            }
            Err(Undelivered::Never(reason)) => {
                self.outbox.give_up(&letter.key, &reason)?;
                Ok(LetterState::Failed)
            }
            Err(Undelivered::Later { reason, after }) => {
                match next_try(&letter.key, letter.put, self.clock.now(), letter.tries, after) {
                    Some(due) => {
                        self.outbox.retry(&letter.key, due, &reason)?;
                        Ok(LetterState::Waiting)
                    }
                    None => {
                        self.outbox.give_up(&letter.key, &format!("{reason}, for a day"))?;
                        Ok(LetterState::Failed)
                    }
                }
            }
        }
    }

    /// Delivers until `stop` says so: what is put here at once, what others put within a second, what failed when it is due. What is
    /// under way when it stops is brought to its end.
    pub async fn work(&self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            // An outbox that cannot be read now may be readable later; whoever waits for its letters is told.
            let _ = self.deliver_due(usize::MAX).await;
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
                changed = stop.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Delivers the letters of `run` that are still waiting, for at most `patience`; gives what is left of them.
    pub async fn finish(&self, run: &RunId, patience: Duration) -> Result<Vec<Letter>, StoreError> {
        self.settle(|| self.outbox.letters_of(run), patience).await
    }

    /// Delivers until none of the letters that `list` gives waits any more, for at most `patience`; gives those that do.
    pub(super) async fn settle(
        &self,
        list: impl Fn() -> Result<Vec<Letter>, StoreError>,
        patience: Duration,
    ) -> Result<Vec<Letter>, StoreError> {
        let began = crate::clock::instant();
        loop {
            self.deliver_due(usize::MAX).await?;
            let mut waiting = list()?;
            waiting.retain(|letter| letter.state == LetterState::Waiting);
            let left = patience.saturating_sub(began.elapsed());
            let soonest = waiting.iter().map(|letter| letter.due.since(self.clock.now())).min();
            match soonest {
                // What is due only later than anybody waits for needs no waiting.
                Some(soonest) if soonest < left => {
                    tokio::time::sleep(soonest.clamp(Duration::from_millis(20), LOOK)).await;
                }
                _ => return Ok(waiting),
            }
        }
    }
}
