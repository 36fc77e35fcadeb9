//! Every payload of the corpus, as it is and broken.

use std::path::PathBuf;

use serde_json::{Value, json};
use slipway::forge::kind::ForgeKind;
use slipway::forge::webhook::{Delivered, Happening, read};

fn corpus() -> Option<PathBuf> {
    let root = std::env::var_os("SLIPWAY_TESTGROUND")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let folder = root.join("corpus/webhooks");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: there is no test ground at {} (set SLIPWAY_TESTGROUND)", folder.display());
    None
}

/// Kind, event, file, payload.
fn cases() -> Option<Vec<(ForgeKind, &'static str, String, Value)>> {
    let corpus = corpus()?;
    let kinds = [
        ("github", ForgeKind::Github),
        ("gitea", ForgeKind::Gitea),
        ("forgejo", ForgeKind::Gitea),
        ("gitlab", ForgeKind::Gitlab),
    ];
    let mut cases = Vec::new();
    for (folder, kind) in kinds {
        for entry in std::fs::read_dir(corpus.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{folder}/{}", path.file_name().unwrap().to_string_lossy());
            let event = match () {
                () if name.contains("PullRequest") => "pull_request",
                () if name.contains("Release") => "release",
                () if name.contains("Deploy") => "deployment",
                () => "push",
            };
            let payload: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let event = if payload["ref_type"].is_string() { "create" } else { event };
            cases.push((kind, event, name, payload));
        }
    }
    cases.sort_by(|a, b| a.2.cmp(&b.2));
    Some(cases)
}

fn line(name: &str, result: Result<Delivered, String>) -> String {
    match result {
        Ok(Delivered::Nothing(why)) => format!("{name}: nothing: {why}"),
        Err(error) => format!("{name}: error: {error}"),
        Ok(Delivered::Happening(happening)) => {
            let Happening { event, repository, reference, sha, changed, request, payload } = *happening;
            let request = request.map_or_else(String::new, |one| {
                let fork = if one.from_fork { ", fork" } else { "" };
                format!(" {} #{} to {} by {}{fork}", payload["action"], one.number, one.base, one.author.login)
            });
            let changed = changed.map_or_else(|| "?".to_owned(), |files| files.len().to_string());
            format!("{name}: {event} {repository} {reference} {}{request} changed {changed}", &sha[..7])
        }
    }
}

