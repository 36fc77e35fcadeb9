//! The JSON API: runs to read, and decisions on stages that wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Json, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use crate::event::Event;
use crate::id::{RunId, StageId};
use crate::store::contract::{Request, RunFilter, Store, StoreError};

use super::access;
use super::app::App;

use super::origin::Origin;
use super::refusal::Refusal;
use super::view;

/// Runs in a list, at most.
const MAX_RUNS: usize = 200;
/// Runs in a list, when nobody says.
const RUNS: usize = 50;
/// How long the answer of the run is waited for.
const ANSWER: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);
/// A comment is at most so long.
const MAX_COMMENT: usize = 4000;

/// An answer, or one that says no.
pub type Answer = Result<Response, Refusal>;

/// Which runs.
#[derive(Debug, Default, Deserialize)]
pub struct ListQuery {
    limit: Option<usize>,
    repository: Option<String>,
}

/// Which attempt.
#[derive(Debug, Default, Deserialize)]
pub struct LogQuery {
    attempt: Option<u32>,
}

impl LogQuery {
    /// The attempt that is meant; without a number the newest.
    pub fn attempt(&self) -> Option<u32> {
        self.attempt
    }
}

/// A decision.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionBody {
    #[serde(default)]
    comment: String,
    #[serde(default)]
    inputs: BTreeMap<String, String>,
    /// The commit that was looked at: another one voids the decision.
    commit: Option<String>,
    /// The hash of the plan that was looked at.
    plan: Option<String>,
}

/// What is wrong with what the store was asked. Its own troubles are not told.
pub fn of_store(app: &App, error: &StoreError) -> Refusal {
    match error {
        StoreError::NotFound(_) => Refusal::missing(),
        other => {
            app.say(&format!("a request failed: {other}"));
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the server could not read that")
        }
    }
}

/// Does something that blocks beside the loop that serves others.
pub async fn beside<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&App) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Refusal> {
    let inner = Arc::clone(app);
    match tokio::task::spawn_blocking(move || work(&inner)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(of_store(app, &error)),
        Err(_) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the server could not do that")),
    }
}

/// A run's whole id; anything else is none of ours.
pub fn run_id(text: &str) -> Result<RunId, Refusal> {
    let plain = text.len() == 12 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    plain.then(|| RunId::from(text)).ok_or_else(Refusal::missing)
}

/// Newest runs first, of the server alone.
pub fn list(app: &App, limit: usize, repository: Option<&str>) -> Result<Vec<serde_json::Value>, StoreError> {
    let rows = app.store.list(&RunFilter { limit: MAX_RUNS, ..RunFilter::default() })?;
    let runs = rows.iter().filter_map(|row| {
        let origin = Origin::read(&app.store.state().run(&row.run));
        let of = origin.as_ref().map(|origin| origin.repository.as_str());
        (repository.is_none() || repository == of).then(|| view::row_json(&app.store, row, origin.as_ref()))
    });
    Ok(runs.take(limit.min(MAX_RUNS)).collect())
}

/// `GET /api/runs`
pub async fn runs(State(app): State<Arc<App>>, headers: HeaderMap, Query(query): Query<ListQuery>) -> Answer {
    access::reader(&app.config, &headers)?;
    let work = move |app: &App| list(app, query.limit.unwrap_or(RUNS), query.repository.as_deref());
    let runs = beside(&app, work).await?;
    Ok(Json(json!({ "version": view::VERSION, "runs": runs })).into_response())
}

/// `GET /api/runs/ID`
pub async fn run(State(app): State<Arc<App>>, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    access::reader(&app.config, &headers)?;
    let id = run_id(&id)?;
    let run = beside(&app, move |app| Ok(view::run_json(&app.store, &view::read(&app.store, &id)?))).await?;
    Ok(Json(json!({ "version": view::VERSION, "run": run })).into_response())
}

/// `GET /api/runs/ID/stages`
pub async fn stages(State(app): State<Arc<App>>, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    access::reader(&app.config, &headers)?;
    let id = run_id(&id)?;
    let stages = beside(&app, move |app| Ok(view::stages_json(&view::read(&app.store, &id)?))).await?;
    Ok(Json(json!({ "version": view::VERSION, "stages": stages })).into_response())
}

