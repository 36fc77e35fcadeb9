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

use super::config::ServerConfig;
use super::hooks::{self, Budget, refuse};

/// What all requests share.
pub struct App {
    /// The configuration.
    pub config: ServerConfig,
    /// Webhooks.
    pub inbox: Arc<dyn Inbox>,
    /// A webhook came.
    pub fresh: Notify,
    /// Bodies in memory.
    pub budget: Budget,
    /// Where the server says what it does.
    pub voice: Box<dyn Fn(&str) + Send + Sync>,
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
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(|| async { refuse(StatusCode::NOT_FOUND, "there is nothing here") })
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
