//! Judging what was counted by the gates. No I/O: what goes in decides what comes out.
//!
//! A gate fails as soon as its limit is surely broken, and passes as soon as it is surely kept; else it holds. The sample is
//! looked at when it has grown by a quarter since the last look, so that looks stay few and chance gets few tries. When the
//! time is over, a gate that holds passes by what was measured, and fails when it is over its limit with 95 %; between the two
//! the caller may look on for as long again, and then what was measured decides.

use super::super::ground::Verdict;
use super::counters::Counters;
use super::gauge::Gauge;
use super::reading::{self, percent, points, seconds};
use super::stats::{self, Count, FAIL_CHANCE, FAIL_SURE, FAIL_Z, PASS_Z, Sure};
use crate::event::GateReading;
use crate::stage::Analysis;
use crate::stage::Severity;
use crate::stage::analysis::{Gate, NoTraffic};

/// Over this ratio of latencies lies at least so much: less nobody feels, and it is the measuring's own error.
const LEAST_EXCESS: f64 = 0.01;

/// Where in its time a watch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// It goes on.
    Going,
    /// Its time is over, but it may look on.
    End,
    /// It must decide now.
    Last,
}

/// What one gate says.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What is known of its limit.
    pub sure: Sure,
    /// What it saw.
    pub reading: GateReading,
}

/// The gates of a step.
#[derive(Debug, Clone)]
pub struct Judge {
    spec: Analysis,
    looked: f64,
    /// What is measured beside requests.
    pub gauges: Vec<Gauge>,
}

impl Judge {
    /// With nothing seen yet.
    pub fn new(spec: Analysis) -> Self {
        let gauges = Gauge::all(&spec);
        Self { spec, looked: 0.0, gauges }
    }

    /// Judges what came since the beginning of the step. `old` is what it is compared with.
    pub fn look(&mut self, new: &Counters, old: Option<&Counters>, when: When) -> Verdict {
        let requests = self.sample(new);
        let least = self.spec.min_requests as f64;
        let mut findings: Vec<Finding> = self.gauges.iter_mut().filter_map(|gauge| gauge.judge(when)).collect();
        let due = requests >= least && (when != When::Going || requests >= self.looked * 1.25);
        let counts = self.spec.errors.is_some() || !self.spec.quantiles.is_empty();
        if due && counts {
            self.looked = requests;
            findings.extend(self.requests(new, old, when));
        }
        let failed: Vec<GateReading> = findings
            .iter()
            .filter(|finding| finding.sure == Sure::Above)
            .map(|finding| finding.reading.clone())
            .collect();
        if !failed.is_empty() {
            return Verdict::Fail(failed);
        }
        let missing = self.gauges.iter().find(|gauge| gauge.is_empty()).map(|gauge| gauge.name.clone());
        if counts && requests < least || missing.is_some() && when != When::Going {
            return self.without_traffic(requests, missing.filter(|_| !counts || requests >= least), when);
        }
        if findings.iter().all(|finding| finding.sure == Sure::Below) && (due || !counts) {
            return Verdict::Pass;
        }
        // Of the last look everything is decided: what is not broken was measured within its limit.
        if when == When::Last { Verdict::Pass } else { Verdict::Hold }
    }

    /// What each gate on requests has measured, for people.
    pub fn readings(&self, new: &Counters, old: Option<&Counters>) -> Vec<GateReading> {
        if self.sample(new) <= 0.0 {
            return Vec::new();
        }
        self.requests(new, old, When::Going).into_iter().map(|finding| finding.reading).collect()
    }

    /// The number of requests that gates rest on.
    fn sample(&self, new: &Counters) -> f64 {
        if self.spec.errors.is_some() { new.requests } else { new.requests.max(new.timed()) }
    }

    fn without_traffic(&self, requests: f64, missing: Option<String>, when: When) -> Verdict {
        let policy = self.spec.no_traffic;
        match (when, policy) {
            (When::Going, _) => Verdict::Hold,
            (When::End, NoTraffic::Hold) => Verdict::Hold,
            (_, NoTraffic::Pass) => Verdict::Pass,
            (When::End | When::Last, _) => Verdict::Fail(vec![match missing {
                Some(gauge) => reading::missing(&gauge),
                None => reading::no_traffic(requests, self.spec.min_requests),
            }]),
        }
    }

    fn requests(&self, new: &Counters, old: Option<&Counters>, when: When) -> Vec<Finding> {
        let least = self.spec.min_requests as f64;
        let old = old.filter(|old| self.sample(old) >= least);
        let mut findings = Vec::new();
        if let Some(gate) = &self.spec.errors {
            errors(gate, new.failed(), old.map(Counters::failed), when, &mut findings);
        }
        for (quantile, gate) in &self.spec.quantiles {
            latency(*quantile, gate, new, old, when, &mut findings);
        }
        findings
    }
}

