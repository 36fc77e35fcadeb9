//! What is seen of pods at one moment, and what two moments say together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counters::Counters;
use crate::clock::Timestamp;

/// A pod at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pod {
    /// Restarts of its containers together.
    pub restarts: u64,
    /// Whether it takes traffic.
    pub ready: bool,
    /// What it has counted; none when that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
}

/// The pods of a side by name, without those that are going.
pub type Pods = BTreeMap<String, Pod>;

/// Both sides at one moment. The one from a step's beginning is kept by the caller, so that a step goes on after a crash.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When.
    pub at: Timestamp,
    /// The new version.
    pub new: Pods,
    /// The one that it is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Pods>,
}

/// What a side counted since a step's beginning.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// Each pod as it was last seen.
    last: Pods,
    /// The sum over all pods, those that are gone too.
    pub gain: Counters,
}

impl Side {
    /// From here on.
    pub fn new(begin: Pods) -> Self {
        Self { last: begin, gain: Counters::default() }
    }

    /// What its pods have counted since they began: what a side is judged by that gets no traffic any more.
    pub fn lifetime(&self) -> Counters {
        let mut all = Counters::default();
        for counters in self.last.values().filter_map(|pod| pod.counters.as_ref()) {
            all.add(counters);
        }
        all
    }

    /// Counts what came since the last sample.
    pub fn see(&mut self, pods: &Pods) {
        for (name, pod) in pods {
            let Some(now) = &pod.counters else {
                continue;
            };
            match self.last.get(name) {
                // Not there before: all that it has counted came since.
                None => self.gain.add(now),
                Some(Pod { counters: Some(before), .. }) => self.gain.add(&now.since(before)),
                // There, but it was not read: from where it was is not known, it counts from now on.
                Some(_) => {}
            }
        }
        for (name, pod) in pods {
            let mut pod = pod.clone();
            let before = self.last.remove(name).and_then(|before| before.counters);
            pod.counters = pod.counters.or(before);
            self.last.insert(name.clone(), pod);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(all: &[(&str, Option<f64>)]) -> Pods {
        let pod = |requests: &Option<f64>| Pod {
            ready: true,
            counters: requests.map(|requests| Counters { requests, ..Counters::default() }),
            ..Pod::default()
        };
        all.iter().map(|(name, requests)| ((*name).to_owned(), pod(requests))).collect()
    }

    #[test]
    fn a_side_sums_over_pods_that_come_go_restart_and_are_silent() {
        let mut side = Side::new(pods(&[("a", Some(100.0)), ("b", Some(50.0)), ("c", None)]));
        side.see(&pods(&[("a", Some(110.0)), ("b", Some(52.0)), ("c", Some(1000.0))]));
        assert_eq!(side.gain.requests, 12.0);
        // One was restarted, one is gone, one came, one did not answer.
        side.see(&pods(&[("a", Some(3.0)), ("d", Some(4.0)), ("c", None)]));
        assert_eq!(side.gain.requests, 19.0);
        side.see(&pods(&[("a", Some(3.0)), ("d", Some(4.0)), ("c", Some(1005.0))]));
        assert_eq!(side.gain.requests, 24.0);
    }

    #[test]
    fn a_snapshot_survives_the_journal() {
        let snapshot = Snapshot { at: Timestamp(5), new: pods(&[("a", Some(1.5))]), old: None };
        let text = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), snapshot);
    }
}
