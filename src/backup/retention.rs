//! Which backups are too old.

use std::time::Duration;

use crate::clock::Timestamp;

/// Of backups `(name, created)` those that are older than `keep`; the newest always stays.
pub fn expired(backups: &[(String, Timestamp)], keep: Duration, now: Timestamp) -> Vec<String> {
    let newest = backups.iter().map(|(_, created)| *created).max();
    let mut spared = false;
    let old = backups.iter().filter(|(_, created)| {
        // One of those that are newest, should there be several.
        if Some(*created) == newest && !spared {
            spared = true;
            return false;
        }
        now.since(*created) > keep
    });
    old.map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn daily(count: i64) -> Vec<(String, Timestamp)> {
        (1..=count).map(|day| (format!("b{day}"), Timestamp(day * DAY))).collect()
    }

    #[test]
    fn exactly_the_older_ones_go() {
        let now = Timestamp(32 * DAY);
        assert_eq!(expired(&daily(31), Duration::from_secs(30 * 24 * 3600), now), ["b1"]);
    }

    #[test]
    fn the_last_good_one_stays_however_old() {
        assert_eq!(expired(&daily(3), Duration::from_secs(3600), Timestamp(900 * DAY)), ["b1", "b2"]);
        assert!(expired(&daily(1), Duration::ZERO, Timestamp(900 * DAY)).is_empty());
    }
}
