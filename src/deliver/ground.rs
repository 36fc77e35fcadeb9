//! What blue-green and canary need of the deploy around them: the cluster's objects under the deploy's lease, the manifests
//! rendered for a side, and who says whether pods are ready and gates hold.

use async_trait::async_trait;
use serde_json::{Map, Value as Json};

use super::halt::Halt;
use super::traffic::Patch;
use crate::event::GateReading;
use crate::task::contract::TaskError;

/// Kinds of objects that a strategy looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// `deployments.apps`.
    Deployment,
    /// `replicasets.apps`.
    ReplicaSet,
    /// `pods`.
    Pod,
    /// `services`.
    Service,
    /// `endpointslices.discovery.k8s.io`.
    EndpointSlice,
    /// `horizontalpodautoscalers.autoscaling`.
    Autoscaler,
    /// `poddisruptionbudgets.policy`.
    Budget,
    /// `ingresses.networking.k8s.io`.
    Ingress,
    /// `httproutes.gateway.networking.k8s.io`.
    HttpRoute,
    /// `virtualservices.networking.istio.io`.
    VirtualService,
    /// `destinationrules.networking.istio.io`.
    DestinationRule,
}

impl What {
    /// For people.
    pub fn noun(self) -> &'static str {
        match self {
            What::Deployment => "deployment",
            What::ReplicaSet => "replica set",
            What::Pod => "pod",
            What::Service => "service",
            What::EndpointSlice => "endpoint slice",
            What::Autoscaler => "autoscaler",
            What::Budget => "disruption budget",
            What::Ingress => "ingress",
            What::HttpRoute => "http route",
            What::VirtualService => "virtual service",
            What::DestinationRule => "destination rule",
        }
    }
}

/// Why a patch was not made.
#[derive(Debug)]
pub enum Refused {
    /// The object is no longer what the patch was made from, or is gone; in the words of who says so.
    Stale(String),
    /// Anything else.
    Task(TaskError),
}

impl From<TaskError> for Refused {
    fn from(error: TaskError) -> Self {
        Refused::Task(error)
    }
}

/// Whose pods are watched: label selectors in the deploy's namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tracks {
    /// Of the new version.
    pub new: String,
    /// Of the one that it is compared with.
    pub old: Option<String>,
}

/// What gates say.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing yet.
    Hold,
    /// All hold.
    Pass,
    /// Some do not.
    Fail(Vec<GateReading>),
    /// Nobody could look for too long.
    Gap(String),
}

/// Looks at pods until told to stop.
#[async_trait]
pub trait Gates: Send {
    /// The counters that it counts from, to go on with after a crash.
    fn snapshot(&self) -> Json;

    /// Waits for the next sample and judges it.
    async fn next(&mut self) -> Verdict;

    /// The verdict at the end of the time.
    async fn finish(&mut self) -> Verdict;
}

/// The deploy around a strategy.
#[async_trait]
pub trait Ground: Send + Sync {
    /// An object; none when there is none.
    async fn get(&self, what: What, name: &str) -> Result<Option<Json>, TaskError>;

    /// Objects that a label selector takes; all when it is empty.
    async fn list(&self, what: What, labels: &str) -> Result<Vec<Json>, TaskError>;

    /// One JSON patch; its `test` operations decide whether it is made. What stands then.
    async fn patch(&self, what: What, name: &str, patch: Patch) -> Result<Json, Refused>;

    /// Applies an object as its owner.
    async fn apply(&self, object: &Json) -> Result<Json, TaskError>;

    /// Sets a Deployment's size.
    async fn scale(&self, deployment: &str, replicas: u32) -> Result<(), TaskError>;

    /// Deletes an object; done when there is none.
    async fn delete(&self, what: What, name: &str) -> Result<(), TaskError>;

    /// The epoch of the deploy's lease. An error when the lease is lost; then nothing may be written.
    fn epoch(&self) -> Result<u64, TaskError>;

    /// Says why the deploy should go back though nothing is wrong with it: cancelled, or another one takes its place.
    fn stopped(&self) -> Result<(), Halt> {
        Ok(())
    }

    /// The objects of the side `track` (empty: without a track): Deployment, Service, autoscaler, disruption budget.
    fn side(&self, track: &str) -> Result<Vec<Json>, TaskError>;

    /// Labels of objects that the deploy makes.
    fn labels(&self) -> Map<String, Json>;

    /// Waits until a Deployment is as new and as large as asked for and available. `key` is for its deadline on record.
    async fn ready(&self, key: &str, deployment: &str) -> Result<(), Halt>;

    /// Runs the migration, once a release.
    async fn migrate(&self) -> Result<(), Halt>;

    /// Runs the smoke checks on pods of this label selector.
    async fn smoke(&self, key: &str, pods: &str) -> Result<(), Halt>;

    /// Begins to look, from `known` counters after a crash.
    async fn gates(&self, tracks: &Tracks, known: Option<Json>) -> Result<Box<dyn Gates + '_>, TaskError>;
}
