//! The objects of one release, and those of one side of it.
//!
//! Manifests describe the application once. A colour or a canary is made from them: the Deployment that the Service leads to,
//! that Service, its autoscaler and its disruption budget, each with the track in its name and in what it selects.

use serde_json::{Map, Value as Json, json};

use super::traffic::service::{TRACK, UNTRACKED};
use super::{hashed, images, manifest};
use crate::stage::Deploy;
use crate::stage::deploy::{StrategyName, SwitchBy, Traffic};
use crate::task::contract::{Surroundings, TaskError};

/// The label of everything that belongs to an application.
pub const APP: &str = "slipway.dev/app";

/// The objects of a release.
#[derive(Debug, Clone, Default)]
pub struct Rendered {
    /// All of them, without a track.
    pub objects: Vec<Json>,
    /// Images by container.
    pub images: Vec<(String, String)>,
    /// The Service that leads to the Deployment that is rolled out; none when no Service leads to any.
    pub service: Option<String>,
    /// That Deployment.
    pub deployment: Option<String>,
    /// The migration's Job.
    pub migrate: Option<Json>,
}

/// Kinds that are in no namespace, for what has no cluster to ask.
pub const CLUSTER_WIDE: &[&str] = &[
    "Namespace",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "PersistentVolume",
    "StorageClass",
    "PriorityClass",
    "IngressClass",
    "GatewayClass",
];

/// Reads and completes the manifests of a deploy. `built` are the references that the run built.
pub fn render(
    around: &dyn Surroundings,
    spec: &Deploy,
    app: &str,
    namespace: Option<&str>,
    built: &[String],
) -> Result<Rendered, TaskError> {
    let mut without: Vec<&str> = spec.migrate.iter().map(String::as_str).collect();
    without.extend(spec.smoke.jobs.iter().map(String::as_str));
    let mut objects = manifest::read(around, &spec.manifests, &without)?;
    let count = objects.len();
    if let Some(path) = &spec.migrate {
        let root = around.workspace();
        let mut jobs = manifest::of_file(around, root, &root.join(path))?;
        match (jobs.len(), jobs.pop()) {
            (1, Some(job)) if job["kind"] == "Job" => objects.push(job),
            _ => {
                return Err(TaskError::failed(format!(
                    "\"migrate\" names \"{path}\", which holds one Job and nothing else"
                )));
            }
        }
    }
    for object in &mut objects {
        complete(object, app, namespace)?;
    }
    let images = images::replace(&mut objects, &spec.images, built);
    hashed::rename(&mut objects);
    let migrate = if objects.len() > count { objects.pop() } else { None };
    let service = service(spec, &objects);
    let deployment = service.as_ref().and_then(|name| led_to(&objects, name)).map(|name| name.to_owned());
    Ok(Rendered { objects, images, service, deployment, migrate })
}

fn complete(object: &mut Json, app: &str, namespace: Option<&str>) -> Result<(), TaskError> {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let metadata = &mut object["metadata"];
    if !CLUSTER_WIDE.contains(&kind.as_str()) {
        let own = metadata["namespace"].as_str().map(str::to_owned);
        match (own, namespace) {
            (Some(own), Some(wanted)) if own != wanted => {
                return Err(TaskError::failed(format!(
                    "{kind} \"{}\" says namespace \"{own}\", but the deploy goes to \"{wanted}\"; take the namespace out of the manifest",
                    metadata["name"].as_str().unwrap_or_default()
                )));
            }
            (None, Some(wanted)) => metadata["namespace"] = Json::from(wanted),
            _ => {}
        }
    }
    for (key, value) in [(APP, app), ("app.kubernetes.io/managed-by", "slipway")] {
        metadata["labels"][key] = Json::from(value);
    }
    Ok(())
}

/// The Service that the strategy is about: the one it names, the one that its Ingress or route leads to, else the first that
/// leads to a Deployment.
fn service(spec: &Deploy, objects: &[Json]) -> Option<String> {
    let named = match (spec.strategy, &spec.blue_green, &spec.canary) {
        (StrategyName::BlueGreen, Some(settings), _) => match &settings.by {
            SwitchBy::Service(name) => Some(name.clone()),
            SwitchBy::Ingress(name) => behind(objects, "Ingress", name),
            SwitchBy::Route(name) => behind(objects, "HTTPRoute", name),
        },
        (StrategyName::Canary, _, Some(settings)) => match &settings.traffic {
            Traffic::None => None,
            Traffic::Nginx { ingress, .. } => behind(objects, "Ingress", ingress),
            Traffic::Gateway { route, .. } => behind(objects, "HTTPRoute", route),
            Traffic::Istio { virtual_service, .. } => behind(objects, "VirtualService", virtual_service),
        },
        _ => None,
    };
    named.or_else(|| {
        let services = objects.iter().filter(|object| object["kind"] == "Service");
        let mut names = services.filter_map(|service| service["metadata"]["name"].as_str());
        names.find(|name| led_to(objects, name).is_some()).map(str::to_owned)
    })
}

