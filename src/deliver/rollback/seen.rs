//! What stands in the cluster of an application, as it is read before a way back is chosen.

use serde_json::Value as Json;

use crate::client::kube::{Cluster, DEPLOYMENT, HTTP_ROUTE, INGRESS, Kind, REPLICA_SET, SERVICE, VIRTUAL_SERVICE};
use crate::deliver::canary;
use crate::deliver::release::{self, Release};
use crate::deliver::render::APP;
use crate::deliver::sides;
use crate::deliver::traffic::service::{TRACK, bare, selector};
use crate::task::contract::TaskError;

/// Objects of the namespace, and the application's releases on record.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) app: String,
    pub(super) deployments: Vec<Json>,
    pub(super) replica_sets: Vec<Json>,
    pub(super) services: Vec<Json>,
    pub(super) ingresses: Vec<Json>,
    pub(super) routes: Vec<Json>,
    pub(super) virtual_services: Vec<Json>,
    pub(super) releases: Vec<Release>,
}

impl Seen {
    /// Reads it.
    pub(super) async fn read(cluster: &Cluster, namespace: &str, app: &str) -> Result<Self, TaskError> {
        let all = |kind: Kind| async move {
            match cluster.list(&kind, namespace, "").await {
                Ok(objects) => Ok(objects),
                // Routers of this kind are not installed.
                Err(error) if error.is_not_found() => Ok(Vec::new()),
                Err(error) => Err(TaskError::from(error)),
            }
        };
        Ok(Self {
            app: app.to_owned(),
            deployments: all(DEPLOYMENT).await?,
            replica_sets: all(REPLICA_SET).await?,
            services: all(SERVICE).await?,
            ingresses: all(INGRESS).await?,
            routes: all(HTTP_ROUTE).await?,
            virtual_services: all(VIRTUAL_SERVICE).await?,
            releases: release::list(cluster, namespace, app).await?,
        })
    }

    /// The Service that all sides of the application share: the one on record, else the one that is labelled as the
    /// application's, is no side's, and leads to a Deployment.
    pub(super) fn base(&self) -> Option<&Json> {
        let recorded = self.releases.iter().rev().find_map(|release| release.service.as_deref());
        let named = recorded.and_then(|name| self.services.iter().find(|service| sides::name(service) == name));
        named.or_else(|| {
            let own =
                self.services.iter().filter(|one| label(one, APP) == Some(&self.app) && label(one, TRACK).is_none());
            own.into_iter().find(|service| {
                let track = self::track(service);
                sides::deployment_of(service, &track, &self.deployments).is_some()
            })
        })
    }

    /// Names of the Services of all sides.
    pub(super) fn services_of(&self, base: &Json) -> Vec<String> {
        let wanted = bare(selector(base));
        let same = self.services.iter().filter(|service| bare(selector(service)) == wanted);
        same.map(|service| sides::name(service).to_owned()).collect()
    }

    /// The application's Deployments that are no canary.
    pub(super) fn own(&self) -> impl Iterator<Item = &Json> {
        self.deployments.iter().filter(|one| label(one, APP) == Some(&self.app) && sides::track(one) != canary::TRACK)
    }

    /// An object of the canary's side.
    pub(super) fn canary<'s>(&self, objects: &'s [Json]) -> Option<&'s Json> {
        objects.iter().find(|one| label(one, APP) == Some(&self.app) && label(one, TRACK) == Some(canary::TRACK))
    }

    /// A release on record.
    pub(super) fn release(&self, number: u64) -> Option<&Release> {
        self.releases.iter().find(|release| release.number == number)
    }
}

/// A label of an object.
pub(super) fn label<'j>(object: &'j Json, key: &str) -> Option<&'j str> {
    object.pointer("/metadata/labels")?.get(key)?.as_str()
}

/// The track that a Service selects.
pub(super) fn track(service: &Json) -> String {
    selector(service).get(TRACK).and_then(Json::as_str).unwrap_or_default().to_owned()
}

/// Container images of a Deployment or ReplicaSet, by name.
pub(super) fn images(object: &Json) -> Vec<(String, String)> {
    let containers = object.pointer("/spec/template/spec/containers").and_then(Json::as_array);
    let text = |container: &Json, key: &str| container[key].as_str().unwrap_or_default().to_owned();
    let mut images: Vec<_> =
        containers.into_iter().flatten().map(|one| (text(one, "name"), text(one, "image"))).collect();
    images.sort();
    images
}
