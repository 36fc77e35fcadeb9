//! What serves now: found in the cluster, never assumed.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::ground::What;
use super::hands::Hands;
use super::traffic::Switch;
use super::traffic::gateway::RouteSwitch;
use super::traffic::ingress::IngressSwitch;
use super::traffic::service::{TEMPLATE_HASH, TRACK, UNTRACKED, bare, selector};
use crate::task::contract::TaskError;

/// The annotation by which Kubernetes counts a Deployment's templates.
const REVISION: &str = "deployment.kubernetes.io/revision";

fn labels<'j>(object: &'j Json, pointer: &str) -> Option<&'j Map<String, Json>> {
    object.pointer(pointer).and_then(Json::as_object)
}

/// An object's name.
pub fn name(object: &Json) -> &str {
    object.pointer("/metadata/name").and_then(Json::as_str).unwrap_or_default()
}

/// An object's UID.
pub fn uid(object: &Json) -> &str {
    object.pointer("/metadata/uid").and_then(Json::as_str).unwrap_or_default()
}

/// The track of a Deployment's pods; [`UNTRACKED`] when they have none.
pub fn track(deployment: &Json) -> &str {
    labels(deployment, "/spec/template/metadata/labels")
        .and_then(|labels| labels.get(TRACK))
        .and_then(Json::as_str)
        .unwrap_or(UNTRACKED)
}

/// A Deployment's size as it is asked for.
pub fn replicas(deployment: &Json) -> u32 {
    let number = deployment.pointer("/spec/replicas").and_then(Json::as_u64).unwrap_or(1);
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// How many of a Deployment's pods are available.
pub fn available(deployment: &Json) -> u32 {
    let number = deployment.pointer("/status/availableReplicas").and_then(Json::as_u64).unwrap_or(0);
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The Deployment that a Service of this track leads to. Of several the largest: those at 0 serve nothing.
pub fn deployment_of<'j>(service: &Json, track: &str, deployments: &'j [Json]) -> Option<&'j Json> {
    let wanted = bare(selector(service));
    let leads = |deployment: &&Json| {
        let Some(labels) = labels(deployment, "/spec/template/metadata/labels") else { return false };
        !wanted.is_empty()
            && wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self::track(deployment) == track
    };
    deployments.iter().filter(leads).max_by_key(|deployment| replicas(deployment))
}

/// The template hash of the ReplicaSet that a Deployment runs now.
pub fn template_hash(deployment: &Json, replica_sets: &[Json]) -> Option<String> {
    let revision = super::traffic::patch::annotation(deployment, REVISION)?;
    let current = owned(replica_sets, uid(deployment))
        .find(|set| super::traffic::patch::annotation(set, REVISION) == Some(revision))?;
    let hash = current.pointer("/metadata/labels")?.get(TEMPLATE_HASH)?.as_str()?;
    Some(hash.to_owned())
}

/// Objects that the object of this UID owns.
pub fn owned<'j>(objects: &'j [Json], owner: &'j str) -> impl Iterator<Item = &'j Json> {
    objects.iter().filter(move |object| {
        let owners = object.pointer("/metadata/ownerReferences").and_then(Json::as_array);
        owners.into_iter().flatten().any(|one| one.get("uid").and_then(Json::as_str) == Some(owner))
    })
}

/// UIDs of pods of the ReplicaSet that a Deployment runs now.
pub fn pods_of(deployment: &Json, replica_sets: &[Json], pods: &[Json]) -> BTreeSet<String> {
    let Some(hash) = template_hash(deployment, replica_sets) else { return BTreeSet::new() };
    let sets: BTreeSet<&str> = owned(replica_sets, uid(deployment))
        .filter(|set| {
            set.pointer("/metadata/labels").and_then(|labels| labels.get(TEMPLATE_HASH))
                == Some(&Json::from(hash.clone()))
        })
        .map(uid)
        .collect();
    let is_of = |pod: &&Json| sets.iter().any(|set| owned(std::slice::from_ref(*pod), set).next().is_some());
    pods.iter().filter(is_of).map(|pod| uid(pod).to_owned()).collect()
}

/// A selector of a Deployment's pods.
pub fn pod_selector(deployment: &Json) -> String {
    let labels = labels(deployment, "/spec/selector/matchLabels").cloned().unwrap_or_default();
    let pairs = labels.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
    pairs.collect::<Vec<_>>().join(",")
}

/// A Deployment without its size, where an autoscaler of the same side decides it. (What is applied once and left out the next
/// time is taken away by the server, so it is never applied.)
pub fn unsized_where_autoscaled(deployment: &Json, side: &[Json]) -> Json {
    let mut deployment = deployment.clone();
    if is_autoscaled(side)
        && let Some(spec) = deployment.get_mut("spec").and_then(Json::as_object_mut)
    {
        spec.shift_remove("replicas");
    }
    deployment
}

/// Whether a side has an autoscaler.
pub fn is_autoscaled(side: &[Json]) -> bool {
    side.iter().any(|object| object.get("kind").and_then(Json::as_str) == Some("HorizontalPodAutoscaler"))
}

