//! `analysis:`: the gates of a release, and where their numbers come from.

use std::time::Duration;

use crate::diagnostic::Diagnostic;
use crate::model::{Node, codes};

use super::Severity;
use super::settings::Reader;

/// Where numbers come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A Prometheus server.
    Prometheus {
        /// Its URL.
        url: String,
        /// A bearer token.
        token: Option<String>,
    },
    /// The pods themselves.
    Pods {
        /// The port; without it the one named `metrics`, else the readiness probe's.
        port: Option<u16>,
        /// The path.
        path: String,
    },
}

/// Names of series; what is not given is found among the usual names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// The counter of requests.
    pub requests: Option<String>,
    /// Its label with the status.
    pub status: Option<String>,
    /// The histogram of latencies in seconds.
    pub latency: Option<String>,
}

/// A gate's limits; what is not given does not count.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gate {
    /// Above this it fails: a fraction for errors, seconds for latencies, a number for queries.
    pub max: Option<f64>,
    /// Under this it fails (queries).
    pub min: Option<f64>,
    /// So much above the old version it fails.
    pub max_delta: Option<f64>,
    /// So many times the old version's it fails.
    pub max_ratio: Option<f64>,
    /// What a failure means.
    pub severity: Severity,
}

/// What to do when no requests come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoTraffic {
    /// Watch on, at most `watch` once more, then it fails.
    #[default]
    Hold,
    /// It fails.
    Fail,
    /// It passes.
    Pass,
}

/// The settings of `analysis`.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// Where numbers come from.
    pub source: Source,
    /// Time between samples; none: 15 s, from pods 1 s.
    pub every: Option<Duration>,
    /// Names of series.
    pub series: Series,
    /// The share of failed requests.
    pub errors: Option<Gate>,
    /// Latencies: the quantile in percent (95) and its gate.
    pub quantiles: Vec<(u8, Gate)>,
    /// Restarts of containers that are let pass; without it any counts as a crash.
    pub restarts: Option<u64>,
    /// Share of the CPU limit.
    pub cpu: Option<f64>,
    /// Share of the memory limit.
    pub memory: Option<f64>,
    /// Queries by name: text and gate.
    pub queries: Vec<(String, String, Gate)>,
    /// Requests before any verdict.
    pub min_requests: u64,
    /// What to do when none come.
    pub no_traffic: NoTraffic,
    /// So long without a sample it fails.
    pub max_gap: Duration,
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            source: Source::Pods { port: None, path: "/metrics".to_owned() },
            every: None,
            series: Series::default(),
            errors: None,
            quantiles: Vec::new(),
            restarts: None,
            cpu: None,
            memory: None,
            queries: Vec::new(),
            min_requests: 20,
            no_traffic: NoTraffic::Hold,
            max_gap: Duration::from_secs(60),
        }
    }
}

const QUANTILES: [(&str, u8); 6] = [("p50", 50), ("p75", 75), ("p90", 90), ("p95", 95), ("p98", 98), ("p99", 99)];
const KEYS: &[&str] = &[
    "prometheus",
    "pods",
    "every",
    "series",
    "errors",
    "p50",
    "p75",
    "p90",
    "p95",
    "p98",
    "p99",
    "restarts",
    "cpu",
    "memory",
    "queries",
    "min-requests",
    "no-traffic",
    "max-gap",
];
const MANY: u64 = 1_000_000_000;

/// What the numbers of a gate are.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    Errors,
    Latency,
}

impl Analysis {
    /// Time between samples.
    pub fn every(&self) -> Duration {
        self.every.unwrap_or(match self.source {
            Source::Prometheus { .. } => Duration::from_secs(15),
            Source::Pods { .. } => Duration::from_secs(1),
        })
    }

    /// Whether anything is measured beside the pods' own signs.
    pub fn measures(&self) -> bool {
        self.errors.is_some() || !self.quantiles.is_empty() || !self.queries.is_empty()
    }

