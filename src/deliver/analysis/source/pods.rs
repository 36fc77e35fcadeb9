//! Numbers of the pods themselves, through the API server: no other thing need be there.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::Value as Json;

use super::super::counters::{Counters, Names};
use super::super::exposition::parse;
use super::{Counted, name, probes};
use crate::client::kube::Cluster;

/// A pod's time to answer.
const LIMIT: Duration = Duration::from_secs(1);

/// Asks all pods at once.
pub(super) async fn counted(
    cluster: &Cluster,
    namespace: &str,
    pods: &[&Json],
    port: Option<u16>,
    path: &str,
    names: &Names,
) -> Counted {
    let mut asked: FuturesUnordered<_> = pods
        .iter()
        .map(|pod| async move {
            let port = port.or_else(|| metrics_port(pod)).ok_or_else(|| {
                let why = "has neither a port named \"metrics\" nor an http readiness probe";
                format!("pod \"{}\" {why}: give \"analysis.pods\" a port", name(pod))
            })?;
            let reply =
                cluster.proxy(namespace, name(pod), port, path, LIMIT).await.map_err(|error| error.to_string())?;
            if reply.status != 200 {
                return Err(format!("pod \"{}\" answered {} on {path}", name(pod), reply.status));
            }
            let text = String::from_utf8_lossy(&reply.body);
            let mut aside = probes(pod);
            aside.push(path.to_owned());
            Ok((name(pod).to_owned(), Counters::read(&parse(&text, |name| names.wants(name)), names, &aside)))
        })
        .collect();
    let mut counted = Counted::default();
    while let Some(answer) = asked.next().await {
        match answer {
            Ok((pod, counters)) => {
                counted.by_pod.insert(pod, counters);
            }
            Err(error) => counted.trouble = Some(error),
        }
    }
    counted
}

/// The port named `metrics`, else the readiness probe's.
fn metrics_port(pod: &Json) -> Option<u16> {
    let containers = pod["spec"]["containers"].as_array()?;
    let number = |value: &Json| value.as_u64().and_then(|port| u16::try_from(port).ok());
    let named = |wanted: &str| {
        let mut ports = containers.iter().filter_map(|container| container["ports"].as_array()).flatten();
        ports.find(|port| port["name"] == wanted).and_then(|port| number(&port["containerPort"]))
    };
    let probe = || {
        let port = containers.iter().map(|container| &container["readinessProbe"]["httpGet"]["port"]);
        let port = port.into_iter().find(|port| !port.is_null())?;
        number(port).or_else(|| port.as_str().and_then(named))
    };
    named("metrics").or_else(probe)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_port_is_the_one_named_so_else_the_probes() {
        let ports = json!([{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9100}]);
        let pod = |ports: &Json, port: Json| json!({"spec": {"containers": [{"ports": ports, "readinessProbe": {"httpGet": {"path": "/r", "port": port}}}]}});
        assert_eq!(metrics_port(&pod(&ports, json!("http"))), Some(9100));
        let ports = json!([{"name": "http", "containerPort": 8080}]);
        assert_eq!(metrics_port(&pod(&ports, json!("http"))), Some(8080));
        assert_eq!(metrics_port(&pod(&ports, json!(8081))), Some(8081));
        assert_eq!(metrics_port(&json!({"spec": {"containers": [{}]}})), None);
        assert_eq!(probes(&pod(&ports, json!(1))), ["/r"]);
    }
}
