//! `POST /hooks/NAME`: a webhook, from the socket to the disk.
//!
//! The body is read under a cap and out of a budget that all requests share, the signature is checked over the raw bytes, and
//! the delivery is on disk before the answer. What the payload says is looked at later, by the worker.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Json, Response};
use futures_util::StreamExt as _;
use http::{HeaderMap, StatusCode, header};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::{Clock, SystemClock};
use crate::forge::signature::verify;
use crate::store::inbox::NewDelivery;

use super::app::App;
use super::refusal::Refusal;

/// GitHub's own cap.
pub const MAX_BODY: usize = 25 << 20;
/// Bytes of bodies in memory at once.
const BUDGET_BYTES: usize = 2 * MAX_BODY;
/// A body has come whole after so long, or never will.
const BODY_TIME: Duration = Duration::from_secs(10);

/// What bodies in memory share.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BUDGET_BYTES)))
    }
}

/// Takes a webhook.
pub async fn hook(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    // An unknown repository and a wrong signature look the same: names are not told.
    let denied = || Refusal::new(StatusCode::UNAUTHORIZED, "the webhook is not signed by a forge that is known here");
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a compressed body is not taken"));
    }
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(too_large());
    }
    let Some(repository) = app.config.repositories.get(&name) else { return Err(denied()) };
    let read = tokio::time::timeout(BODY_TIME, read_body(&app.budget, body)).await;
    let (body, _held) = match read {
        Ok(read) => read?,
        Err(_) => return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    };
    let now = SystemClock.now();
    verify(repository.forge, &repository.webhook_secret, &headers, &body, now).map_err(|_| denied())?;
    let missing = || Refusal::new(StatusCode::BAD_REQUEST, "the webhook does not name its event and its delivery");
    let event = repository.forge.event(&headers).ok_or_else(missing)?.to_owned();
    let delivery = repository.forge.delivery(&headers).ok_or_else(missing)?.to_owned();
    let new = NewDelivery { repository: name, delivery: delivery.clone(), event, body, received: now };
    match app.inbox.put(new).await {
        Ok(accepted) => {
            if accepted.fresh {
                app.fresh.notify_one();
            }
            let answer = json!({ "delivery": delivery, "accepted": accepted.seq, "replay": !accepted.fresh });
            Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
        }
        Err(error) => {
            app.say(&format!("a webhook could not be written: {error}"));
            Err(Refusal::busy("the webhook could not be kept; send it again"))
        }
    }
}

/// The whole body, and what it took of the budget.
async fn read_body(budget: &Budget, body: Body) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Refusal> {
    let (mut bytes, mut held) = (Vec::new(), None::<OwnedSemaphorePermit>);
    let mut stream = body.into_data_stream();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the body broke off"))?;
        if bytes.len() + piece.len() > MAX_BODY {
            return Err(too_large());
        }
        let size = u32::try_from(piece.len()).map_err(|_| too_large())?;
        // Whoever waits here while holding a part could wait for somebody who does the same.
        match Arc::clone(&budget.0).try_acquire_many_owned(size) {
            Ok(permit) => match &mut held {
                Some(held) => held.merge(permit),
                None => held = Some(permit),
            },
            Err(_) => return Err(Refusal::busy("too many webhooks come at once")),
        }
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes, held))
}

fn too_large() -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 25 MiB")
}
