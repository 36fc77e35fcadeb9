//! GitHub: its webhooks and its API.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::secret::Secret;

use super::contract::{CommitStatus, Forge, ForgeError, IssueRef, NewIssue, Permission, StatusState};
use super::rest::{Rest, bearer, cut, holding, marked, reference, unnamed};
use super::webhook::{Delivered, WebhookError, pull_request, push};

/// GitHub refuses longer ones.
const MAX_DESCRIPTION: usize = 140;

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

/// GitHub's API of one repository.
#[derive(Debug, Clone)]
pub struct Github {
    rest: Rest,
}

impl Github {
    /// With the API's root, a token, and `owner/name`.
    pub fn new(api: &str, token: &Secret, project: &str) -> Result<Self, ForgeError> {
        Ok(Self { rest: Rest::new(api, bearer("Bearer", token), project)? })
    }
}

#[async_trait]
impl Forge for Github {
    async fn status(&self, status: &CommitStatus) -> Result<(), ForgeError> {
        set_status(&self.rest, status).await
    }

    async fn create_issue(&self, issue: &NewIssue) -> Result<IssueRef, ForgeError> {
        let what = format!("make an issue in \"{}\"", self.rest.project);
        if let Some(known) = find_issue(&self.rest, &what, issue).await? {
            return Ok(known);
        }
        let body = json!({ "title": issue.title, "body": marked(issue), "labels": issue.labels });
        let made = self.rest.post(&what, self.rest.repository_url(&["issues"]), &body).await?;
        reference(&made, ["number", "html_url"]).ok_or_else(|| unnamed(&what))
    }

    async fn permission(&self, user: &str) -> Result<Permission, ForgeError> {
        permission_of(&self.rest, user).await
    }
}

/// Sets a status; GitHub and Gitea have the same words.
pub(super) async fn set_status(rest: &Rest, status: &CommitStatus) -> Result<(), ForgeError> {
    let what = format!("set the status \"{}\" in \"{}\"", status.context, rest.project);
    let state = match status.state {
        StatusState::Pending => "pending",
        StatusState::Success => "success",
        StatusState::Failure => "failure",
        StatusState::Error => "error",
    };
    let body = json!({
        "state": state, "context": status.context, "target_url": status.url,
        "description": cut(&status.description, MAX_DESCRIPTION),
    });
    rest.post(&what, rest.repository_url(&["statuses", &status.sha]), &body).await.map(drop)
}

/// An issue with the marker among the newest.
pub(super) async fn find_issue(rest: &Rest, what: &str, issue: &NewIssue) -> Result<Option<IssueRef>, ForgeError> {
    let mut url = rest.repository_url(&["issues"]);
    url.set_query(Some("state=all&per_page=100&limit=50"));
    let list = rest.find(what, url).await?.unwrap_or_default();
    Ok(holding(&list, issue, ["number", "body", "html_url"]))
}

/// What a collaborator may do; somebody who is none may do nothing.
pub(super) async fn permission_of(rest: &Rest, user: &str) -> Result<Permission, ForgeError> {
    let what = format!("ask what \"{user}\" may do in \"{}\"", rest.project);
    let url = rest.repository_url(&["collaborators", user, "permission"]);
    let answer = rest.find(&what, url).await?.unwrap_or_default();
    Ok(match answer["permission"].as_str() {
        Some("admin" | "owner") => Permission::Admin,
        Some("write") => Permission::Write,
        Some("read") => Permission::Read,
        _ => Permission::None,
    })
}
