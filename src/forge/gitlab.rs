//! GitLab: its webhooks, put into GitHub's shape.

use serde_json::{Value, json};

use super::webhook::{Delivered, WebhookError, is_zeros, pull_request, push};

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
