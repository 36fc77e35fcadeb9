//! Trivy: its command line, and its JSON report (schema 2).

use serde::Deserialize;

use super::report;
use super::{Finding, FindingSeverity, ReportError, Scanned};
use crate::stage::TrivyTarget;

/// Its command line. It ends with 0 when it came to an end: the gate is ours, so findings are no failure of its.
pub fn argv(target: &TrivyTarget, severity: &[String], report: &str) -> Vec<String> {
    let (kind, what) = match target {
        TrivyTarget::Image(image) => ("image", image),
        TrivyTarget::Fs(folder) => ("fs", folder),
    };
    let mut argv: Vec<String> =
        ["trivy", kind, "--no-progress", "--format", "json", "--output", report, "--exit-code", "0"]
            .map(str::to_owned)
            .into();
    if !severity.is_empty() {
        argv.extend(["--severity".to_owned(), severity.join(",")]);
    }
    // A name that begins with a dash is no option.
    argv.extend(["--".to_owned(), what.clone()]);
    argv
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    schema_version: Option<u32>,
    #[serde(default)]
    results: Option<Vec<Target>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Target {
    #[serde(default)]
    target: String,
    #[serde(default)]
    class: String,
    #[serde(default)]
    vulnerabilities: Option<Vec<Vulnerability>>,
    #[serde(default)]
    misconfigurations: Option<Vec<Misconfiguration>>,
    #[serde(default)]
    secrets: Option<Vec<Leak>>,
    #[serde(default)]
    licenses: Option<Vec<License>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vulnerability {
    #[serde(rename = "VulnerabilityID")]
    id: String,
    #[serde(default)]
    pkg_name: String,
    #[serde(default)]
    pkg_path: String,
    #[serde(default)]
    installed_version: String,
    #[serde(default)]
    fixed_version: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Misconfiguration {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    cause_metadata: Cause,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Cause {
    #[serde(default)]
    start_line: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Leak {
    #[serde(rename = "RuleID")]
    rule: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    start_line: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct License {
    #[serde(default)]
    severity: String,
    #[serde(default)]
    category: String,
    #[serde(default)]
    pkg_name: String,
    #[serde(default)]
    file_path: String,
    name: String,
}

/// Reads its report.
pub fn read(text: &str) -> Result<Scanned, ReportError> {
    let other = |why: String| ReportError::OtherKind("trivy", why);
    let report: Report = serde_json::from_value(report::json(text)?).map_err(|error| other(error.to_string()))?;
    match report.schema_version {
        Some(2) => {}
        Some(version) => return Err(other(format!("its schema is {version}, and 2 is read"))),
        None => return Err(other("it has no \"SchemaVersion\"".to_owned())),
    }
    let mut scanned = Scanned { tool: "trivy".to_owned(), ..Scanned::default() };
    for target in report.results.into_iter().flatten() {
        read_target(target, &mut scanned);
    }
    Ok(scanned)
}

fn read_target(target: Target, scanned: &mut Scanned) {
    let file = Some(target.target).filter(|text| !text.is_empty());
    // Of packages of the system the target is the image, which is no file.
    let lock_file = file.clone().filter(|_| target.class != "os-pkgs");
    let mut push = |finding: Finding| scanned.findings.push(finding.tidied());
    for found in target.vulnerabilities.into_iter().flatten() {
        push(Finding {
            id: found.id,
            severity: FindingSeverity::of_word(&found.severity),
            title: if found.title.is_empty() { found.description } else { found.title },
            file: Some(found.pkg_path).filter(|path| !path.is_empty()).or(lock_file.clone()),
            package: Some(found.pkg_name),
            installed: Some(found.installed_version),
            fixed: Some(found.fixed_version),
            ..Finding::default()
        });
    }
    // What passed is listed too.
    for found in target.misconfigurations.into_iter().flatten().filter(|found| found.status != "PASS") {
        if found.status == "EXCEPTION" {
            continue;
        }
        push(Finding {
            id: found.id,
            severity: FindingSeverity::of_word(&found.severity),
            title: if found.message.is_empty() { found.title } else { found.message },
            file: file.clone(),
            line: Some(found.cause_metadata.start_line).filter(|line| *line > 0),
            ..Finding::default()
        });
    }
    for found in target.secrets.into_iter().flatten() {
        push(Finding {
            id: found.rule,
            severity: FindingSeverity::Critical,
            title: if found.title.is_empty() { "leaked secret".to_owned() } else { found.title },
            file: file.clone(),
            line: Some(found.start_line).filter(|line| *line > 0),
            ..Finding::default()
        });
    }
    for found in target.licenses.into_iter().flatten() {
        push(Finding {
            title: format!("license {} ({})", found.name, found.category),
            id: found.name,
            severity: FindingSeverity::of_word(&found.severity),
            file: Some(found.file_path).filter(|path| !path.is_empty()),
            package: Some(found.pkg_name),
            ..Finding::default()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_found_is_a_report_and_another_kind_of_json_is_none() {
        assert_eq!(read(r#"{"SchemaVersion": 2, "ArtifactName": "a"}"#).unwrap().findings, []);
        for text in ["{}", "[]", "null", r#"{"SchemaVersion": 1}"#, r#"{"bomFormat": "CycloneDX"}"#] {
            assert!(matches!(read(text), Err(ReportError::OtherKind("trivy", _))), "{text}");
        }
    }
}
