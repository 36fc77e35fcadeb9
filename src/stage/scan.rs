//! `scan:`. Looks for leaked secrets and vulnerabilities.

use crate::diagnostic::Diagnostic;
use crate::model::{Node, codes};

use super::settings::{Reader, Settings};

/// What trivy may be asked to report.
const TRIVY_SEVERITIES: [&str; 5] = ["UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL"];
/// The scanners that run today.
const TOOLS: [&str; 3] = ["gitleaks", "trivy", "sarif"];
/// Those that are read and refused by name.
const LATER: [&str; 3] = ["sonarqube", "snyk", "dependency-check"];

/// The settings of `scan`.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// Which scanner, and what it is asked.
    pub tool: ScanTool,
    /// From which severity on the stage fails.
    pub fail_on: FailOn,
    /// The file that lists what is known; none: the usual one, if it is there.
    pub ignore: Option<String>,
}

/// A scanner.
#[derive(Debug, Clone, PartialEq)]
pub enum ScanTool {
    /// Leaked secrets.
    Gitleaks {
        /// Whether all commits are searched, or only the files as they stand.
        history: bool,
    },
    /// Vulnerabilities.
    Trivy {
        /// Of what.
        target: TrivyTarget,
        /// What it reports, as trivy spells it; empty: everything.
        severity: Vec<String>,
    },
    /// Any scanner that writes SARIF.
    Sarif {
        /// The script that runs it.
        run: String,
        /// The report that it writes, relative to the workspace.
        file: String,
    },
}

/// What trivy looks at.
#[derive(Debug, Clone, PartialEq)]
pub enum TrivyTarget {
    /// An image by its name.
    Image(String),
    /// Files below this folder of the workspace.
    Fs(String),
}

/// From which severity on findings fail the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailOn {
    /// Only critical ones.
    Critical,
    /// High and above.
    #[default]
    High,
    /// Medium and above.
    Medium,
    /// Low and above.
    Low,
    /// Every finding, also of unknown severity.
    Any,
    /// None.
    None,
}

impl FailOn {
    const NAMES: [(&'static str, FailOn); 6] = [
        ("high", FailOn::High),
        ("critical", FailOn::Critical),
        ("medium", FailOn::Medium),
        ("low", FailOn::Low),
        ("any", FailOn::Any),
        ("none", FailOn::None),
    ];

    /// As the file spells it.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, value)| *value == self).map_or("high", |(name, _)| name)
    }
}

impl Default for Scan {
    fn default() -> Self {
        Self { tool: ScanTool::Gitleaks { history: true }, fail_on: FailOn::default(), ignore: None }
    }
}

impl Scan {
    /// Where known findings are listed when the file does not say.
    pub const IGNORE: &str = ".slipway/ignore.yml";

    /// Reads the settings; what is wrong is reported, and then there is none.
    pub fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        if node.entries().is_none() {
            let choices: Vec<&'static str> = TOOLS.into_iter().chain(LATER).collect();
            let name = reader.word("scan", node, &choices)?;
            return match name {
                "gitleaks" => Some(Self::default()),
                // An expression: what it gives is read at the start of the stage.
                _ if reader.is_open(node) => Some(Self::default()),
                _ if LATER.contains(&name) => {
                    let message = format!("\"scan\" by \"{name}\" is read but cannot be done yet");
                    reader.push(Diagnostic::error(codes::NOT_YET, node.span, message).help(needs(name)));
                    Some(Self::default())
                }
                _ => {
                    reader.refuse(node, format!("\"{name}\" needs settings"), Some(needs(name).to_owned()));
                    None
                }
            };
        }
        let mut keys = TOOLS.to_vec();
        keys.extend(LATER);
        keys.extend(["fail-on", "ignore"]);
        let settings = reader.map("scan", node, &keys, &[])?;
        reader.not_yet(&settings, &LATER);
        let chosen: Vec<&str> = TOOLS.into_iter().filter(|tool| settings.given(tool).is_some()).collect();
        let fail_on = match settings.get("fail-on") {
            Some(node) => {
                let names = FailOn::NAMES.map(|(name, _)| name);
                let name = reader.word("fail-on", node, &names)?;
                FailOn::NAMES.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)?
            }
            None => FailOn::default(),
        };
        let ignore = settings.get("ignore").and_then(|node| reader.text("ignore", node));
        let tool = match chosen[..] {
            ["gitleaks"] => gitleaks(reader, &settings)?,
            ["trivy"] => trivy(reader, &settings)?,
            ["sarif"] => sarif(reader, &settings)?,
            [] if LATER.iter().any(|tool| settings.given(tool).is_some()) => return None,
            [] => {
                reader.refuse(node, "\"scan\" needs a scanner", Some(format!("it is one of {}", TOOLS.join(", "))));
                return None;
            }
            _ => {
                reader.refuse(node, format!("\"scan\" takes one scanner, not {}", chosen.join(" and ")), None);
                return None;
            }
        };
        Some(Self { tool, fail_on, ignore })
    }

    /// The image that the scanner runs in when the stage names none.
    pub fn default_image(&self) -> Option<&'static str> {
        match self.tool {
            ScanTool::Gitleaks { .. } => Some("zricethezav/gitleaks"),
            ScanTool::Trivy { .. } => Some("aquasec/trivy"),
            ScanTool::Sarif { .. } => None,
        }
    }

    /// What the scanner is called.
    pub fn tool_name(&self) -> &'static str {
        match self.tool {
            ScanTool::Gitleaks { .. } => "gitleaks",
            ScanTool::Trivy { .. } => "trivy",
            ScanTool::Sarif { .. } => "sarif",
        }
    }
}