    /// Reads the settings; what is wrong is reported, and then there is none.
    pub fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let settings = reader.map("analysis", node, KEYS, &[])?;
        let mut analysis = Self::default();
        if let (Some(_), Some(_)) = (settings.get("prometheus"), settings.get("pods")) {
            let message = "\"analysis\" has \"pods\" beside \"prometheus\": numbers come from one place";
            reader.push(Diagnostic::error(codes::CONFLICT, settings.key_span("pods"), message));
        }
        if let Some(node) = settings.get("prometheus") {
            analysis.source = match node.entries() {
                None => Source::Prometheus { url: reader.text("prometheus", node)?, token: None },
                Some(_) => {
                    let map = reader.map("prometheus", node, &["url", "token"], &["url"])?;
                    let url = map.get("url").and_then(|node| reader.text("url", node))?;
                    Source::Prometheus { url, token: map.get("token").and_then(|node| reader.text("token", node)) }
                }
            };
        }
        if let Some(node) = settings.get("pods") {
            let map = reader.map("pods", node, &["port", "path"], &[])?;
            let port = map.get("port").and_then(|node| reader.integer("port", node, 1..=65_535));
            let path = map.get("path").and_then(|node| reader.text("path", node));
            analysis.source = Source::Pods {
                port: port.map(|port| port as u16),
                path: path.unwrap_or_else(|| "/metrics".to_owned()),
            };
        }
        if let Some(node) = settings.get("series") {
            let map = reader.map("series", node, &["requests", "status", "latency"], &[])?;
            let mut text = |key: &str| map.get(key).and_then(|node| reader.text(key, node));
            analysis.series = Series { requests: text("requests"), status: text("status"), latency: text("latency") };
        }
        analysis.every = settings.get("every").and_then(|node| reader.duration("every", node));
        analysis.errors = settings.get("errors").and_then(|node| gate(reader, "errors", node, Of::Errors));
        for (name, quantile) in QUANTILES {
            let gate = settings.get(name).and_then(|node| gate(reader, name, node, Of::Latency));
            analysis.quantiles.extend(gate.map(|gate| (quantile, gate)));
        }
        analysis.restarts = settings.get("restarts").and_then(|node| reader.integer("restarts", node, 0..=MANY));
        analysis.cpu = settings.get("cpu").and_then(|node| reader.percent("cpu", node));
        analysis.memory = settings.get("memory").and_then(|node| reader.percent("memory", node));
        if let Some(node) = settings.get("queries") {
            let Some(entries) = node.entries() else {
                reader.wrong_kind("queries", node, "a map of queries");
                return None;
            };
            for entry in entries {
                analysis.queries.extend(query(reader, &entry.key, &entry.value));
            }
        }
        if let (Some(node), Source::Pods { .. }) = (settings.get("queries"), &analysis.source) {
            let help = "add `prometheus: URL`";
            reader.refuse(
                node,
                "\"queries\" are asked of Prometheus, and \"analysis\" names none",
                Some(help.to_owned()),
            );
        }
        if let Some(number) =
            settings.get("min-requests").and_then(|node| reader.integer("min-requests", node, 1..=MANY))
        {
            analysis.min_requests = number;
        }
        analysis.no_traffic =
            match settings.get("no-traffic").map(|node| reader.word("no-traffic", node, &["hold", "fail", "pass"])) {
                Some(Some("fail")) => NoTraffic::Fail,
                Some(Some("pass")) => NoTraffic::Pass,
                _ => NoTraffic::Hold,
            };
        if let Some(gap) = settings.get("max-gap").and_then(|node| reader.duration("max-gap", node)) {
            analysis.max_gap = gap;
        }
        Some(analysis)
    }
}

fn query(reader: &mut Reader<'_>, name: &str, node: &Node) -> Option<(String, String, Gate)> {
    let keys = &["promql", "max", "min", "max-delta", "max-ratio", "severity"];
    let map = reader.map("query", node, keys, &["promql"])?;
    let text = map.get("promql").and_then(|node| reader.text("promql", node))?;
    let mut number = |key: &str| map.get(key).and_then(|node| reader.number(key, node));
    let (max, min) = (number("max"), number("min"));
    let (max_delta, max_ratio) = (number("max-delta"), number("max-ratio"));
    if max.is_none() && min.is_none() && max_delta.is_none() && max_ratio.is_none() {
        let message = format!("query \"{name}\" has no limit: give it max, min, max-delta or max-ratio");
        reader.push(Diagnostic::error(codes::MISSING, map.span, message));
    }
    let severity = map.get("severity").map_or(Severity::P0, |node| severity(reader, node));
    Some((name.to_owned(), text, Gate { max, min, max_delta, max_ratio, severity }))
}

fn gate(reader: &mut Reader<'_>, name: &str, node: &Node, of: Of) -> Option<Gate> {
    let limit = |reader: &mut Reader<'_>, name: &str, node: &Node| match of {
        Of::Errors => reader.percent(name, node),
        Of::Latency => reader.duration(name, node).map(|limit| limit.as_secs_f64()),
    };
    if node.entries().is_none() {
        return limit(reader, name, node).map(|max| Gate { max: Some(max), ..Gate::default() });
    }
    let keys: &[&'static str] = match of {
        Of::Errors => &["max", "max-delta", "max-ratio", "severity"],
        Of::Latency => &["max", "max-ratio", "severity"],
    };
    let map = reader.map(name, node, keys, &[])?;
    let mut gate = Gate {
        max: map.get("max").and_then(|node| limit(reader, "max", node)),
        max_delta: map.get("max-delta").and_then(|node| reader.points("max-delta", node)),
        max_ratio: map.get("max-ratio").and_then(|node| reader.number("max-ratio", node)),
        ..Gate::default()
    };
    if let Some(node) = map.get("severity") {
        gate.severity = severity(reader, node);
    }
    Some(gate)
}

/// `P0` to `P3`.
pub(super) fn severity(reader: &mut Reader<'_>, node: &Node) -> Severity {
    match reader.word("severity", node, &["P0", "P1", "P2", "P3"]) {
        Some("P1") => Severity::P1,
        Some("P2") => Severity::P2,
        Some("P3") => Severity::P3,
        _ => Severity::P0,
    }
}
