//! Gitea and Forgejo: webhooks much like GitHub's, with a few other words.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::secret::Secret;

use super::contract::{CommitStatus, Forge, ForgeError, IssueRef, NewIssue, Permission};
use super::github::{find_issue, from_fork, permission_of, set_status};
use super::rest::{Rest, bearer, marked, reference, unnamed};
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

/// Gitea's API of one repository.
#[derive(Debug, Clone)]
pub struct Gitea {
    rest: Rest,
}

impl Gitea {
    /// With the API's root (it ends in `/api/v1`), a token, and `owner/name`.
    pub fn new(api: &str, token: &Secret, project: &str) -> Result<Self, ForgeError> {
        Ok(Self { rest: Rest::new(api, bearer("token", token), project)? })
    }
}

#[async_trait]
impl Forge for Gitea {
    async fn status(&self, status: &CommitStatus) -> Result<(), ForgeError> {
        set_status(&self.rest, status).await
    }

    async fn create_issue(&self, issue: &NewIssue) -> Result<IssueRef, ForgeError> {
        let what = format!("make an issue in \"{}\"", self.rest.project);
        if let Some(known) = find_issue(&self.rest, &what, issue).await? {
            return Ok(known);
        }
        // Labels are numbers here; those that the repository lacks are left out.
        let mut labels = Vec::new();
        if !issue.labels.is_empty() {
            let known = self.rest.find(&what, self.rest.repository_url(&["labels"])).await?.unwrap_or_default();
            let known = known.as_array().into_iter().flatten();
            let wanted = known.filter(|label| issue.labels.iter().any(|name| label["name"] == name.as_str()));
            labels.extend(wanted.map(|label| label["id"].clone()));
        }
        let body = json!({ "title": issue.title, "body": marked(issue), "labels": labels });
        let made = self.rest.post(&what, self.rest.repository_url(&["issues"]), &body).await?;
        reference(&made, ["number", "html_url"]).ok_or_else(|| unnamed(&what))
    }

    async fn permission(&self, user: &str) -> Result<Permission, ForgeError> {
        permission_of(&self.rest, user).await
    }
}
