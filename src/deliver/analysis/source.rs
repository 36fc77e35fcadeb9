//! Where numbers come from: the pods themselves, or a Prometheus server.

mod pods;
mod prometheus;
mod usage;

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::counters::{Counters, Names};
use super::judge::Judge;
use crate::client::kube::Cluster;
use crate::stage::Analysis;
use crate::stage::analysis::Source as Setting;

use prometheus::Prometheus;

/// Gives the numbers of pods.
pub struct Source {
    from: From,
    names: Names,
    usage: bool,
}

enum From {
    /// Nothing is measured.
    Nowhere,
    Pods {
        port: Option<u16>,
        path: String,
    },
    Prometheus(Prometheus),
}

/// What a side's pods have counted, by name; pods that could not be read are left out, and why is told for one of them.
#[derive(Debug, Default)]
pub struct Counted {
    /// By the pod's name.
    pub by_pod: BTreeMap<String, Counters>,
    /// Why pods are left out.
    pub trouble: Option<String>,
}

impl Source {
    /// As the settings say.
    pub fn new(spec: &Analysis) -> Result<Self, String> {
        let counts = spec.errors.is_some() || !spec.quantiles.is_empty();
        let from = match &spec.source {
            Setting::Prometheus { url, token } if counts || !spec.queries.is_empty() => {
                From::Prometheus(Prometheus::new(url, token.clone())?)
            }
            Setting::Pods { port, path } if counts => From::Pods { port: *port, path: path.clone() },
            _ => From::Nowhere,
        };
        let usage = spec.cpu.is_some() || spec.memory.is_some();
        Ok(Self { from, names: Names::of(&spec.series), usage })
    }

    /// Whether each pod is asked for itself.
    pub fn asks_pods(&self) -> bool {
        matches!(self.from, From::Pods { .. })
    }

    /// What pods (their objects) have counted.
    pub async fn counted(&self, cluster: &Cluster, namespace: &str, pods: &[&Json]) -> Counted {
        if pods.is_empty() {
            return Counted::default();
        }
        match &self.from {
            From::Nowhere => Counted::default(),
            From::Pods { port, path } => pods::counted(cluster, namespace, pods, *port, path, &self.names).await,
            From::Prometheus(prometheus) => prometheus.counted(pods, &self.names).await,
        }
    }

    /// Measures what goes up and down. What could not be measured has no value; why is told.
    pub async fn gauges(
        &self,
        cluster: &Cluster,
        namespace: &str,
        judge: &mut Judge,
        spec: &Analysis,
        new: &[&Json],
        old: &[&Json],
    ) -> Option<String> {
        let mut trouble = None;
        let mut measured = BTreeMap::new();
        if self.usage {
            match usage::shares(cluster, namespace, new).await {
                Ok(shares) => measured.extend(shares),
                Err(error) => trouble = Some(error),
            }
        }
        for gauge in &mut judge.gauges {
            if let Some(share) = measured.get(gauge.name.as_str()) {
                gauge.push(Some(*share), None);
                continue;
            }
            let query = spec.queries.iter().find(|(name, _, _)| *name == gauge.name);
            if let (From::Prometheus(prometheus), Some((name, promql, _))) = (&self.from, query) {
                let old = if gauge.compares() { old } else { &[] };
                match prometheus.values(name, promql, new, old).await {
                    Ok((new, old)) => gauge.push(new, old),
                    Err(error) => trouble = Some(error),
                }
            }
        }
        trouble
    }

    /// Asks each query once, so that one that is wrong is told before anything depends on it.
    pub async fn try_queries(&self, spec: &Analysis, pods: &[&Json]) -> Result<(), String> {
        if let From::Prometheus(prometheus) = &self.from {
            for (name, promql, _) in &spec.queries {
                prometheus.values(name, promql, pods, &[]).await?;
            }
        }
        Ok(())
    }
}

/// A pod's name.
fn name(pod: &Json) -> &str {
    pod["metadata"]["name"].as_str().unwrap_or_default()
}

/// Paths that probes of a pod ask for: what they get says nothing of its users.
fn probes(pod: &Json) -> Vec<String> {
    let mut paths = Vec::new();
    for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
        for probe in ["readinessProbe", "livenessProbe", "startupProbe"] {
            paths.extend(container[probe]["httpGet"]["path"].as_str().map(str::to_owned));
        }
    }
    // A probe on the root says nothing about which requests are users'.
    paths.retain(|path| path != "/");
    paths
}
