//! Kinds of objects: what the API server calls them, and where they are found.

use std::borrow::Cow;

/// A kind of objects of the API server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kind {
    /// `v1`, `apps/v1`.
    pub api_version: Cow<'static, str>,
    /// `Deployment`.
    pub kind: Cow<'static, str>,
    /// `deployments`.
    pub plural: Cow<'static, str>,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

const fn known(api_version: &'static str, kind: &'static str, plural: &'static str) -> Kind {
    Kind {
        api_version: Cow::Borrowed(api_version),
        kind: Cow::Borrowed(kind),
        plural: Cow::Borrowed(plural),
        namespaced: true,
    }
}

const fn cluster_wide(api_version: &'static str, kind: &'static str, plural: &'static str) -> Kind {
    Kind {
        api_version: Cow::Borrowed(api_version),
        kind: Cow::Borrowed(kind),
        plural: Cow::Borrowed(plural),
        namespaced: false,
    }
}

/// `deployments.apps`
pub const DEPLOYMENT: Kind = known("apps/v1", "Deployment", "deployments");
/// `statefulsets.apps`
pub const STATEFUL_SET: Kind = known("apps/v1", "StatefulSet", "statefulsets");
/// `daemonsets.apps`
pub const DAEMON_SET: Kind = known("apps/v1", "DaemonSet", "daemonsets");
/// `replicasets.apps`
pub const REPLICA_SET: Kind = known("apps/v1", "ReplicaSet", "replicasets");
/// `controllerrevisions.apps`
pub const CONTROLLER_REVISION: Kind = known("apps/v1", "ControllerRevision", "controllerrevisions");
/// `pods`
pub const POD: Kind = known("v1", "Pod", "pods");
/// `services`
pub const SERVICE: Kind = known("v1", "Service", "services");
/// `configmaps`
pub const CONFIG_MAP: Kind = known("v1", "ConfigMap", "configmaps");
/// `secrets`
pub const SECRET: Kind = known("v1", "Secret", "secrets");
/// `events`
pub const EVENT: Kind = known("v1", "Event", "events");
/// `resourcequotas`
pub const RESOURCE_QUOTA: Kind = known("v1", "ResourceQuota", "resourcequotas");
/// `namespaces`
pub const NAMESPACE: Kind = cluster_wide("v1", "Namespace", "namespaces");
/// `ingresses.networking.k8s.io`
pub const INGRESS: Kind = known("networking.k8s.io/v1", "Ingress", "ingresses");
/// `horizontalpodautoscalers.autoscaling`
pub const HPA: Kind = known("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers");
/// `poddisruptionbudgets.policy`
pub const PDB: Kind = known("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets");
/// `jobs.batch`
pub const JOB: Kind = known("batch/v1", "Job", "jobs");
/// `leases.coordination.k8s.io`
pub const LEASE: Kind = known("coordination.k8s.io/v1", "Lease", "leases");
/// `endpointslices.discovery.k8s.io`
pub const ENDPOINT_SLICE: Kind = known("discovery.k8s.io/v1", "EndpointSlice", "endpointslices");
/// `httproutes.gateway.networking.k8s.io`
pub const HTTP_ROUTE: Kind = known("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes");
/// `virtualservices.networking.istio.io`
pub const VIRTUAL_SERVICE: Kind = known("networking.istio.io/v1", "VirtualService", "virtualservices");
/// `destinationrules.networking.istio.io`
pub const DESTINATION_RULE: Kind = known("networking.istio.io/v1", "DestinationRule", "destinationrules");
/// `selfsubjectaccessreviews.authorization.k8s.io`
pub const ACCESS_REVIEW: Kind =
    cluster_wide("authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews");

impl Kind {
    /// Where objects of it are found: all of a namespace, or one of them.
    pub fn path(&self, namespace: &str, name: Option<&str>) -> String {
        let root = if self.api_version.contains('/') { "/apis" } else { "/api" };
        let place = match (self.namespaced, namespace) {
            (true, namespace) if !namespace.is_empty() => format!("/namespaces/{}", segment(namespace)),
            _ => String::new(),
        };
        let one = name.map(|name| format!("/{}", segment(name))).unwrap_or_default();
        format!("{root}/{}{place}/{}{one}", self.api_version, self.plural)
    }

    /// The group, empty for the core's.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// `deployments.apps/backend`
    pub fn named(&self, name: &str) -> String {
        let dot = if self.group().is_empty() { "" } else { "." };
        format!("{}{dot}{}/{name}", self.plural, self.group())
    }
}

/// A part of a path: whatever a name holds, it stays one part.
pub(super) fn segment(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(byte);
    text.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_the_api_servers_and_names_stay_one_part() {
        assert_eq!(DEPLOYMENT.path("shop", Some("a")), "/apis/apps/v1/namespaces/shop/deployments/a");
        assert_eq!(POD.path("shop", None), "/api/v1/namespaces/shop/pods");
        assert_eq!(NAMESPACE.path("x", Some("shop")), "/api/v1/namespaces/shop");
        assert_eq!(SECRET.path("a/../b", Some("x?y")), "/api/v1/namespaces/a%2F..%2Fb/secrets/x%3Fy");
        assert_eq!(DEPLOYMENT.named("a"), "deployments.apps/a");
        assert_eq!(POD.named("a"), "pods/a");
    }
}
