//! Gates on what goes up and down: queries, and the use of CPU and memory.

use super::judge::{Finding, When};
use super::reading::{number, percent};
use super::stats::{self, Sure};
use crate::event::GateReading;
use crate::stage::analysis::{Analysis, Gate};

/// So many values in a row over a limit break it: one alone is a spike.
const IN_A_ROW: usize = 3;
/// The least that each side needs to be compared.
const TO_COMPARE: usize = 5;
/// So many values are kept, the newest.
const KEPT: usize = 2000;

/// The unit of a gauge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Plain,
    Percent,
}

/// What a gauge showed on both sides.
#[derive(Debug, Clone)]
pub struct Gauge {
    /// Its name, as the settings have it.
    pub name: String,
    gate: Gate,
    unit: Unit,
    new: Vec<f64>,
    old: Vec<f64>,
    compared: usize,
}

impl Gauge {
    /// All that the settings ask for.
    pub fn all(spec: &Analysis) -> Vec<Gauge> {
        let gauge = |name: &str, gate: &Gate, unit| Gauge {
            name: name.to_owned(),
            gate: gate.clone(),
            unit,
            new: Vec::new(),
            old: Vec::new(),
            compared: 0,
        };
        let usage = |name: &str, limit: Option<f64>| {
            limit.map(|max| gauge(name, &Gate { max: Some(max), ..Gate::default() }, Unit::Percent))
        };
        let queries = spec.queries.iter().map(|(name, _, gate)| gauge(name, gate, Unit::Plain));
        usage("cpu", spec.cpu).into_iter().chain(usage("memory", spec.memory)).chain(queries).collect()
    }

    /// Whether nothing came yet.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty()
    }

    /// Whether the old version's values are asked for.
    pub fn compares(&self) -> bool {
        self.gate.max_delta.is_some() || self.gate.max_ratio.is_some()
    }

    /// Takes what was measured; what is no number is no value.
    pub fn push(&mut self, new: Option<f64>, old: Option<f64>) {
        for (values, value) in [(&mut self.new, new), (&mut self.old, old)] {
            values.extend(value.filter(|value| value.is_finite()));
            if values.len() > KEPT {
                values.remove(0);
            }
        }
    }

    /// What it says of its limits; none before a value came.
    pub fn judge(&mut self, when: When) -> Option<Finding> {
        let mut worst: Option<Finding> = None;
        let limits = [self.bound(when), self.compare(when)];
        for finding in limits.into_iter().flatten() {
            let graver = |known: &Finding| finding.sure == Sure::Above || known.sure == Sure::Below;
            if worst.as_ref().is_none_or(graver) {
                worst = Some(finding);
            }
        }
        worst
    }

    fn show(&self, value: f64) -> String {
        if self.unit == Unit::Percent { percent(value) } else { number(value) }
    }

    fn finding(&self, name: &str, sure: Sure, measured: String, limit: String, confidence: String) -> Finding {
        let reading = GateReading {
            gate: format!("{}{name}", self.name),
            measured,
            limit,
            samples: self.new.len() as u64,
            confidence: if sure == Sure::Above { confidence } else { String::new() },
            severity: super::judge::severity(&self.gate),
        };
        Finding { sure, reading }
    }

    /// Against fixed limits: broken by some values in a row; at the end by the one in the middle.
    fn bound(&self, when: When) -> Option<Finding> {
        if self.gate.max.is_none() && self.gate.min.is_none() {
            return None;
        }
        let breaks =
            |value: f64| self.gate.max.is_some_and(|max| value > max) || self.gate.min.is_some_and(|min| value < min);
        let last = *self.new.last()?;
        let row = self.new.iter().rev().take_while(|value| breaks(**value)).count();
        let middle = stats::median(&self.new)?;
        let (sure, measured, why) = if row >= IN_A_ROW {
            (Sure::Above, last, format!("{row} values in a row"))
        } else if when == When::Going {
            (if self.new.iter().any(|value| breaks(*value)) { Sure::No } else { Sure::Below }, last, String::new())
        } else if breaks(middle) {
            (Sure::Above, middle, "the value in the middle".to_owned())
        } else {
            (Sure::Below, middle, String::new())
        };
        let limit = match (self.gate.max, self.gate.min) {
            (Some(max), _) if measured > max => self.show(max),
            (_, Some(min)) if measured < min => format!("at least {}", self.show(min)),
            (Some(max), _) => self.show(max),
            (None, Some(min)) => format!("at least {}", self.show(min)),
            (None, None) => return None,
        };
        Some(self.finding("", sure, self.show(measured), limit, why))
    }

    /// Against the old version's values (Mann-Whitney), when the sample has grown by a quarter.
    fn compare(&mut self, when: When) -> Option<Finding> {
        if !self.compares() || self.new.is_empty() {
            return None;
        }
        let (new, old) = (stats::median(&self.new)?, stats::median(&self.old));
        let enough = self.new.len() >= TO_COMPARE && self.old.len() >= TO_COMPARE;
        let due = self.new.len() * 4 >= self.compared * 5 || when != When::Going;
        let Some(old) = old.filter(|_| enough) else {
            return Some(self.finding("", Sure::No, self.show(new), "the old version".to_owned(), String::new()));
        };
        if due {
            self.compared = self.new.len();
        }
        let mut found = None;
        let limits =
            [("max-delta", self.gate.max_delta, 1.0), ("max-ratio", Some(0.0), self.gate.max_ratio.unwrap_or(0.0))];
        for (name, over, times) in limits {
            let Some(over) = over.filter(|_| times > 0.0) else {
                continue;
            };
            let raised: Vec<f64> = self.old.iter().map(|value| value * times + over).collect();
            let broken = due && stats::shifted_up(&self.new, &raised) < CHANCE;
            let beyond = new > old * times + over;
            let sure = match when {
                _ if broken => Sure::Above,
                When::Going => Sure::No,
                When::Last if beyond => Sure::Above,
                When::End if beyond => Sure::No,
                When::End | When::Last => Sure::Below,
            };
            let limit = match name {
                "max-delta" => format!("{} over the old version", self.show(over)),
                _ => format!("{} times the old version", number(times)),
            };
            let measured = format!("{}, the old version {}", self.show(new), self.show(old));
            let confidence = if broken { "99.5 % sure of the shift" } else { "the values in the middle" };
            let finding = self.finding(&format!(" {name}"), sure, measured, limit, confidence.to_owned());
            if found.is_none() || sure == Sure::Above {
                found = Some(finding);
            }
        }
        found
    }
}