#[test]
fn real_payloads_say_what_they_should() {
    let Some(cases) = cases() else { return };
    let lines: Vec<String> = cases
        .iter()
        .map(|(kind, event, name, payload)| {
            line(name, read(*kind, event, payload.to_string().as_bytes()).map_err(|e| e.to_string()))
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
forgejo/HookPullRequest.json: pull_request gordon/hello-world refs/pull/1/head 0d1a26e "opened" #1 to main by gordon, fork changed ?
forgejo/HookPullRequestAssigneeCleared.json: pull_request test_it/test_ci_thing refs/pull/1/head 36b5813 "unassigned" #1 to main by 6543 changed ?
forgejo/HookPullRequestAssigneesAdded.json: pull_request test_it/test_ci_thing refs/pull/1/head 36b5813 "assigned" #1 to main by 6543 changed ?
forgejo/HookPullRequestClosed.json: pull_request anbraten/test-repo refs/pull/1/head d555a5d "closed" #1 to main by anbraten changed ?
forgejo/HookPullRequestEdited.json: pull_request anbraten/test-repo refs/pull/1/head d555a5d "edited" #1 to main by anbraten changed ?
forgejo/HookPullRequestLabelAdded.json: pull_request test_it/test_ci_thing refs/pull/1/head 36b5813 "labeled" #1 to main by 6543 changed ?
forgejo/HookPullRequestLabelsCleared.json: pull_request test_it/test_ci_thing refs/pull/1/head 36b5813 "unlabeled" #1 to main by 6543 changed ?
forgejo/HookPullRequestLabelsUpdated.json: pull_request test_it/test_ci_thing refs/pull/1/head 36b5813 "labeled" #1 to main by 6543 changed ?
forgejo/HookPullRequestMerged.json: pull_request anbraten/test-repo refs/pull/1/head d555a5d "closed" #1 to main by anbraten changed ?
forgejo/HookPullRequestMilestoneAdded.json: pull_request test_it/test_ci_thing refs/pull/1/head 36b5813 "milestoned" #1 to main by 6543 changed ?
forgejo/HookPullRequestMilestoneChanged.json: pull_request test_it/test_ci_thing refs/pull/1/head 36b5813 "milestoned" #1 to main by 6543 changed ?
forgejo/HookPullRequestMilestoneCleared.json: pull_request test_it/test_ci_thing refs/pull/1/head 36b5813 "demilestoned" #1 to main by 6543 changed ?
forgejo/HookPullRequestReopened.json: pull_request test_it/test_ci_thing refs/pull/1/head 36b5813 "reopened" #1 to main by 6543 changed ?
forgejo/HookPullRequestUpdated.json: pull_request Test-CI/multi-line-secrets refs/pull/2/head 788ed8d "synchronize" #2 to main by test, fork changed ?
forgejo/HookPush.json: push gordon/hello-world refs/heads/main ef98532 changed 2
forgejo/HookPushBranch.json: push meisam/woodpecktester refs/heads/fdsafdsa 28c3613 changed ?
forgejo/HookPushMulti.json: push Test-CI/multi-line-secrets refs/heads/main 29be01c changed 2
forgejo/HookRelease.json: nothing: nothing runs for the event "release"
forgejo/HookTag.json: nothing: nothing runs for the event "create"
gitea/HookPullRequest.json: pull_request gordon/hello-world refs/pull/1/head 0d1a26e "opened" #1 to main by gordon, fork changed ?
gitea/HookPullRequestAddLabel.json: pull_request a_nice_user/hello_world_ci refs/pull/7/head 0797717 "labeled" #7 to main by jony changed ?
gitea/HookPullRequestAddMile.json: pull_request a_nice_user/hello_world_ci refs/pull/7/head 0797717 "milestoned" #7 to main by jony changed ?
gitea/HookPullRequestAddReviewRequest.json: pull_request a_nice_user/hello_world_ci refs/pull/7/head 0797717 "review_requested" #7 to main by jony changed ?
gitea/HookPullRequestAssigneesAdded.json: pull_request a_nice_user/hello_world_ci refs/pull/7/head 0797717 "assigned" #7 to main by jony changed ?
gitea/HookPullRequestAssigneesRemoved.json: pull_request a_nice_user/hello_world_ci refs/pull/7/head 0797717 "unassigned" #7 to main by jony changed ?
gitea/HookPullRequestChangeBody.json: pull_request a_nice_user/hello_world_ci refs/pull/7/head 0797717 "edited" #7 to main by jony changed ?
gitea/HookPullRequestChangeLabel.json: pull_request a_nice_user/hello_world_ci refs/pull/7/head 0797717 "labeled" #7 to main by jony changed ?
gitea/HookPullRequestChangeMile.json: pull_request a_nice_user/hello_world_ci refs/pull/7/head 0797717 "milestoned" #7 to main by jony changed ?
gitea/HookPullRequestChangeTitle.json: pull_request a_nice_user/hello_world_ci refs/pull/7/head 0797717 "edited" #7 to main by jony changed ?
gitea/HookPullRequestClosed.json: pull_request anbraten/test-repo refs/pull/1/head d555a5d "closed" #1 to main by anbraten changed ?
gitea/HookPullRequestMerged.json: pull_request anbraten/test-repo refs/pull/1/head d555a5d "closed" #1 to main by anbraten changed ?
gitea/HookPullRequestRemoveLabel.json: pull_request a_nice_user/hello_world_ci refs/pull/7/head 0797717 "unlabeled" #7 to main by jony changed ?
gitea/HookPullRequestRemoveMile.json: pull_request a_nice_user/hello_world_ci refs/pull/7/head 0797717 "demilestoned" #7 to main by jony changed ?
gitea/HookPullRequestReopened.json: pull_request test_it/test_ci_thing refs/pull/1/head 36b5813 "reopened" #1 to main by 6543 changed ?
gitea/HookPullRequestReviewAck.json: pull_request a_nice_user/hello_world_ci refs/pull/7/head 0797717 "reviewed" #7 to main by jony changed ?
gitea/HookPullRequestReviewComment.json: pull_request a_nice_user/hello_world_ci refs/pull/7/head 0797717 "reviewed" #7 to main by jony changed ?
gitea/HookPullRequestReviewDeny.json: pull_request a_nice_user/hello_world_ci refs/pull/7/head 0797717 "reviewed" #7 to main by jony changed ?
gitea/HookPullRequestUpdated.json: pull_request Test-CI/multi-line-secrets refs/pull/2/head 788ed8d "synchronize" #2 to main by test, fork changed ?
gitea/HookPush.json: push gordon/hello-world refs/heads/main ef98532 changed 2
gitea/HookPushBranch.json: push meisam/woodpecktester refs/heads/fdsafdsa 28c3613 changed ?
gitea/HookPushMulti.json: push Test-CI/multi-line-secrets refs/heads/main 29be01c changed 2
gitea/HookRelease.json: nothing: nothing runs for the event "release"
gitea/HookTag.json: nothing: nothing runs for the event "create"
github/HookDeploy.json: nothing: nothing runs for the event "deployment"
github/HookPullRequest.json: pull_request baxterthehacker/public-repo refs/pull/1/head 0d1a26e "opened" #1 to main by baxterthehacker, fork changed ?
github/HookPullRequestAssigneeAdded.json: pull_request 6543/test_ci_tmp refs/pull/1/head 36b5813 "assigned" #1 to main by 6543 changed ?
github/HookPullRequestAssigneeRemoved.json: pull_request 6543/test_ci_tmp refs/pull/1/head 36b5813 "unassigned" #1 to main by 6543 changed ?
github/HookPullRequestClosed.json: pull_request anbraten/test-ready-release-go refs/pull/62/head c88b9ee "closed" #62 to main by anbraten changed ?
github/HookPullRequestEdited.json: pull_request anbraten/test-ready-release-go refs/pull/62/head c88b9ee "edited" #62 to main by anbraten changed ?
github/HookPullRequestLabelAdded.json: pull_request 6543/test_ci_tmp refs/pull/1/head 36b5813 "labeled" #1 to main by 6543 changed ?
github/HookPullRequestLabelRemoved.json: pull_request 6543/test_ci_tmp refs/pull/1/head 36b5813 "unlabeled" #1 to main by 6543 changed ?
github/HookPullRequestLabelsCleared.json: pull_request 6543/test_ci_tmp refs/pull/1/head 36b5813 "unlabeled" #1 to main by 6543 changed ?
github/HookPullRequestMerged.json: pull_request anbraten/test-ready-release-go refs/pull/62/head c88b9ee "closed" #62 to main by anbraten changed ?
github/HookPullRequestMilestoneAdded.json: pull_request 6543/test_ci_tmp refs/pull/1/head 36b5813 "milestoned" #1 to main by 6543 changed ?
github/HookPullRequestMilestoneRemoved.json: pull_request 6543/test_ci_tmp refs/pull/1/head 36b5813 "demilestoned" #1 to main by 6543 changed ?
github/HookPullRequestReopened.json: pull_request 6543/test_ci_tmp refs/pull/1/head 36b5813 "reopened" #1 to main by 6543 changed ?
github/HookPullRequestReviewRequested.json: pull_request 6543/test_ci_tmp refs/pull/1/head 36b5813 "review_requested" #1 to main by 6543 changed ?
github/HookPush.json: push woodpecker-ci/woodpecker refs/heads/main 366701f changed 2
github/HookPushForced.json: push 6543/oxiduct refs/heads/main f7220f1 changed ?
github/HookRelease.json: nothing: nothing runs for the event "release"
github/HookTag.json: push 6543/test_ci_tmp refs/tags/the-tag-v1 6701299 changed ?
gitlab/HookPullRequestApproved.json: nothing: nothing runs for this activity of a merge request
gitlab/HookPullRequestAssigned.json: pull_request demoaccount2-commits-group/test_ci_tmp refs/pull/3/head 2f76705 "edited" #3 to main by real6543 changed ?
gitlab/HookPullRequestClosed.json: pull_request anbraten/woodpecker-test refs/pull/4/head 3e4db35 "closed" #4 to main by anbraten changed ?
gitlab/HookPullRequestDemilestoned.json: pull_request demoaccount2-commits-group/test_ci_tmp refs/pull/3/head 2f76705 "edited" #3 to main by real6543 changed ?
gitlab/HookPullRequestEdited.json: pull_request demoaccount2-commits-group/test_ci_tmp refs/pull/3/head 2f76705 "edited" #3 to main by real6543 changed ?
gitlab/HookPullRequestLabelsAdded.json: pull_request demoaccount2-commits-group/test_ci_tmp refs/pull/3/head 2f76705 "edited" #3 to main by real6543 changed ?
gitlab/HookPullRequestLabelsCleared.json: pull_request demoaccount2-commits-group/test_ci_tmp refs/pull/3/head 2f76705 "edited" #3 to main by real6543 changed ?
gitlab/HookPullRequestLabelsUpdated.json: pull_request demoaccount2-commits-group/test_ci_tmp refs/pull/3/head 2f76705 "edited" #3 to main by real6543 changed ?
gitlab/HookPullRequestMerged.json: pull_request anbraten/woodpecker-test refs/pull/4/head 3e4db35 "closed" #4 to main by anbraten changed ?
gitlab/HookPullRequestMilestoned.json: pull_request demoaccount2-commits-group/test_ci_tmp refs/pull/3/head 2f76705 "edited" #3 to main by real6543 changed ?
gitlab/HookPullRequestOpened.json: pull_request demoaccount2-commits-group/test_ci_tmp refs/pull/3/head 2f76705 "opened" #3 to main by real6543 changed ?
gitlab/HookPullRequestReopened.json: pull_request demoaccount2-commits-group/test_ci_tmp refs/pull/1/head 36b5813 "reopened" #1 to main by  changed ?
gitlab/HookPullRequestReviewRequestDel.json: pull_request demoaccount2-commits-group/test_ci_tmp refs/pull/3/head 2f76705 "edited" #3 to main by real6543 changed ?
gitlab/HookPullRequestReviewRequested.json: pull_request demoaccount2-commits-group/test_ci_tmp refs/pull/3/head 2f76705 "edited" #3 to main by real6543 changed ?
gitlab/HookPullRequestUnapproved.json: nothing: nothing runs for this activity of a merge request
gitlab/HookPullRequestUnassigned.json: pull_request demoaccount2-commits-group/test_ci_tmp refs/pull/3/head 2f76705 "edited" #3 to main by real6543 changed ?
gitlab/HookPullRequestUnsupportedAction.json: nothing: nothing runs for this activity of a merge request
gitlab/HookPullRequestUpdated.json: pull_request anbraten/woodpecker refs/pull/3/head c136499 "synchronize" #3 to main by anbraten changed ?
gitlab/HookPullRequestWithoutChanges.json: pull_request anbraten/woodpecker refs/pull/3/head c136499 "edited" #3 to main by anbraten changed ?
gitlab/HookPush.json: push test/woodpecker refs/heads/main 16862e3 changed 1
gitlab/HookTag.json: push test/woodpecker refs/tags/v22 fabed3d changed ?
gitlab/WebhookReleaseBody.json: nothing: nothing runs for the event "release"
"#);
}

/// T05: each field null, absent, or of every wrong kind: an answer, never a panic.
#[test]
fn t05_no_field_makes_a_reader_panic() {
    let Some(cases) = cases() else { return };
    let mut tried = 0;
    // Others of a forge differ in what no reader looks at.
    let telling = ["Push", "Tag", "HookPullRequest.json", "Opened", "Updated"];
    for (kind, event, name, payload) in cases {
        if !telling.iter().any(|part| name.contains(part)) {
            continue;
        }
        let mut pointers = Vec::new();
        paths(&payload, String::new(), &mut pointers);
        for pointer in &pointers {
            for wrong in [Value::Null, json!(-1.5), json!("\r\n\0-x"), json!([{}]), json!({})] {
                let mut broken = payload.clone();
                *broken.pointer_mut(pointer).unwrap() = wrong;
                let _ = read(kind, event, broken.to_string().as_bytes());
                tried += 1;
            }
            let mut broken = payload.clone();
            remove(&mut broken, pointer);
            let _ = read(kind, event, broken.to_string().as_bytes());
        }
        for text in ["", "null", "[]", "1", "{", "\u{feff}{}", "{\"a\":1}x", &"[".repeat(100_000)] {
            assert!(read(kind, event, text.as_bytes()).is_err(), "{name}: {text:.20}");
        }
        assert!(read(kind, event, b"\xff\xfe").is_err());
    }
    assert!(tried > 5_000, "only {tried} were tried");
}

/// Pointers of all values, to a depth at which readers look.
fn paths(value: &Value, at: String, all: &mut Vec<String>) {
    if at.split('/').count() > 4 {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let here = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                all.push(here.clone());
                paths(value, here, all);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate().take(2) {
                paths(value, format!("{at}/{index}"), all);
            }
        }
        _ => {}
    }
}

fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    if let Some(map) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
        map.remove(&key.replace("~1", "/").replace("~0", "~"));
    }
}
