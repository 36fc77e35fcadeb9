//! The `github` context of a local run: facts of the checkout, and where a payload is given what that says.

use serde_json::{Map, Value, json};

use crate::client::git::{self, Checkout};

/// What GitHub itself has here.
const SERVER: &str = "https://github.com";
const API: &str = "https://api.github.com";

/// What the context is made of.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The event's name.
    pub event_name: &'a str,
    /// The pipeline's name.
    pub name: &'a str,
    /// The file's path from the checkout's root.
    pub path: &'a str,
    /// The checkout.
    pub checkout: &'a Checkout,
    /// The payload of `--event-path`.
    pub payload: Option<&'a Value>,
}

/// Which commit an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Subject {
    reference: String,
    sha: String,
    head_ref: String,
    base_ref: String,
}

/// The context, with `event` inside and without what only a run knows. `inputs` are put into `event`.
pub fn context(facts: Facts<'_>, inputs: &Map<String, Value>) -> Value {
    let Facts { event_name, checkout, .. } = facts;
    let payload = facts.payload.unwrap_or(&Value::Null);
    let about = subject(event_name, checkout, payload);
    let of_repository = &payload["repository"];
    let repository = match of_repository["full_name"].as_str() {
        Some(name) => name.to_owned(),
        None => git::repository(&checkout.remote),
    };
    let owner = match of_repository["owner"]["login"].as_str() {
        Some(owner) => owner,
        None => repository.split('/').next().unwrap_or_default(),
    };
    let actor = payload["sender"]["login"].as_str().unwrap_or(&checkout.author_name);
    let mut event = match facts.payload {
        Some(payload) => payload.clone(),
        None => made(event_name, checkout, &about, &repository, owner, actor),
    };
    if let (false, Some(object)) = (inputs.is_empty(), event.as_object_mut()) {
        object.insert("inputs".to_owned(), Value::Object(inputs.clone()));
    }
    let short = |prefix| about.reference.strip_prefix(prefix);
    let ref_name = short("refs/heads/").or_else(|| short("refs/tags/")).or_else(|| short("refs/pull/"));
    let mut context = json!({
        "actor": actor, "triggering_actor": actor,
        "server_url": SERVER, "api_url": API, "graphql_url": format!("{API}/graphql"),
        "event_name": event_name, "head_ref": about.head_ref, "base_ref": about.base_ref,
        "ref": about.reference, "ref_name": ref_name.unwrap_or_default(), "ref_protected": false,
        "ref_type": if about.reference.starts_with("refs/tags/") { "tag" } else { "branch" },
        "repository": repository, "repository_owner": owner, "sha": about.sha,
        "repositoryUrl": checkout.remote, "secret_source": "None", "retention_days": "90",
        "workflow": facts.name, "workflow_ref": format!("{repository}/{}@{}", facts.path, about.reference),
        "workflow_sha": about.sha, "token": "", "event": event,
    });
    for (key, id) in [
        ("repository_id", &of_repository["id"]),
        ("repository_owner_id", &of_repository["owner"]["id"]),
        ("actor_id", &payload["sender"]["id"]),
    ] {
        if id.is_number() {
            context[key] = id.to_string().into();
        }
    }
    context
}

/// The payload's word wins, where this kind of event has one.
fn subject(event: &str, checkout: &Checkout, payload: &Value) -> Subject {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let here = (checkout.reference.clone(), checkout.sha.clone());
    let request = &payload["pull_request"];
    let (head_ref, base_ref) = match event {
        "merge_group" => (None, text(&payload["merge_group"]["base_ref"])),
        event if event.starts_with("pull_request") => (text(&request["head"]["ref"]), text(&request["base"]["ref"])),
        _ => (None, None),
    };
    let number = request["number"].as_u64().or_else(|| payload["number"].as_u64());
    let merge = || number.map(|number| format!("refs/pull/{number}/merge"));
    let (reference, sha) = match event {
        "push" => (text(&payload["ref"]), text(&payload["after"])),
        "workflow_dispatch" => (text(&payload["ref"]).map(|name| full("heads", &name)), None),
        "pull_request_target" => (base_ref.as_deref().map(|name| full("heads", name)), text(&request["base"]["sha"])),
        event if event.starts_with("pull_request") => {
            (merge(), text(&request["merge_commit_sha"]).or_else(|| text(&request["head"]["sha"])))
        }
        "merge_group" => (text(&payload["merge_group"]["head_ref"]), text(&payload["merge_group"]["head_sha"])),
        "release" => (text(&payload["release"]["tag_name"]).map(|name| full("tags", &name)), None),
        "create" => {
            let kind = if payload["ref_type"] == "tag" { "tags" } else { "heads" };
            (text(&payload["ref"]).map(|name| full(kind, &name)), None)
        }
        "deployment" | "deployment_status" => {
            let deployment = &payload["deployment"];
            (text(&deployment["ref"]).map(|name| full("heads", &name)), text(&deployment["sha"]))
        }
        _ => (None, None),
    };
    Subject {
        reference: reference.unwrap_or(here.0),
        sha: sha.unwrap_or(here.1),
        head_ref: head_ref.unwrap_or_default(),
        base_ref: base_ref.unwrap_or_default(),
    }
}

