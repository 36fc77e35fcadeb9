//! Webhooks to happenings: what a payload says, in GitHub's terms, whatever forge sent it.
//!
//! A payload is foreign text. Nothing here trusts that a field is there, or is of a kind; what a run will hand to git (names of
//! branches, commits) is checked here, once.

use serde_json::Value;

use super::kind::ForgeKind;
use super::{gitea, github, gitlab};

/// Names of branches and tags are at most so long; forges stop at 255.
const MAX_REF: usize = 512;
/// So many commits and no more may be in a payload whose list of changed files is believed.
const MAX_COMMITS: usize = 1000;

/// What a delivery is.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivered {
    /// Something that pipelines may run for.
    Happening(Box<Happening>),
    /// Nothing to run for; why.
    Nothing(String),
}

/// Something that pipelines may run for.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// GitHub's name of the event: `push` or `pull_request`.
    pub event: &'static str,
    /// The payload in GitHub's shape: `github.event`.
    pub payload: Value,
    /// The repository as the forge names it: `owner/name`.
    pub repository: String,
    /// `refs/heads/...`, `refs/tags/...`, or `refs/pull/N/head`.
    pub reference: String,
    /// The commit.
    pub sha: String,
    /// Files that a push changed, where that is known.
    pub changed: Option<Vec<String>>,
    /// The pull request.
    pub request: Option<PullRequest>,
}

/// A pull request, or merge request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// The branch that it wants to go to.
    pub base: String,
    /// Whether its commits lie in another repository, or nobody can tell.
    pub from_fork: bool,
    /// Who wrote it.
    pub author: Person,
}

/// Somebody as a forge knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// The name that they sign in with; may be unknown where the id is known.
    pub login: String,
    /// The forge's number.
    pub id: Option<u64>,
}

/// Why a payload cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// No JSON, or no object.
    #[error("the body of the webhook is no JSON object: {0}")]
    NoJson(String),
    /// A field that must be there is not, or is of another kind.
    #[error("the webhook has no usable \"{0}\"")]
    Field(&'static str),
    /// A name that git must not be given.
    #[error("the webhook names the {what} {name:?}, which is no name that git allows")]
    Name {
        /// What it is of.
        what: &'static str,
        /// The name.
        name: String,
    },
}

/// Reads the payload `body` of the event that `kind` calls `event`.
pub fn read(kind: ForgeKind, event: &str, body: &[u8]) -> Result<Delivered, WebhookError> {
    let payload: Value = serde_json::from_slice(body).map_err(|e| WebhookError::NoJson(e.to_string()))?;
    if !payload.is_object() {
        return Err(WebhookError::NoJson("it is another kind of value".to_owned()));
    }
    let delivered = match kind {
        ForgeKind::Github => github::read(event, payload),
        ForgeKind::Gitea => gitea::read(event, payload),
        ForgeKind::Gitlab => gitlab::read(event, &payload),
    }?;
    if let Delivered::Happening(happening) = &delivered {
        check(happening)?;
    }
    Ok(delivered)
}

/// What goes on to git.
fn check(happening: &Happening) -> Result<(), WebhookError> {
    if !is_commit(&happening.sha) {
        return Err(WebhookError::Name { what: "commit", name: shortened(&happening.sha) });
    }
    let wrong = |what, name: &str| Err(WebhookError::Name { what, name: shortened(name) });
    if !is_reference(&happening.reference) {
        return wrong("ref", &happening.reference);
    }
    match &happening.request {
        Some(request) if !is_reference(&format!("refs/heads/{}", request.base)) => wrong("branch", &request.base),
        _ => Ok(()),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A commit's whole name: SHA-1 or SHA-256.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What a forge sends for "no commit": a branch that came to be, or is gone.
pub(super) fn is_zeros(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b == b'0')
}

/// Git's rules for names, as far as they keep harm away, in a full name.
pub fn is_reference(text: &str) -> bool {
    let whole = text.starts_with("refs/") && text.len() <= MAX_REF && !text.contains("..") && !text.contains("@{");
    let signs = text.chars().all(|c| !c.is_control() && !" ~^:?*[\\".contains(c));
    let parts = text
        .split('/')
        .all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && !part.ends_with(".lock"));
    whole && signs && parts
}

/// A text that is not empty.
pub(super) fn text<'v>(value: &'v Value, field: &'static str) -> Result<&'v str, WebhookError> {
    value.as_str().filter(|text| !text.is_empty()).ok_or(WebhookError::Field(field))
}

/// A push in GitHub's shape. One that removed its branch is nothing.
pub(super) fn push(payload: Value) -> Result<Delivered, WebhookError> {
    let reference = text(&payload["ref"], "ref")?.to_owned();
    let sha = text(&payload["after"], "after")?.to_owned();
    if is_zeros(&sha) || payload["deleted"] == Value::Bool(true) {
        return Ok(Delivered::Nothing(format!("\"{}\" is gone", shortened(&reference))));
    }
    if !reference.starts_with("refs/heads/") && !reference.starts_with("refs/tags/") {
        return Ok(Delivered::Nothing(format!("\"{}\" is neither branch nor tag", shortened(&reference))));
    }
    Ok(Delivered::Happening(Box::new(Happening {
        event: "push",
        repository: full_name(&payload)?,
        reference,
        sha,
        changed: changed(&payload),
        request: None,
        payload,
    })))
}