/// The first Service that a router's object names and that leads to a Deployment.
fn behind(objects: &[Json], kind: &str, name: &str) -> Option<String> {
    let object = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name)?;
    let mut names = Vec::new();
    backends(&object["spec"], &mut names);
    names.into_iter().find(|name| led_to(objects, name).is_some())
}

fn backends(value: &Json, names: &mut Vec<String>) {
    match value {
        Json::Object(map) => {
            for (key, value) in map {
                let name = match key.as_str() {
                    "service" => value["name"].as_str(),
                    "host" => value.as_str().and_then(|host| host.split('.').next()),
                    _ => None,
                };
                names.extend(name.map(str::to_owned));
                if key == "backendRefs" {
                    let refs = value.as_array().into_iter().flatten();
                    names.extend(refs.filter_map(|one| one["name"].as_str().map(str::to_owned)));
                }
                backends(value, names);
            }
        }
        Json::Array(items) => items.iter().for_each(|item| backends(item, names)),
        _ => {}
    }
}

/// The Deployment that the Service `name` leads to.
fn led_to<'j>(objects: &'j [Json], name: &str) -> Option<&'j str> {
    let service = objects.iter().find(|object| object["kind"] == "Service" && object["metadata"]["name"] == name)?;
    let selector = service["spec"]["selector"].as_object().filter(|selector| !selector.is_empty())?;
    let deployments = objects.iter().filter(|object| object["kind"] == "Deployment");
    let mut led =
        deployments.filter(|deployment| selects(selector, &deployment["spec"]["template"]["metadata"]["labels"]));
    led.next()?["metadata"]["name"].as_str()
}

fn selects(selector: &Map<String, Json>, labels: &Json) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

impl Rendered {
    /// The objects of one side: Deployment, Service, autoscaler, disruption budget; with no track as the manifests say.
    pub fn side(&self, track: &str) -> Vec<Json> {
        let Some(name) = &self.deployment else { return Vec::new() };
        let objects = self.objects.iter().filter(|object| self.is_of_side(object));
        objects.map(|object| if track == UNTRACKED { object.clone() } else { tracked(object, name, track) }).collect()
    }

    /// Everything that is no side's.
    pub fn rest(&self) -> Vec<Json> {
        self.objects.iter().filter(|object| !self.is_of_side(object)).cloned().collect()
    }

    fn is_of_side(&self, object: &Json) -> bool {
        let (Some(deployment), Some(service)) = (&self.deployment, &self.service) else { return false };
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        match object["kind"].as_str().unwrap_or_default() {
            "Deployment" => name == deployment,
            "Service" => name == service,
            "HorizontalPodAutoscaler" => {
                let target = &object["spec"]["scaleTargetRef"];
                target["kind"] == "Deployment" && target["name"] == deployment.as_str()
            }
            "PodDisruptionBudget" => {
                let of = |object: &&Json| {
                    object["kind"] == "Deployment" && object["metadata"]["name"] == deployment.as_str()
                };
                let own = self.objects.iter().find(of);
                let selector = object["spec"]["selector"]["matchLabels"].as_object();
                match (own, selector) {
                    (Some(own), Some(selector)) => selects(selector, &own["spec"]["template"]["metadata"]["labels"]),
                    _ => false,
                }
            }
            _ => false,
        }
    }

    /// Whether an autoscaler decides the size of the object.
    pub fn is_autoscaled(&self, object: &Json) -> bool {
        self.objects.iter().filter(|other| other["kind"] == "HorizontalPodAutoscaler").any(|hpa| {
            let target = &hpa["spec"]["scaleTargetRef"];
            target["kind"] == object["kind"] && target["name"] == object["metadata"]["name"]
        })
    }
}