/// The share of errors: by itself, and against the old version's.
fn errors(gate: &Gate, new: Count, old: Option<Count>, when: When, findings: &mut Vec<Finding>) {
    if let Some(limit) = gate.max {
        let sure = share(new, limit, when);
        findings.push(Finding {
            sure,
            reading: GateReading {
                gate: "errors".to_owned(),
                measured: percent(new.share()),
                limit: percent(limit),
                samples: new.tries as u64,
                confidence: bound(sure, stats::wilson(new.hits, new.tries, z(when)).0, percent, when),
                severity: severity(gate),
            },
        });
    }
    let Some(old) = old else {
        return;
    };
    let mut compare = |name: &str, times: f64, limit: f64, told: String| {
        let (low, _) = stats::difference(new, old, times, z(when));
        let (_, high) = stats::difference(new, old, times, PASS_Z);
        let point = new.share() - times * old.share();
        let sure = decide(low > limit, high <= limit, point > limit, when);
        let confidence = if times == 1.0 {
            bound(sure, low, points, when)
        } else {
            bound(sure, low.max(0.0), |over| format!("{} over {}", points(over), percent(times * old.share())), when)
        };
        findings.push(Finding {
            sure,
            reading: GateReading {
                gate: format!("errors {name}"),
                measured: format!("{}, the old version {}", percent(new.share()), percent(old.share())),
                limit: told,
                samples: new.tries as u64,
                confidence,
                severity: severity(gate),
            },
        });
    };
    if let Some(limit) = gate.max_delta {
        compare("max-delta", 1.0, limit, format!("{} over the old version", points(limit)));
    }
    if let Some(times) = gate.max_ratio {
        compare("max-ratio", times, 0.0, format!("{} times the old version", reading::number(times)));
    }
}

/// A quantile of latencies: that p95 is over 2 s is that more than 5 % took longer than 2 s.
fn latency(quantile: u8, gate: &Gate, new: &Counters, old: Option<&Counters>, when: When, findings: &mut Vec<Finding>) {
    let part = f64::from(quantile) / 100.0;
    let Some(measured) = new.quantile(part) else {
        return;
    };
    let mut judge = |gate_name: String, limit: f64, keep: f64, measured: String, told: String| {
        let slow = new.slower(limit);
        let sure = match share(slow, 1.0 - part, when) {
            // To be sure that a limit is kept which is itself measured, its lower bound counts.
            Sure::Below if keep < limit => match share(new.slower(keep), 1.0 - part, When::Going) {
                Sure::Below => Sure::Below,
                _ => Sure::No,
            },
            sure => sure,
        };
        let low = stats::wilson(slow.hits, slow.tries, z(when)).0;
        let over = |low: f64| format!("{} over {}", percent(low), seconds(limit));
        findings.push(Finding {
            sure,
            reading: GateReading {
                gate: gate_name,
                measured,
                limit: told,
                samples: slow.tries as u64,
                confidence: bound(sure, low, over, when),
                severity: severity(gate),
            },
        });
    };
    if let Some(limit) = gate.max {
        judge(format!("p{quantile}"), limit, limit, seconds(measured), seconds(limit));
    }
    if let (Some(times), Some(old)) = (gate.max_ratio, old)
        && let Some(was) = old.quantile(part)
    {
        // The old version's quantile is measured too: it lies between two ranks.
        let error = (part * (1.0 - part) / old.timed().max(1.0)).sqrt();
        let at = |rank: f64| old.quantile(rank.clamp(0.0, 1.0)).unwrap_or(was);
        let over = |was: f64| (was * times).max(was + LEAST_EXCESS);
        let limit = match when {
            When::Last => over(was),
            _ => over(at(part + PASS_Z * error)),
        };
        let measured = format!("{}, the old version {}", seconds(measured), seconds(was));
        let told = format!("{} times the old version", reading::number(times));
        judge(format!("p{quantile} max-ratio"), limit, over(at(part - PASS_Z * error)), measured, told);
    }
}

fn share(count: Count, limit: f64, when: When) -> Sure {
    match when {
        When::Going => stats::share(count.hits, count.tries, limit, FAIL_Z, FAIL_CHANCE),
        _ => {
            let sure = stats::share(count.hits, count.tries, limit, PASS_Z, 0.05);
            decide(sure == Sure::Above, sure == Sure::Below, count.share() > limit, when)
        }
    }
}

/// At the end what was measured decides what is not sure; before it nothing does.
fn decide(above: bool, below: bool, over: bool, when: When) -> Sure {
    match when {
        _ if above => Sure::Above,
        _ if below => Sure::Below,
        When::Going => Sure::No,
        When::End if over => Sure::No,
        When::Last if over => Sure::Above,
        When::End | When::Last => Sure::Below,
    }
}

fn z(when: When) -> f64 {
    if when == When::Going { FAIL_Z } else { PASS_Z }
}

fn bound(sure: Sure, low: f64, show: impl Fn(f64) -> String, when: When) -> String {
    match when {
        _ if sure != Sure::Above => String::new(),
        When::Going => format!("{FAIL_SURE} sure of at least {}", show(low)),
        _ => format!("95 % sure of at least {}, at the end of the time", show(low)),
    }
}

/// As it is written.
pub(super) fn severity(gate: &Gate) -> String {
    match gate.severity {
        Severity::P0 => "P0",
        Severity::P1 => "P1",
        Severity::P2 => "P2",
        Severity::P3 => "P3",
    }
    .to_owned()
}
