//! `incident:` of a file: what happens when a release goes back, or should.

use std::time::Duration;

use crate::model::Node;

use super::settings::Reader;

/// How grave a failing gate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
pub enum Severity {
    /// Back at once.
    #[default]
    P0,
    /// A person is paged and decides.
    P1,
    /// The same, with more time.
    P2,
    /// Only the report.
    P3,
}

/// The settings of `incident`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Incident {
    /// Where reports go beside the run's folder, relative to the checkout.
    pub report: Option<String>,
    /// Within which time a person must have decided, before they are paged again.
    pub sla: Vec<(Severity, Duration)>,
    /// A script that is run with the report's path in `SLIPWAY_INCIDENT`.
    pub run: Option<String>,
}

impl Incident {
    /// Reads the settings; what is wrong is reported, and then there is none.
    pub fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let settings = reader.map("incident", node, &["report", "sla", "run"], &[])?;
        let mut incident = Self {
            report: settings.get("report").and_then(|node| reader.text("report", node)),
            run: settings.get("run").and_then(|node| reader.text("run", node)),
            ..Self::default()
        };
        if let Some(node) = settings.get("sla")
            && let Some(sla) = reader.map("sla", node, &["P1", "P2"], &[])
        {
            for (name, severity) in [("P1", Severity::P1), ("P2", Severity::P2)] {
                let limit = sla.get(name).and_then(|node| reader.duration(name, node));
                incident.sla.extend(limit.map(|limit| (severity, limit)));
            }
        }
        Some(incident)
    }

    /// Within which time a person must have decided: the file's, else 30 minutes for P1 and 2 hours for P2.
    pub fn limit(&self, severity: Severity) -> Duration {
        let given = self.sla.iter().find(|(of, _)| *of == severity).map(|(_, limit)| *limit);
        let minutes = if severity == Severity::P2 { 120 } else { 30 };
        given.unwrap_or(Duration::from_secs(minutes * 60))
    }
}