fn full(kind: &str, name: &str) -> String {
    if name.starts_with("refs/") { name.to_owned() } else { format!("refs/{kind}/{name}") }
}

/// A payload from the checkout, as a forge would send it.
fn made(event: &str, checkout: &Checkout, about: &Subject, repository: &str, owner: &str, actor: &str) -> Value {
    let name = repository.rsplit('/').next().unwrap_or_default();
    let mut payload = json!({
        "ref": about.reference,
        "repository": {"name": name, "full_name": repository, "owner": {"login": owner, "name": owner}},
        "sender": {"login": actor},
    });
    if event == "push" {
        let head = json!({
            "id": checkout.sha, "message": checkout.message, "timestamp": checkout.committed_at,
            "author": {"name": checkout.author_name, "email": checkout.author_email},
            "committer": {"name": checkout.committer_name},
        });
        payload["after"] = checkout.sha.as_str().into();
        payload["before"] = git::ZEROS.into();
        payload["pusher"] = json!({"name": checkout.author_name, "email": checkout.author_email});
        payload["commits"] = if checkout.is_git { json!([head]) } else { json!([]) };
        payload["head_commit"] = head;
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(event_name: &str, payload: Option<Value>) -> Value {
        let checkout = Checkout {
            sha: "1111".into(),
            reference: "refs/heads/dev".into(),
            author_name: "ann".into(),
            remote: "https://h.example/o/r".into(),
            is_git: true,
            ..Checkout::default()
        };
        let inputs: Map<String, Value> = [("a".to_owned(), Value::from("1"))].into_iter().collect();
        let none = Map::new();
        let facts = Facts { event_name, name: "ci", path: "ci.yml", checkout: &checkout, payload: payload.as_ref() };
        context(facts, if event_name == "workflow_dispatch" { &inputs } else { &none })
    }

    #[test]
    fn the_checkout_speaks_where_no_payload_does() {
        let github = of("push", None);
        assert_eq!(github["ref_name"], "dev");
        assert_eq!(github["event"]["head_commit"]["id"], "1111");
        assert_eq!(github["server_url"], "https://github.com");
        assert_eq!(github["workflow_ref"], "o/r/ci.yml@refs/heads/dev");
        assert_eq!(of("workflow_dispatch", None)["event"]["inputs"]["a"], "1");
    }

    #[test]
    fn a_payload_wins_for_its_kind_of_event() {
        let push = json!({"ref": "refs/tags/v1", "after": "2222", "repository": {"full_name": "p/q", "id": 7}});
        let github = of("push", Some(push.clone()));
        assert_eq!((&github["ref"], &github["sha"]), (&json!("refs/tags/v1"), &json!("2222")));
        assert_eq!((&github["ref_type"], &github["repository_owner"]), (&json!("tag"), &json!("p")));
        assert_eq!(github["repository_id"], "7");
        let request = json!({"number": 5, "pull_request": {
            "number": 5, "merge_commit_sha": "3333", "head": {"ref": "topic", "sha": "4444"}, "base": {"ref": "main"}}});
        let github = of("pull_request", Some(request));
        assert_eq!((&github["ref"], &github["ref_name"]), (&json!("refs/pull/5/merge"), &json!("5/merge")));
        assert_eq!((&github["head_ref"], &github["base_ref"]), (&json!("topic"), &json!("main")));
        assert_eq!(github["sha"], "3333");
        // A push's words mean nothing for another kind.
        assert_eq!(of("issues", Some(push))["ref"], "refs/heads/dev");
    }
}
