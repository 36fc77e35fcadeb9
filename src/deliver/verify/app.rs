//! What is verified: which Deployments and pods are an application's as it serves now.

use serde_json::Value as Json;

use crate::client::kube::{Cluster, DEPLOYMENT};
use crate::deliver::checks::Workload;
use crate::deliver::render::APP;
use crate::deliver::standby::STANDBY_UNTIL;
use crate::deliver::{release, sides};
use crate::stage::{Deployed, TaskKind, Verify};
use crate::task::contract::{TaskError, TaskSpec};

/// An application.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct App {
    pub(super) name: String,
    pub(super) environment: String,
    pub(super) namespace: String,
    /// Whether this run deployed it, so that it can be taken back.
    pub(super) is_ours: bool,
    /// The release that serves, as far as there is one on record.
    pub(super) release: Option<u64>,
    pub(super) workloads: Vec<Workload>,
    /// A selector of the pods that users reach.
    pub(super) pods: String,
}

/// The deploys that the stage needs, and else those before them.
pub(super) fn deploys(spec: &TaskSpec) -> Vec<Deployed> {
    let read = |direct: bool| -> Vec<Deployed> {
        let left = spec.left_by(TaskKind::Deploy).filter(|before| before.direct || !direct);
        let deploys = left.filter_map(|before| serde_json::from_value::<Deployed>(before.facts.clone()).ok());
        deploys.filter(|deployed| deployed.result == "deployed").collect()
    };
    let direct = read(true);
    if direct.is_empty() { read(false) } else { direct }
}

/// What the stage verifies, in the order in which it was deployed.
pub(super) async fn find(cluster: &Cluster, spec: &TaskSpec, verify: &Verify) -> Result<Vec<App>, TaskError> {
    let deploys = deploys(spec);
    let environment = spec.environment.as_ref();
    let mut apps = Vec::new();
    for deployed in deploys.iter().filter(|deployed| verify.app.as_ref().is_none_or(|app| *app == deployed.app)) {
        let place = deployed.environment.clone().unwrap_or_else(|| deployed.namespace.clone());
        apps.push(app(cluster, &deployed.app, &deployed.namespace, &place, Some(deployed)).await?);
    }
    match (&verify.app, apps.is_empty()) {
        (Some(name), true) => {
            let namespace = environment.and_then(|environment| environment.namespace.clone());
            let namespace = namespace.ok_or_else(|| {
                TaskError::failed(format!(
                    "no namespace is known for \"{name}\": give the stage an \"environment\" that has one"
                ))
            })?;
            let place = environment.map_or_else(|| namespace.clone(), |environment| environment.name.clone());
            apps.push(app(cluster, name, &namespace, &place, None).await?);
        }
        (None, true) => {
            return Err(TaskError::failed(
                "there is nothing to verify: no deploy is among the stages that this one needs, and \"verify\" names no \"app\"",
            ));
        }
        _ => {}
    }
    Ok(apps)
}

async fn app(
    cluster: &Cluster,
    name: &str,
    namespace: &str,
    environment: &str,
    deployed: Option<&Deployed>,
) -> Result<App, TaskError> {
    let releases = release::list(cluster, namespace, name).await?;
    let record = match deployed {
        Some(deployed) => releases.iter().find(|release| release.number == deployed.release),
        None => release::serving(&releases),
    };
    let all = cluster.list(&DEPLOYMENT, namespace, "").await?;
    let images = match (deployed, record) {
        (Some(deployed), _) => deployed.images.clone(),
        (None, record) => record.map(|record| record.images.clone()).unwrap_or_default(),
    };
    let number = deployed.map(|deployed| deployed.release).or_else(|| record.map(|record| record.number));
    let serving = serving(&all, name, number);
    if serving.is_empty() {
        let message =
            format!("no deployment of \"{name}\" serves in namespace \"{namespace}\"; was it deployed there?");
        return Err(TaskError::failed(message));
    }
    let workload = |deployment: &&Json| Workload {
        namespace: namespace.to_owned(),
        name: sides::name(deployment).to_owned(),
        images: images_of(deployment, &images),
    };
    let main = record.and_then(|record| record.deployment.as_deref()).unwrap_or(name);
    let reached = serving.iter().find(|deployment| is_side(deployment, main)).or(serving.first());
    Ok(App {
        name: name.to_owned(),
        environment: environment.to_owned(),
        namespace: namespace.to_owned(),
        is_ours: deployed.is_some(),
        release: number,
        workloads: serving.iter().map(workload).collect(),
        pods: reached.map(|deployment| sides::pod_selector(deployment)).unwrap_or_default(),
    })
}

