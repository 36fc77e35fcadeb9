//! One finding of any scanner.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// Titles and names of foreign reports are cut here.
const MAX_TEXT: usize = 300;

/// How grave a finding is, gravest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum FindingSeverity {
    /// The scanner does not say.
    #[default]
    Unknown,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical; every leaked secret.
    Critical,
}

impl FindingSeverity {
    /// Gravest first.
    pub const ALL: [FindingSeverity; 5] = [
        FindingSeverity::Critical,
        FindingSeverity::High,
        FindingSeverity::Medium,
        FindingSeverity::Low,
        FindingSeverity::Unknown,
    ];

    /// In lower case.
    pub fn name(self) -> &'static str {
        match self {
            FindingSeverity::Critical => "critical",
            FindingSeverity::High => "high",
            FindingSeverity::Medium => "medium",
            FindingSeverity::Low => "low",
            FindingSeverity::Unknown => "unknown",
        }
    }

    /// What a scanner's word means, whatever its case; words of other scanners are unknown.
    pub fn of_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|severity| severity.name().eq_ignore_ascii_case(word)).unwrap_or_default()
    }

    /// What a CVSS score from 0 to 10 means.
    pub fn of_score(score: f64) -> Self {
        match score {
            _ if score >= 9.0 => FindingSeverity::Critical,
            _ if score >= 7.0 => FindingSeverity::High,
            _ if score >= 4.0 => FindingSeverity::Medium,
            _ if score > 0.0 => FindingSeverity::Low,
            _ => FindingSeverity::Unknown,
        }
    }
}

/// A finding. Never holds the text of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Finding {
    /// `CVE-2019-1549`, `aws-access-token`: the scanner's rule.
    pub id: String,
    /// How grave.
    pub severity: FindingSeverity,
    /// What it is, in a line.
    pub title: String,
    /// The file, relative to what was scanned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// The version that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installed: Option<String>,
    /// The version that is mended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
    /// The commit that brought it, where the history was searched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The same for the same finding in the next run.
    pub fingerprint: String,
}

impl Finding {
    /// With texts that fit in a line, and a fingerprint if the scanner gave none. Lines are no part of it: they move.
    pub fn tidied(mut self) -> Self {
        self.id = line_of(&self.id);
        self.title = line_of(&self.title);
        for text in [&mut self.file, &mut self.package, &mut self.installed, &mut self.fixed, &mut self.commit] {
            *text = text.take().map(|text| line_of(&text)).filter(|text| !text.is_empty());
        }
        if self.fingerprint.is_empty() {
            let mut hash = Sha256::new();
            let parts = [Some(&self.id), self.file.as_ref(), self.package.as_ref(), self.installed.as_ref()];
            for part in parts {
                hash.update(part.map_or("", String::as_str));
                hash.update([0]);
            }
            self.fingerprint = hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        }
        self.fingerprint = line_of(&self.fingerprint);
        self
    }

    /// Where it is, in a line: `src/main.rs:12`, `openssl 1.1.1c`.
    pub fn place(&self) -> String {
        match (&self.package, &self.file) {
            (Some(package), _) => {
                format!("{package} {}", self.installed.as_deref().unwrap_or_default()).trim().to_owned()
            }
            (None, Some(file)) => match self.line {
                Some(line) => format!("{file}:{line}"),
                None => file.clone(),
            },
            (None, None) => String::new(),
        }
    }
}

/// How many of each severity, gravest first, those that are not there left out.
pub fn counts(findings: &[Finding]) -> Vec<(String, u64)> {
    FindingSeverity::ALL
        .into_iter()
        .map(|severity| (severity, findings.iter().filter(|finding| finding.severity == severity).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(severity, count)| (severity.name().to_owned(), count as u64))
        .collect()
}

/// A report is foreign text: no control characters (a terminal would obey them), one line, not too long.
fn line_of(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let plain = plain.trim();
    match plain.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}...", &plain[..end]),
        None => plain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_stay_when_lines_move_and_differ_with_the_package() {
        let finding = |package: &str, line| {
            Finding {
                id: "CVE-1".to_owned(),
                package: Some(package.to_owned()),
                line: Some(line),
                ..Finding::default()
            }
            .tidied()
            .fingerprint
        };
        assert_eq!(finding("a", 1), finding("a", 2));
        assert_ne!(finding("a", 1), finding("b", 1));
    }

    #[test]
    fn foreign_texts_become_one_plain_line() {
        let title = format!("\u{1b}[2Jred\n::set-output{}", "x".repeat(400));
        let tidied = Finding { title, ..Finding::default() }.tidied().title;
        assert!(tidied.starts_with("[2Jred ::set-output") && tidied.ends_with("...") && tidied.len() < 310, "{tidied}");
    }
}
