//! What a pod has counted, and what that grew by.
//!
//! Counters are compared in this process, sample by sample: no window lags behind, and a counter that begins anew (a
//! process that was restarted) is seen to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::exposition::Series;
use super::stats::Count;
use crate::stage::analysis::Series as Named;

/// Usual names of the counter of requests; the first that a pod has counts.
const REQUESTS: [&str; 9] = [
    "http_requests_total",
    "http_server_requests_total",
    "http_request_total",
    "requests_total",
    "istio_requests_total",
    "http_server_requests_seconds_count",
    "http_server_request_duration_seconds_count",
    "http_request_duration_seconds_count",
    "http_requests_duration_seconds_count",
];
/// Usual names of the histogram of latencies, in seconds.
const LATENCY: [&str; 5] = [
    "http_request_duration_seconds",
    "http_server_request_duration_seconds",
    "http_server_requests_seconds",
    "http_requests_duration_seconds",
    "request_duration_seconds",
];
/// Usual labels with the status.
const STATUS: [&str; 3] = ["status", "code", "status_code"];
/// Labels with the path that was asked for.
const PATH: [&str; 6] = ["path", "handler", "route", "uri", "endpoint", "url"];

/// What to read of a pod's series.
#[derive(Debug, Clone, Default)]
pub struct Names {
    requests: Vec<String>,
    status: Vec<String>,
    latency: Vec<String>,
}

impl Names {
    /// Those that the settings name, else the usual ones.
    pub fn of(series: &Named) -> Self {
        let names = |given: &Option<String>, usual: &[&str]| match given {
            Some(name) => vec![name.clone()],
            None => usual.iter().map(|&name| name.to_owned()).collect(),
        };
        // A histogram is named without its ending; who gives it with one means the same.
        let latency = series.latency.as_ref().map(|name| name.strip_suffix("_bucket").unwrap_or(name).to_owned());
        Self {
            requests: names(&series.requests, &REQUESTS),
            status: names(&series.status, &STATUS),
            latency: names(&latency, &LATENCY),
        }
    }

    /// Whether a series of this name is looked at.
    pub fn wants(&self, name: &str) -> bool {
        self.requests.iter().any(|wanted| wanted == name)
            || name.strip_suffix("_bucket").is_some_and(|name| self.latency.iter().any(|wanted| wanted == name))
    }

    /// All names of series.
    pub fn all(&self) -> impl Iterator<Item = String> + '_ {
        self.requests.iter().cloned().chain(self.latency.iter().map(|name| format!("{name}_bucket")))
    }
}

/// A bucket's upper bound in nanoseconds, so that it can be a key; `u64::MAX` has no bound.
type Bound = u64;

fn bound(le: &str) -> Option<Bound> {
    let seconds = super::exposition::number(le)?;
    match seconds {
        _ if seconds == f64::INFINITY => Some(Bound::MAX),
        0.0..1e9 => Some((seconds * 1e9).round() as Bound),
        _ => None,
    }
}

/// What a pod has counted since its process began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Requests.
    pub requests: f64,
    /// Those of them that were answered with 500 to 599.
    pub errors: f64,
    /// The histogram: requests up to each bound (in nanoseconds), which holds those of all lower ones.
    pub buckets: BTreeMap<u64, f64>,
}

impl Counters {
    /// Of a pod's series. Series of the paths in `aside` (probes, the metrics themselves) do not count.
    pub fn read(series: &[Series], names: &Names, aside: &[String]) -> Self {
        let counted = |series: &&Series| {
            series.value.is_finite()
                && series.value >= 0.0
                && !PATH.iter().any(|label| series.label(label).is_some_and(|path| aside.iter().any(|a| a == path)))
        };
        let mut counters = Self::default();
        let status = |series: &Series| {
            names.status.iter().find_map(|label| series.label(label)).map(|status| status.starts_with('5'))
        };
        // A counter that says no status tells nothing of errors: one that does is taken before it.
        let of = |name: &String, any: bool| -> Vec<&Series> {
            let found = series.iter().filter(|series| series.name == *name && (any || status(series).is_some()));
            found.filter(counted).collect()
        };
        let found = names.requests.iter().map(|name| of(name, false)).find(|found| !found.is_empty());
        let found = found.or_else(|| names.requests.iter().map(|name| of(name, true)).find(|found| !found.is_empty()));
        for series in found.unwrap_or_default() {
            counters.requests += series.value;
            if status(series) == Some(true) {
                counters.errors += series.value;
            }
        }
        for name in &names.latency {
            let name = format!("{name}_bucket");
            for series in series.iter().filter(|series| series.name == name).filter(counted) {
                if let Some(bound) = series.label("le").and_then(bound) {
                    *counters.buckets.entry(bound).or_default() += series.value;
                }
            }
            if !counters.buckets.is_empty() {
                break;
            }
        }
        counters
    }

    /// What was counted between `earlier` and this. A counter that is lower began anew.
    pub fn since(&self, earlier: &Counters) -> Counters {
        let lower = self.requests < earlier.requests
            || self.errors < earlier.errors
            || self.buckets.iter().any(|(bound, count)| earlier.buckets.get(bound).is_some_and(|was| count < was));
        if lower {
            return self.clone();
        }
        let mut gain = self.clone();
        gain.requests -= earlier.requests;
        gain.errors -= earlier.errors;
        for (bound, count) in &mut gain.buckets {
            *count -= earlier.buckets.get(bound).copied().unwrap_or_default();
        }
        gain
    }