fn needs(name: &str) -> &'static str {
    match name {
        "trivy" => "say what it looks at: {trivy: {image: NAME}} or {trivy: {fs: .}}",
        "sarif" => "say how it runs and what it writes: {sarif: {run: COMMAND, file: REPORT}}",
        _ => "this version reads it but cannot do it yet; any scanner that writes SARIF runs with \"sarif\"",
    }
}

fn gitleaks(reader: &mut Reader<'_>, settings: &Settings<'_>) -> Option<ScanTool> {
    let history = match settings.get("gitleaks") {
        Some(node) => {
            let gitleaks = reader.map("gitleaks", node, &["history"], &[])?;
            gitleaks.get("history").map_or(Some(true), |node| reader.boolean("history", node))?
        }
        None => true,
    };
    Some(ScanTool::Gitleaks { history })
}

fn trivy(reader: &mut Reader<'_>, settings: &Settings<'_>) -> Option<ScanTool> {
    let Some(node) = settings.get("trivy") else {
        let at = settings.given("trivy")?;
        reader.refuse(at, "\"trivy\" needs settings", Some(needs("trivy").to_owned()));
        return None;
    };
    let trivy = reader.map("trivy", node, &["image", "fs", "config", "severity"], &[])?;
    reader.not_yet(&trivy, &["config"]);
    let image = trivy.get("image").and_then(|node| Some((node, reader.text("image", node)?)));
    let fs = trivy.get("fs").and_then(|node| Some((node, reader.text("fs", node)?)));
    let mut severity = Vec::new();
    if let Some(node) = trivy.get("severity") {
        for item in node.items().map_or_else(|| vec![node], |items| items.iter().collect()) {
            if reader.is_open(item) {
                continue;
            }
            let upper = reader.text("severity", item)?.to_uppercase();
            // One text may hold several, as on trivy's command line.
            for word in upper.split(',').map(str::trim) {
                if TRIVY_SEVERITIES.contains(&word) {
                    severity.push(word.to_owned());
                } else {
                    let help = format!("it is one of {}", TRIVY_SEVERITIES.join(", "));
                    reader.refuse(item, format!("\"severity\" cannot be \"{word}\""), Some(help));
                    return None;
                }
            }
        }
    }
    let target = match (image, fs) {
        (Some((_, image)), None) => TrivyTarget::Image(image),
        (None, Some((_, fs))) => TrivyTarget::Fs(fs),
        (Some((node, _)), Some(_)) => {
            reader.refuse(node, "\"trivy\" takes \"image\" or \"fs\", not both", Some("make two stages".to_owned()));
            return None;
        }
        (None, None) if trivy.given("config").is_some() => return None,
        (None, None) => {
            reader.refuse(node, "\"trivy\" needs \"image\" or \"fs\"", Some(needs("trivy").to_owned()));
            return None;
        }
    };
    Some(ScanTool::Trivy { target, severity })
}

fn sarif(reader: &mut Reader<'_>, settings: &Settings<'_>) -> Option<ScanTool> {
    let Some(node) = settings.get("sarif") else {
        let at = settings.given("sarif")?;
        reader.refuse(at, "\"sarif\" needs settings", Some(needs("sarif").to_owned()));
        return None;
    };
    let sarif = reader.map("sarif", node, &["run", "file"], &["run", "file"])?;
    let run = sarif.get("run").and_then(|node| reader.text("run", node));
    let file = sarif.get("file").and_then(|node| reader.text("file", node));
    Some(ScanTool::Sarif { run: run?, file: file? })
}
