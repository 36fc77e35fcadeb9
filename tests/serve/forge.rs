//! A forge's API as far as the server asks of it: keeps statuses, knows who may write.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

#[derive(Default)]
struct Inner {
    statuses: Vec<(String, Value)>,
    fail: u32,
}

/// The forge. It goes on until the test's process ends.
pub(crate) struct FakeForge {
    pub(crate) at: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

type Shared = State<Arc<Mutex<Inner>>>;

async fn status(
    State(inner): Shared,
    Path(sha): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    if headers.get("authorization").is_none_or(|value| value != "Bearer the api token") {
        return (StatusCode::UNAUTHORIZED, Json(json!({"message": "Bad credentials"})));
    }
    let mut inner = inner.lock().unwrap();
    if inner.fail > 0 {
        inner.fail -= 1;
        return (StatusCode::BAD_GATEWAY, Json(json!({"message": "the forge is being updated"})));
    }
    inner.statuses.push((sha, body));
    (StatusCode::CREATED, Json(json!({})))
}

async fn permission(Path(user): Path<String>) -> (StatusCode, Json<Value>) {
    match user.as_str() {
        "ann" => (StatusCode::OK, Json(json!({"permission": "write"}))),
        "guest" => (StatusCode::OK, Json(json!({"permission": "read"}))),
        _ => (StatusCode::NOT_FOUND, Json(json!({"message": "Not Found"}))),
    }
}

impl FakeForge {
    pub(crate) fn start() -> Self {
        let inner: Arc<Mutex<Inner>> = Arc::default();
        let (tell, told) = std::sync::mpsc::channel();
        let state = Arc::clone(&inner);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let router = Router::new()
                    .route("/repos/o/shop/statuses/{sha}", post(status))
                    .route("/repos/o/shop/collaborators/{user}/permission", get(permission))
                    .with_state(state);
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        Self { at: told.recv().unwrap(), inner }
    }

    /// The next `count` statuses are not taken.
    pub(crate) fn fail(&self, count: u32) {
        self.inner.lock().unwrap().fail = count;
    }

    /// States of a commit's statuses in the order in which they came: `context: state`.
    pub(crate) fn statuses(&self, sha: &str) -> Vec<String> {
        let inner = self.inner.lock().unwrap();
        let of = inner.statuses.iter().filter(|(of, _)| of == sha);
        of.map(|(_, body)| format!("{}: {}", body["context"].as_str().unwrap(), body["state"].as_str().unwrap()))
            .collect()
    }

    /// The newest body.
    pub(crate) fn last(&self) -> Value {
        self.inner.lock().unwrap().statuses.last().map(|(_, body)| body.clone()).unwrap_or_default()
    }
}
