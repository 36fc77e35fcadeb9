//! What is known is set aside; what is left decides.

use crate::stage::FailOn;

use super::{Finding, FindingSeverity, Ignore, IgnoreEntry};

/// Findings, what is known set aside.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sifted {
    /// Those that count, gravest first.
    pub counted: Vec<Finding>,
    /// Those that are known, with the entry that says so.
    pub ignored: Vec<(Finding, IgnoreEntry)>,
    /// Entries whose day is over and whose findings count again.
    pub expired: Vec<IgnoreEntry>,
    /// Entries that speak of nothing that was found.
    pub idle: Vec<IgnoreEntry>,
}

/// Sets aside what `ignore` lists, on the day `today` (UTC).
pub fn sift(findings: Vec<Finding>, ignore: &Ignore, today: chrono::NaiveDate) -> Sifted {
    let mut sifted = Sifted::default();
    for entry in &ignore.entries {
        let used = findings.iter().any(|finding| entry.covers(finding));
        match (used, entry.is_expired(today)) {
            (true, true) => sifted.expired.push(entry.clone()),
            (false, _) => sifted.idle.push(entry.clone()),
            (true, false) => {}
        }
    }
    for finding in findings {
        let known = ignore.entries.iter().find(|entry| entry.covers(&finding) && !entry.is_expired(today));
        match known {
            Some(entry) => sifted.ignored.push((finding, entry.clone())),
            None => sifted.counted.push(finding),
        }
    }
    let order = |a: &Finding, b: &Finding| {
        (b.severity, &a.id, &a.file, a.line, &a.package).cmp(&(a.severity, &b.id, &b.file, b.line, &b.package))
    };
    sifted.counted.sort_by(order);
    sifted.ignored.sort_by(|(a, _), (b, _)| order(a, b));
    sifted
}

/// Whether the stage fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It does not.
    Pass,
    /// So many findings are too grave.
    Fail(usize),
}

impl Verdict {
    /// Over the findings that count.
    pub fn of(counted: &[Finding], fail_on: FailOn) -> Self {
        let least = match fail_on {
            FailOn::Critical => FindingSeverity::Critical,
            FailOn::High => FindingSeverity::High,
            FailOn::Medium => FindingSeverity::Medium,
            FailOn::Low => FindingSeverity::Low,
            FailOn::Any => FindingSeverity::Unknown,
            FailOn::None => return Verdict::Pass,
        };
        match counted.iter().filter(|finding| finding.severity >= least).count() {
            0 => Verdict::Pass,
            many => Verdict::Fail(many),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(id: &str, severity: FindingSeverity) -> Finding {
        Finding { id: id.to_owned(), severity, ..Finding::default() }.tidied()
    }

    #[test]
    fn an_expired_entry_ignores_nothing() {
        let text = "- {id: CVE-1, until: 2026-01-01, reason: r}\n- {id: CVE-2, until: 2026-12-31, reason: r}\n- {id: CVE-9, reason: r}\n";
        let ignore = Ignore::read("i.yml", text).unwrap();
        let found = vec![finding("CVE-2", FindingSeverity::Low), finding("CVE-1", FindingSeverity::High)];
        let sifted = sift(found, &ignore, "2026-01-02".parse().unwrap());
        assert_eq!(sifted.counted.iter().map(|finding| finding.id.as_str()).collect::<Vec<_>>(), ["CVE-1"]);
        assert_eq!(sifted.ignored[0].0.id, "CVE-2");
        assert_eq!((sifted.expired[0].id.as_str(), sifted.idle[0].id.as_str()), ("CVE-1", "CVE-9"));
    }

    #[test]
    fn the_gate_counts_from_its_severity_up() {
        let all: Vec<Finding> = FindingSeverity::ALL.into_iter().map(|severity| finding("a", severity)).collect();
        let gates = [FailOn::Critical, FailOn::High, FailOn::Medium, FailOn::Low, FailOn::Any];
        for (gate, many) in gates.into_iter().zip(1..) {
            assert_eq!(Verdict::of(&all, gate), Verdict::Fail(many));
        }
        assert_eq!(Verdict::of(&all, FailOn::None), Verdict::Pass);
        assert_eq!(Verdict::of(&all[1..], FailOn::Critical), Verdict::Pass);
    }
}
