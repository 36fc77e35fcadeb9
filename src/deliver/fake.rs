//! A cluster in memory, for the tests of strategies: Deployments have pods at once, Services have endpoints, patches test.
//!
//! After each write it looks whether requests could meet an unready side, and notes it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::{Map, Value as Json, json};

use super::ground::{Gates, Ground, Refused, Tracks, Verdict, What};
use super::halt::{Halt, Reason};
use super::sides;
use super::traffic::Patch;
use super::traffic::nginx::canary_name;
use super::traffic::patch::annotation;
use super::traffic::service::{TEMPLATE_HASH, TRACK, selector};
use crate::event::GateReading;
use crate::task::contract::TaskError;

/// Objects by kind and name.
pub type Objects = BTreeMap<(What, String), Json>;

/// A cluster, the manifests of a release, and what its pods are like.
#[derive(Default)]
pub struct Fake {
    objects: Mutex<Objects>,
    /// What went wrong for users.
    pub wrong: Mutex<Vec<String>>,
    /// How often the migration ran.
    pub migrated: Mutex<u32>,
    /// The image of the release.
    pub image: String,
    /// What fails, see [`Fails`].
    pub fails: Fails,
    /// Writes in order: `patch ingress shop-canary`.
    pub writes: Mutex<Vec<String>>,
}

/// What fails.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Fails {
    /// Nothing.
    #[default]
    Nothing,
    /// Pods of a Deployment of this name with the new image never get ready.
    Ready(&'static str),
    /// The smoke checks.
    Smoke,
    /// The migration.
    Migrate,
    /// The gates, when the canary's ingress has this weight (blue-green: 100).
    Gates(u32),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kind(object: &Json) -> What {
    match object["kind"].as_str().unwrap_or_default() {
        "Deployment" => What::Deployment,
        "Service" => What::Service,
        "Ingress" => What::Ingress,
        "HTTPRoute" => What::HttpRoute,
        "VirtualService" => What::VirtualService,
        "DestinationRule" => What::DestinationRule,
        "HorizontalPodAutoscaler" => What::Autoscaler,
        "PodDisruptionBudget" => What::Budget,
        other => panic!("no kind {other}"),
    }
}

fn hash(template: &Json) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    template.to_string().hash(&mut hasher);
    format!("{:08x}", hasher.finish() & 0xffff_ffff)
}

/// Laid over one another as server-side apply does.
fn lay(over: &Json, under: &mut Json) {
    match (over, under) {
        // Selectors are atomic.
        (Json::Object(over), Json::Object(under)) => {
            for (key, value) in over {
                if key == "selector" || key == "template" {
                    under.insert(key.clone(), value.clone());
                } else {
                    lay(value, under.entry(key.clone()).or_insert(Json::Null));
                }
            }
        }
        (over, under) => *under = over.clone(),
    }
}

/// The patch, done; none when a test fails.
pub fn patched(live: &Json, patch: &Patch) -> Option<Json> {
    let mut object = live.clone();
    for operation in patch.operations() {
        let path = operation["path"].as_str()?;
        let value = &operation["value"];
        let (parent, key) = path.rsplit_once('/')?;
        let key = key.replace("~1", "/").replace("~0", "~");
        match operation["op"].as_str()? {
            "test" => {
                if object.pointer(path)? != value {
                    return None;
                }
            }
            "remove" => {
                object.pointer_mut(parent)?.as_object_mut()?.shift_remove(&key)?;
            }
            _ => match object.pointer_mut(parent)? {
                Json::Array(list) => *list.get_mut(key.parse::<usize>().ok()?)? = value.clone(),
                parent => {
                    parent.as_object_mut()?.insert(key, value.clone());
                }
            },
        }
    }
    Some(object)
}

impl Fake {
    /// With objects that are there before; the release brings `image`.
    pub fn new(objects: Vec<Json>, image: &str, fails: Fails) -> Self {
        let fake = Self { image: image.to_owned(), fails, ..Self::default() };
        for object in objects {
            fake.store(object);
        }
        fake
    }

    /// An object as it stands.
    pub fn live(&self, what: What, name: &str) -> Option<Json> {
        lock(&self.objects).get(&(what, name.to_owned())).cloned()
    }

