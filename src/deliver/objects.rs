//! The objects of a deploy's namespace, over the cluster's API: one half of [`Ground`](super::ground::Ground).

use serde_json::{Value as Json, json};

use super::ground::{Refused, What};
use super::traffic::Patch;
use crate::client::kube::{
    Cluster, DEPLOYMENT, DESTINATION_RULE, ENDPOINT_SLICE, HPA, HTTP_ROUTE, INGRESS, Kind, KubeError, PDB, POD,
    REPLICA_SET, SERVICE, VIRTUAL_SERVICE,
};
use crate::task::contract::TaskError;

/// Objects of a namespace.
#[derive(Clone)]
pub struct Objects {
    cluster: Cluster,
    namespace: String,
}

/// The cluster's kind.
pub fn kind_of(what: What) -> Kind {
    match what {
        What::Deployment => DEPLOYMENT,
        What::ReplicaSet => REPLICA_SET,
        What::Pod => POD,
        What::Service => SERVICE,
        What::EndpointSlice => ENDPOINT_SLICE,
        What::Autoscaler => HPA,
        What::Budget => PDB,
        What::Ingress => INGRESS,
        What::HttpRoute => HTTP_ROUTE,
        What::VirtualService => VIRTUAL_SERVICE,
        What::DestinationRule => DESTINATION_RULE,
    }
}

impl From<KubeError> for TaskError {
    fn from(error: KubeError) -> Self {
        TaskError::failed(crate::diagnostic::chain(&error))
    }
}

impl Objects {
    /// Of this namespace.
    pub fn new(cluster: Cluster, namespace: &str) -> Self {
        Self { cluster, namespace: namespace.to_owned() }
    }

    /// An object; none when there is none.
    pub async fn get(&self, what: What, name: &str) -> Result<Option<Json>, TaskError> {
        Ok(self.cluster.find(&kind_of(what), &self.namespace, name).await?)
    }

    /// Objects that a label selector takes; all when it is empty.
    pub async fn list(&self, what: What, labels: &str) -> Result<Vec<Json>, TaskError> {
        Ok(self.cluster.list(&kind_of(what), &self.namespace, labels).await?)
    }

    /// One JSON patch; its `test` operations decide whether it is made.
    pub async fn patch(&self, what: What, name: &str, patch: Patch) -> Result<Json, Refused> {
        match self.cluster.json_patch(&kind_of(what), &self.namespace, name, patch.into_json()).await {
            Ok(object) => Ok(object),
            Err(error @ (KubeError::Conflict { .. } | KubeError::Invalid { .. } | KubeError::NotFound { .. })) => {
                Err(Refused::Stale(crate::diagnostic::chain(&error)))
            }
            Err(error) => Err(Refused::Task(error.into())),
        }
    }

    /// Applies an object of this namespace as its owner.
    pub async fn apply(&self, object: &Json) -> Result<Json, TaskError> {
        let mut object = object.clone();
        object["metadata"]["namespace"] = Json::from(self.namespace.as_str());
        Ok(self.cluster.apply(&object).await?)
    }

    /// Sets a Deployment's size; done when there is none.
    pub async fn scale(&self, deployment: &str, replicas: u32) -> Result<(), TaskError> {
        let size = json!({"spec": {"replicas": replicas}});
        match self.cluster.merge(&DEPLOYMENT, &self.namespace, deployment, size).await {
            Ok(_) | Err(KubeError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes an object; done when there is none.
    pub async fn delete(&self, what: What, name: &str) -> Result<(), TaskError> {
        match self.cluster.delete(&kind_of(what), &self.namespace, name).await {
            Ok(_) | Err(KubeError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
