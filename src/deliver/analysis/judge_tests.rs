//! The judge on simulated traffic: how often it is wrong, and how soon it is right. The seeds are fixed.

use super::super::ground::Verdict;
use super::counters::Counters;
use super::judge::{Judge, When};
use crate::stage::Analysis;
use crate::stage::Severity;
use crate::stage::analysis::{Gate, NoTraffic};

/// A small generator (splitmix64), the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What a side does with its requests.
#[derive(Clone, Copy)]
struct Version {
    errors: f64,
    /// The share of requests that take 3 s; the others take 50 ms.
    slow: f64,
}

fn serve(version: Version, requests: u32, dice: &mut Dice, into: &mut Counters) {
    for _ in 0..requests {
        into.requests += 1.0;
        into.errors += f64::from(u8::from(dice.next() < version.errors));
        let took = if dice.next() < version.slow { 3_000_000_000 } else { 50_000_000 };
        for bound in [100_000_000, 1_000_000_000, 2_000_000_000, 5_000_000_000, u64::MAX] {
            *into.buckets.entry(bound).or_default() += f64::from(u8::from(took <= bound));
        }
    }
}

/// A step: so many seconds with a look each, and as many again where it cannot decide. The second in which it failed, and why.
fn step(spec: &Analysis, new: Version, old: Version, rate: u32, seconds: u32, seed: u64) -> Option<(u32, String)> {
    let mut dice = Dice(seed);
    let (mut is, mut was) = (Counters::default(), Counters::default());
    let mut judge = Judge::new(spec.clone());
    for second in 1..=2 * seconds {
        serve(new, rate, &mut dice, &mut is);
        serve(old, rate, &mut dice, &mut was);
        let when = match second {
            _ if second == 2 * seconds => When::Last,
            _ if second >= seconds => When::End,
            _ => When::Going,
        };
        match judge.look(&is, Some(&was), when) {
            Verdict::Fail(readings) => return Some((second, readings[0].gate.clone())),
            Verdict::Hold => {}
            Verdict::Pass if when == When::Going => {}
            _ => return None,
        }
    }
    None
}

fn failing(spec: &Analysis, new: Version, old: Version, rate: u32, seconds: u32, steps: u64) -> usize {
    (0..steps).filter(|seed| step(spec, new, old, rate, seconds, seed * 7919 + 1).is_some()).count()
}

fn good() -> Version {
    Version { errors: 0.01, slow: 0.0 }
}

fn errors(gate: Gate) -> Analysis {
    Analysis { errors: Some(gate), ..Analysis::default() }
}

fn max(limit: f64) -> Analysis {
    errors(Gate { max: Some(limit), ..Gate::default() })
}

#[test]
fn a_version_at_ninety_percent_of_a_limit_goes_back_in_at_most_one_of_a_hundred_steps() {
    let steps = 400;
    for limit in [0.01, 0.05, 0.2] {
        let new = Version { errors: limit * 0.9, slow: 0.0 };
        let wrong = failing(&max(limit), new, good(), 40, 300, steps);
        assert!(wrong <= 4, "errors {limit}: {wrong} of {steps}");
    }
    let delta = errors(Gate { max_delta: Some(0.03), ..Gate::default() });
    let wrong = failing(&delta, Version { errors: 0.037, slow: 0.0 }, good(), 40, 300, steps);
    assert!(wrong <= 4, "max-delta: {wrong} of {steps}");
    let ratio = errors(Gate { max_ratio: Some(2.0), ..Gate::default() });
    let wrong =
        failing(&ratio, Version { errors: 0.09, slow: 0.0 }, Version { errors: 0.05, slow: 0.0 }, 40, 300, steps);
    assert!(wrong <= 4, "max-ratio: {wrong} of {steps}");
    let p95 = Analysis { quantiles: vec![(95, Gate { max: Some(2.0), ..Gate::default() })], ..Analysis::default() };
    let wrong = failing(&p95, Version { errors: 0.0, slow: 0.045 }, good(), 40, 300, steps);
    assert!(wrong <= 4, "p95: {wrong} of {steps}");
}

#[test]
fn a_version_like_the_old_one_stays_also_at_little_traffic() {
    let spec = Analysis {
        errors: Some(Gate { max: Some(0.05), max_delta: Some(0.03), max_ratio: Some(4.0), ..Gate::default() }),
        quantiles: vec![(95, Gate { max: Some(2.0), max_ratio: Some(1.5), ..Gate::default() })],
        ..Analysis::default()
    };
    let same = Version { errors: 0.01, slow: 0.01 };
    let wrong = failing(&spec, same, same, 2, 300, 200);
    assert!(wrong <= 2, "{wrong} of 200");
}