/// The app's Services: those that select, tracks apart, what the one of the manifests does.
pub async fn services_of(hands: &Hands<'_>) -> Result<Vec<String>, TaskError> {
    let base = hands.must(What::Service, &hands.about.service).await?;
    let wanted = bare(selector(&base));
    let all = hands.all(What::Service).await?;
    Ok(all.iter().filter(|one| bare(selector(one)) == wanted).map(|one| name(one).to_owned()).collect())
}

/// Which of these Services an Ingress or HTTPRoute leads to.
pub async fn named_by(hands: &Hands<'_>, what: What, object: &str, services: &[String]) -> Result<String, TaskError> {
    let live = hands.must(what, object).await?;
    let active = match what {
        What::Ingress => IngressSwitch::new(object, services.to_vec()).active(&live)?,
        _ => RouteSwitch::new(object, services.to_vec()).active(&live)?,
    };
    Ok(active)
}

/// Whether a Deployment is as large and as new as asked for, and available.
pub fn is_out(deployment: &Json) -> bool {
    let number = |pointer: &str| deployment.pointer(pointer).and_then(Json::as_u64).unwrap_or(0);
    let wanted = u64::from(replicas(deployment));
    number("/status/observedGeneration") >= number("/metadata/generation")
        && number("/status/updatedReplicas") == wanted
        && number("/status/replicas") == wanted
        && number("/status/availableReplicas") >= wanted
}

/// The colour that does not serve: of two, the other one; when neither serves, the first.
pub fn inactive<'c>(colours: &'c (String, String), active: &str) -> &'c str {
    if colours.0 == active { &colours.1 } else { &colours.0 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(name: &str, track: Option<&str>, replicas: u32) -> Json {
        let mut labels = json!({"app": "backend", "tier": "api"});
        if let Some(track) = track {
            labels[TRACK] = json!(track);
        }
        json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "annotations": {REVISION: "2"}},
            "spec": {"replicas": replicas, "template": {"metadata": {"labels": labels}}}})
    }

    fn set(name: &str, owner: &str, revision: &str) -> Json {
        json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "labels": {TEMPLATE_HASH: name},
            "annotations": {REVISION: revision}, "ownerReferences": [{"uid": owner}]}})
    }

    #[test]
    fn the_live_selector_says_which_deployment_serves() {
        let all = [deployment("backend", None, 0), deployment("backend-green", Some("green"), 3)];
        let service = json!({"spec": {"selector": {"app": "backend", TRACK: "green"}}});
        assert_eq!(deployment_of(&service, "green", &all).map(name), Some("backend-green"));
        let service = json!({"spec": {"selector": {"app": "backend", TEMPLATE_HASH: "x"}}});
        assert_eq!(deployment_of(&service, UNTRACKED, &all).map(name), Some("backend"));
        let service = json!({"spec": {"selector": {"app": "other"}}});
        assert_eq!(deployment_of(&service, UNTRACKED, &all), None);
        assert_eq!(deployment_of(&json!({"spec": {}}), UNTRACKED, &all), None);
    }

    #[test]
    fn the_inactive_colour_is_the_other_one() {
        let colours = ("blue".to_owned(), "green".to_owned());
        assert_eq!(inactive(&colours, "green"), "blue");
        assert_eq!(inactive(&colours, "blue"), "green");
        assert_eq!(inactive(&colours, UNTRACKED), "blue");
    }

    #[test]
    fn the_hash_is_of_the_present_revision_of_the_same_owner() {
        let deployment = deployment("backend", None, 3);
        let sets = [set("old", "uid-backend", "1"), set("other", "uid-else", "2"), set("now", "uid-backend", "2")];
        assert_eq!(template_hash(&deployment, &sets).as_deref(), Some("now"));
        assert_eq!(template_hash(&deployment, &sets[..2]), None);
    }

    #[test]
    fn pods_are_those_of_the_present_revision() {
        let deployment = deployment("backend", None, 3);
        let sets = [set("old", "uid-backend", "1"), set("now", "uid-backend", "2")];
        let pod = |name: &str, owner: &str| json!({"metadata": {"uid": name, "ownerReferences": [{"uid": owner}]}});
        let pods = [pod("a", "uid-old"), pod("b", "uid-now"), pod("c", "uid-now")];
        assert_eq!(pods_of(&deployment, &sets, &pods), BTreeSet::from(["b".to_owned(), "c".to_owned()]));
    }

    #[test]
    fn a_deployment_is_out_when_nothing_old_is_left() {
        let status = |updated: u32, all: u32, available: u32, seen: u32| {
            json!({"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": {"observedGeneration": seen,
                "updatedReplicas": updated, "replicas": all, "availableReplicas": available}})
        };
        assert!(is_out(&status(3, 3, 3, 2)));
        assert!(!is_out(&status(3, 3, 3, 1)));
        assert!(!is_out(&status(3, 4, 3, 2)));
        assert!(!is_out(&status(3, 3, 2, 2)));
    }
}
