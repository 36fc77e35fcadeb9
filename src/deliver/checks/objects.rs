//! Whether the pods are all there and as asked for, and whether the autoscaler can work.

use serde_json::Value as Json;

use super::{Target, Workload};
use crate::client::kube::{DEPLOYMENT, HPA, POD};
use crate::deliver::{sides, signs};

/// All pods updated and available, on the images asked for, without restarts.
pub(super) async fn pods_ready(target: &Target<'_>) -> Result<(), String> {
    if target.workloads.is_empty() {
        return Err(format!("no deployment is found in namespace \"{}\"", target.namespace));
    }
    for Workload { namespace, name, images } in &target.workloads {
        let live = target.cluster.get(&DEPLOYMENT, namespace, name).await.map_err(|error| error.to_string())?;
        out(&live)?;
        let pods = target.cluster.list(&POD, namespace, &sides::pod_selector(&live)).await;
        for pod in pods.map_err(|error| error.to_string())? {
            as_asked(&pod, images)?;
        }
    }
    Ok(())
}

fn out(live: &Json) -> Result<(), String> {
    if sides::is_out(live) {
        return Ok(());
    }
    let number = |pointer: &str| live.pointer(pointer).and_then(Json::as_u64).unwrap_or(0);
    Err(format!(
        "deployment \"{}\": of {} pods {} are updated and {} available",
        sides::name(live),
        sides::replicas(live),
        number("/status/updatedReplicas"),
        number("/status/availableReplicas")
    ))
}

fn as_asked(pod: &Json, images: &[(String, String)]) -> Result<(), String> {
    let name = sides::name(pod);
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return Ok(());
    }
    if !signs::is_ready(pod) {
        return Err(format!("pod \"{name}\" is not ready"));
    }
    if let (restarts @ 1.., why) = signs::restarts(pod) {
        let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
        return Err(format!("pod \"{name}\" has restarted {restarts} times{why}"));
    }
    for container in pod["status"]["containerStatuses"].as_array().into_iter().flatten() {
        let of = container["name"].as_str().unwrap_or_default();
        let Some((_, asked)) = images.iter().find(|(name, _)| name == of) else { continue };
        let specs = pod["spec"]["containers"].as_array();
        let runs = specs.into_iter().flatten().find(|spec| spec["name"] == of).map(|spec| &spec["image"]);
        let pulled = container["imageID"].as_str().unwrap_or_default();
        let is_asked = match asked.split_once('@') {
            Some((_, digest)) => pulled.ends_with(digest) || runs.is_some_and(|image| image == asked),
            None => runs.is_some_and(|image| image == asked),
        };
        if !is_asked {
            let runs = runs.and_then(Json::as_str).unwrap_or(pulled);
            return Err(format!("pod \"{name}\" runs {runs} in container \"{of}\", not {asked}"));
        }
    }
    Ok(())
}

/// The autoscaler of each Deployment that has one, of at least one.
pub(super) async fn autoscaler_able(target: &Target<'_>) -> Result<(), String> {
    let mut found = false;
    for Workload { namespace, name, .. } in &target.workloads {
        let all = target.cluster.list(&HPA, namespace, "").await.map_err(|error| error.to_string())?;
        for autoscaler in &all {
            let scaled = &autoscaler["spec"]["scaleTargetRef"];
            if scaled["kind"] == "Deployment" && scaled["name"] == name.as_str() {
                found = true;
                able(autoscaler)?;
            }
        }
    }
    let names: Vec<&str> = target.workloads.iter().map(|workload| workload.name.as_str()).collect();
    if found { Ok(()) } else { Err(format!("no autoscaler scales deployment {}", names.join(", "))) }
}

fn able(autoscaler: &Json) -> Result<(), String> {
    let name = sides::name(autoscaler);
    for kind in ["AbleToScale", "ScalingActive"] {
        let conditions = autoscaler["status"]["conditions"].as_array();
        let condition = conditions.into_iter().flatten().find(|one| one["type"] == kind);
        match condition {
            Some(condition) if condition["status"] == "True" => {}
            Some(condition) => {
                let why = condition["message"].as_str().unwrap_or("it does not say why");
                return Err(format!("autoscaler \"{name}\": {kind} is not true: {why}"));
            }
            None => return Err(format!("autoscaler \"{name}\" has not looked yet")),
        }
    }
    let number = |pointer: &str| autoscaler.pointer(pointer).and_then(Json::as_u64);
    let current = number("/status/currentReplicas").unwrap_or(0);
    let (min, max) = (number("/spec/minReplicas").unwrap_or(1), number("/spec/maxReplicas").unwrap_or(u64::MAX));
    if current < min || current > max {
        return Err(format!("autoscaler \"{name}\" is at {current} pods, outside of {min} to {max}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(restarts: u64, image: &str) -> Json {
        json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "web", "image": image}]}, "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "web", "restartCount": restarts, "imageID": "r/app@sha256:1"}]}})
    }

    #[test]
    fn pods_run_what_was_asked_for_without_restarts() {
        let asked = |image: &str| vec![("web".to_owned(), image.to_owned())];
        assert_eq!(as_asked(&pod(0, "r/app:2"), &asked("r/app@sha256:1")), Ok(()));
        assert_eq!(as_asked(&pod(0, "r/app:2"), &[]), Ok(()));
        let why = as_asked(&pod(0, "r/app:2"), &asked("r/app@sha256:2")).unwrap_err();
        assert_eq!(why, "pod \"a\" runs r/app:2 in container \"web\", not r/app@sha256:2");
        assert!(as_asked(&pod(2, "r/app:2"), &[]).is_err_and(|why| why.contains("restarted 2 times")));
        let mut down = pod(0, "r/app:2");
        down["status"]["conditions"][0]["status"] = json!("False");
        assert!(as_asked(&down, &[]).is_err());
        down["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(as_asked(&down, &[]), Ok(()));
    }

    #[test]
    fn an_autoscaler_is_able_when_it_says_so_within_its_bounds() {
        let autoscaler = |active: &str, current: u64| {
            json!({"metadata": {"name": "h"}, "spec": {"minReplicas": 2, "maxReplicas": 4}, "status": {"currentReplicas": current,
                "conditions": [{"type": "AbleToScale", "status": "True"},
                    {"type": "ScalingActive", "status": active, "message": "no metrics"}]}})
        };
        assert_eq!(able(&autoscaler("True", 3)), Ok(()));
        assert!(able(&autoscaler("False", 3)).is_err_and(|why| why.contains("no metrics")));
        assert!(able(&autoscaler("True", 5)).is_err_and(|why| why.contains("outside of 2 to 4")));
        assert!(able(&json!({"metadata": {"name": "h"}})).is_err());
    }
}
