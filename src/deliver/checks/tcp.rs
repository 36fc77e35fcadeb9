//! An address that must take connections. The name of a Service is the cluster's: such a one is dialled within it, by way of
//! a pod behind it.

use std::time::Duration;

use serde_json::Value as Json;
use tokio::net::TcpStream;

use super::Target;
use crate::client::kube::{POD, SERVICE};
use crate::deliver::{sides, signs};

/// A connection's longest time.
const LIMIT: Duration = Duration::from_secs(5);

/// Dials it once.
pub(super) async fn once(target: &Target<'_>, address: &str) -> Result<(), String> {
    let (host, port) = address.rsplit_once(':').ok_or_else(|| format!("\"{address}\" is not HOST:PORT"))?;
    let port: u16 = port.parse().map_err(|_| format!("\"{address}\" has no port"))?;
    let (service, namespace) = service_of(host, &target.namespace);
    if let Some(service) = service {
        let found = target.cluster.find(&SERVICE, namespace, service).await.map_err(|error| error.to_string())?;
        if let Some(found) = found.filter(|found| found["spec"]["selector"].is_object()) {
            return within(target, namespace, &found, port).await;
        }
    }
    match tokio::time::timeout(LIMIT, TcpStream::connect((host, port))).await {
        Err(_) => Err(format!("no connection within {}", crate::clock::humanize(LIMIT))),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(_)) => Ok(()),
    }
}

/// The Service and namespace that a host's name means, where it can mean one.
fn service_of<'h>(host: &'h str, namespace: &'h str) -> (Option<&'h str>, &'h str) {
    let mut parts = host.split('.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(service), None, None) if service != "localhost" => (Some(service), namespace),
        (Some(service), Some(namespace), None | Some("svc")) if service.parse::<u8>().is_err() => {
            (Some(service), namespace)
        }
        _ => (None, namespace),
    }
}

async fn within(target: &Target<'_>, namespace: &str, service: &Json, port: u16) -> Result<(), String> {
    let name = sides::name(service);
    let labels = service["spec"]["selector"].as_object().cloned().unwrap_or_default();
    let pairs = labels.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    let selector = pairs.collect::<Vec<_>>().join(",");
    let pods = target.cluster.list(&POD, namespace, &selector).await.map_err(|error| error.to_string())?;
    let Some(pod) = pods.iter().find(|pod| signs::is_ready(pod)) else {
        return Err(format!("no pod behind service \"{name}\" is ready"));
    };
    let Some(port) = pod_port(service, pod, port) else {
        return Err(format!("service \"{name}\" has no port {port}"));
    };
    target.cluster.dial(namespace, sides::name(pod), port, LIMIT).await.map_err(|error| error.to_string())
}

/// The pod's port behind a port of a Service.
fn pod_port(service: &Json, pod: &Json, port: u16) -> Option<u16> {
    let number = |value: &Json| value.as_u64().and_then(|port| u16::try_from(port).ok());
    let found = service["spec"]["ports"].as_array()?.iter().find(|one| number(&one["port"]) == Some(port))?;
    match &found["targetPort"] {
        Json::Null => Some(port),
        Json::String(name) => {
            let containers = pod["spec"]["containers"].as_array()?;
            let mut ports = containers.iter().filter_map(|container| container["ports"].as_array()).flatten();
            number(&ports.find(|one| one["name"] == name.as_str())?["containerPort"])
        }
        target => number(target),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_services_are_told_from_hosts() {
        assert_eq!(service_of("db", "shop"), (Some("db"), "shop"));
        assert_eq!(service_of("db.data", "shop"), (Some("db"), "data"));
        assert_eq!(service_of("db.data.svc.cluster.local", "shop"), (Some("db"), "data"));
        assert_eq!(service_of("db.example.com", "shop").0, None);
        assert_eq!(service_of("127.0.0.1", "shop").0, None);
        assert_eq!(service_of("localhost", "shop").0, None);
    }

    #[test]
    fn a_services_port_leads_to_the_pods() {
        let pod = json!({"spec": {"containers": [{"ports": [{"name": "sql", "containerPort": 5433}]}]}});
        let service = |target: Json| json!({"spec": {"ports": [{"port": 5432, "targetPort": target}]}});
        assert_eq!(pod_port(&service(json!("sql")), &pod, 5432), Some(5433));
        assert_eq!(pod_port(&service(json!(7)), &pod, 5432), Some(7));
        assert_eq!(pod_port(&service(Json::Null), &pod, 5432), Some(5432));
        assert_eq!(pod_port(&service(Json::Null), &pod, 1), None);
    }
}
