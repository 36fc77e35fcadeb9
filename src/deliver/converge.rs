//! Whether the cluster's data plane knows what was written: the endpoints of a Service.
//!
//! A Service's selector counts for nothing until its EndpointSlices follow, so no switch is made to pods that they do not
//! show, and no old pod goes while they show it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value as Json;

use super::drain::later;
use super::ground::What;
use super::hands::{Hands, READ_EVERY};
use super::sides;
use crate::task::contract::TaskError;

/// Within which time endpoints follow. Kubernetes takes well under a second; what takes longer is broken.
const WITHIN: Duration = Duration::from_secs(60);

/// The label by which a slice names its Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Endpoints of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// UIDs of pods that get requests.
    pub ready: BTreeSet<String>,
    /// UIDs of pods that are listed and get none.
    pub others: BTreeSet<String>,
}

impl Endpoints {
    /// From the slices of a Service. A pod that is in several (one for each address family) counts once.
    pub fn of_slices<'j>(slices: impl IntoIterator<Item = &'j Json>) -> Self {
        let mut found = Self::default();
        for slice in slices {
            for endpoint in slice.get("endpoints").and_then(Json::as_array).into_iter().flatten() {
                let Some(pod) = endpoint.pointer("/targetRef/uid").and_then(Json::as_str) else { continue };
                // Nothing said means ready, by the API's rule.
                let is_ready = endpoint.pointer("/conditions/ready").and_then(Json::as_bool).unwrap_or(true);
                let kind = if is_ready { &mut found.ready } else { &mut found.others };
                kind.insert(pod.to_owned());
            }
        }
        found.others.retain(|pod| !found.ready.contains(pod));
        found
    }

    /// Whether exactly pods of `wanted` get requests, and at least one does.
    pub fn are_only(&self, wanted: &BTreeSet<String>) -> bool {
        !self.ready.is_empty() && self.ready.is_subset(wanted)
    }

    /// Whether at least `count` of `wanted` get requests.
    pub fn have(&self, wanted: &BTreeSet<String>, count: usize) -> bool {
        self.ready.intersection(wanted).count() >= count
    }
}

/// Says when something was so several times one after another: an answer may come from a server that lags.
#[derive(Debug, Clone, Copy)]
pub struct Twice {
    needed: u32,
    seen: u32,
}

impl Default for Twice {
    fn default() -> Self {
        Self { needed: 2, seen: 0 }
    }
}

impl Twice {
    /// Takes one reading; true when the last two were.
    pub fn take(&mut self, is_so: bool) -> bool {
        self.seen = if is_so { self.seen + 1 } else { 0 };
        self.seen >= self.needed
    }
}

/// Waits until a Service's endpoints show the pods of a Deployment ready, as many as it is to have, twice.
pub async fn reachable(hands: &Hands<'_>, service: &str, deployment: &str) -> Result<(), TaskError> {
    let is_so = |found: &Endpoints, pods: &BTreeSet<String>, replicas: u32| {
        found.have(pods, usize::try_from(replicas.max(1)).unwrap_or(usize::MAX))
    };
    until(hands, service, deployment, "do not show all pods ready of", is_so).await
}

/// Waits until a Service's endpoints show only pods of a Deployment ready, twice.
pub async fn only(hands: &Hands<'_>, service: &str, deployment: &str) -> Result<(), TaskError> {
    let is_so = |found: &Endpoints, pods: &BTreeSet<String>, _: u32| found.are_only(pods);
    until(hands, service, deployment, "still show pods that are not of", is_so).await
}

async fn until<F>(hands: &Hands<'_>, service: &str, deployment: &str, what: &str, is_so: F) -> Result<(), TaskError>
where
    F: Fn(&Endpoints, &BTreeSet<String>, u32) -> bool + Send + Sync,
{
    let until = later(hands.ctx.now(), WITHIN);
    let mut twice = Twice::default();
    while hands.ctx.now() < until {
        let live = hands.must(What::Deployment, deployment).await?;
        let sets = hands.all(What::ReplicaSet).await?;
        let pods = hands.all(What::Pod).await?;
        let own = sides::pods_of(&live, &sets, &pods);
        let slices = hands.ground.list(What::EndpointSlice, &format!("{SERVICE_NAME}={service}")).await?;
        if twice.take(is_so(&Endpoints::of_slices(&slices), &own, sides::replicas(&live))) {
            return Ok(());
        }
        tokio::time::sleep(READ_EVERY).await;
    }
    Err(TaskError::failed(format!(
        "the endpoints of service \"{service}\" in namespace \"{}\" {what} deployment \"{deployment}\" after {}; look at its selector, and at its pods' readiness",
        hands.about.namespace,
        crate::clock::humanize(WITHIN)
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn slice(endpoints: &[(&str, Option<bool>)]) -> Json {
        let endpoints: Vec<Json> = endpoints
            .iter()
            .map(|(uid, ready)| json!({"targetRef": {"kind": "Pod", "uid": uid}, "conditions": {"ready": ready}}))
            .collect();
        json!({"endpoints": endpoints})
    }

    fn uids(of: &[&str]) -> BTreeSet<String> {
        of.iter().map(|uid| (*uid).to_owned()).collect()
    }

    #[test]
    fn ready_pods_count_once_over_all_slices() {
        let slices = [slice(&[("a", Some(true)), ("b", Some(false))]), slice(&[("a", Some(true)), ("c", None)])];
        let found = Endpoints::of_slices(&slices);
        assert_eq!(found.ready, uids(&["a", "c"]));
        assert_eq!(found.others, uids(&["b"]));
    }

    #[test]
    fn an_old_pod_that_still_gets_requests_is_no_convergence() {
        let found = Endpoints::of_slices(&[slice(&[("new", Some(true)), ("old", Some(true))])]);
        assert!(!found.are_only(&uids(&["new"])));
        assert!(found.have(&uids(&["new"]), 1));
        let found = Endpoints::of_slices(&[slice(&[("new", Some(true)), ("old", Some(false))])]);
        assert!(found.are_only(&uids(&["new"])));
    }

    #[test]
    fn no_endpoints_are_no_convergence() {
        assert!(!Endpoints::default().are_only(&uids(&["new"])));
    }

    #[test]
    fn one_reading_alone_does_not_count() {
        let mut twice = Twice::default();
        assert!(!twice.take(true));
        assert!(!twice.take(false));
        assert!(!twice.take(true));
        assert!(twice.take(true));
    }
}
