//! The port of the outbox: what must reach somebody outside, kept until it has.
//!
//! A letter is put once, whoever puts it how often: its key tells. Whoever delivers claims what is due for a while (a lease), so
//! that no two processes send the same one, and says what came of it. A process that dies in between lets its lease run out, and the
//! letter is claimed again. So each letter is delivered at least once, and its key, which is sent along, tells the receiver that it
//! has seen it.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::Sealed;
use crate::id::RunId;

use super::StoreError;

/// After so long a letter that could not be delivered is given up.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The first wait between two tries.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait between two tries that nobody asked for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// A letter to be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLetter {
    /// Unique in the state folder, the same each time the same letter is put.
    pub key: String,
    /// What delivers it: `notice`, `status`, ...
    pub kind: String,
    /// The run that it tells of.
    pub run: Option<RunId>,
    /// What it is about, where only the newest letter counts: one that still waits is dropped when a newer one of the same topic is put.
    /// Empty: every letter counts.
    pub topic: String,
    /// What it is and where it goes, without secrets, for people: `rollback to slack`.
    pub about: String,
    /// The letter itself and its address.
    pub payload: Sealed,
}

/// How a letter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetterState {
    /// It is to be delivered.
    Waiting,
    /// It was delivered.
    Done,
    /// It was given up.
    Failed,
    /// A newer one of its topic took its place.
    Superseded,
}

impl LetterState {
    /// As it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            LetterState::Waiting => "waiting",
            LetterState::Done => "done",
            LetterState::Failed => "failed",
            LetterState::Superseded => "superseded",
        }
    }

    /// The state of this name.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Waiting, Self::Done, Self::Failed, Self::Superseded].into_iter().find(|state| state.name() == name)
    }
}

/// A letter in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its key.
    pub key: String,
    /// What delivers it.
    pub kind: String,
    /// The run that it tells of.
    pub run: Option<RunId>,
    /// What it is about, where only the newest counts.
    pub topic: String,
    /// What it is and where it goes, for people.
    pub about: String,
    /// The letter itself; empty once it is over.
    pub payload: Sealed,
    /// When it was put.
    pub put: Timestamp,
    /// How often it was claimed, this time included.
    pub tries: u32,
    /// When it is due.
    pub due: Timestamp,
    /// How it stands.
    pub state: LetterState,
    /// Why the last try failed.
    pub reason: String,
}

/// Letters that must arrive.
pub trait Outbox: Send + Sync {
    /// Puts a letter, due at once; gives whether it is new. One whose key is there already is left as it is, also when it is over.
    fn put(&self, letter: &NewLetter, now: Timestamp) -> Result<bool, StoreError>;

    /// Claims letters of `kind` that are due, the oldest first, at most `limit`. Nobody else gets them before `lease` is over.
    fn claim(&self, kind: &str, now: Timestamp, lease: Duration, limit: usize) -> Result<Vec<Letter>, StoreError>;

    /// It was delivered. Its payload goes; its key stays, so that it is not put again.
    fn done(&self, key: &str) -> Result<(), StoreError>;

    /// It could not be delivered and is due again at `due`.
    fn retry(&self, key: &str, due: Timestamp, reason: &str) -> Result<(), StoreError>;

    /// It is given up. Its payload goes.
    fn give_up(&self, key: &str, reason: &str) -> Result<(), StoreError>;

    /// The letter of this key.
    fn letter(&self, key: &str) -> Result<Option<Letter>, StoreError>;

    /// Letters that tell of `run`, in the order in which they were put.
    fn letters_of(&self, run: &RunId) -> Result<Vec<Letter>, StoreError>;

    /// When the next waiting letter of `kind` is due; none waits: none.
    fn next_due(&self, kind: &str) -> Result<Option<Timestamp>, StoreError>;
}

/// When a letter is tried again that was put at `put` and has failed `tries` times; `None`: it is given up. Waits double from one
/// second to one hour, moved by up to a fifth, so that what failed together does not come back together. What the receiver asks
/// for (`after`) counts when it is longer.
pub fn next_try(key: &str, put: Timestamp, now: Timestamp, tries: u32, after: Option<Duration>) -> Option<Timestamp> {
    let doubled = FIRST_WAIT.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
    let wait = doubled.min(LONGEST_WAIT).mul_f64(0.8 + 0.4 * chance(key, tries));
    let wait = wait.max(after.unwrap_or_default()).min(GIVE_UP_AFTER);
    let due = Timestamp(now.0.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)));
    (now.since(put) < GIVE_UP_AFTER).then_some(due)
}

/// A number from 0 to 1 that is this letter's and this try's.
fn chance(key: &str, tries: u32) -> f64 {
    // FNV-1a, spread over the high bits by a last multiplication.
    let start = 0xcbf2_9ce4_8422_2325_u64;
    let bytes = key.bytes().chain(tries.to_le_bytes());
    let hash = bytes.fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / (1_u64 << 24) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_stay_bounded_and_end_after_a_day() {
        let put = Timestamp(0);
        let wait = |tries| next_try("k", put, put, tries, None).map(|due| due.0).unwrap_or_default();
        for tries in 1..=40 {
            let plain = (1_i64 << (tries - 1).min(30)).saturating_mul(1000).min(3_600_000);
            let range = plain * 79 / 100..=plain * 121 / 100;
            assert!(range.contains(&wait(tries)), "try {tries} waits {} ms", wait(tries));
        }
        let day = Timestamp(24 * 3_600_000);
        assert!(next_try("k", put, Timestamp(day.0 - 1), 30, None).is_some());
        assert_eq!(next_try("k", put, day, 30, None), None);
    }

    #[test]
    fn what_the_receiver_asks_for_counts() {
        let at = |after| next_try("k", Timestamp(0), Timestamp(0), 1, Some(Duration::from_secs(after)));
        assert_eq!(at(120), Some(Timestamp(120_000)));
        assert!(at(0) < Some(Timestamp(1_300)));
        assert_eq!(at(u64::MAX / 2), Some(Timestamp(24 * 3_600_000)), "nobody puts a letter off for longer than a day");
    }

    #[test]
    fn letters_that_failed_together_come_back_apart() {
        let waits: std::collections::BTreeSet<i64> = (0..50)
            .filter_map(|n| next_try(&format!("run.{n}"), Timestamp(0), Timestamp(0), 8, None))
            .map(|due| due.0 / 1000)
            .collect();
        assert!(waits.len() > 20, "{waits:?}");
    }
}
