//! The use of CPU and memory, as shares of the pods' limits, from the cluster's own metrics.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::name;
use crate::client::kube::{Cluster, Kind};

/// Shares by name (`cpu`, `memory`), each the highest of the pods; what has no limit has no share.
pub(super) async fn shares(
    cluster: &Cluster,
    namespace: &str,
    pods: &[&Json],
) -> Result<BTreeMap<&'static str, f64>, String> {
    let kind = Kind {
        api_version: "metrics.k8s.io/v1beta1".into(),
        kind: "PodMetrics".into(),
        plural: "pods".into(),
        namespaced: true,
    };
    let metrics = cluster.list(&kind, namespace, "").await.map_err(|error| error.to_string())?;
    let mut highest = BTreeMap::new();
    for pod in pods {
        let Some(used) = metrics.iter().find(|metrics| name(metrics) == name(pod)) else {
            continue;
        };
        for resource in ["cpu", "memory"] {
            let (used, limit) = (used_of(used, resource), limit_of(pod, resource));
            if let (Some(used), Some(limit)) = (used, limit.filter(|limit| *limit > 0.0)) {
                let share: &mut f64 = highest.entry(resource).or_default();
                *share = share.max(used / limit);
            }
        }
    }
    Ok(highest)
}

fn used_of(metrics: &Json, resource: &str) -> Option<f64> {
    let containers = metrics["containers"].as_array()?;
    containers.iter().map(|container| quantity(container["usage"][resource].as_str()?)).sum()
}

/// The sum of the containers' limits; none when one has none.
fn limit_of(pod: &Json, resource: &str) -> Option<f64> {
    let containers = pod["spec"]["containers"].as_array()?;
    containers.iter().map(|container| quantity(container["resources"]["limits"][resource].as_str()?)).sum()
}

/// A quantity as Kubernetes writes them: `250m`, `64Mi`, `1.5`.
fn quantity(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let scale = match unit {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * scale)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_read_and_shares_need_every_limit() {
        assert_eq!(quantity("250m"), Some(0.25));
        assert_eq!(quantity("64Mi"), Some(67_108_864.0));
        assert_eq!(quantity("1.5"), Some(1.5));
        assert_eq!(quantity("5 apples"), None);
        let limits = |all: &[&str]| {
            let containers: Vec<Json> = all.iter().map(|cpu| json!({"resources": {"limits": {"cpu": cpu}}})).collect();
            json!({"spec": {"containers": containers}})
        };
        assert_eq!(limit_of(&limits(&["500m", "500m"]), "cpu"), Some(1.0));
        assert_eq!(limit_of(&json!({"spec": {"containers": [{}, {}]}}), "cpu"), None);
        let used = json!({"containers": [{"usage": {"cpu": "250000000n"}}, {"usage": {"cpu": "1"}}]});
        assert_eq!(used_of(&used, "cpu"), Some(1.25));
    }
}
