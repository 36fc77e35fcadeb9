//! All traffic to one side by a Service's selector.

use serde_json::{Map, Value as Json};

use super::patch::Patch;
use super::{RouteError, Switch};
use crate::deliver::ground::What;

/// The label that says which side a pod is of.
pub const TRACK: &str = "slipway.dev/track";

/// The label by which Kubernetes tells the pods of one ReplicaSet.
pub const TEMPLATE_HASH: &str = "pod-template-hash";

/// What [`ServiceSwitch`] calls a side without a track.
pub const UNTRACKED: &str = "";

/// Switches a Service's selector.
#[derive(Debug, Clone)]
pub struct ServiceSwitch {
    service: String,
    hash: Option<String>,
}

impl ServiceSwitch {
    /// Of this Service.
    pub fn new(service: &str) -> Self {
        Self { service: service.to_owned(), hash: None }
    }

    /// A side without a track is the ReplicaSet of this hash.
    pub fn with_hash(self, hash: Option<String>) -> Self {
        Self { hash, ..self }
    }
}

/// A Service's selector.
pub fn selector(live: &Json) -> Map<String, Json> {
    live.pointer("/spec/selector").and_then(Json::as_object).cloned().unwrap_or_default()
}

/// The selector leads to pods of `track` only, and no longer to a ReplicaSet's.
pub fn to_track(mut selector: Map<String, Json>, track: &str) -> Map<String, Json> {
    selector.shift_remove(TEMPLATE_HASH);
    selector.insert(TRACK.to_owned(), Json::from(track));
    selector
}

/// The selector leads only to pods of the ReplicaSet of this hash, where there is no track to tell sides by.
pub fn to_replica_set(mut selector: Map<String, Json>, hash: &str) -> Map<String, Json> {
    selector.shift_remove(TRACK);
    selector.insert(TEMPLATE_HASH.to_owned(), Json::from(hash));
    selector
}

/// The selector without what the tool put in.
pub fn bare(mut selector: Map<String, Json>) -> Map<String, Json> {
    selector.shift_remove(TRACK);
    selector.shift_remove(TEMPLATE_HASH);
    selector
}

/// The Service selects by `selector` from now on.
pub fn select(live: &Json, selector: Map<String, Json>) -> Patch {
    Patch::new().change(live, "/spec/selector", Json::Object(selector))
}

impl Switch for ServiceSwitch {
    fn object(&self) -> (What, &str) {
        (What::Service, &self.service)
    }

    fn active(&self, live: &Json) -> Result<String, RouteError> {
        let selector = selector(live);
        if selector.is_empty() {
            return Err(RouteError(format!(
                "service \"{}\" has no selector, so it cannot be switched; name one that selects pods",
                self.service
            )));
        }
        Ok(selector.get(TRACK).and_then(Json::as_str).unwrap_or(UNTRACKED).to_owned())
    }

    fn switch(&self, live: &Json, from: &str, to: &str) -> Result<Patch, RouteError> {
        let active = self.active(live)?;
        if active != from && active != to {
            return Err(RouteError(format!(
                "service \"{}\" leads to {}, not to {}",
                self.service,
                named(&active),
                named(from)
            )));
        }
        let selector = selector(live);
        let selector = match (to, &self.hash) {
            (UNTRACKED, Some(hash)) => to_replica_set(selector, hash),
            (UNTRACKED, None) => bare(selector),
            _ => to_track(selector, to),
        };
        Ok(select(live, selector))
    }
}

fn named(track: &str) -> String {
    if track == UNTRACKED { "pods without a track".to_owned() } else { format!("track \"{track}\"") }
}

/// The only one of these Services that the object leads to.
pub(super) fn the_one<'s>(
    noun: &str,
    object: &str,
    mut found: impl Iterator<Item = &'s String>,
) -> Result<String, RouteError> {
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.clone()),
        (None, _) => Err(RouteError(format!("{noun} \"{object}\" leads to none of the app's services"))),
        (Some(one), Some(other)) => Err(RouteError(format!(
            "{noun} \"{object}\" leads to services \"{one}\" and \"{other}\" at once, so none of them is the active one"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(selector: Json) -> Json {
        json!({"spec": {"selector": selector, "ports": [{"port": 80}]}})
    }

    #[test]
    fn the_colour_is_read_from_the_selector() {
        let switch = ServiceSwitch::new("backend-service");
        assert_eq!(switch.active(&live(json!({"app": "a", TRACK: "green"}))).as_deref(), Ok("green"));
        assert_eq!(switch.active(&live(json!({"app": "a"}))).as_deref(), Ok(UNTRACKED));
        assert!(switch.active(&live(json!({}))).is_err());
    }

    #[test]
    fn one_operation_replaces_the_hash_by_the_track() {
        let live = live(json!({"app": "a", TEMPLATE_HASH: "5d7"}));
        let patch = ServiceSwitch::new("s").switch(&live, UNTRACKED, "blue").expect("it has a selector");
        assert_eq!(
            patch.into_json(),
            json!([
                {"op": "test", "path": "/spec/selector", "value": {"app": "a", TEMPLATE_HASH: "5d7"}},
                {"op": "replace", "path": "/spec/selector", "value": {"app": "a", TRACK: "blue"}},
            ])
        );
    }

    #[test]
    fn a_switch_from_another_colour_than_the_live_one_is_refused() {
        let live = live(json!({"app": "a", TRACK: "red"}));
        let error = ServiceSwitch::new("s").switch(&live, "blue", "green").expect_err("it leads to red");
        assert_eq!(error.to_string(), "service \"s\" leads to track \"red\", not to track \"blue\"");
    }

    #[test]
    fn the_way_back_to_a_side_without_a_track_leaves_the_other_out() {
        let live = live(json!({"app": "a", TRACK: "blue"}));
        let switch = ServiceSwitch::new("s").with_hash(Some("5d7".to_owned()));
        let patch = switch.switch(&live, "blue", UNTRACKED).expect("it leads to blue");
        assert_eq!(patch.operations()[1]["value"], json!({"app": "a", TEMPLATE_HASH: "5d7"}));
    }

    #[test]
    fn a_narrowed_selector_tells_an_untracked_side() {
        let narrowed = to_replica_set(selector(&live(json!({"app": "a"}))), "5d7");
        assert_eq!(Json::Object(narrowed.clone()), json!({"app": "a", TEMPLATE_HASH: "5d7"}));
        assert_eq!(Json::Object(bare(narrowed)), json!({"app": "a"}));
    }
}
