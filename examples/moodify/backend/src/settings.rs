//! How the program behaves: the file `/settings` of the image, then the environment, then the admin port.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{env, fs};

use crate::metrics::Metrics;

/// Parts of a hundred percent: errors are kept as an integer.
const WHOLE: u64 = 10_000;

pub struct Settings {
    pub version: String,
    pub port: u16,
    pub admin: u16,
    pub metrics: Metrics,
    /// After how long it ends by itself, as if by a mistake.
    pub crash_after: Option<Duration>,
    began: Instant,
    ready_after: Duration,
    ready: AtomicBool,
    draining: AtomicBool,
    /// How many of 10,000 requests fail.
    errors: AtomicU64,
    /// What has added up to the next failure.
    due: Mutex<u64>,
    latency: AtomicU64,
    drain: AtomicU64,
}

impl Settings {
    pub fn read() -> Self {
        let file = fs::read_to_string("/settings").unwrap_or_default();
        let value = |name: &str| {
            let line = || {
                let pairs = file.lines().filter_map(|line| line.split_once('='));
                pairs.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_string()).next_back()
            };
            env::var(name).ok().filter(|value| !value.is_empty()).or_else(line)
        };
        let number = |name: &str, otherwise: f64| value(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
        let settings = Self {
            version: value("VERSION").unwrap_or_else(|| "v0".into()),
            port: number("PORT", 8080.0) as u16,
            admin: number("ADMIN_PORT", 9000.0) as u16,
            metrics: Metrics::default(),
            crash_after: value("CRASH_AFTER").and_then(|text| text.parse().ok()).map(Duration::from_secs_f64),
            began: Instant::now(),
            ready_after: Duration::from_secs_f64(number("READY_AFTER", 0.0)),
            ready: AtomicBool::new(number("READY", 1.0) != 0.0),
            draining: AtomicBool::new(false),
            errors: AtomicU64::new(0),
            due: Mutex::new(0),
            latency: AtomicU64::new(number("LATENCY_MS", 0.0) as u64),
            drain: AtomicU64::new((number("DRAIN", 5.0) * 1000.0) as u64),
        };
        settings.set_errors(number("ERRORS", 0.0));
        settings
    }

    /// Makes so many percent of the requests fail.
    pub fn set_errors(&self, percent: f64) {
        self.errors.store((percent.clamp(0.0, 100.0) / 100.0 * WHOLE as f64).round() as u64, Ordering::Relaxed);
    }

    pub fn set_latency(&self, millis: u64) {
        self.latency.store(millis, Ordering::Relaxed);
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    pub fn set_drain(&self, millis: u64) {
        self.drain.store(millis, Ordering::Relaxed);
    }

    /// Whether this request is one of those that fail: evenly spread, so that a share is met at once and exactly.
    pub fn fails(&self) -> bool {
        let mut due = self.due.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        *due += self.errors.load(Ordering::Relaxed);
        let fails = *due >= WHOLE;
        if fails {
            *due -= WHOLE;
        }
        fails
    }

    pub fn latency(&self) -> Duration {
        Duration::from_millis(self.latency.load(Ordering::Relaxed))
    }

    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain.load(Ordering::Relaxed))
    }

    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed) && !self.is_draining() && self.began.elapsed() >= self.ready_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_spread_evenly() {
        let settings = Settings::read();
        settings.set_errors(30.0);
        let failed: Vec<bool> = (0..10).map(|_| settings.fails()).collect();
        assert_eq!(failed.iter().filter(|failed| **failed).count(), 3);
        assert!(!failed.windows(2).any(|pair| pair[0] && pair[1]), "two failures stand side by side: {failed:?}");
    }

    #[test]
    fn one_that_is_asked_to_end_is_not_ready() {
        let settings = Settings::read();
        assert!(settings.is_ready());
        settings.begin_drain();
        assert!(!settings.is_ready());
    }
}
