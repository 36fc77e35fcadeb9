//! Gitea and Forgejo: webhooks much like GitHub's, with a few other words.

use serde_json::Value;

use super::github::from_fork;
use super::webhook::{Delivered, WebhookError, pull_request, push};

/// Reads a payload of Gitea.
pub(super) fn read(event: &str, mut payload: Value) -> Result<Delivered, WebhookError> {
    match event {
        "push" => {
            login(&mut payload, "sender");
            if let Some(head) = payload["commits"].as_array().and_then(|commits| commits.first()).cloned()
                && payload["head_commit"].is_null()
            {
                payload["head_commit"] = head;
            }
            push(payload)
        }
        "pull_request" | "pull_request_sync" => {
            login(&mut payload, "sender");
            let action = match payload["action"].as_str() {
                Some("synchronized") => "synchronize",
                Some("label_updated") => "labeled",
                Some("label_cleared") => "unlabeled",
                Some(other) => other,
                None => return Err(WebhookError::Field("action")),
            };
            payload["action"] = action.to_owned().into();
            let fork = from_fork(&payload);
            pull_request(payload, fork)
        }
        _ => Ok(Delivered::Nothing(format!("nothing runs for the event \"{event}\""))),
    }
}

/// Older ones say `username` only.
fn login(payload: &mut Value, who: &str) {
    if payload[who]["login"].is_null()
        && let Some(name) = payload[who]["username"].as_str().map(str::to_owned)
    {
        payload[who]["login"] = name.into();
    }
}
