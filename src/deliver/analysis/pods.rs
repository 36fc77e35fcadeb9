//! What the API server says of pods: restarts, crash loops, lost readiness.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value as Json;

use crate::client::kube::{Cluster, POD};
use crate::deliver::ground::{Gates, Tracks, Verdict};
use crate::deliver::signs;
use crate::event::GateReading;
use crate::stage::Analysis;
use crate::task::contract::TaskError;

/// Restarts by pod.
pub type Restarts = BTreeMap<String, u64>;

/// Watches the new version's pods.
pub struct Signs {
    cluster: Cluster,
    namespace: String,
    analysis: Analysis,
    pods: String,
    begun: Restarts,
}

impl Signs {
    /// From now on, or from `known`.
    pub async fn begin(
        cluster: &Cluster,
        namespace: &str,
        analysis: &Analysis,
        tracks: &Tracks,
        known: Option<Json>,
    ) -> Result<Self, TaskError> {
        let mut signs = Self {
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            analysis: analysis.clone(),
            pods: tracks.new.clone(),
            begun: Restarts::new(),
        };
        signs.begun = match known {
            Some(known) => {
                serde_json::from_value(known).map_err(|e| TaskError::Lost(format!("the counters on record: {e}")))?
            }
            None => {
                let pods = signs.list().await?;
                pods.iter().map(|pod| (name(pod), signs::restarts(pod).0)).collect()
            }
        };
        Ok(signs)
    }

    async fn list(&self) -> Result<Vec<Json>, TaskError> {
        self.cluster
            .list(&POD, &self.namespace, &self.pods)
            .await
            .map_err(|e| TaskError::failed(crate::diagnostic::chain(&e)))
    }

    /// What pods show now; `None` when nothing is wrong with them.
    pub async fn look(&self) -> Result<Option<GateReading>, TaskError> {
        let pods = self.list().await?;
        let allowed = self.analysis.restarts.unwrap_or(0);
        let grown: u64 = pods
            .iter()
            .map(|pod| signs::restarts(pod).0.saturating_sub(self.begun.get(&name(pod)).copied().unwrap_or(0)))
            .sum();
        let reading = |gate: &str, measured: String, limit: String| GateReading {
            gate: gate.to_owned(),
            measured,
            limit,
            samples: pods.len() as u64,
            confidence: String::new(),
            severity: "P0".to_owned(),
        };
        if grown > allowed {
            let why = pods.iter().find_map(|pod| signs::restarts(pod).1);
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            return Ok(Some(reading("restarts", format!("{grown}{why}"), allowed.to_string())));
        }
        if let Some(why) = pods.iter().find_map(signs::hopeless) {
            return Ok(Some(reading("pods", why, "ready".to_owned())));
        }
        Ok(None)
    }
}

#[async_trait]
impl Gates for Signs {
    fn snapshot(&self) -> Json {
        serde_json::to_value(&self.begun).unwrap_or_default()
    }

    async fn next(&mut self) -> Verdict {
        tokio::time::sleep(self.analysis.every()).await;
        match self.look().await {
            Ok(None) => Verdict::Pass,
            Ok(Some(reading)) => Verdict::Fail(vec![reading]),
            Err(_) => Verdict::Hold,
        }
    }

    async fn finish(&mut self) -> Verdict {
        match self.look().await {
            Ok(Some(reading)) => Verdict::Fail(vec![reading]),
            _ => Verdict::Pass,
        }
    }
}

fn name(pod: &Json) -> String {
    pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}