/// `object` as one of `track`.
fn tracked(object: &Json, deployment: &str, track: &str) -> Json {
    let mut object = object.clone();
    let name = track_name(object["metadata"]["name"].as_str().unwrap_or_default(), deployment, track);
    object["metadata"]["name"] = Json::from(name);
    object["metadata"]["labels"][TRACK] = Json::from(track);
    match object["kind"].as_str().unwrap_or_default() {
        "Deployment" => {
            object["spec"]["selector"]["matchLabels"][TRACK] = Json::from(track);
            object["spec"]["template"]["metadata"]["labels"][TRACK] = Json::from(track);
        }
        "Service" => {
            object["spec"]["selector"][TRACK] = Json::from(track);
            // Addresses and ports of the machine are the Service's of the manifests.
            if let Some(spec) = object["spec"].as_object_mut() {
                ["clusterIP", "clusterIPs", "loadBalancerIP", "externalIPs"].iter().for_each(|key| {
                    spec.shift_remove(*key);
                });
                if spec.get("type").is_some_and(|kind| kind != "ClusterIP") {
                    spec.insert("type".to_owned(), json!("ClusterIP"));
                }
                for port in spec.get_mut("ports").and_then(Json::as_array_mut).into_iter().flatten() {
                    if let Some(port) = port.as_object_mut() {
                        port.shift_remove("nodePort");
                    }
                }
            }
        }
        "HorizontalPodAutoscaler" => {
            object["spec"]["scaleTargetRef"]["name"] = Json::from(track_name(deployment, deployment, track));
        }
        "PodDisruptionBudget" => object["spec"]["selector"]["matchLabels"][TRACK] = Json::from(track),
        _ => {}
    }
    object
}

/// The track stands behind the Deployment's name: `backend-service` is `backend-blue-service`; other names get it at the end.
pub fn track_name(name: &str, deployment: &str, track: &str) -> String {
    match name.strip_prefix(deployment) {
        Some("") => format!("{name}-{track}"),
        Some(rest) if rest.starts_with('-') => format!("{deployment}-{track}{rest}"),
        _ => format!("{name}-{track}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered() -> Rendered {
        let labels = json!({"app": "backend"});
        let objects = vec![
            json!({"kind": "Deployment", "metadata": {"name": "backend"}, "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}}),
            json!({"kind": "Deployment", "metadata": {"name": "worker"}, "spec": {"template": {"metadata": {"labels": {"app": "worker"}}}}}),
            json!({"kind": "Service", "metadata": {"name": "backend-service"}, "spec": {"selector": labels, "type": "NodePort", "ports": [{"port": 80, "nodePort": 30000}]}}),
            json!({"kind": "HorizontalPodAutoscaler", "metadata": {"name": "backend-hpa"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "backend"}}}),
            json!({"kind": "PodDisruptionBudget", "metadata": {"name": "calm"}, "spec": {"selector": {"matchLabels": labels}}}),
            json!({"kind": "Ingress", "metadata": {"name": "i"}, "spec": {"rules": [{"host": "shop.local", "http": {"paths": [{"backend": {"service": {"name": "backend-service"}}}]}}]}}),
        ];
        Rendered {
            objects,
            service: Some("backend-service".into()),
            deployment: Some("backend".into()),
            ..Rendered::default()
        }
    }

    #[test]
    fn a_side_is_made_from_the_manifests() {
        let rendered = rendered();
        let side = rendered.side("blue");
        let names: Vec<&str> = side.iter().filter_map(|object| object["metadata"]["name"].as_str()).collect();
        assert_eq!(names, ["backend-blue", "backend-blue-service", "backend-blue-hpa", "calm-blue"]);
        assert_eq!(side[0]["spec"]["template"]["metadata"]["labels"], json!({"app": "backend", TRACK: "blue"}));
        assert_eq!(side[0]["spec"]["selector"]["matchLabels"][TRACK], "blue");
        assert_eq!(
            side[1]["spec"],
            json!({"selector": {"app": "backend", TRACK: "blue"}, "type": "ClusterIP", "ports": [{"port": 80}]})
        );
        assert_eq!(side[2]["spec"]["scaleTargetRef"]["name"], "backend-blue");
        assert_eq!(rendered.rest().len(), 2);
        assert_eq!(rendered.side(UNTRACKED)[0], rendered.objects[0]);
        assert!(rendered.is_autoscaled(&rendered.objects[0]) && !rendered.is_autoscaled(&rendered.objects[1]));
    }

    #[test]
    fn the_service_is_found_behind_the_ingress() {
        let rendered = rendered();
        assert_eq!(behind(&rendered.objects, "Ingress", "i").as_deref(), Some("backend-service"));
        assert_eq!(led_to(&rendered.objects, "backend-service"), Some("backend"));
        assert_eq!(service(&Deploy::default(), &rendered.objects).as_deref(), Some("backend-service"));
    }
}
