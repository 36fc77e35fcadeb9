//! The outbox in memory, as [`crate::store::memory::MemoryStore`] holds it.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::Sealed;
use crate::id::RunId;
use crate::store::contract::StoreError;
use crate::store::contract::outbox::{Letter, LetterState, NewLetter, Outbox};
use crate::store::memory::MemoryStore;

/// Letters in the order in which they were put, each with the end of its lease.
#[derive(Default)]
pub(in crate::store) struct Letters(Vec<(Letter, Timestamp)>);

impl Outbox for MemoryStore {
    fn put(&self, new: &NewLetter, now: Timestamp) -> Result<bool, StoreError> {
        self.with_letters(|Letters(letters)| {
            if letters.iter().any(|(letter, _)| letter.key == new.key) {
                return Ok(false);
            }
            let same = |letter: &Letter| letter.kind == new.kind && !new.topic.is_empty() && letter.topic == new.topic;
            for (old, _) in letters.iter_mut().filter(|(old, _)| same(old) && old.state == LetterState::Waiting) {
                (old.state, old.payload) = (LetterState::Superseded, Sealed(String::new()));
            }
            let NewLetter { key, kind, run, topic, about, payload } = new.clone();
            let state = LetterState::Waiting;
            let reason = String::new();
            let letter = Letter { key, kind, run, topic, about, payload, put: now, tries: 0, due: now, state, reason };
            letters.push((letter, Timestamp(0)));
            Ok(true)
        })
    }

    fn claim(&self, kind: &str, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<Letter>, StoreError> {
        self.with_letters(|Letters(letters)| {
            let until = now.0.saturating_add(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX));
            let taken: Vec<String> = letters
                .iter()
                .filter(|(letter, leased)| letter.kind == kind && !letter.topic.is_empty() && *leased > now)
                .map(|(letter, _)| letter.topic.clone())
                .collect();
            let free = |(letter, leased): &&mut (Letter, Timestamp)| {
                letter.kind == kind
                    && letter.state == LetterState::Waiting
                    && letter.due <= now
                    && *leased <= now
                    && !taken.contains(&letter.topic)
            };
            let claimed = letters.iter_mut().filter(free).take(limit).map(|(letter, leased)| {
                letter.tries += 1;
                *leased = Timestamp(until);
                letter.clone()
            });
            Ok(claimed.collect())
        })
    }

    fn done(&self, key: &str) -> Result<(), StoreError> {
        self.end(key, LetterState::Done, "")
    }

    fn retry(&self, key: &str, due: Timestamp, reason: &str) -> Result<(), StoreError> {
        self.with_letters(|Letters(letters)| {
            let waits = |letter: &Letter| letter.key == key && letter.state == LetterState::Waiting;
            if let Some((letter, leased)) = letters.iter_mut().find(|(letter, _)| waits(letter)) {
                (letter.due, letter.reason, *leased) = (due, reason.to_owned(), Timestamp(0));
            }
            Ok(())
        })
    }

    fn give_up(&self, key: &str, reason: &str) -> Result<(), StoreError> {
        self.end(key, LetterState::Failed, reason)
    }

    fn letter(&self, key: &str) -> Result<Option<Letter>, StoreError> {
        self.with_letters(|Letters(letters)| {
            Ok(letters.iter().map(|(letter, _)| letter).find(|letter| letter.key == key).cloned())
        })
    }

    fn letters_of(&self, run: &RunId) -> Result<Vec<Letter>, StoreError> {
        self.with_letters(|Letters(letters)| {
            let of = letters.iter().map(|(letter, _)| letter).filter(|letter| letter.run.as_ref() == Some(run));
            Ok(of.cloned().collect())
        })
    }

    fn next_due(&self, kind: &str) -> Result<Option<Timestamp>, StoreError> {
        self.with_letters(|Letters(letters)| {
            let waits = |letter: &Letter| letter.kind == kind && letter.state == LetterState::Waiting;
            let due =
                letters.iter().filter(|(letter, _)| waits(letter)).map(|(letter, leased)| letter.due.max(*leased));
            Ok(due.min())
        })
    }
}

impl MemoryStore {
    fn end(&self, key: &str, state: LetterState, reason: &str) -> Result<(), StoreError> {
        self.with_letters(|Letters(letters)| {
            if let Some((letter, leased)) = letters.iter_mut().find(|(letter, _)| letter.key == key) {
                (*leased, letter.payload) = (Timestamp(0), Sealed(String::new()));
                if letter.state == LetterState::Waiting {
                    (letter.state, letter.reason) = (state, reason.to_owned());
                }
            }
            Ok(())
        })
    }
}

impl Letters {
    /// A run was removed: what is over and told of it goes.
    pub(in crate::store) fn forget(&mut self, run: &RunId) {
        self.0.retain(|(letter, _)| letter.run.as_ref() != Some(run) || letter.state == LetterState::Waiting);
    }
}
