//! People: the API, the pages, approvals by token.

use serde_json::{Value, json};

use crate::client::{get, send};
use crate::ground::{ANN, BOB, Ground, until};

const PIPELINE: &str = "
name: ci
on: push
stages:
  test: {run: \"printf '<script>alert(1)</script> \\\\033]0;title\\\\007\\\\033[31mred\\\\033[0m\\\\n'\"}
  gate: {needs: test, approval: {approvers: [ops], inputs: {why: {required: true}}}}
  go: {needs: gate, run: echo go >> $MARKS/gone}
";

fn stage<'v>(run: &'v Value, name: &str) -> &'v Value {
    run["run"]["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == name).unwrap()
}

fn until_it_waits(ground: &Ground) -> String {
    let id = until("there is a run", || Some(ground.runs().first()?["run"].as_str()?.to_owned()));
    until("it waits", || {
        let run = ground.json(&format!("/api/runs/{id}"));
        (stage(&run, "gate")["status"] == "approval").then_some(())
    });
    id
}

#[test]
fn t27_an_approval_takes_the_token_of_one_who_may() {
    let mut ground = Ground::new(PIPELINE, "");
    let sha = ground.commit("first");
    ground.start();
    ground.push("d-1", &sha);
    let id = until_it_waits(&ground);
    let path = format!("/api/runs/{id}/stages/gate/approve");
    let body = json!({"comment": "looks well", "inputs": {"why": "it is time"}, "commit": sha});
    // A link or a form of another site approves nothing; a wrong token neither; nor does one of somebody who may not.
    assert_eq!(get(ground.at(), &path).status, 405);
    assert_eq!(
        send(ground.at(), "POST", &path, &[("authorization", "Basic YTp0aGUgdG9rZW4gb2YgYW5uIDE=")], b"").status,
        401
    );
    assert_eq!(ground.post(&path, "the token of nobody", &body).status, 401);
    let bob = ground.post(&path, BOB, &body);
    assert_eq!(bob.status, 409, "{bob:?}");
    // What was looked at is what is approved.
    assert_eq!(ground.post(&path, ANN, &json!({"commit": "f".repeat(40), "inputs": {"why": "x"}})).status, 409);
    assert_eq!(ground.post(&path, ANN, &json!({"plan": "f".repeat(64), "inputs": {"why": "x"}})).status, 409);
    assert_eq!(ground.post(&path, ANN, &json!({"as": "bob"})).status, 400);
    assert_eq!(ground.post(&path.replace("gate", "none"), ANN, &body).status, 404);
    assert_eq!(ground.marked("gone"), "");
    let approved = ground.post(&path, ANN, &body);
    assert_eq!((approved.status, &approved.json()["by"]), (200, &json!("ann")));
    assert_eq!(ground.over(1)[0]["status"], "success");
    assert_eq!(ground.marked("gone"), "go\n");
    assert_eq!(ground.post(&path, ANN, &body).status, 409);
}

#[test]
fn slipway_approve_decides_on_a_server() {
    let mut ground = Ground::new(PIPELINE, "");
    let sha = ground.commit("first");
    ground.start();
    ground.push("d-1", &sha);
    let id = until_it_waits(&ground);
    let approve = |token: &str, args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_slipway"))
            .args(["approve", &id])
            .args(args)
            .env_clear()
            .env("HOME", ground.temp.path())
            .env("SLIPWAY_SERVER", format!("http://{}", ground.at()))
            .env("SLIPWAY_TOKEN", token)
            .output()
            .unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    };
    let (code, said) = approve("the token of nobody", &["--input", "why=x"]);
    assert!(code == Some(2) && said.contains("401") && !said.contains("the token of nobody"), "{code:?} {said}");
    let (code, said) = approve(ANN, &[]);
    assert!(code == Some(2) && said.contains("why"), "{code:?} {said}");
    let (code, said) = approve(ANN, &["--input", "why=it is time", "--comment", "go"]);
    assert!(code == Some(0) && said.contains("stage \"gate\"") && said.contains("by \"ann\""), "{code:?} {said}");
    assert_eq!(ground.over(1)[0]["status"], "success");
}