    /// What counts at the end: names, images, sizes, selectors, weights.
    pub fn sight(&self) -> Vec<String> {
        let objects = lock(&self.objects);
        let shown = objects.iter().filter(|((what, _), _)| *what != What::ReplicaSet).map(|((what, name), object)| {
            let image = object.pointer("/spec/template/spec/containers/0/image").and_then(Json::as_str);
            let facts = json!([
                image,
                object.pointer("/spec/replicas"),
                object.pointer("/spec/minReplicas"),
                object.pointer("/spec/selector"),
                object.pointer("/spec/rules"),
                object.pointer("/spec/http"),
                annotation(object, "nginx.ingress.kubernetes.io/canary-weight"),
                annotation(object, super::size::SAVED_MIN),
                annotation(object, super::standby::STANDBY_UNTIL).is_some(),
            ]);
            format!("{} {name} {facts}", what.noun())
        });
        shown.collect()
    }

    fn store(&self, mut object: Json) {
        let what = kind(&object);
        let name = sides::name(&object).to_owned();
        if what == What::Deployment {
            let mut template = object["spec"]["template"].clone();
            let hash = hash(&template);
            object["metadata"]["uid"] = json!(format!("uid-{name}"));
            object["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!(hash);
            if object["spec"]["replicas"].is_null() {
                object["spec"]["replicas"] = json!(1);
            }
            let replicas = object["spec"]["replicas"].as_u64().unwrap_or(1);
            let ready = if self.is_broken(&name, &object) { 0 } else { replicas };
            object["status"] = json!({"replicas": replicas, "updatedReplicas": replicas, "availableReplicas": ready});
            template["metadata"]["labels"][TEMPLATE_HASH] = json!(hash);
            let set = json!({"metadata": {"name": format!("{name}-{hash}"), "uid": format!("uid-{name}-{hash}"),
                "labels": {TEMPLATE_HASH: hash}, "annotations": {"deployment.kubernetes.io/revision": hash},
                "ownerReferences": [{"uid": format!("uid-{name}")}]}, "spec": {"template": template}});
            lock(&self.objects).insert((What::ReplicaSet, format!("{name}-{hash}")), set);
        }
        lock(&self.objects).insert((what, name), object);
        self.look();
    }

    fn is_broken(&self, name: &str, deployment: &Json) -> bool {
        let image = deployment.pointer("/spec/template/spec/containers/0/image").and_then(Json::as_str);
        matches!(self.fails, Fails::Ready(broken) if broken == name) && image == Some(&self.image)
    }

    /// Pods of all Deployments.
    fn pods(&self) -> Vec<Json> {
        let objects = lock(&self.objects);
        let deployments = objects.iter().filter(|((what, _), _)| *what == What::Deployment);
        let pods = deployments.flat_map(|((_, name), deployment)| {
            let mut labels = deployment.pointer("/spec/template/metadata/labels").cloned().unwrap_or_default();
            let hash = annotation(deployment, "deployment.kubernetes.io/revision").unwrap_or_default().to_owned();
            labels[TEMPLATE_HASH] = json!(hash);
            let ready = deployment["status"]["availableReplicas"].as_u64().unwrap_or(0);
            let name = name.clone();
            (0..u64::from(sides::replicas(deployment))).map(move |number| {
                json!({"metadata": {"uid": format!("{name}-{hash}-{number}"), "labels": labels,
                    "ownerReferences": [{"uid": format!("uid-{name}-{hash}")}]}, "ready": number < ready})
            })
        });
        pods.collect()
    }

    fn endpoints(&self, service: &str) -> Vec<Json> {
        let Some(service) = self.live(What::Service, service) else { return Vec::new() };
        let wanted = selector(&service);
        let pods = self.pods();
        let taken = pods
            .iter()
            .filter(|pod| wanted.iter().all(|(key, value)| pod["metadata"]["labels"].get(key) == Some(value)));
        taken
            .map(|pod| json!({"targetRef": {"uid": pod["metadata"]["uid"]}, "conditions": {"ready": pod["ready"]}}))
            .collect()
    }

    fn ready_of(&self, service: &str) -> Vec<String> {
        let endpoints = self.endpoints(service);
        let ready = endpoints.iter().filter(|one| one["conditions"]["ready"] == json!(true));
        ready.filter_map(|one| Some(one["targetRef"]["uid"].as_str()?.to_owned())).collect()
    }

    /// The canary's weight on its Ingress, where there is one.
    pub fn weight(&self) -> Option<u32> {
        let canary = self.live(What::Ingress, &canary_name("shop"))?;
        annotation(&canary, "nginx.ingress.kubernetes.io/canary-weight")?.parse().ok()
    }

    /// Whether requests could meet a side without a ready pod, or an unproven pod without a weight.
    fn look(&self) {
        let main = self.live(What::Ingress, "shop");
        let Some(stable) =
            main.as_ref().and_then(|main| main.pointer("/spec/rules/0/http/paths/0/backend/service/name")?.as_str())
        else {
            return;
        };
        let weight = self.weight().unwrap_or(0);
        let writes = lock(&self.writes).len();
        if writes == 0 {
            return;
        }
        let mut wrong = Vec::new();
        if self.live(What::Service, stable).is_some() && self.ready_of(stable).is_empty() {
            wrong.push(format!("after write {writes}: \"{stable}\" has no ready pod at canary weight {weight}"));
        }
        let canary = self.ready_of("backend-canary-service");
        if weight > 0 && canary.is_empty() {
            wrong.push(format!("after write {writes}: the canary has no ready pod at weight {weight}"));
        }
        if weight < 100
            && weight > 0
            && self.ready_of("backend-service").iter().any(|pod| canary.contains(pod))
            && self.live(What::Deployment, "backend").is_some_and(|live| !self.is_new(&live))
        {
            wrong.push(format!("after write {writes}: the stable service takes canary pods"));
        }
        lock(&self.wrong).extend(wrong);
    }

    fn is_new(&self, deployment: &Json) -> bool {
        deployment.pointer("/spec/template/spec/containers/0/image").and_then(Json::as_str) == Some(&self.image)
    }

    fn wrote(&self, text: String) {
        lock(&self.writes).push(text);
    }
}

/// A Deployment as it could be in manifests.
pub fn deployment(track: &str, image: &str, replicas: u32) -> Json {
    let mut labels = json!({"app": "backend"});
    let mut name = "backend".to_owned();
    if !track.is_empty() {
        labels[TRACK] = json!(track);
        name = format!("backend-{track}");
    }
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"slipway.dev/app": "backend"}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "app", "image": image}]}}}})
}

