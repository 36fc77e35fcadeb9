//! The ground of a deploy on a real cluster: objects under the lease, sides from the manifests, waiting for pods.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value as Json, json};

use super::drain::later;
use super::ground::{Gates, Ground, Refused, Tracks, What};
use super::halt::{Halt, Reason};
use super::lease::Lease;
use super::objects::Objects;
use super::render::{APP, Rendered};
use super::traffic::Patch;
use super::traffic::service::{TEMPLATE_HASH, TRACK, selector};
use super::{analysis, checks, sides, signs};
use crate::client::kube::{self, Cluster, DEPLOYMENT, JOB, Kind, POD, REPLICA_SET};
use crate::clock::Timestamp;
use crate::stage::Deploy;
use crate::task::contract::{TaskCtx, TaskError, effect, remember};

/// Pause between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(300);
/// Lines of a failed Job's log that are shown.
const LOG_LINES: u32 = 20;

/// The ground.
pub struct Live<'a> {
    /// The cluster.
    pub cluster: Cluster,
    /// Objects of the namespace.
    pub objects: Objects,
    /// The engine.
    pub ctx: &'a dyn TaskCtx,
    /// The settings.
    pub spec: &'a Deploy,
    /// The application.
    pub app: String,
    /// The namespace.
    pub namespace: String,
    /// The release's number.
    pub release: u64,
    /// The release's objects.
    pub rendered: Rendered,
    /// The lease.
    pub lease: Lease,
}

#[async_trait]
impl Ground for Live<'_> {
    async fn get(&self, what: What, name: &str) -> Result<Option<Json>, TaskError> {
        self.objects.get(what, name).await
    }

    async fn list(&self, what: What, labels: &str) -> Result<Vec<Json>, TaskError> {
        self.objects.list(what, labels).await
    }

    async fn patch(&self, what: What, name: &str, patch: Patch) -> Result<Json, Refused> {
        self.lease.epoch()?;
        self.objects.patch(what, name, patch).await
    }

    async fn apply(&self, object: &Json) -> Result<Json, TaskError> {
        let epoch = self.lease.epoch()?;
        let mut object = object.clone();
        object["metadata"]["annotations"]["slipway.dev/epoch"] = Json::from(epoch.to_string());
        let kind = object["kind"].as_str().unwrap_or_default();
        if object["metadata"].get("namespace").is_none() && !super::render::CLUSTER_WIDE.contains(&kind) {
            object["metadata"]["namespace"] = Json::from(self.namespace.as_str());
        }
        object["metadata"]["annotations"]["slipway.dev/release"] = Json::from(self.release.to_string());
        self.cluster.apply(&object).await.map_err(TaskError::from)
    }

    async fn scale(&self, deployment: &str, replicas: u32) -> Result<(), TaskError> {
        self.objects.scale(deployment, replicas).await
    }

    async fn delete(&self, what: What, name: &str) -> Result<(), TaskError> {
        self.objects.delete(what, name).await
    }

    fn epoch(&self) -> Result<u64, TaskError> {
        self.lease.epoch()
    }

    fn side(&self, track: &str) -> Result<Vec<Json>, TaskError> {
        let side = self.rendered.side(track);
        if side.is_empty() {
            return Err(TaskError::failed(
                "no Service of the manifests leads to a Deployment; blue-green and canary need both".to_owned(),
            ));
        }
        Ok(side)
    }

    fn labels(&self) -> Map<String, Json> {
        let mut labels = Map::new();
        labels.insert(APP.to_owned(), Json::from(self.app.as_str()));
        labels.insert("app.kubernetes.io/managed-by".to_owned(), Json::from("slipway"));
        labels
    }

    async fn ready(&self, key: &str, deployment: &str) -> Result<(), Halt> {
        self.out(key, &DEPLOYMENT, deployment).await
    }

    async fn migrate(&self) -> Result<(), Halt> {
        let Some(job) = &self.rendered.migrate else { return Ok(()) };
        let mut job = job.clone();
        let name = format!("{}-{}", job["metadata"]["name"].as_str().unwrap_or("migrate"), self.release);
        job["metadata"]["name"] = Json::from(name.as_str());
        // The job's name is the release's: what exists is never made twice.
        let act = || async {
            self.ctx.log(&format!("migrate: job \"{name}\"")).await;
            self.apply(&job).await.map(|_| ())
        };
        let find = || async { Ok(self.get_job(&name).await?.map(|_| ())) };
        effect(self.ctx, "migrate", json!({"job": name}), act, find).await?;
        self.job_done("migrated", &name).await
    }

    async fn smoke(&self, key: &str, pods: &str) -> Result<(), Halt> {
        checks::smoke(self, key, pods).await
    }

    fn stopped(&self) -> Result<(), Halt> {
        Live::stopped(self)
    }

    async fn gates(&self, tracks: &Tracks, known: Option<Json>) -> Result<Box<dyn Gates + '_>, TaskError> {
        analysis::begin(&self.cluster, &self.namespace, &self.spec.analysis, tracks, known).await
    }
}

