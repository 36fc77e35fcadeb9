//! Findings as files: SARIF 2.1 for other tools, JSON with what was set aside and why.

use serde_json::{Value, json};

use super::{Finding, FindingSeverity, IgnoreEntry, Sifted, counts};

/// The JSON form's version.
const VERSION: u32 = 1;

/// The findings as JSON.
pub fn json(tool: &str, sifted: &Sifted) -> Value {
    let ignored: Vec<Value> = sifted
        .ignored
        .iter()
        .map(|(finding, entry)| {
            let until = entry.until.map(|day| day.to_string());
            json!({"finding": finding, "reason": entry.reason, "until": until})
        })
        .collect();
    let counted: serde_json::Map<String, Value> =
        counts(&sifted.counted).into_iter().map(|(severity, count)| (severity, Value::from(count))).collect();
    json!({"version": VERSION, "tool": tool, "counts": counted, "findings": sifted.counted, "ignored": ignored})
}

/// The findings as SARIF; those that are set aside stand as suppressed.
pub fn sarif(tool: &str, sifted: &Sifted) -> Value {
    let mut rules: Vec<(&str, &Finding)> = Vec::new();
    let all = sifted.counted.iter().map(|finding| (finding, None));
    let all: Vec<_> = all.chain(sifted.ignored.iter().map(|(finding, entry)| (finding, Some(entry)))).collect();
    let mut known = std::collections::HashSet::new();
    for (finding, _) in &all {
        if known.insert(finding.id.as_str()) {
            rules.push((&finding.id, finding));
        }
    }
    let rules: Vec<Value> = rules.into_iter().map(|(id, finding)| rule(id, finding)).collect();
    let results: Vec<Value> = all.into_iter().map(|(finding, entry)| result(finding, entry)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": {"name": tool, "rules": rules}}, "results": results}],
    })
}

fn rule(id: &str, finding: &Finding) -> Value {
    json!({
        "id": id,
        "shortDescription": {"text": finding.title},
        "properties": {"security-severity": score(finding.severity)},
    })
}

fn result(finding: &Finding, ignored: Option<&IgnoreEntry>) -> Value {
    let level = match finding.severity {
        FindingSeverity::Critical | FindingSeverity::High => "error",
        FindingSeverity::Medium => "warning",
        FindingSeverity::Low => "note",
        FindingSeverity::Unknown => "none",
    };
    let mut result = json!({
        "ruleId": finding.id,
        "level": level,
        "message": {"text": message(finding)},
        "partialFingerprints": {"slipway/v1": finding.fingerprint},
        "properties": {"severity": finding.severity, "security-severity": score(finding.severity)},
    });
    if let Some(file) = &finding.file {
        let mut place = json!({"artifactLocation": {"uri": uri(file)}});
        if let Some(line) = finding.line {
            place["region"] = json!({"startLine": line});
        }
        result["locations"] = json!([{"physicalLocation": place}]);
    }
    if let Some(entry) = ignored {
        result["suppressions"] = json!([{"kind": "external", "status": "accepted", "justification": entry.reason}]);
    }
    result
}

fn message(finding: &Finding) -> String {
    match (&finding.package, &finding.fixed) {
        (Some(_), Some(fixed)) => format!("{}: {} (fixed in {fixed})", finding.place(), finding.title),
        (Some(_), None) => format!("{}: {}", finding.place(), finding.title),
        (None, _) => finding.title.clone(),
    }
}

/// A score in the middle of the severity's range, as readers of SARIF sort by scores.
fn score(severity: FindingSeverity) -> &'static str {
    match severity {
        FindingSeverity::Critical => "9.5",
        FindingSeverity::High => "8.0",
        FindingSeverity::Medium => "5.5",
        FindingSeverity::Low => "2.0",
        FindingSeverity::Unknown => "0.0",
    }
}

/// A path as a relative URI.
fn uri(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' | b'+' | b'@' | b':' | b'=' | b',' => char::from(byte).to_string(),
            _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Ignore, sift};
    use super::*;

    #[test]
    fn what_is_written_is_read_again_with_the_same_severity() {
        let findings: Vec<Finding> = FindingSeverity::ALL
            .into_iter()
            .map(|severity| {
                let (id, file) = (severity.name().to_owned(), Some("a b/c.rs".to_owned()));
                Finding { id, severity, file, line: Some(3), ..Finding::default() }.tidied()
            })
            .collect();
        let ignore = Ignore::read("i.yml", "- {id: low, reason: known}").unwrap();
        let sifted = sift(findings, &ignore, "2026-01-01".parse().unwrap());
        let read = super::super::sarif::read(&sarif("t", &sifted).to_string()).unwrap();
        let of = |list: &[Finding]| {
            list.iter().map(|f| (f.id.clone(), f.severity, f.fingerprint.clone())).collect::<Vec<_>>()
        };
        assert_eq!(of(&read.findings), of(&sifted.counted));
        assert_eq!(read.suppressed, 1);
        assert_eq!(json("t", &sifted)["ignored"][0]["reason"], "known");
    }
}