/// A Service likewise.
pub fn service(track: &str) -> Json {
    let mut labels = json!({"app": "backend"});
    let mut object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "backend-service"}});
    if !track.is_empty() {
        labels[TRACK] = json!(track);
        object["metadata"] = json!({"name": format!("backend-{track}-service"), "labels": {TRACK: track}});
    }
    object["spec"] = json!({"selector": labels, "ports": [{"port": 80}]});
    object
}

/// An autoscaler likewise.
pub fn autoscaler(track: &str) -> Json {
    let dash = if track.is_empty() { String::new() } else { format!("-{track}") };
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": format!("backend{dash}-hpa")},
        "spec": {"minReplicas": 2, "maxReplicas": 9,
            "scaleTargetRef": {"kind": "Deployment", "name": format!("backend{dash}")}}})
}

/// An Ingress to a Service.
pub fn ingress(service: &str) -> Json {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "shop"}, "spec": {"rules": [
        {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}}]}}]}})
}

struct FakeGates {
    fails: bool,
}

#[async_trait]
impl Gates for FakeGates {
    fn snapshot(&self) -> Json {
        json!({"requests": 0})
    }

    async fn next(&mut self) -> Verdict {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        if self.fails { Verdict::Fail(vec![reading()]) } else { Verdict::Pass }
    }

    async fn finish(&mut self) -> Verdict {
        if self.fails { Verdict::Fail(vec![reading()]) } else { Verdict::Pass }
    }
}

fn reading() -> GateReading {
    GateReading {
        gate: "errors".to_owned(),
        measured: "31.0 %".to_owned(),
        limit: "5 %".to_owned(),
        samples: 100,
        confidence: String::new(),
        severity: "P0".to_owned(),
    }
}