/// A pull request in GitHub's shape. Only its own activities run anything.
pub(super) fn pull_request(mut payload: Value, from_fork: bool) -> Result<Delivered, WebhookError> {
    let request = &payload["pull_request"];
    let number = request["number"].as_u64().or_else(|| payload["number"].as_u64());
    let number = number.ok_or(WebhookError::Field("number"))?;
    let author = Person {
        login: request["user"]["login"].as_str().unwrap_or_default().to_owned(),
        id: request["user"]["id"].as_u64(),
    };
    let happening = Happening {
        event: "pull_request",
        repository: full_name(&payload)?,
        reference: format!("refs/pull/{number}/head"),
        sha: text(&request["head"]["sha"], "pull_request.head.sha")?.to_owned(),
        changed: None,
        request: Some(PullRequest {
            number,
            base: text(&request["base"]["ref"], "pull_request.base.ref")?.to_owned(),
            from_fork,
            author,
        }),
        payload: Value::Null,
    };
    text(&payload["action"], "action")?;
    // What runs is the head, not a merge that only the forge knows of.
    if let Some(request) = payload["pull_request"].as_object_mut() {
        request.insert("merge_commit_sha".to_owned(), Value::Null);
        request.entry("number").or_insert_with(|| number.into());
    }
    Ok(Delivered::Happening(Box::new(Happening { payload, ..happening })))
}

/// `owner/name`, and `group/subgroup/name` in GitLab.
fn full_name(payload: &Value) -> Result<String, WebhookError> {
    let name = text(&payload["repository"]["full_name"], "repository.full_name")?;
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let dots = |part: &str| part == "." || part == "..";
    if name.len() > MAX_REF || !name.contains('/') || !name.split('/').all(|part| plain(part) && !dots(part)) {
        return Err(WebhookError::Name { what: "repository", name: shortened(name) });
    }
    Ok(name.to_owned())
}

/// Files of all commits; `None` where the list may be cut off or says nothing (a new branch, a forced push).
fn changed(payload: &Value) -> Option<Vec<String>> {
    let commits = payload["commits"].as_array()?;
    let total = payload["total_commits"].as_u64().or_else(|| payload["total_commits_count"].as_u64());
    let whole = total.is_none_or(|total| total == commits.len() as u64) && commits.len() < MAX_COMMITS;
    let fresh = payload["before"].as_str().is_none_or(is_zeros) || payload["forced"] == Value::Bool(true);
    if commits.is_empty() || !whole || fresh {
        return None;
    }
    let mut files = Vec::new();
    for commit in commits {
        for list in ["added", "modified", "removed"] {
            files.extend(commit[list].as_array()?.iter().filter_map(Value::as_str).map(str::to_owned));
        }
    }
    files.sort();
    files.dedup();
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t07_t08_names_that_git_must_not_see_are_refused() {
        for name in ["refs/heads/main", "refs/heads/-h", "refs/heads/a/b", "refs/heads/ünï", "refs/tags/v1.0"] {
            assert!(is_reference(name), "{name}");
        }
        for name in [
            "",
            "main",
            "-h",
            "--upload-pack=x",
            "refs/heads/",
            "refs/heads/a b",
            "refs/heads/a\nb",
            "refs/heads/a\0b",
            "refs/heads/a\rb",
            "refs/heads/../x",
            "refs/heads/a:b",
            "refs/heads/a^b",
            "refs/heads/.a",
            "refs/heads/a.lock",
            "refs//a",
            "refs/heads/a@{1}",
            "refs/heads/a\u{7f}",
            "refs/heads/*",
        ] {
            assert!(!is_reference(name), "{name:?}");
        }
        assert!(is_commit(&"a".repeat(40)) && is_commit(&"0".repeat(64)));
        assert!(!is_commit("HEAD") && !is_commit(&"g".repeat(40)) && !is_commit(&"a".repeat(41)));
    }

    #[test]
    fn a_push_that_does_not_say_all_changes_says_none() {
        let push = |more: &str| {
            let text = format!(
                "{{\"ref\": \"refs/heads/a\", \"after\": \"{}\", \"repository\": {{\"full_name\": \"o/r\"}}, {more}}}",
                "a".repeat(40)
            );
            match read(ForgeKind::Github, "push", text.as_bytes()) {
                Ok(Delivered::Happening(happening)) => happening.changed,
                other => panic!("{other:?}"),
            }
        };
        let commit = "{\"added\": [\"b\"], \"modified\": [\"a\"], \"removed\": []}";
        let of = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(push(&format!("\"before\": \"1\", \"commits\": [{commit}]")), of(&["a", "b"]));
        assert_eq!(push(&format!("\"before\": \"0000\", \"commits\": [{commit}]")), None);
        assert_eq!(push(&format!("\"before\": \"1\", \"forced\": true, \"commits\": [{commit}]")), None);
        assert_eq!(push(&format!("\"before\": \"1\", \"total_commits\": 2, \"commits\": [{commit}]")), None);
        assert_eq!(push("\"before\": \"1\", \"commits\": [{}]"), None);
    }
}