#[test]
fn an_approval_is_waited_for_across_a_kill() {
    let mut ground = Ground::new(PIPELINE, "");
    let sha = ground.commit("first");
    ground.start();
    ground.push("d-1", &sha);
    let id = until_it_waits(&ground);
    ground.end(rustix::process::Signal::KILL);
    ground.start();
    until("it is taken up", || (ground.json(&format!("/api/runs/{id}"))["run"]["status"] == "running").then_some(()));
    let answer = ground.post(&format!("/api/runs/{id}/stages/gate/reject"), ANN, &json!({"comment": "not today"}));
    assert_eq!((answer.status, &answer.json()["approved"]), (200, &json!(false)), "{answer:?}");
    assert_eq!(ground.over(1)[0]["status"], "failure");
    assert_eq!(ground.marked("gone"), "");
}

#[test]
fn t23_pages_show_what_jobs_wrote_and_run_none_of_it() {
    let mut ground = Ground::new(PIPELINE, "");
    let sha = ground.commit("first");
    ground.start();
    ground.push("d-1", &sha);
    let id = until_it_waits(&ground);
    let list = get(ground.at(), "/");
    assert!(list.status == 200 && list.body.contains(&format!("/runs/{id}")), "{}", list.body);
    assert!(list.head.contains("default-src 'none'") && list.head.contains("nosniff"), "{}", list.head);
    let page = get(ground.at(), &format!("/runs/{id}"));
    assert!(page.body.contains("slipway approve") && page.body.contains("waits for 1 of: ops"), "{}", page.body);
    let log = get(ground.at(), &format!("/runs/{id}/logs/test"));
    assert!(log.body.contains("&lt;script&gt;alert(1)&lt;/script&gt; red"), "{}", log.body);
    for page in [&list, &page, &log] {
        assert!(!page.body.contains("<script") && !page.body.contains('\u{1b}') && !page.body.contains("title\u{7}"));
    }
    let raw = get(ground.at(), &format!("/api/runs/{id}/logs/test"));
    assert!(raw.head.contains("content-type: text/plain") && raw.body.contains("<script>alert(1)</script> red"));
    for path in ["/runs/none", "/api/runs/zzzzzzzzzzzz", "/api/runs/..%2f..", &format!("/api/runs/{id}/logs/..%2fkey")]
    {
        assert_eq!(get(ground.at(), path).status, 404, "{path}");
    }
}

/// T33: what is read shows no secret, no path of the machine, no token.
#[test]
fn t33_answers_hold_nothing_of_the_configuration() {
    let mut ground = Ground::new(PIPELINE, "secrets = { KEY = 'the value of key' }\nvars = { REGION = 'eu' }");
    let sha = ground.commit("first");
    ground.start();
    ground.push("d-1", &sha);
    let id = until_it_waits(&ground);
    let folder = ground.temp.path().display().to_string();
    for path in
        ["/api/runs".to_owned(), format!("/api/runs/{id}"), format!("/api/runs/{id}/stages"), format!("/runs/{id}")]
    {
        let body = get(ground.at(), &path).body;
        for word in ["the value of key", ANN, BOB, "the api token", crate::ground::SECRET, folder.as_str()] {
            assert!(!body.contains(word), "{path} shows {word:?}: {body}");
        }
    }
}

#[test]
fn readers_show_a_token_where_one_is_set() {
    let mut ground = Ground::new(PIPELINE, "");
    let config = ground.temp.path().join("server.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("read-token = 'the token to read'\n{text}")).unwrap();
    ground.commit("first");
    ground.start();
    for path in ["/", "/api/runs", "/runs/abcdefgh0123", "/api/runs/abcdefgh0123", "/api/runs/abcdefgh0123/logs/a"] {
        let of = |value: &str| send(ground.at(), "GET", path, &[("authorization", value)], b"").status;
        assert_eq!(get(ground.at(), path).status, 401, "{path}");
        assert_eq!((of("Bearer wrong"), of("Basic eDp3cm9uZw==")), (401, 401), "{path}");
        // Somebody: the token, as a password (`x:the token to read`); an approver's.
        for right in ["Bearer the token to read", "Basic eDp0aGUgdG9rZW4gdG8gcmVhZA==", &format!("Bearer {ANN}")] {
            assert!(matches!(of(right), 200 | 404), "{path} {right}");
        }
    }
    assert_eq!(get(ground.at(), "/healthz").status, 200);
}
