//! SARIF 2.1: the form that most scanners can write.

use std::collections::HashMap;

use serde::Deserialize;

use super::report;
use super::{Finding, FindingSeverity, ReportError, Scanned};

#[derive(Deserialize)]
struct Log {
    version: Option<String>,
    runs: Option<Vec<Run>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    /// `null` says that the scanner did not come to looking.
    results: Option<Vec<Found>>,
    #[serde(default)]
    invocations: Option<Vec<Invocation>>,
}

#[derive(Deserialize)]
struct Tool {
    driver: Component,
    #[serde(default)]
    extensions: Option<Vec<Component>>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(default)]
    name: String,
    #[serde(default)]
    rules: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: String,
    #[serde(default)]
    short_description: Option<Message>,
    #[serde(default)]
    default_configuration: Option<Configuration>,
    #[serde(default)]
    properties: Option<Properties>,
}

#[derive(Deserialize)]
struct Configuration {
    level: Option<String>,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(rename = "security-severity")]
    score: Option<serde_json::Value>,
}

impl Properties {
    /// A number, which most write as a text.
    fn score(&self) -> Option<f64> {
        match self.score.as_ref()? {
            serde_json::Value::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: Option<bool>,
    exit_code_description: Option<String>,
    #[serde(default)]
    tool_execution_notifications: Option<Vec<Notification>>,
}

#[derive(Deserialize)]
struct Notification {
    message: Option<Message>,
}

#[derive(Deserialize, Default)]
struct Message {
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    rule_id: Option<String>,
    rule_index: Option<i64>,
    rule: Option<RuleReference>,
    kind: Option<String>,
    level: Option<String>,
    #[serde(default)]
    message: Message,
    #[serde(default)]
    locations: Option<Vec<Location>>,
    #[serde(default)]
    fingerprints: Option<HashMap<String, String>>,
    #[serde(default)]
    partial_fingerprints: Option<HashMap<String, String>>,
    #[serde(default)]
    suppressions: Option<Vec<Suppression>>,
    baseline_state: Option<String>,
    #[serde(default)]
    properties: Option<Properties>,
}

#[derive(Deserialize)]
struct RuleReference {
    id: Option<String>,
    index: Option<i64>,
}

#[derive(Deserialize)]
struct Suppression {
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: Option<PhysicalLocation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: Option<ArtifactLocation>,
    region: Option<Region>,
}

#[derive(Deserialize)]
struct ArtifactLocation {
    uri: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: Option<i64>,
}

/// Reads a report.
pub fn read(text: &str) -> Result<Scanned, ReportError> {
    let other = |why: String| ReportError::OtherKind("SARIF", why);
    let log: Log = serde_json::from_value(report::json(text)?).map_err(|error| other(error.to_string()))?;
    match log.version.as_deref() {
        Some(version) if version.starts_with("2.1") => {}
        Some(version) => return Err(other(format!("its version is \"{version}\", and 2.1.0 is read"))),
        None => return Err(other("it has no \"version\"".to_owned())),
    }
    let runs = log.runs.ok_or_else(|| other("it has no \"runs\"".to_owned()))?;
    if runs.is_empty() {
        return Err(other("its \"runs\" is empty: no scanner says that it ran".to_owned()));
    }
    let mut scanned = Scanned::default();
    let mut names: Vec<String> = Vec::new();
    for run in runs {
        if !names.contains(&run.tool.driver.name) {
            names.push(run.tool.driver.name.clone());
        }
        read_run(run, &mut scanned)?;
    }
    scanned.tool = names.join(", ");
    Ok(scanned)
}

fn read_run(run: Run, scanned: &mut Scanned) -> Result<(), ReportError> {
    for invocation in run.invocations.iter().flatten() {
        if invocation.execution_successful == Some(false) {
            return Err(ReportError::SaysFailed(reason(invocation)));
        }
    }
    let Some(results) = run.results else {
        return Err(ReportError::SaysFailed(format!("the run of \"{}\" has no \"results\"", run.tool.driver.name)));
    };
    let rules: Vec<&Rule> = run.tool.driver.rules.iter().flatten().collect();
    let extensions: Vec<&Rule> =
        run.tool.extensions.iter().flatten().flat_map(|component| component.rules.iter().flatten()).collect();
    for found in results {
        if !found.counts() {
            continue;
        }
        if found.is_suppressed() {
            scanned.suppressed += 1;
            continue;
        }
        scanned.findings.push(found.finding(&rules, &extensions));
    }
    Ok(())
}

fn reason(invocation: &Invocation) -> String {
    let notes = invocation.tool_execution_notifications.iter().flatten();
    let mut said = notes.filter_map(|note| note.message.as_ref()?.text.clone());
    let said = said.next().or_else(|| invocation.exit_code_description.clone());
    said.unwrap_or_else(|| "\"executionSuccessful\" is false".to_owned())
        .chars()
        .filter(|c| !c.is_control())
        .take(300)
        .collect()
}

impl Found {
    /// Whether it is a finding at all: scanners list what passed, and what is gone since their baseline, too.
    fn counts(&self) -> bool {
        let kind = self.kind.as_deref().unwrap_or("fail");
        matches!(kind, "fail" | "open" | "review") && self.baseline_state.as_deref() != Some("absent")
    }

    fn is_suppressed(&self) -> bool {
        let accepted = |one: &Suppression| !matches!(one.status.as_deref(), Some("underReview" | "rejected"));
        self.suppressions.iter().flatten().next().is_some() && self.suppressions.iter().flatten().all(accepted)
    }

    fn finding(self, rules: &[&Rule], extensions: &[&Rule]) -> Finding {
        let reference = self.rule.as_ref();
        let index =
            self.rule_index.or(reference.and_then(|rule| rule.index)).and_then(|index| usize::try_from(index).ok());
        let named = self.rule_id.clone().or_else(|| reference.and_then(|rule| rule.id.clone()));
        let rule = match &named {
            // An id may be finer than its rule's: `CA1000/1`.
            Some(id) => rules.iter().chain(extensions).find(|rule| rule.id == *id).copied().or_else(|| {
                let (coarse, _) = id.rsplit_once('/')?;
                rules.iter().chain(extensions).find(|rule| rule.id == coarse).copied()
            }),
            None => index.and_then(|index| rules.get(index)).copied(),
        };
        let id = named.or_else(|| rule.map(|rule| rule.id.clone())).unwrap_or_else(|| "unnamed".to_owned());
        let score = self.properties.as_ref().and_then(Properties::score);
        let score = score.or_else(|| rule?.properties.as_ref()?.score());
        let level = self.level.as_deref().or_else(|| rule?.default_configuration.as_ref()?.level.as_deref());
        let severity = match (score, level.unwrap_or("warning")) {
            (Some(score), _) => FindingSeverity::of_score(score),
            (None, "error") => FindingSeverity::High,
            (None, "warning") => FindingSeverity::Medium,
            (None, "note") => FindingSeverity::Low,
            (None, _) => FindingSeverity::Unknown,
        };
        let place = self.locations.into_iter().flatten().find_map(|location| location.physical_location);
        let (file, line) = match place {
            Some(place) => {
                let uri = place.artifact_location.and_then(|at| at.uri);
                let line = place.region.and_then(|region| region.start_line).and_then(|line| u64::try_from(line).ok());
                (uri.map(|uri| uri.trim_start_matches("file://").to_owned()), line)
            }
            None => (None, None),
        };
        let short = rule.and_then(|rule| rule.short_description.as_ref()?.text.clone());
        Finding {
            title: short.or(self.message.text).unwrap_or_else(|| id.clone()),
            id,
            severity,
            file,
            line: line.filter(|line| *line > 0),
            fingerprint: print_of(self.fingerprints)
                .or_else(|| print_of(self.partial_fingerprints))
                .unwrap_or_default(),
            ..Finding::default()
        }
        .tidied()
    }
}

/// One of a result's fingerprints: the first by name, so that it is the same in every run.
fn print_of(prints: Option<HashMap<String, String>>) -> Option<String> {
    prints?.into_iter().min().map(|(_, print)| print).filter(|print| !print.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(result: &str, rules: &str) -> Finding {
        let text = format!(
            r#"{{"version": "2.1.0", "runs": [{{"tool": {{"driver": {{"name": "t", "rules": [{rules}]}}}}, "results": [{result}]}}]}}"#
        );
        read(&text).unwrap().findings.into_iter().next().expect("there is a finding")
    }

    #[test]
    fn severity_is_the_score_before_the_level_before_the_rules_level() {
        let of = |result: &str, rules: &str| one(result, rules).severity;
        let scored = r#"{"id": "a", "properties": {"security-severity": "9.8"}}"#;
        assert_eq!(of(r#"{"ruleId": "a", "level": "note"}"#, scored), FindingSeverity::Critical);
        assert_eq!(of(r#"{"ruleIndex": 0}"#, scored), FindingSeverity::Critical);
        assert_eq!(of(r#"{"ruleId": "a/1"}"#, scored), FindingSeverity::Critical);
        assert_eq!(of(r#"{"ruleId": "a", "level": "error"}"#, ""), FindingSeverity::High);
        let rule = r#"{"id": "a", "defaultConfiguration": {"level": "note"}}"#;
        assert_eq!(of(r#"{"ruleId": "a"}"#, rule), FindingSeverity::Low);
        assert_eq!(of(r#"{"ruleId": "a"}"#, ""), FindingSeverity::Medium);
        assert_eq!(of(r#"{"ruleId": "a", "properties": {"security-severity": 4}}"#, rule), FindingSeverity::Medium);
    }

    #[test]
    fn what_passed_or_is_suppressed_is_no_finding() {
        let text = r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t"}}, "results": [
            {"ruleId": "a", "kind": "pass"}, {"ruleId": "b", "baselineState": "absent"},
            {"ruleId": "c", "suppressions": [{"kind": "inSource"}]},
            {"ruleId": "d", "suppressions": [{"kind": "external", "status": "rejected"}]}]}]}"#;
        let scanned = read(text).unwrap();
        assert_eq!(scanned.findings.iter().map(|finding| finding.id.as_str()).collect::<Vec<_>>(), ["d"]);
        assert_eq!(scanned.suppressed, 1);
    }

    #[test]
    fn a_scanner_that_did_not_look_is_an_error() {
        for (text, said) in [
            (r#"{"version": "2.1.0", "runs": []}"#, "no scanner says that it ran"),
            (r#"{"version": "2.1.0"}"#, "no \"runs\""),
            (r#"{"runs": [{}]}"#, "no SARIF report"),
            (r#"{"version": "1.0", "runs": []}"#, "2.1.0 is read"),
            (r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t"}}}]}"#, "no \"results\""),
            (
                r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t"}}, "results": [],
                    "invocations": [{"executionSuccessful": false, "toolExecutionNotifications": [{"message": {"text": "no license"}}]}]}]}"#,
                "no license",
            ),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
