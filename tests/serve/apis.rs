//! The APIs of the three forges, against a server that keeps what it is asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use slipway::forge::connect;
use slipway::forge::contract::{CommitStatus, Forge, ForgeError, NewIssue, Permission, StatusState};
use slipway::forge::kind::ForgeKind;
use slipway::secret::Secret;

#[derive(Default)]
struct Inner {
    asked: Vec<String>,
    answers: VecDeque<(u16, Value)>,
}

type Shared = Arc<Mutex<Inner>>;

async fn any(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let signed = ["authorization", "private-token"]
        .iter()
        .find_map(|name| Some(format!("{name}: {}", parts.headers.get(*name)?.to_str().ok()?)));
    let line =
        format!("{} {} [{}] {}", parts.method, parts.uri, signed.unwrap_or_default(), String::from_utf8_lossy(&body));
    let mut inner = shared.lock().unwrap();
    inner.asked.push(line.trim_end().to_owned());
    let (status, answer) = inner.answers.pop_front().unwrap_or((500, json!({"message": "nobody thought of this"})));
    (StatusCode::from_u16(status).unwrap(), [("retry-after", "7")], axum::Json(answer)).into_response()
}

/// Does `work` on a forge that gives these answers in turn; gives what it was asked too.
fn with<T>(kind: ForgeKind, answers: &[(u16, Value)], work: impl AsyncFnOnce(Arc<dyn Forge>) -> T) -> (T, Vec<String>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let shared = Arc::new(Mutex::new(Inner { asked: Vec::new(), answers: answers.iter().cloned().collect() }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at: SocketAddr = listener.local_addr().unwrap();
        let router = Router::new().fallback(any).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let forge = connect(kind, &format!("http://{at}/api"), &Secret::new("t0ken"), "team/shop").unwrap();
        work(forge).await
    });
    let asked = shared.lock().unwrap().asked.clone();
    (result, asked)
}

fn status() -> CommitStatus {
    CommitStatus {
        sha: "a".repeat(40),
        context: "slipway/ci".to_owned(),
        state: StatusState::Failure,
        description: "x".repeat(300),
        url: Some("https://ci.example/runs/1".to_owned()),
    }
}

#[test]
fn a_status_is_set_in_each_forges_words() {
    let set = |kind| with(kind, &[(201, json!({}))], async |forge| forge.status(&status()).await);
    for (kind, path, sign, state, length) in [
        (ForgeKind::Github, "/api/repos/team/shop/statuses/", "authorization: Bearer t0ken", "\"failure\"", 140),
        (ForgeKind::Gitea, "/api/repos/team/shop/statuses/", "authorization: token t0ken", "\"failure\"", 140),
        (ForgeKind::Gitlab, "/api/projects/team%2Fshop/statuses/", "private-token: t0ken", "\"failed\"", 255),
    ] {
        let (result, asked) = set(kind);
        assert!(result.is_ok(), "{result:?}");
        assert!(asked[0].starts_with(&format!("POST {path}{} [{sign}]", "a".repeat(40))), "{asked:?}");
        let body: Value = serde_json::from_str(&asked[0][asked[0].find(" {").unwrap()..]).unwrap();
        assert_eq!(body["state"].to_string(), state);
        assert_eq!(body["description"].as_str().unwrap().chars().count(), length);
    }
    let same = (400, json!({"message": "Cannot transition status via :run from :running"}));
    assert!(with(ForgeKind::Gitlab, &[same], async |forge| forge.status(&status()).await).0.is_ok());
}

#[test]
fn errors_say_whether_to_come_again_and_hold_no_token() {
    let set = |answer| with(ForgeKind::Github, &[answer], async |forge| forge.status(&status()).await).0.unwrap_err();
    let message = json!({"message": "Bad credentials"});
    let refused = set((401, message.clone()));
    assert!(refused.is_final() && refused.to_string().ends_with("answers 401: Bad credentials"), "{refused}");
    assert!(set((404, message.clone())).is_final() && set((422, message.clone())).is_final());
    assert!(matches!(set((502, message.clone())), ForgeError::Failed(_)));
    assert_eq!(set((429, message)).retry_after(), Some(std::time::Duration::from_secs(7)));
    // A redirect is not followed: the token would go with it.
    let moved = set((302, json!({})));
    assert!(moved.is_final() && !moved.to_string().contains("t0ken"), "{moved}");
}