/// The application's Deployments that serve: those of its label that are not kept standing by, and where releases are on
/// record, of this release. One that Slipway did not make is known by its name.
fn serving<'j>(all: &'j [Json], app: &str, release: Option<u64>) -> Vec<&'j Json> {
    let number = release.map(|number| number.to_string()).unwrap_or_default();
    let serves = |deployment: &&Json| {
        let annotations = &deployment["metadata"]["annotations"];
        annotations[STANDBY_UNTIL].is_null() && sides::replicas(deployment) > 0
    };
    let labelled: Vec<&Json> =
        all.iter().filter(|deployment| deployment["metadata"]["labels"][APP] == app).filter(serves).collect();
    let of_release: Vec<&Json> = labelled
        .iter()
        .filter(|deployment| deployment["metadata"]["annotations"]["slipway.dev/release"] == number.as_str())
        .copied()
        .collect();
    if !of_release.is_empty() {
        return of_release;
    }
    if !labelled.is_empty() {
        return labelled;
    }
    all.iter().filter(|deployment| sides::name(deployment) == app).collect()
}

/// Whether a Deployment is the one of the manifests, or a side of it.
fn is_side(deployment: &Json, name: &str) -> bool {
    let own = sides::name(deployment);
    own == name || own.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')) == Some(sides::track(deployment))
}

/// The images that were asked for, of the containers that this Deployment has with this repository: containers of several
/// Deployments may share a name.
fn images_of(deployment: &Json, images: &[(String, String)]) -> Vec<(String, String)> {
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array();
    let has = |name: &str, image: &str| {
        let mut all = containers.into_iter().flatten();
        all.any(|container| {
            let own = container["image"].as_str().unwrap_or_default();
            container["name"] == name && repository(own) == repository(image)
        })
    };
    images.iter().filter(|(name, image)| has(name, image)).cloned().collect()
}

fn repository(image: &str) -> &str {
    let bare = image.split('@').next().unwrap_or(image);
    match bare.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => bare,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(name: &str, release: &str, track: &str, replicas: u64) -> Json {
        json!({"metadata": {"name": name, "labels": {APP: "shop"}, "annotations": {"slipway.dev/release": release}},
            "spec": {"replicas": replicas, "template": {"metadata": {"labels": {"slipway.dev/track": track}},
                "spec": {"containers": [{"name": "web", "image": "r:5000/shop:1"}]}}}})
    }

    #[test]
    fn what_serves_is_of_the_release_and_does_not_stand_by() {
        let mut blue = deployment("web-blue", "3", "blue", 2);
        blue["metadata"]["annotations"][STANDBY_UNTIL] = json!("later");
        let all = [blue, deployment("web-green", "4", "green", 2), deployment("old", "2", "", 0)];
        assert_eq!(
            serving(&all, "shop", Some(4)).iter().map(|one| sides::name(one)).collect::<Vec<_>>(),
            ["web-green"]
        );
        assert_eq!(serving(&all, "shop", None).len(), 1);
        assert_eq!(serving(&all, "old", None).len(), 1, "by its name");
        assert!(serving(&all, "other", None).is_empty());
        assert!(is_side(&all[1], "web") && is_side(&all[2], "old") && !is_side(&all[1], "we"));
    }

    #[test]
    fn images_are_those_of_the_deployments_own_repositories() {
        let images = [("web", "r:5000/shop@sha256:1"), ("web", "r:5000/other@sha256:2"), ("x", "r:5000/shop@sha256:3")];
        let images = images.map(|(name, image)| (name.to_owned(), image.to_owned()));
        assert_eq!(images_of(&deployment("web", "1", "", 1), &images), [images[0].clone()]);
    }
}