#[test]
fn three_points_more_errors_are_found() {
    let spec = errors(Gate { max_delta: Some(0.01), ..Gate::default() });
    let found = failing(&spec, Version { errors: 0.04, slow: 0.0 }, good(), 20, 120, 200);
    assert!(found >= 190, "{found} of 200");
}

#[test]
fn a_bad_version_is_found_within_seconds() {
    let mut spec = max(0.05);
    let dead = Version { errors: 1.0, slow: 0.0 };
    assert_eq!(step(&spec, dead, good(), 40, 60, 1), Some((1, "errors".to_owned())));
    let slow: u32 = (0..100)
        .filter_map(|seed| step(&spec, Version { errors: 0.2, slow: 0.0 }, good(), 20, 60, seed + 1))
        .map(|(second, _)| second)
        .max()
        .unwrap();
    assert!(slow <= 15, "20 % of errors at 20 requests a second: {slow} s at most");
    spec.errors = None;
    spec.quantiles = vec![(95, Gate { max: Some(2.0), ..Gate::default() })];
    let found = step(&spec, Version { errors: 0.0, slow: 0.5 }, good(), 40, 60, 1);
    assert_eq!(found, Some((1, "p95".to_owned())));
}

#[test]
fn each_gate_is_named_and_its_neighbour_passes() {
    let p95 = |gate| Analysis { quantiles: vec![(95, gate)], ..Analysis::default() };
    let version = |errors| Version { errors, slow: 0.0 };
    let delta = errors(Gate { max_delta: Some(0.03), ..Gate::default() });
    let at = |spec: &Analysis, new, old| step(spec, new, old, 100, 100, 3).map(|(_, gate)| gate);
    assert_eq!(at(&max(0.05), version(0.06), good()).as_deref(), Some("errors"));
    assert_eq!(at(&max(0.05), version(0.045), good()), None);
    assert_eq!(at(&delta, version(0.045), version(0.005)).as_deref(), Some("errors max-delta"));
    assert_eq!(at(&delta, version(0.025), version(0.005)), None);
    let slow = |slow| Version { errors: 0.0, slow };
    let times = p95(Gate { max_ratio: Some(1.5), ..Gate::default() });
    assert_eq!(at(&times, slow(0.2), slow(0.0)).as_deref(), Some("p95 max-ratio"));
    assert_eq!(at(&times, slow(0.0), slow(0.0)), None);
}

#[test]
fn too_little_traffic_holds_and_then_the_policy_decides() {
    let mut judge = Judge::new(max(0.05));
    let few = Counters { requests: 19.0, ..Counters::default() };
    assert_eq!(judge.look(&few, None, When::Going), Verdict::Hold);
    assert_eq!(judge.look(&few, None, When::End), Verdict::Hold);
    let Verdict::Fail(readings) = judge.look(&few, None, When::Last) else { panic!("it fails in the end") };
    assert_eq!((readings[0].gate.as_str(), readings[0].measured.as_str()), ("no-traffic", "19 requests"));
    let with = |no_traffic| Judge::new(Analysis { no_traffic, ..max(0.05) });
    assert!(matches!(with(NoTraffic::Fail).look(&few, None, When::End), Verdict::Fail(_)));
    assert_eq!(with(NoTraffic::Pass).look(&few, None, When::End), Verdict::Pass);
    assert_eq!(with(NoTraffic::Fail).look(&few, None, When::Going), Verdict::Hold);
}

#[test]
fn a_look_is_taken_only_when_the_sample_has_grown_by_a_quarter() {
    let mut judge = Judge::new(max(0.05));
    let sample = |requests, errors| Counters { requests, errors, ..Counters::default() };
    assert_eq!(judge.look(&sample(20.0, 0.0), None, When::Going), Verdict::Hold);
    assert_eq!(judge.look(&sample(24.0, 24.0), None, When::Going), Verdict::Hold);
    assert!(matches!(judge.look(&sample(25.0, 24.0), None, When::Going), Verdict::Fail(_)));
    assert_eq!(judge.look(&sample(60.0, 0.0), None, When::Going), Verdict::Pass);
}

#[test]
fn a_reading_says_what_was_measured_of_how_much_and_how_sure() {
    let gate = Gate { max: Some(0.05), severity: Severity::P1, ..Gate::default() };
    let sample = Counters { requests: 64.0, errors: 20.0, ..Counters::default() };
    let Verdict::Fail(readings) = Judge::new(errors(gate)).look(&sample, None, When::Going) else { panic!("it fails") };
    let reading = &readings[0];
    assert_eq!((reading.measured.as_str(), reading.limit.as_str(), reading.samples), ("31.2 %", "5 %", 64));
    assert_eq!(reading.confidence, "99.9 % sure of at least 16.1 %");
    assert_eq!(reading.severity, "P1");
}
