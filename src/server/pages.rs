//! Plain pages without scripts: the list of runs, a run with its stages, a job's log.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};

use crate::clock::{Clock, SystemClock, humanize};
use crate::id::RunId;
use crate::report::job_view::JobView;

use super::access;
use super::api::{self, Answer, LogQuery, beside, run_id};
use super::app::App;
use super::html::{STYLE, page, part, text};
use super::view::{self, Shown};

/// Runs on the page.
const RUNS: usize = 100;

fn html(body: String) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// `GET /style.css`
pub async fn style() -> Response {
    let mut response = STYLE.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    response
}

/// `GET /`
pub async fn index(State(app): State<Arc<App>>, headers: HeaderMap) -> Answer {
    access::reader(&app.config, &headers)?;
    let runs = beside(&app, |app| api::list(app, RUNS, None)).await?;
    let mut body = String::from("<h1>Runs</h1>\n");
    if runs.is_empty() {
        body.push_str("<p>There is no run yet: a push makes one.</p>\n");
        return Ok(html(page("runs", &body, true)));
    }
    body.push_str("<table><tr><th>Run</th><th>Status</th><th>Repository</th><th>Pipeline</th><th>Name</th><th>Commit</th><th>Ref</th></tr>\n");
    for run in &runs {
        let of = |key: &str| run[key].as_str().unwrap_or_default();
        let (id, status) = (of("run"), of("status"));
        body.push_str(&format!(
            "<tr><td><a href=\"/runs/{}\">{}</a></td><td class=\"{}\">{}</td><td>{}</td><td>{}</td><td>{}</td><td><code>{}</code></td><td>{}</td></tr>\n",
            part(id), text(id), text(status), text(status), text(of("repository")), text(of("pipeline")),
            text(of("name").lines().next().unwrap_or_default()), text(of("commit").get(..12).unwrap_or_default()), text(of("reference")),
        ));
    }
    body.push_str("</table>\n");
    let moves = runs.iter().any(|run| run["finished"].is_null());
    Ok(html(page("runs", &body, moves)))
}

/// `GET /runs/ID`
pub async fn run(State(app): State<Arc<App>>, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    access::reader(&app.config, &headers)?;
    let id = run_id(&id)?;
    let body = beside(&app, move |app| {
        let shown = view::read(&app.store, &id)?;
        let moves = shown.row.outcome.is_none();
        Ok(page(&format!("run {id}"), &run_body(app, &shown), moves))
    });
    Ok(html(body.await?))
}

fn run_body(app: &App, shown: &Shown) -> String {
    let row = &shown.row;
    let status = view::status(&app.store, row);
    let took = row.finished.unwrap_or_else(|| SystemClock.now()).since(row.started);
    let mut body = format!(
        "<h1>{} <small>#{}</small></h1>\n<p>{}</p>\n<p class=\"{status}\">{status}, {}</p>\n",
        text(&row.pipeline),
        row.number,
        text(&row.name),
        humanize(took),
    );
    if let Some(origin) = &shown.origin {
        body.push_str(&format!(
            "<p>{} of <code>{}</code> at <code>{}</code> in {} by {}</p>\n",
            text(&row.event_name),
            text(&origin.reference),
            text(&origin.sha),
            text(&origin.repository),
            text(&origin.actor),
        ));
        if let Some(why) = &origin.untrusted {
            body.push_str(&format!(
                "<p class=\"note\">Not trusted: {}. It runs the base branch's file, without secrets and environments.</p>\n",
                text(why)
            ));
        }
    }
    for one in &shown.waiting {
        body.push_str(&format!(
            "<div class=\"note\"><p>Stage <b>{}</b> waits for {} of: {}.</p><pre>{}</pre>\
             <p><code>slipway approve {} {}</code></p></div>\n",
            text(one.stage.as_str()),
            one.required.max(1),
            text(&if one.approvers.is_empty() { "any approver".to_owned() } else { one.approvers.join(", ") }),
            text(&one.summary),
            text(row.run.as_str()),
            text(one.stage.as_str()),
        ));
    }
    body.push_str("<table><tr><th>Stage</th><th>Status</th><th>Took</th><th>Jobs</th></tr>\n");
    for stage in &shown.view.stages {
        let waits = shown.waiting.iter().any(|one| one.stage == stage.id);
        let status = view::stage_status(stage, waits);
        let jobs = stage.jobs.iter().filter_map(|at| shown.view.jobs.get(*at));
        let jobs: Vec<String> = jobs.map(|job| job_cell(&row.run, job)).collect();
        let why = stage.skip_reason.as_ref().or(stage.fail_reason.as_ref()).map(|why| format!(": {}", text(why)));
        body.push_str(&format!(
            "<tr><td>{}</td><td class=\"{status}\">{status}{}</td><td>{}</td><td>{}</td></tr>\n",
            text(stage.id.as_str()),
            why.unwrap_or_default(),
            stage.duration().map(humanize).unwrap_or_default(),
            jobs.join("<br>"),
        ));
    }
    body.push_str("</table>\n");
    body
}

fn job_cell(run: &RunId, job: &JobView) -> String {
    let status = view::job_status(job);
    let name = match job.attempts.is_empty() {
        true => text(&job.name),
        false => {
            format!("<a href=\"/runs/{}/logs/{}\">{}</a>", part(run.as_str()), part(job.id.as_str()), text(&job.name))
        }
    };
    let why = job.current().and_then(|attempt| attempt.reason.as_ref()).or(job.drop_reason.as_ref());
    let why = why.map(|why| format!(": {}", text(why))).unwrap_or_default();
    format!("{name} <span class=\"{status}\">{status}</span>{why}")
}

/// `GET /runs/ID/logs/JOB`
pub async fn log(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path((id, job)): Path<(String, String)>,
    Query(query): Query<LogQuery>,
) -> Answer {
    access::reader(&app.config, &headers)?;
    let id = run_id(&id)?;
    let body = beside(&app, move |app| {
        let log = view::log(&app.store, &id, &job, query.attempt())?;
        let over = view::read(&app.store, &id)?.row.outcome.is_some();
        let body = format!(
            "<h1>{}</h1>\n<p><a href=\"/runs/{}\">run {}</a></p>\n<pre>{}</pre>\n",
            text(&job),
            part(id.as_str()),
            text(id.as_str()),
            text(&log)
        );
        Ok(page(&format!("log of {job}"), &body, !over))
    });
    Ok(html(body.await?))
}
