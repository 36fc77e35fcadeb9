//! What commands ask of the state folder: which run is meant, how it stands, and what its records come to.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::load::replan;
use crate::client::git;
use crate::clock::Timestamp;
use crate::event::{Event, Outcome, Record};
use crate::id::{RunId, StageId};
use crate::report::glyph;
use crate::report::run_view::RunView;
use crate::report::style::Ink;
use crate::store::contract::{RunFilter, RunRow, Store, StoreError};
use crate::store::sqlite::SqliteStore;

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// A process works on it; who that is.
    Running(String),
    /// It has neither owner nor end.
    Interrupted,
    /// It has no owner, and waits for a person.
    Waiting,
    /// It is over.
    Over(Outcome),
}

impl Status {
    /// How the run of this row stands now.
    pub fn of(store: &SqliteStore, row: &RunRow) -> Self {
        match row.outcome {
            Some(outcome) => Status::Over(outcome),
            None => match store.owner(&row.run) {
                Some(owner) => Status::Running(owner),
                None if asked_until(&store.records(&row.run, 0).unwrap_or_default()).is_some() => Status::Waiting,
                None => Status::Interrupted,
            },
        }
    }

    /// One word, for people and JSON: `running`, `interrupted`, or the outcome.
    pub fn word(&self) -> &'static str {
        match self {
            Status::Running(_) => "running",
            Status::Interrupted => "interrupted",
            Status::Waiting => "waiting",
            Status::Over(Outcome::Success) => "success",
            Status::Over(Outcome::Failure) => "failure",
            Status::Over(Outcome::Cancelled) => "cancelled",
            Status::Over(Outcome::Skipped) => "skipped",
            Status::Over(Outcome::Lost) => "lost",
        }
    }

    /// Its sign and colour.
    pub fn sign(&self) -> (&'static str, Ink) {
        match self {
            Status::Running(_) => ("▸", Ink::Cyan),
            Status::Interrupted | Status::Waiting => ("‖", Ink::Yellow),
            Status::Over(outcome) => glyph::outcome(*outcome),
        }
    }
}

/// Until when the run of these records waits for a person's decision that is not given.
pub fn asked_until(records: &[Record]) -> Option<Timestamp> {
    let mut open: Vec<(&StageId, Timestamp)> = Vec::new();
    for record in records {
        match &record.event {
            Event::ApprovalWaiting { stage, until, .. } => open.push((stage, *until)),
            Event::ApprovalGiven { stage, .. } | Event::StageFinished { stage, .. } => {
                open.retain(|(at, _)| *at != stage)
            }
            _ => {}
        }
    }
    open.into_iter().map(|(_, until)| until).max()
}

/// The checkout that the present folder is in.
pub fn checkout_here() -> Result<PathBuf, StoreError> {
    let here = std::env::current_dir().map_err(|e| StoreError::failed("find the present folder", e))?;
    Ok(git::root(&here))
}

/// The run that is meant: `name` is an id, the beginning of one or `#serial`; without it the newest of this checkout.
pub fn find(store: &SqliteStore, name: Option<&str>) -> Result<RunId, StoreError> {
    if let Some(name) = name {
        return store.resolve(name);
    }
    let checkout = checkout_here()?;
    let newest = store.list(&RunFilter { checkout: Some(checkout.clone()), limit: 1, ..RunFilter::default() })?;
    newest.into_iter().next().map(|row| row.run).ok_or_else(|| {
        StoreError::NotFound(format!(
            "there is no run of \"{}\"; `slipway runs --all` lists those of other checkouts",
            checkout.display()
        ))
    })
}

/// A run as its records tell it, and its row.
pub fn view(store: &SqliteStore, run: &RunId) -> Result<(RunRow, RunView), StoreError> {
    let stored = store.load(run)?;
    // A file that this version reads otherwise still has its records.
    let mut view = replan(&stored.text, stored.inputs).map(|plan| RunView::of_plan(&plan)).unwrap_or_default();
    for record in store.records(run, 0)? {
        view.apply(&record);
    }
    let row = stored.row;
    view.run = Some(run.clone());
    view.pipeline.clone_from(&row.pipeline);
    view.started.get_or_insert(row.started);
    // The end of a run that nobody can take up any more stands in its row only.
    view.outcome = view.outcome.or(row.outcome);
    view.finished = view.finished.or(row.finished);
    Ok((row, view))
}

/// `just now`, `5m ago`, `3h ago`, `12d ago`.
pub fn ago(since: Duration) -> String {
    match since.as_secs() {
        0..10 => "just now".to_owned(),
        s @ 10..120 => format!("{s}s ago"),
        s @ 120..7200 => format!("{}m ago", s / 60),
        s @ 7200..172_800 => format!("{}h ago", s / 3600),
        s => format!("{}d ago", s / 86_400),
    }
}

/// How long the run took, or takes.
pub fn duration(row: &RunRow, status: &Status, now: Timestamp) -> Option<Duration> {
    match (row.finished, status) {
        (Some(finished), _) => Some(finished.since(row.started)),
        (None, Status::Running(_)) => Some(now.since(row.started)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_people_say_them() {
        let said = |seconds| ago(Duration::from_secs(seconds));
        assert_eq!(said(3), "just now");
        assert_eq!(said(90), "90s ago");
        assert_eq!(said(600), "10m ago");
        assert_eq!(said(7200), "2h ago");
        assert_eq!(said(90_000), "25h ago");
        assert_eq!(said(200_000), "2d ago");
    }
}