impl Live<'_> {
    async fn get_job(&self, name: &str) -> Result<Option<Json>, TaskError> {
        self.cluster.find(&JOB, &self.namespace, name).await.map_err(TaskError::from)
    }

    /// The moment when what is waited for under `key` must be there: the first call's counts, also after a crash.
    pub(super) async fn deadline(&self, key: &str) -> Result<Timestamp, TaskError> {
        let limit = self.spec.progress_deadline;
        remember(self.ctx, &format!("deadline-{key}"), || async { Ok(later(self.ctx.now(), limit)) }).await
    }

    /// Stops what is waited for when the run is cancelled or another deploy wants the way.
    pub fn stopped(&self) -> Result<(), Halt> {
        if self.ctx.is_cancelled() {
            return Err(Halt::Back(Reason::cancelled()));
        }
        if self.lease.is_preempted() {
            return Err(Halt::Back(Reason::new("another deploy of this application takes its place")));
        }
        Ok(())
    }

    /// Waits until a workload (Deployment, StatefulSet, DaemonSet) is as new and as large as asked for and available; ends at
    /// once when its pods show that it will not be.
    pub async fn out(&self, key: &str, kind: &Kind, name: &str) -> Result<(), Halt> {
        let until = self.deadline(key).await?;
        loop {
            self.stopped()?;
            let live = self.cluster.get(kind, &self.namespace, name).await?;
            if is_out(&live) {
                return Ok(());
            }
            if let Some(why) = self.hopeless(&live).await? {
                return Err(Halt::Back(Reason::new(format!("{} will not become ready: {why}", kind.named(name)))));
            }
            if self.ctx.now() >= until {
                let limit = crate::clock::humanize(self.spec.progress_deadline);
                let state = said(&live);
                return Err(Halt::Back(Reason::new(format!(
                    "{} was not ready within {limit}: {state}",
                    kind.named(name)
                ))));
            }
            self.ctx.state(&format!("{name}: {}", said(&live)));
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Why a workload's newest pods will not become ready, if that is certain.
    async fn hopeless(&self, live: &Json) -> Result<Option<String>, TaskError> {
        let conditions = live["status"]["conditions"].as_array();
        let failure =
            conditions.into_iter().flatten().find(|one| one["type"] == "ReplicaFailure" && one["status"] == "True");
        if let Some(failure) = failure {
            return Ok(Some(failure["message"].as_str().unwrap_or("its pods cannot be made").to_owned()));
        }
        let pods = self.cluster.list(&POD, &self.namespace, &sides::pod_selector(live)).await?;
        // Pods of an older template say nothing of the new one.
        let newest = match live["kind"].as_str() {
            Some("Deployment") => {
                let sets = self.cluster.list(&REPLICA_SET, &self.namespace, "").await?;
                Some(sides::pods_of(live, &sets, &pods))
            }
            _ => None,
        };
        let revision = live["status"]["updateRevision"].as_str();
        let is_new = |pod: &&Json| match (&newest, revision) {
            (Some(newest), _) => newest.contains(sides::uid(pod)),
            (None, Some(revision)) => pod["metadata"]["labels"]["controller-revision-hash"] == revision,
            (None, None) => true,
        };
        Ok(pods.iter().filter(is_new).find_map(signs::hopeless))
    }

    /// Waits until a Job has succeeded; its log's end stands in the reason when it failed.
    pub async fn job_done(&self, key: &str, name: &str) -> Result<(), Halt> {
        let until = self.deadline(key).await?;
        loop {
            self.stopped()?;
            let Some(job) = self.get_job(name).await? else {
                return Err(Halt::Back(Reason::new(format!("job \"{name}\" is gone; somebody deleted it"))));
            };
            let is = |kind: &str| {
                let conditions = job["status"]["conditions"].as_array();
                conditions.into_iter().flatten().any(|one| one["type"] == kind && one["status"] == "True")
            };
            if is("Complete") {
                return Ok(());
            }
            let pods = self.cluster.list(&POD, &self.namespace, &format!("job-name={name}")).await?;
            let lost = pods.iter().find_map(signs::hopeless);
            if is("Failed") || lost.is_some() || self.ctx.now() >= until {
                let mut why = lost.unwrap_or_else(|| {
                    if is("Failed") { "it failed".to_owned() } else { "it is not done in time".to_owned() }
                });
                if let Some(pod) = pods.last()
                    && let Ok(log) = self.cluster.logs(&self.namespace, sides::name(pod), None, LOG_LINES).await
                {
                    for line in log.lines() {
                        self.ctx.log(&format!("  {line}")).await;
                    }
                    if let Some(last) = log.lines().rev().find(|line| !line.trim().is_empty()) {
                        why = format!("{why}; its log ends: {last}");
                    }
                }
                return Err(Halt::Back(Reason::new(format!("job \"{name}\": {why}"))));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// `object` with what routes traffic as it is live: applying manifests must not move traffic.
    pub async fn routed_as_live(&self, object: &Json) -> Result<Json, TaskError> {
        let what = match object["kind"].as_str() {
            Some("Service") => What::Service,
            Some("Ingress") => What::Ingress,
            Some("HTTPRoute") => What::HttpRoute,
            Some("VirtualService") => What::VirtualService,
            _ => return Ok(object.clone()),
        };
        let Some(live) = self.get(what, sides::name(object)).await? else { return Ok(object.clone()) };
        if what != What::Service {
            let all = self.list(What::Service, &format!("{APP}={}", self.app)).await?;
            let names: Vec<String> = all.iter().map(|service| sides::name(service).to_owned()).collect();
            return Ok(super::traffic::kept(object, &live, &names));
        }
        let mut object = object.clone();
        let mut wanted = selector(&object);
        for key in [TRACK, TEMPLATE_HASH] {
            if let Some(value) = selector(&live).get(key) {
                wanted.insert(key.to_owned(), value.clone());
            }
        }
        object["spec"]["selector"] = Json::Object(wanted);
        Ok(object)
    }
}

/// Whether a workload is as large and as new as asked for, and available.
pub fn is_out(live: &Json) -> bool {
    let number = |pointer: &str| live.pointer(pointer).and_then(Json::as_u64).unwrap_or(0);
    let observed = number("/status/observedGeneration") >= number("/metadata/generation");
    match live["kind"].as_str() {
        Some("DaemonSet") => {
            let wanted = number("/status/desiredNumberScheduled");
            observed
                && number("/status/updatedNumberScheduled") == wanted
                && number("/status/numberAvailable") == wanted
        }
        Some("StatefulSet") => {
            let wanted = u64::from(sides::replicas(live));
            // Pods below the partition stay as they are.
            let partition = number("/spec/updateStrategy/rollingUpdate/partition");
            let new = number("/status/updatedReplicas") >= wanted.saturating_sub(partition)
                || live["status"]["currentRevision"] == live["status"]["updateRevision"];
            observed && new && number("/status/readyReplicas") == wanted && number("/status/replicas") == wanted
        }
        _ => sides::is_out(live),
    }
}

/// How far a workload is.
fn said(live: &Json) -> String {
    let number = |key: &str| live["status"][key].as_u64().unwrap_or(0);
    match live["kind"].as_str() {
        Some("DaemonSet") => {
            format!("{} of {} pods available", number("numberAvailable"), number("desiredNumberScheduled"))
        }
        _ => {
            let wanted = sides::replicas(live);
            let (new, ready) = (number("updatedReplicas"), number("readyReplicas"));
            format!("{new} of {wanted} pods are new, {ready} ready")
        }
    }
}

/// Kinds whose roll-out is waited for.
pub fn workload(object: &Json) -> Option<Kind> {
    match object["kind"].as_str() {
        Some("Deployment") => Some(DEPLOYMENT),
        Some("StatefulSet") => Some(kube::STATEFUL_SET),
        Some("DaemonSet") => Some(kube::DAEMON_SET),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_holds_old_pods_back() {
        let set = json!({"kind": "StatefulSet", "metadata": {"generation": 2}, "spec": {"replicas": 3,
            "updateStrategy": {"rollingUpdate": {"partition": 2}}}, "status": {"observedGeneration": 2, "replicas": 3,
            "readyReplicas": 3, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"}});
        assert!(is_out(&set));
        let mut early = set.clone();
        early["status"]["updatedReplicas"] = json!(0);
        assert!(!is_out(&early));
    }
}