/// Below this chance a shift is no accident: the least that five against five values can show is 0.004.
const CHANCE: f64 = 0.005;

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge(gate: Gate) -> Gauge {
        let query = ("queue".to_owned(), String::new(), gate);
        Gauge::all(&Analysis { queries: vec![query], cpu: Some(0.9), ..Analysis::default() }).remove(1)
    }

    #[test]
    fn a_spike_is_no_failure_three_in_a_row_are() {
        let mut queue = gauge(Gate { max: Some(1000.0), ..Gate::default() });
        assert!(queue.judge(When::Going).is_none());
        queue.push(Some(10.0), None);
        assert_eq!(queue.judge(When::Going).unwrap().sure, Sure::Below);
        queue.push(Some(5000.0), None);
        queue.push(Some(f64::NAN), None);
        assert_eq!(queue.judge(When::Going).unwrap().sure, Sure::No);
        assert_eq!(queue.judge(When::End).unwrap().sure, Sure::Above, "2505 is in the middle");
        queue.push(Some(5000.0), None);
        queue.push(Some(5000.0), None);
        let found = queue.judge(When::Going).unwrap();
        assert_eq!(
            (found.sure, found.reading.measured.as_str(), found.reading.limit.as_str()),
            (Sure::Above, "5000", "1000")
        );
        let mut least = gauge(Gate { min: Some(2.0), ..Gate::default() });
        (0..3).for_each(|_| least.push(Some(1.0), None));
        assert_eq!(least.judge(When::Going).unwrap().reading.limit, "at least 2");
    }

    #[test]
    fn a_shift_against_the_old_version_shows_from_five_values_on() {
        let mut queue = gauge(Gate { max_ratio: Some(1.5), ..Gate::default() });
        for i in 0..4 {
            queue.push(Some(20.0 + f64::from(i)), Some(10.0 + 0.1 * f64::from(i)));
        }
        assert_eq!(queue.judge(When::Last).unwrap().sure, Sure::No, "too few to say anything");
        queue.push(Some(25.0), Some(10.5));
        assert_eq!(queue.judge(When::Going).unwrap().reading.gate, "queue max-ratio");
        let mut same = gauge(Gate { max_delta: Some(3.0), ..Gate::default() });
        (0..40).for_each(|i| same.push(Some(f64::from(i % 5)), Some(f64::from((i + 2) % 5))));
        assert_eq!(same.judge(When::Going).unwrap().sure, Sure::No);
        assert_eq!(same.judge(When::End).unwrap().sure, Sure::Below);
    }
}