    /// Adds what another counted.
    pub fn add(&mut self, other: &Counters) {
        self.requests += other.requests;
        self.errors += other.errors;
        for (bound, count) in &other.buckets {
            *self.buckets.entry(*bound).or_default() += count;
        }
    }

    /// Errors of all requests.
    pub fn failed(&self) -> Count {
        Count { hits: self.errors, tries: self.requests }
    }

    /// Requests whose latency was counted.
    pub fn timed(&self) -> f64 {
        self.buckets.get(&Bound::MAX).or_else(|| self.buckets.values().next_back()).copied().unwrap_or_default()
    }

    /// Requests that took longer than `seconds` of all that were timed. Within a bucket they count as spread evenly, as
    /// everywhere in the trade; those beyond the last bound as longer than any limit above it.
    pub fn slower(&self, seconds: f64) -> Count {
        let tries = self.timed();
        let limit = seconds * 1e9;
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in &self.buckets {
            if *bound == Bound::MAX {
                break;
            }
            let high = *bound as f64;
            if limit <= high {
                let within = (count - below).max(0.0);
                let part = if high > low { ((limit - low) / (high - low)).clamp(0.0, 1.0) } else { 1.0 };
                return Count { hits: (tries - below - within * part).clamp(0.0, tries), tries };
            }
            (low, below) = (high, *count);
        }
        Count { hits: (tries - below).clamp(0.0, tries), tries }
    }

    /// The latency in seconds that `share` of the timed requests do not exceed; none when none were timed. Beyond the last
    /// bound it is that bound.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let tries = self.timed();
        if tries <= 0.0 {
            return None;
        }
        let rank = share.clamp(0.0, 1.0) * tries;
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in &self.buckets {
            if *bound == Bound::MAX {
                break;
            }
            let high = *bound as f64;
            if *count >= rank && *count > below {
                return Some((low + (high - low) * (rank - below) / (count - below)) / 1e9);
            }
            (low, below) = (high, count.max(below));
        }
        Some(low / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::super::exposition::parse;
    use super::*;

    fn read(text: &str, aside: &[String]) -> Counters {
        let names = Names::of(&Named::default());
        Counters::read(&parse(text, |name| names.wants(name)), &names, aside)
    }

    const TEXT: &str = "http_requests_total{status=\"200\",path=\"/\"} 90\nhttp_requests_total{status=\"503\",path=\"/\"} 6\n\
        http_requests_total{status=\"5xx\",path=\"/\"} 4\nhttp_requests_total{status=\"200\",path=\"/health\"} 900\nother 5\n\
        http_request_duration_seconds_bucket{le=\"0.5\"} 50\nhttp_request_duration_seconds_bucket{le=\"1\"} 90\n\
        http_request_duration_seconds_bucket{le=\"+Inf\"} 100\nhttp_request_duration_seconds_count 100\n";

    #[test]
    fn requests_errors_and_latencies_are_found_by_their_usual_names() {
        let counters = read(TEXT, &["/health".to_owned()]);
        assert_eq!((counters.requests, counters.errors), (100.0, 10.0));
        assert_eq!(counters.timed(), 100.0);
        assert_eq!(counters.slower(1.0).hits, 10.0);
        assert_eq!(counters.slower(0.75).hits, 30.0);
        assert_eq!(counters.slower(30.0).hits, 10.0);
        assert_eq!(counters.quantile(0.5), Some(0.5));
        assert_eq!(counters.quantile(0.7), Some(0.75));
        assert_eq!(counters.quantile(0.99), Some(1.0));
        assert_eq!(Counters::default().quantile(0.5), None);
        // A counter without a status is the second choice.
        let odd = "http_requests_total 7\nhttp_request_duration_seconds_count{code=\"500\"} 3\n";
        assert_eq!(read(odd, &[]).errors, 3.0);
        assert_eq!(read("http_requests_total 7\n", &[]).requests, 7.0);
    }

    #[test]
    fn names_that_are_given_are_taken_alone() {
        let series = Named {
            requests: Some("calls".to_owned()),
            status: Some("grpc".to_owned()),
            latency: Some("took_bucket".to_owned()),
        };
        let names = Names::of(&series);
        assert!(names.wants("calls") && names.wants("took_bucket") && !names.wants("http_requests_total"));
        let text = "calls{grpc=\"500\"} 2\ntook_bucket{le=\"+Inf\"} 2\n";
        let read = Counters::read(&parse(text, |name| names.wants(name)), &names, &[]);
        assert_eq!((read.requests, read.errors, read.timed()), (2.0, 2.0, 2.0));
    }

    #[test]
    fn a_counter_that_begins_anew_counts_from_nothing() {
        let (earlier, later) = (read(TEXT, &[]), read(&TEXT.replace("90\n", "95\n"), &[]));
        assert_eq!(later.since(&earlier).requests, 5.0);
        assert_eq!(later.since(&earlier).timed(), 0.0);
        let anew = read("http_requests_total{status=\"500\"} 3\n", &[]);
        assert_eq!(anew.since(&earlier), anew);
        let mut sum = anew.clone();
        sum.add(&later.since(&earlier));
        assert_eq!((sum.requests, sum.errors), (8.0, 3.0));
    }
}
