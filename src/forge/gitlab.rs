//! GitLab: its webhooks, put into GitHub's shape, and its API.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::secret::Secret;

use super::contract::{CommitStatus, Forge, ForgeError, IssueRef, NewIssue, Permission, StatusState};
use super::rest::{Rest, cut, holding, marked, reference, unnamed};
use super::webhook::{Delivered, WebhookError, is_zeros, pull_request, push};

/// GitLab refuses longer ones.
const MAX_DESCRIPTION: usize = 255;
/// What GitLab says of a status that stands already.
const SAME_STATUS: &str = "Cannot transition status";
/// Access levels: maintainers, and developers, who may push.
const MAINTAINER: u64 = 40;
const DEVELOPER: u64 = 30;

/// Reads a payload of GitLab. `event` is its header; the payload says the same in another word.
pub(super) fn read(event: &str, payload: &Value) -> Result<Delivered, WebhookError> {
    match payload["object_kind"].as_str() {
        Some("push" | "tag_push") => push(as_push(payload)),
        Some("merge_request") => {
            let merge = &payload["object_attributes"];
            let Some(action) = action(merge) else {
                return Ok(Delivered::Nothing("nothing runs for this activity of a merge request".to_owned()));
            };
            let ids = (merge["source_project_id"].as_u64(), merge["target_project_id"].as_u64());
            let from_fork = !matches!(ids, (Some(source), Some(target)) if source == target);
            pull_request(as_pull_request(payload, action), from_fork)
        }
        _ => Ok(Delivered::Nothing(format!("nothing runs for the event \"{event}\""))),
    }
}

/// GitHub's word; an update without a new commit is an edit.
fn action(merge: &Value) -> Option<&'static str> {
    match merge["action"].as_str()? {
        "open" => Some("opened"),
        "reopen" => Some("reopened"),
        "update" if merge["oldrev"].is_string() => Some("synchronize"),
        "update" => Some("edited"),
        "close" | "merge" => Some("closed"),
        _ => None,
    }
}

fn as_push(payload: &Value) -> Value {
    let (before, after) = (&payload["before"], &payload["after"]);
    let zeros = |value: &Value| value.as_str().is_some_and(is_zeros);
    let commits = payload["commits"].as_array().cloned().unwrap_or_default();
    let head = commits.iter().find(|commit| commit["id"] == *after).or(commits.last()).cloned();
    json!({
        "ref": payload["ref"], "before": before, "after": after,
        "created": zeros(before), "deleted": zeros(after), "forced": false,
        "head_commit": head, "commits": commits, "total_commits_count": payload["total_commits_count"],
        "repository": repository(payload),
        "pusher": {"name": payload["user_username"], "email": payload["user_email"]},
        "sender": {"login": payload["user_username"], "id": payload["user_id"]},
    })
}

fn as_pull_request(payload: &Value, action: &str) -> Value {
    let merge = &payload["object_attributes"];
    let user = &payload["user"];
    let author = &merge["author_id"];
    // The payload names who did something now. That is the author only when the numbers agree.
    let login = if *author == user["id"] { user["username"].clone() } else { Value::Null };
    json!({
        "action": action, "number": merge["iid"],
        "pull_request": {
            "number": merge["iid"], "title": merge["title"], "body": merge["description"], "state": merge["state"],
            "draft": merge["draft"], "html_url": merge["url"], "merged": merge["action"] == "merge",
            "user": {"login": login, "id": author},
            "head": {"ref": merge["source_branch"], "sha": merge["last_commit"]["id"]},
            "base": {"ref": merge["target_branch"]},
        },
        "repository": repository(payload),
        "sender": {"login": user["username"], "id": user["id"]},
    })
}

fn repository(payload: &Value) -> Value {
    let project = &payload["project"];
    let name = project["path_with_namespace"].as_str().unwrap_or_default();
    let (owner, last) = name.rsplit_once('/').unwrap_or_default();
    json!({
        "id": project["id"], "name": last, "full_name": name, "owner": {"login": owner},
        "default_branch": project["default_branch"], "html_url": project["web_url"],
        "clone_url": project["git_http_url"], "ssh_url": project["git_ssh_url"],
        "private": project["visibility_level"] != json!(20),
    })
}

/// GitLab's API of one project.
#[derive(Debug, Clone)]
pub struct Gitlab {
    rest: Rest,
}

impl Gitlab {
    /// With the API's root (it ends in `/api/v4`), a token, and the project's whole path.
    pub fn new(api: &str, token: &Secret, project: &str) -> Result<Self, ForgeError> {
        Ok(Self { rest: Rest::new(api, ("private-token", token.expose().to_owned()), project)? })
    }

    fn project_url(&self, rest: &[&str]) -> url::Url {
        self.rest.url(["projects", self.rest.project.as_str()].into_iter().chain(rest.iter().copied()))
    }
}

#[async_trait]
impl Forge for Gitlab {
    async fn status(&self, status: &CommitStatus) -> Result<(), ForgeError> {
        let what = format!("set the status \"{}\" in \"{}\"", status.context, self.rest.project);
        let state = match status.state {
            StatusState::Pending => "running",
            StatusState::Success => "success",
            StatusState::Failure => "failed",
            StatusState::Error => "canceled",
        };
        let body = json!({
            "state": state, "name": status.context, "target_url": status.url,
            "description": cut(&status.description, MAX_DESCRIPTION),
        });
        match self.rest.post(&what, self.project_url(&["statuses", &status.sha]), &body).await {
            Err(ForgeError::Refused(message)) if message.contains(SAME_STATUS) => Ok(()),
            result => result.map(drop),
        }
    }

    async fn create_issue(&self, issue: &NewIssue) -> Result<IssueRef, ForgeError> {
        let what = format!("make an issue in \"{}\"", self.rest.project);
        let mut url = self.project_url(&["issues"]);
        url.set_query(Some("scope=all&per_page=100"));
        let list = self.rest.find(&what, url).await?.unwrap_or_default();
        if let Some(known) = holding(&list, issue, ["iid", "description", "web_url"]) {
            return Ok(known);
        }
        let body = json!({ "title": issue.title, "description": marked(issue), "labels": issue.labels.join(",") });
        let made = self.rest.post(&what, self.project_url(&["issues"]), &body).await?;
        reference(&made, ["iid", "web_url"]).ok_or_else(|| unnamed(&what))
    }

    /// `user` is a name, or a number: webhooks do not always name the author.
    async fn permission(&self, user: &str) -> Result<Permission, ForgeError> {
        let what = format!("ask what \"{user}\" may do in \"{}\"", self.rest.project);
        let id = if user.bytes().all(|b| b.is_ascii_digit()) {
            user.to_owned()
        } else {
            let mut url = self.rest.url(["users"]);
            url.query_pairs_mut().append_pair("username", user);
            let found = self.rest.find(&what, url).await?.unwrap_or_default();
            match found[0]["id"].as_u64() {
                Some(id) => id.to_string(),
                None => return Ok(Permission::None),
            }
        };
        let member = self.rest.find(&what, self.project_url(&["members", "all", &id])).await?.unwrap_or_default();
        Ok(match member["access_level"].as_u64() {
            Some(MAINTAINER..) => Permission::Admin,
            Some(DEVELOPER..) => Permission::Write,
            Some(1..) => Permission::Read,
            _ => Permission::None,
        })
    }
}
