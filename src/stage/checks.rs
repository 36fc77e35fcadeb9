//! Checks of what runs: `smoke` of a deploy, and `verify`.

use std::time::Duration;

use crate::model::Node;

use super::settings::{Reader, Settings};

/// An HTTP check.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpCheck {
    /// A path (on the environment's URL, in `smoke` on the new version's pods) or a URL.
    pub target: String,
    /// The status wanted; none: any of 200 to 399.
    pub status: Option<u16>,
    /// Text that the body must hold.
    pub body: Option<String>,
    /// The longest time until the answer.
    pub latency: Option<Duration>,
    /// Time between tries.
    pub every: Duration,
    /// A try's longest time.
    pub timeout: Duration,
    /// So many good answers in a row.
    pub success_threshold: u32,
    /// So many bad ones in a row make it fail once it had been good.
    pub failure_threshold: u32,
    /// Whether it is asked from within the namespace, not from where Slipway runs.
    pub from_namespace: bool,
}

impl HttpCheck {
    /// Of this path or URL, all else as it is by default.
    pub fn of(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            status: None,
            body: None,
            latency: None,
            every: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            success_threshold: 1,
            failure_threshold: 3,
            from_namespace: false,
        }
    }

    /// Whether it names a whole URL.
    pub fn is_url(&self) -> bool {
        self.target.contains("://")
    }
}

/// A command in a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecCheck {
    /// `deployment/backend`, `statefulset/db`, or a pod's name.
    pub pod: String,
    /// The namespace, by default the deploy's.
    pub namespace: Option<String>,
    /// The command, for the pod's `sh -c`.
    pub run: String,
}

/// What is checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checks {
    /// HTTP.
    pub http: Vec<HttpCheck>,
    /// Addresses that must accept a connection: `db:5432`.
    pub tcp: Vec<String>,
    /// Commands in pods.
    pub exec: Vec<ExecCheck>,
    /// Job manifests that must succeed.
    pub jobs: Vec<String>,
    /// All pods updated, available, on the digest asked for, without restarts.
    pub pods_ready: bool,
    /// The autoscaler can work.
    pub hpa_able: bool,
}

/// The keys.
pub const KEYS: &[&str] = &["http", "tcp", "exec", "job", "pods", "hpa"];
const HTTP_KEYS: &[&str] =
    &["path", "url", "status", "body", "latency", "every", "timeout", "success-threshold", "failure-threshold", "from"];
const MANY: u64 = 1000;

impl Checks {
    /// Whether nothing is checked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads a map that holds nothing but checks (`smoke`).
    pub fn read(reader: &mut Reader<'_>, name: &str, node: &Node) -> Option<Self> {
        let settings = reader.map(name, node, KEYS, &[])?;
        Some(Self::within(reader, &settings))
    }

    /// Reads the checks of a map that holds more.
    pub fn within(reader: &mut Reader<'_>, settings: &Settings<'_>) -> Self {
        let mut checks = Self::default();
        if let Some(node) = settings.get("http") {
            let nodes = node.items().unwrap_or(std::slice::from_ref(node));
            checks.http = nodes.iter().filter_map(|node| http(reader, node)).collect();
        }
        if let Some(node) = settings.get("tcp") {
            checks.tcp = reader.texts("tcp", node);
            for address in &checks.tcp {
                let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>().is_ok());
                if port != Some(true) && !address.contains("${{") {
                    reader.refuse(node, format!("\"tcp\" takes HOST:PORT, not \"{address}\""), None);
                }
            }
        }
        if let Some(node) = settings.get("exec") {
            let nodes = node.items().unwrap_or(std::slice::from_ref(node));
            checks.exec = nodes.iter().filter_map(|node| exec(reader, node)).collect();
        }
        if let Some(node) = settings.get("job") {
            checks.jobs = reader.texts("job", node);
        }
        checks.pods_ready = settings.get("pods").is_some_and(|node| reader.word("pods", node, &["ready"]).is_some());
        checks.hpa_able = settings.get("hpa").is_some_and(|node| reader.word("hpa", node, &["able"]).is_some());
        checks
    }
}

fn http(reader: &mut Reader<'_>, node: &Node) -> Option<HttpCheck> {
    if node.entries().is_none() {
        return reader.text("http", node).map(HttpCheck::of);
    }
    let map = reader.map("http", node, HTTP_KEYS, &[])?;
    let (path, url) = (map.get("path"), map.get("url"));
    let target = match (path, url) {
        (Some(path), None) => reader.text("path", path)?,
        (None, Some(url)) => reader.text("url", url)?,
        _ => {
            reader.refuse(node, "\"http\" needs one of path and url", None);
            return None;
        }
    };
    let mut check = HttpCheck::of(target);
    if let Some(node) = map.get("status") {
        check.status = reader.integer("status", node, 100..=599).map(|status| status as u16);
    }
    check.body = map.get("body").and_then(|node| reader.text("body", node));
    check.latency = map.get("latency").and_then(|node| reader.duration("latency", node));
    if let Some(every) = map.get("every").and_then(|node| reader.duration("every", node)) {
        check.every = every;
    }
    if let Some(timeout) = map.get("timeout").and_then(|node| reader.duration("timeout", node)) {
        check.timeout = timeout;
    }
    if let Some(node) = map.get("success-threshold") {
        check.success_threshold = reader.integer("success-threshold", node, 1..=MANY)? as u32;
    }
    if let Some(node) = map.get("failure-threshold") {
        check.failure_threshold = reader.integer("failure-threshold", node, 1..=MANY)? as u32;
    }
    let from = map.get("from").and_then(|node| reader.word("from", node, &["runner", "namespace"]));
    check.from_namespace = from == Some("namespace");
    Some(check)
}

fn exec(reader: &mut Reader<'_>, node: &Node) -> Option<ExecCheck> {
    let map = reader.map("exec", node, &["pod", "namespace", "run"], &["pod", "run"])?;
    let pod = map.get("pod").and_then(|node| reader.text("pod", node));
    let run = map.get("run").and_then(|node| reader.text("run", node));
    let namespace = map.get("namespace").and_then(|node| reader.text("namespace", node));
    Some(ExecCheck { pod: pod?, namespace, run: run? })
}
