//! GitHub: its webhooks.

use serde_json::Value;

use super::webhook::{Delivered, WebhookError, pull_request, push};

/// Reads a payload of GitHub.
pub(super) fn read(event: &str, payload: Value) -> Result<Delivered, WebhookError> {
    match event {
        "push" => push(payload),
        "pull_request" => {
            let fork = from_fork(&payload);
            pull_request(payload, fork)
        }
        "ping" => Ok(Delivered::Nothing("the forge asks whether we are here".to_owned())),
        _ => Ok(Delivered::Nothing(format!("nothing runs for the event \"{event}\""))),
    }
}

/// Whether the head is not of the very repository that was asked: a fork, one that is gone, or one that is not named.
pub(super) fn from_fork(payload: &Value) -> bool {
    let (head, own) = (&payload["pull_request"]["head"]["repo"], &payload["repository"]);
    match (head["id"].as_u64(), own["id"].as_u64()) {
        (Some(head), Some(own)) => head != own,
        _ => true,
    }
}
