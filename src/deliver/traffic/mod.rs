//! How traffic is divided between the version that serves and the one that comes.
//!
//! Two ways. A [`Weighing`] sends a share to the canary: ingress-nginx annotations, a Gateway API route, an Istio virtual
//! service. A [`Switch`] sends all of it to one side: a Service's selector, an Ingress' backend, a route's backend. Both are
//! pure: from the live object they make one JSON patch, whose `test` operations name each value that it replaces. So a write
//! of another hand in between makes the patch fail, and nothing is overwritten unseen; a mere change of status does not.
//!
//! [`route`] does the I/O: one write for each change, from what it saw last, so that taking traffic back waits for no read.

pub mod gateway;
pub mod ingress;
pub mod istio;
pub mod nginx;
pub mod patch;
pub mod replicas;
pub mod service;

use serde_json::Value as Json;

use super::ground::What;

pub use crate::stage::deploy::{HeaderRule, Marked};
pub use patch::Patch;

/// The two Services that a weight divides traffic between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sides {
    /// Of the version that serves.
    pub stable: String,
    /// Of the canary.
    pub canary: String,
}

/// Why an object cannot be used to divide traffic. The text says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RouteError(pub String);

/// How the canary's side of a route comes to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Begin {
    /// By an object of its own, at weight 0.
    Create(Json),
    /// By a change of the object that is there, at weight 0.
    Patch(Patch),
}

/// How it goes away.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// Its own object is deleted.
    Delete,
    /// The object that is there is changed back.
    Patch(Patch),
}

/// Divides traffic between two sides. Pure.
pub trait Weighing: Send + Sync {
    /// The object that holds the weight: its kind and name.
    fn object(&self) -> (What, &str);

    /// The object that is there before the deploy, from which [`Weighing::begin`] is made.
    fn main(&self) -> (What, &str) {
        self.object()
    }

    /// Adds the canary at weight 0. A weight that is on the object already stays.
    fn begin(&self, main: &Json) -> Result<Begin, RouteError>;

    /// The canary's share in percent; none when the object does not name the canary.
    fn weight(&self, live: &Json) -> Option<u32>;

    /// Gives the canary this share.
    fn set(&self, live: &Json, weight: u32) -> Result<Patch, RouteError>;

    /// Takes traffic back to this share. At 0 marked requests go back too.
    fn back(&self, live: &Json, weight: u32) -> Result<Patch, RouteError>;

    /// Takes the canary away.
    fn end(&self, live: &Json) -> Result<End, RouteError>;
}

/// Sends all traffic to one side. Pure.
pub trait Switch: Send + Sync {
    /// The object: its kind and name.
    fn object(&self) -> (What, &str);

    /// Where it sends traffic: a colour, or a Service's name.
    fn active(&self, live: &Json) -> Result<String, RouteError>;

    /// Sends it to `to`; an error when the object does not send it to `from`.
    fn switch(&self, live: &Json, from: &str, to: &str) -> Result<Patch, RouteError>;
}

/// The manifest of a router with the app's Services that its live object names, so that applying it moves no traffic.
/// `services` are the app's, with and without tracks.
pub fn kept(manifest: &Json, live: &Json, services: &[String]) -> Json {
    let (active, pointers) = match manifest.get("kind").and_then(Json::as_str) {
        Some("Ingress") => (ingress::named(live, services), ingress::pointers(manifest, services)),
        Some("HTTPRoute") => (gateway::named(live, services), gateway::pointers(manifest, services)),
        _ => (None, Vec::new()),
    };
    let mut kept = manifest.clone();
    if let Some(active) = active {
        for pointer in pointers {
            if let Some(name) = kept.pointer_mut(&pointer) {
                *name = Json::from(active.as_str());
            }
        }
    }
    kept
}

/// A header's values, and the Service that each leads to.
fn goals<'h>(header: &'h HeaderRule, sides: &'h Sides) -> Vec<(&'h str, &'h str)> {
    match &header.value {
        Some(value) => vec![(value, &sides.canary)],
        None => vec![("always", &sides.canary), ("never", &sides.stable)],
    }
}

/// Texts at `pointer`'s array, for messages.
fn at<'j>(live: &'j Json, pointer: &str) -> &'j [Json] {
    live.pointer(pointer).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A share in percent of two weights; none when both are 0.
fn share(canary: u64, stable: u64) -> Option<u32> {
    let sum = canary + stable;
    let rounded = (200 * canary + sum).checked_div(2 * sum)?;
    u32::try_from(rounded).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{kept, share};

    #[test]
    fn a_manifest_that_is_applied_moves_no_traffic() {
        let services = ["backend".to_owned(), "backend-blue".to_owned()];
        let ingress = |service: &str| {
            json!({"kind": "Ingress", "spec": {"rules": [{"http": {"paths": [
                {"backend": {"service": {"name": service}}}, {"backend": {"service": {"name": "frontend"}}}]}}]}})
        };
        assert_eq!(kept(&ingress("backend"), &ingress("backend-blue"), &services), ingress("backend-blue"));
        assert_eq!(kept(&ingress("backend"), &ingress("other"), &services), ingress("backend"));
        let route = |service: &str| {
            json!({"kind": "HTTPRoute", "spec": {"rules": [{"backendRefs": [{"name": service}]},
                {"backendRefs": [{"name": "frontend"}]}]}})
        };
        assert_eq!(kept(&route("backend"), &route("backend-blue"), &services), route("backend-blue"));
    }

    #[test]
    fn a_share_is_of_the_sum_not_of_a_hundred() {
        assert_eq!(share(1, 3), Some(25));
        assert_eq!(share(1, 2), Some(33));
        assert_eq!(share(2, 1), Some(67));
        assert_eq!(share(0, 100), Some(0));
        assert_eq!(share(0, 0), None);
    }
}
