//! Where a canary is taken up after the engine was away.

use std::time::Duration;

/// What to do with a step whose weight was set before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeUp {
    /// It stands: go on watching against the saved counters.
    GoOn,
    /// The write did not come through, or traffic was taken back: set it again.
    Redo,
    /// It stands, but nobody looked for too long: first to the last weight that was proven, then again.
    Prove,
    /// Another hand set it.
    Drift,
}

/// `live` is the weight now, `step` what was set, `previous` what was proven before. `blind` is the time since the last look.
pub fn take_up(live: Option<u32>, step: u32, previous: u32, blind: Duration, max_gap: Duration) -> TakeUp {
    match live {
        Some(live) if live == step && blind <= max_gap => TakeUp::GoOn,
        Some(live) if live == step => TakeUp::Prove,
        Some(live) if live == previous => TakeUp::Redo,
        _ => TakeUp::Drift,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_short_absence_changes_nothing() {
        assert_eq!(take_up(Some(25), 25, 10, seconds(5), seconds(60)), TakeUp::GoOn);
    }

    #[test]
    fn after_a_long_one_the_weight_is_proven_again() {
        assert_eq!(take_up(Some(25), 25, 10, seconds(61), seconds(60)), TakeUp::Prove);
    }

    #[test]
    fn a_write_that_did_not_come_through_is_made_again() {
        assert_eq!(take_up(Some(10), 25, 10, seconds(500), seconds(60)), TakeUp::Redo);
    }

    #[test]
    fn any_other_weight_is_another_hands() {
        assert_eq!(take_up(Some(40), 25, 10, seconds(1), seconds(60)), TakeUp::Drift);
        assert_eq!(take_up(None, 25, 10, seconds(1), seconds(60)), TakeUp::Drift);
    }
}
