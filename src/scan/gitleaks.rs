//! Gitleaks: its command line, and its JSON report.

use serde::Deserialize;

use super::report;
use super::{Finding, FindingSeverity, ReportError, Scanned};

/// The code that it is told to end with when it found something: its own (1) is also that of its errors.
pub const FOUND: i32 = 10;

/// Its command line. `--redact` keeps the secrets themselves out of the report.
pub fn argv(history: bool, report: &str) -> Vec<String> {
    let mut argv: Vec<String> =
        ["gitleaks", "detect", "--source", ".", "--no-banner", "--redact"].map(str::to_owned).into();
    if !history {
        argv.push("--no-git".to_owned());
    }
    argv.extend(["--report-format", "json", "--report-path", report, "--exit-code"].map(str::to_owned));
    argv.push(FOUND.to_string());
    argv
}

/// What git must be told in the container, where another user owns the files.
pub fn env() -> Vec<(String, String)> {
    [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "safe.directory"), ("GIT_CONFIG_VALUE_0", "*")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Leak {
    #[serde(rename = "RuleID")]
    rule: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    start_line: u64,
    #[serde(default)]
    secret: String,
    file: String,
    #[serde(default)]
    commit: String,
    #[serde(default)]
    fingerprint: String,
}

/// Reads its report. Secrets that stand in it all the same are given to `mask`.
pub fn read(text: &str, mask: &mut dyn FnMut(&str)) -> Result<Scanned, ReportError> {
    let json = report::json(text)?;
    let list = match json {
        // Nothing found: some versions write `null`.
        serde_json::Value::Null => Vec::new(),
        other => serde_json::from_value::<Vec<Leak>>(other)
            .map_err(|error| ReportError::OtherKind("gitleaks", error.to_string()))?,
    };
    let findings = list
        .into_iter()
        .map(|leak| {
            if !leak.secret.is_empty() && leak.secret != "REDACTED" {
                mask(&leak.secret);
            }
            Finding {
                title: if leak.description.is_empty() { "leaked secret".to_owned() } else { leak.description },
                id: leak.rule,
                severity: FindingSeverity::Critical,
                file: Some(leak.file),
                line: Some(leak.start_line).filter(|line| *line > 0),
                commit: Some(leak.commit).filter(|commit| !commit.is_empty()),
                fingerprint: leak.fingerprint,
                ..Finding::default()
            }
            .tidied()
        })
        .collect();
    Ok(Scanned { tool: "gitleaks".to_owned(), findings, suppressed: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_is_critical_and_its_text_is_masked_and_not_kept() {
        let text = r#"[{"Description": "AWS", "StartLine": 3, "Match": "key = AKIAQ3", "Secret": "AKIAQ3",
            "File": "c.txt", "Commit": "a318", "RuleID": "aws-access-token", "Fingerprint": "a318:c.txt:aws-access-token:3"}]"#;
        let mut masked = Vec::new();
        let scanned = read(text, &mut |secret| masked.push(secret.to_owned())).unwrap();
        assert_eq!(masked, ["AKIAQ3"]);
        assert_eq!(scanned.findings[0].severity, FindingSeverity::Critical);
        assert_eq!(scanned.findings[0].place(), "c.txt:3");
        assert!(!serde_json::to_string(&scanned.findings).unwrap().contains("AKIAQ3"));
        assert_eq!(read("[]", &mut |_| {}).unwrap().findings, []);
        assert!(matches!(read("{}", &mut |_| {}), Err(ReportError::OtherKind("gitleaks", _))));
    }
}
