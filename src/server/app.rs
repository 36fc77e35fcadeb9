//! What all requests share, and the routes: only those that stand here exist.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderValue, Request, StatusCode, header};
use tokio::sync::Notify;

use crate::store::inbox::Inbox;
use crate::store::sqlite::SqliteStore;

use super::config::ServerConfig;
use super::hooks::{self, Budget};
use super::refusal::Refusal;
use super::{api, pages};

/// A decision's body is at most so long.
const MAX_DECISION: usize = 64 << 10;

/// What all requests share.
pub struct App {
    /// The configuration.
    pub config: Arc<ServerConfig>,
    /// Webhooks.
    pub inbox: Arc<dyn Inbox>,
    /// Runs.
    pub store: SqliteStore,
    /// A webhook came.
    pub fresh: Notify,
    /// Bodies in memory.
    pub budget: Budget,
    /// Where the server says what it does.
    pub voice: Arc<dyn Fn(&str) + Send + Sync>,
}

impl App {
    /// Says something to whoever runs the server.
    pub fn say(&self, text: &str) {
        (self.voice)(text);
    }
}

/// The routes.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/hooks/{name}", post(hooks::hook).layer(DefaultBodyLimit::disable()))
        .route("/", get(pages::index))
        .route("/style.css", get(pages::style))
        .route("/runs/{id}", get(pages::run))
        .route("/runs/{id}/logs/{job}", get(pages::log))
        .route("/api/runs", get(api::runs))
        .route("/api/runs/{id}", get(api::run))
        .route("/api/runs/{id}/stages", get(api::stages))
        .route("/api/runs/{id}/logs/{job}", get(api::logs))
        .route("/api/runs/{id}/stages/{stage}/approve", post(api::approve).layer(DefaultBodyLimit::max(MAX_DECISION)))
        .route("/api/runs/{id}/stages/{stage}/reject", post(api::reject).layer(DefaultBodyLimit::max(MAX_DECISION)))
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(|| async { Refusal::new(StatusCode::NOT_FOUND, "there is nothing here") })
        .layer(middleware::from_fn(guarded))
        .with_state(app)
}

/// Headers that every answer has: nothing is run, framed, sniffed or kept.
async fn guarded(request: Request<axum::body::Body>, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