#[async_trait]
impl Ground for Fake {
    async fn get(&self, what: What, name: &str) -> Result<Option<Json>, TaskError> {
        Ok(self.live(what, name))
    }

    async fn list(&self, what: What, labels: &str) -> Result<Vec<Json>, TaskError> {
        Ok(match what {
            What::Pod => self.pods(),
            What::EndpointSlice => {
                let service = labels.split_once('=').map(|(_, service)| service).unwrap_or_default();
                vec![json!({"endpoints": self.endpoints(service)})]
            }
            _ => lock(&self.objects)
                .iter()
                .filter(|((kind, _), _)| *kind == what)
                .map(|(_, object)| object.clone())
                .collect(),
        })
    }

    async fn patch(&self, what: What, name: &str, patch: Patch) -> Result<Json, Refused> {
        let object = self
            .live(what, name)
            .and_then(|live| patched(&live, &patch))
            .ok_or(Refused::Stale("a test failed".to_owned()))?;
        self.wrote(format!("patch {} {name}", what.noun()));
        self.store(object.clone());
        Ok(object)
    }

    async fn apply(&self, object: &Json) -> Result<Json, TaskError> {
        let what = kind(object);
        let mut live = self.live(what, sides::name(object)).unwrap_or_else(|| json!({}));
        lay(object, &mut live);
        self.wrote(format!("apply {} {}", what.noun(), sides::name(object)));
        self.store(live.clone());
        Ok(live)
    }

    async fn scale(&self, deployment: &str, replicas: u32) -> Result<(), TaskError> {
        let Some(mut live) = self.live(What::Deployment, deployment) else { return Ok(()) };
        live["spec"]["replicas"] = json!(replicas);
        self.wrote(format!("scale {deployment} {replicas}"));
        self.store(live);
        Ok(())
    }

    async fn delete(&self, what: What, name: &str) -> Result<(), TaskError> {
        self.wrote(format!("delete {} {name}", what.noun()));
        lock(&self.objects).remove(&(what, name.to_owned()));
        if what == What::Deployment {
            lock(&self.objects).retain(|(kind, _), object| {
                *kind != What::ReplicaSet
                    || object["metadata"]["ownerReferences"][0]["uid"] != json!(format!("uid-{name}"))
            });
        }
        self.look();
        Ok(())
    }

    fn epoch(&self) -> Result<u64, TaskError> {
        Ok(1)
    }

    fn side(&self, track: &str) -> Result<Vec<Json>, TaskError> {
        let mut objects = vec![service(track), deployment(track, &self.image, 2)];
        if lock(&self.objects).keys().any(|(what, _)| *what == What::Autoscaler) {
            if let Some(spec) = objects[1]["spec"].as_object_mut() {
                spec.shift_remove("replicas");
            }
            objects.push(autoscaler(track));
        }
        Ok(objects)
    }

    fn labels(&self) -> Map<String, Json> {
        Map::new()
    }

    async fn ready(&self, _key: &str, deployment: &str) -> Result<(), Halt> {
        match self.live(What::Deployment, deployment) {
            Some(live) if sides::is_out(&live) => Ok(()),
            _ => Err(Halt::Back(Reason::new(format!("deployment \"{deployment}\" cannot pull its image")))),
        }
    }

    async fn migrate(&self) -> Result<(), Halt> {
        let mut migrated = lock(&self.migrated);
        if *migrated == 0 {
            *migrated = 1;
        }
        if self.fails == Fails::Migrate { Err(Halt::Back(Reason::new("the migration failed"))) } else { Ok(()) }
    }

    async fn smoke(&self, _key: &str, _pods: &str) -> Result<(), Halt> {
        if self.fails == Fails::Smoke { Err(Halt::Back(Reason::new("/health gave 500"))) } else { Ok(()) }
    }

    async fn gates(&self, _tracks: &Tracks, _known: Option<Json>) -> Result<Box<dyn Gates + '_>, TaskError> {
        let weight = self.weight().unwrap_or(100);
        Ok(Box::new(FakeGates { fails: self.fails == Fails::Gates(weight) }))
    }
}