/// `GET /api/runs/ID/logs/JOB`
pub async fn logs(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path((id, job)): Path<(String, String)>,
    Query(query): Query<LogQuery>,
) -> Answer {
    access::reader(&app.config, &headers)?;
    let id = run_id(&id)?;
    let text = beside(&app, move |app| view::log(&app.store, &id, &job, query.attempt)).await?;
    let mut response = text.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

/// `POST /api/runs/ID/stages/STAGE/approve`
pub async fn approve(app: State<Arc<App>>, headers: HeaderMap, path: Path<(String, String)>, body: Bytes) -> Answer {
    decide(app, &headers, path, &body, true).await
}

/// `POST /api/runs/ID/stages/STAGE/reject`
pub async fn reject(app: State<Arc<App>>, headers: HeaderMap, path: Path<(String, String)>, body: Bytes) -> Answer {
    decide(app, &headers, path, &body, false).await
}

async fn decide(
    State(app): State<Arc<App>>,
    headers: &HeaderMap,
    Path((id, stage)): Path<(String, String)>,
    body: &[u8],
    approved: bool,
) -> Answer {
    let id = run_id(&id)?;
    // Whoever has no token learns nothing of what there is.
    let nobody = || Refusal::new(StatusCode::UNAUTHORIZED, "this takes the token of an approver of the repository");
    let origin = Origin::read(&app.store.state().run(&id)).ok_or_else(nobody)?;
    let repository = app.config.repositories.get(&origin.repository).ok_or_else(nobody)?;
    let who = access::approver(repository, headers)?;
    let body: DecisionBody = match body {
        [] => DecisionBody::default(),
        body => serde_json::from_slice(body)
            .map_err(|e| Refusal::new(StatusCode::BAD_REQUEST, format!("the body is no decision: {e}")))?,
    };
    if body.comment.len() > MAX_COMMENT {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "the comment is longer than 4000 bytes"));
    }
    let read = id.clone();
    let shown = beside(&app, move |app| view::read(&app.store, &read)).await?;
    let void = |what: &str| Refusal::new(StatusCode::CONFLICT, format!("the {what} is another one than you looked at"));
    if body.commit.is_some_and(|commit| commit != shown.row.commit) {
        return Err(void("commit"));
    }
    if body.plan.is_some_and(|plan| plan != shown.plan_hash) {
        return Err(void("plan"));
    }
    if shown.row.outcome.is_some() {
        return Err(Refusal::new(StatusCode::CONFLICT, "the run is over"));
    }
    let Some(stage) = shown.view.stages.iter().find(|known| known.id.as_str() == stage).map(|known| known.id.clone())
    else {
        return Err(Refusal::missing());
    };
    let request = Request::Decide {
        stage: stage.clone(),
        approved,
        by: who.name.clone(),
        groups: who.groups.clone(),
        comment: body.comment,
        inputs: body.inputs.into_iter().collect(),
    };
    answer(&app, &id, &stage, &who.name, &request).await
}

/// Puts the request, and waits for what the run makes of it.
async fn answer(app: &Arc<App>, run: &RunId, stage: &StageId, who: &str, request: &Request) -> Answer {
    let after = app.store.records(run, 0).map_err(|e| of_store(app, &e))?.last().map_or(0, |record| record.seq);
    app.store.request(run, request).map_err(|e| of_store(app, &e))?;
    for _ in 0..ANSWER.as_millis() / LOOK.as_millis() {
        for record in app.store.records(run, after).map_err(|e| of_store(app, &e))? {
            match record.event {
                Event::RequestRefused { by, reason } if by == who => {
                    return Err(Refusal::new(StatusCode::CONFLICT, reason));
                }
                Event::ApprovalGiven { stage: of, by, approved, .. } if of == *stage && by == who => {
                    return Ok(Json(json!({ "stage": of, "by": by, "approved": approved })).into_response());
                }
                _ => {}
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok((StatusCode::ACCEPTED, Json(json!({ "stage": stage, "by": who, "pending": true }))).into_response())
}
