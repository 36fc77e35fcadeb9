//! An answer that says no, as JSON. The connection ends with it, since the rest of a body may still come.

use axum::response::{IntoResponse, Json, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

/// An answer that says no.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    message: String,
    header: Option<(HeaderName, &'static str)>,
}

impl Refusal {
    /// With a status, and why for people.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), header: None }
    }

    /// Worth another try.
    pub fn busy(message: impl Into<String>) -> Self {
        Self { header: Some((header::RETRY_AFTER, "5")), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message) }
    }

    /// With one more header.
    pub fn with(self, name: HeaderName, value: &'static str) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// There is no such thing.
    pub fn missing() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no such run, stage or log")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.message }))).into_response();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