#[test]
fn what_somebody_may_do_is_asked_in_each_forges_words() {
    let may = |kind, user: &'static str, answers: &[(u16, Value)]| {
        let (result, asked) = with(kind, answers, async |forge| forge.permission(user).await);
        (result.unwrap(), asked.last().unwrap().split(' ').nth(1).unwrap().to_owned())
    };
    let path = |user: &str| format!("/api/repos/team/shop/collaborators/{user}/permission");
    for kind in [ForgeKind::Github, ForgeKind::Gitea] {
        assert_eq!(may(kind, "ann", &[(200, json!({"permission": "write"}))]), (Permission::Write, path("ann")));
        assert_eq!(may(kind, "bob", &[(200, json!({"permission": "admin"}))]).0, Permission::Admin);
        assert_eq!(may(kind, "eve", &[(200, json!({"permission": "read"}))]).0, Permission::Read);
        assert_eq!(may(kind, "../x", &[(404, json!({}))]), (Permission::None, path("..%2Fx")));
        assert_eq!(may(kind, "odd", &[(200, json!({"permission": ["write"]}))]).0, Permission::None);
    }
    let member = |level: u64| (200, json!({"access_level": level}));
    let of = |user: &str| format!("/api/projects/team%2Fshop/members/all/{user}");
    assert_eq!(may(ForgeKind::Gitlab, "17", &[member(30)]), (Permission::Write, of("17")));
    assert_eq!(may(ForgeKind::Gitlab, "ann", &[(200, json!([{"id": 5}])), member(20)]), (Permission::Read, of("5")));
    assert_eq!(may(ForgeKind::Gitlab, "eve", &[(200, json!([]))]).0, Permission::None);
    assert_eq!(may(ForgeKind::Gitlab, "bob", &[(200, json!([{"id": 6}])), (404, json!({}))]).0, Permission::None);
}

#[test]
fn an_issue_is_made_once() {
    let issue = NewIssue {
        title: "rolled back".to_owned(),
        body: "why".to_owned(),
        labels: vec!["incident".to_owned(), "none".to_owned()],
        marker: "run-1.rollback".to_owned(),
    };
    let body = "why\n\n<!-- slipway: run-1.rollback -->\n";
    let make = |kind, answers: &[(u16, Value)]| {
        let issue = issue.clone();
        let (result, asked) = with(kind, answers, async move |forge| forge.create_issue(&issue).await);
        (result.unwrap().number, asked)
    };
    let made =
        json!({"number": 9, "html_url": "https://forge.example/9", "iid": 9, "web_url": "https://forge.example/9"});
    let (number, asked) = make(ForgeKind::Github, &[(200, json!([])), (201, made.clone())]);
    assert!(number == 9 && asked.len() == 2 && asked[1].contains("\"labels\":[\"incident\",\"none\"]"), "{asked:?}");
    let labels = (200, json!([{"id": 3, "name": "incident"}, {"id": 4, "name": "bug"}]));
    let (number, asked) = make(ForgeKind::Gitea, &[(200, json!([])), labels, (201, made.clone())]);
    assert!(number == 9 && asked[2].contains("\"labels\":[3]"), "{asked:?}");
    let (number, asked) = make(ForgeKind::Gitlab, &[(200, json!([])), (201, made)]);
    assert!(number == 9 && asked[1].contains("\"labels\":\"incident,none\""), "{asked:?}");
    // It is there already: nothing is made.
    for kind in [ForgeKind::Github, ForgeKind::Gitea] {
        let known = json!([{"number": 4, "body": "other"}, {"number": 5, "body": body, "html_url": "u"}]);
        let (number, asked) = make(kind, &[(200, known)]);
        assert_eq!((number, asked.len()), (5, 1));
    }
    let known = json!([{"iid": 5, "description": body, "web_url": "u"}]);
    assert_eq!(make(ForgeKind::Gitlab, &[(200, known)]).0, 5);
}
