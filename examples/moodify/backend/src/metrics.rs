//! What Prometheus reads: requests by status, and a histogram of how long they took.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::time::Duration;

const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0];

#[derive(Default)]
struct Counts {
    by_status: BTreeMap<u16, u64>,
    buckets: [u64; BOUNDS.len()],
    sum: f64,
    count: u64,
}

#[derive(Default)]
pub struct Metrics(Mutex<Counts>);

impl Metrics {
    pub fn note(&self, status: u16, took: Duration) {
        let mut counts = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *counts.by_status.entry(status).or_default() += 1;
        let seconds = took.as_secs_f64();
        for (bucket, bound) in counts.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(seconds <= bound);
        }
        counts.sum += seconds;
        counts.count += 1;
    }

    pub fn text(&self, version: &str) -> String {
        let counts = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut text =
            String::from("# HELP http_requests_total Requests answered.\n# TYPE http_requests_total counter\n");
        for (status, count) in &counts.by_status {
            let _ = writeln!(text, "http_requests_total{{status=\"{status}\"}} {count}");
        }
        text.push_str("# HELP http_request_duration_seconds How long requests took.\n");
        text.push_str("# TYPE http_request_duration_seconds histogram\n");
        for (bucket, bound) in counts.buckets.iter().zip(BOUNDS) {
            let _ = writeln!(text, "http_request_duration_seconds_bucket{{le=\"{bound}\"}} {bucket}");
        }
        let _ = writeln!(text, "http_request_duration_seconds_bucket{{le=\"+Inf\"}} {}", counts.count);
        let _ = writeln!(text, "http_request_duration_seconds_sum {}", counts.sum);
        let _ = writeln!(text, "http_request_duration_seconds_count {}", counts.count);
        text.push_str("# HELP moodify_info The version that runs.\n# TYPE moodify_info gauge\n");
        let _ = writeln!(text, "moodify_info{{version=\"{version}\"}} 1");
        text
    }
}
