//! How what was measured is said to people.

use crate::event::GateReading;

/// `31.3 %`
pub fn percent(share: f64) -> String {
    format!("{} %", number(share * 100.0))
}

/// `3.2 pp`
pub fn points(share: f64) -> String {
    format!("{} pp", number(share * 100.0))
}

/// `250 ms`, `2.2 s`
pub fn seconds(seconds: f64) -> String {
    if seconds < 1.0 { format!("{} ms", number(seconds * 1000.0)) } else { format!("{} s", number(seconds)) }
}

/// With as many digits as anyone reads.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0..0.1 => 3,
        0.1..10.0 => 2,
        10.0..1000.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// There was too little to judge.
pub fn no_traffic(requests: f64, least: u64) -> GateReading {
    GateReading {
        gate: "no-traffic".to_owned(),
        measured: match requests as u64 {
            1 => "1 request".to_owned(),
            requests => format!("{requests} requests"),
        },
        limit: format!("at least {least}"),
        samples: requests as u64,
        confidence: String::new(),
        severity: "P0".to_owned(),
    }
}

/// Nothing was measured for a gate.
pub fn missing(gauge: &str) -> GateReading {
    GateReading {
        gate: gauge.to_owned(),
        measured: "no value came".to_owned(),
        limit: "at least one".to_owned(),
        samples: 0,
        confidence: String::new(),
        severity: "P0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_with_their_units() {
        assert_eq!(percent(0.3134), "31.3 %");
        assert_eq!(percent(0.05), "5 %");
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(points(0.0325), "3.25 pp");
        assert_eq!(seconds(2.2), "2.2 s");
        assert_eq!(seconds(0.25), "250 ms");
        assert_eq!(number(1000.0), "1000");
        assert_eq!(number(0.004), "0.004");
        assert_eq!(no_traffic(1.0, 20).measured, "1 request");
    }
}
