//! What is told of a run.

use crate::clock::Timestamp;
use crate::event::{EVENT_VERSION, Event, GateReading, Outcome, Record, TaskReport};
use crate::id::{JobId, RunId, StageId, StepKey};

use super::{Card, Notice, Story};

pub(super) fn card() -> Card {
    Card {
        id: "0abc".to_owned(),
        pipeline: "shop".to_owned(),
        number: 12,
        commit: "1234567890abcdef1234567890abcdef12345678".to_owned(),
        branch: "main".to_owned(),
        actor: "ann".to_owned(),
        trigger: "push".to_owned(),
        repository: "acme/shop".to_owned(),
        url: None,
    }
}

/// Records of a run, one second apart, from 1.
pub(super) fn records(events: Vec<Event>) -> Vec<Record> {
    let at = |seq: u64| Timestamp(1_700_000_000_000 + i64::try_from(seq).unwrap() * 1000);
    (1..).zip(events).map(|(seq, event)| Record { v: EVENT_VERSION, seq, at: at(seq), event }).collect()
}

pub(super) fn started() -> Event {
    Event::RunStarted {
        run: RunId::from("0abc"),
        pipeline: "shop".to_owned(),
        name: "shop".to_owned(),
        file: "slipway.yml".to_owned(),
        event_name: "push".to_owned(),
        commit: card().commit,
        plan_hash: "ab12".to_owned(),
        origin: None,
    }
}

pub(super) fn step(stage: &str) -> StepKey {
    StepKey { job: JobId::from(stage), attempt: 1, step: 0 }
}

pub(super) fn reported(stage: &str, report: TaskReport) -> Event {
    Event::TaskReported { step: step(stage), report }
}

pub(super) fn phase(stage: &str, phase: &str, text: &str, weight: Option<u32>) -> Event {
    let (app, environment) = ("backend".to_owned(), "production".to_owned());
    reported(stage, TaskReport::Phase { app, environment, phase: phase.to_owned(), text: text.to_owned(), weight })
}

pub(super) fn gate(stage: &str, verdict: &str, measured: &str) -> Event {
    let reading = GateReading {
        gate: "errors".to_owned(),
        measured: measured.to_owned(),
        limit: "5 %".to_owned(),
        samples: 412,
        confidence: "99 % sure of at least 14.2 %".to_owned(),
        severity: "P0".to_owned(),
    };
    reported(stage, TaskReport::Gate { app: "backend".to_owned(), verdict: verdict.to_owned(), reading })
}

pub(super) fn going_back(stage: &str) -> Event {
    let (app, environment) = ("backend".to_owned(), "production".to_owned());
    reported(stage, TaskReport::RollingBack { app, environment, reason: "gate \"errors\" failed at 25 %".to_owned() })
}

pub(super) fn went_back(stage: &str, healthy: bool) -> Event {
    let (app, environment) = ("backend".to_owned(), "production".to_owned());
    let (from, to) = ("app reg/app@sha256:bb".to_owned(), "app reg/app@sha256:aa".to_owned());
    reported(stage, TaskReport::RolledBack { app, environment, from, to, healthy })
}

pub(super) fn stage_finished(stage: &str, outcome: Outcome, reason: Option<&str>) -> Event {
    let reason = reason.map(str::to_owned);
    Event::StageFinished { stage: StageId::from(stage), outcome, outputs: Vec::new(), reason }
}

pub(super) fn waiting(stage: &str, required: u32) -> Event {
    Event::ApprovalWaiting {
        stage: StageId::from(stage),
        environment: Some("production".to_owned()),
        approvers: vec!["ops".to_owned(), "alice".to_owned()],
        required,
        prevent_self_review: false,
        until: Timestamp(1_700_000_900_000),
        summary: "stage \"production\" would:\n  change deployments.apps/backend".to_owned(),
        consumes: String::new(),
        inputs: Vec::new(),
    }
}

pub(super) fn given(stage: &str, approved: bool, by: &str) -> Event {
    let comment = if approved { "" } else { "not on a Friday" }.to_owned();
    Event::ApprovalGiven { stage: StageId::from(stage), approved, by: by.to_owned(), comment, inputs: Vec::new() }
}

fn told(events: Vec<Event>) -> Vec<Notice> {
    let mut story = Story::new(card());
    records(events).iter().flat_map(|record| story.hear(record)).map(|(_, notice)| notice).collect()
}

/// Each notice as its event and text.
fn shown(events: Vec<Event>) -> String {
    let list = told(events).into_iter().map(|notice| format!("[{}]\n{}\n", notice.event, notice.text()));
    list.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_rollback_is_told_with_its_gate() {
    let text = shown(vec![
        started(),
        waiting("ok", 1),
        given("ok", true, "alice"),
        stage_finished("ok", Outcome::Success, None),
        phase("production", "weight", "10 %", Some(10)),
        gate("production", "pass", "0.1 %"),
        phase("production", "weight", "25 %", Some(25)),
        gate("production", "fail", "31.3 %"),
        going_back("production"),
        phase("production", "rollback", "traffic back", Some(0)),
        went_back("production", true),
        stage_finished("production", Outcome::Failure, Some("gate \"errors\" failed, rolled back")),
        Event::RunFinished { outcome: Outcome::Failure },
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn an_approval_waits_for_as_many_as_must_agree() {
    let events = |told: Vec<Notice>| told.into_iter().map(|notice| notice.event).collect::<Vec<_>>();
    let asked = vec![waiting("ok", 2), given("ok", true, "bob"), given("ok", true, "alice")];
    let list = told(asked);
    assert_eq!(list.last().unwrap().title, "shop #12: \"ok\" was approved by alice, bob");
    assert_eq!(events(list), ["waiting", "approved"]);
    let list = told(vec![waiting("ok", 2), given("ok", true, "bob"), given("ok", false, "eve")]);
    assert_eq!(list[1].lines, ["not on a Friday"]);
    assert_eq!(events(list), ["waiting", "rejected"]);
    let late = vec![waiting("ok", 1), stage_finished("ok", Outcome::Failure, Some("rejected by timeout"))];
    assert_eq!(events(told(late)), ["waiting", "rejected", "stage"]);
    let cancelled = vec![waiting("ok", 1), stage_finished("ok", Outcome::Cancelled, None)];
    assert_eq!(events(told(cancelled)), ["waiting", "stage"]);
}

#[test]
fn a_person_is_paged_and_drift_and_pauses_are_told() {
    let (app, environment) = ("backend".to_owned(), "production".to_owned());
    let paged = TaskReport::Paged { app, environment, severity: "P1".to_owned(), reason: "latency".to_owned() };
    let drifted = TaskReport::Drifted { app: "backend".to_owned(), text: "weight is 70".to_owned() };
    let list = told(vec![
        gate("production", "fail", "31.3 %"),
        reported("production", paged),
        reported("production", drifted),
        phase("production", "waiting", "25 % waits", Some(25)),
    ]);
    let titles: Vec<_> = list.iter().map(|notice| (notice.event.as_str(), notice.title.as_str())).collect();
    assert_eq!(
        titles,
        [
            ("paged", "shop #12: P1 for backend in production, a person must look"),
            ("paged", "shop #12: another hand has changed backend in production, a person must look"),
            ("waiting", "shop #12: the deploy of backend in production waits for a person"),
        ]
    );
    assert_eq!(list[0].gate.as_ref().unwrap().measured, "31.3 %");
    assert!(list[2].command.as_ref().unwrap().contains("slipway deploy promote 0abc production"));
}

#[test]
fn a_rollback_that_nobody_ended_is_told_all_the_same() {
    let list = told(vec![
        phase("production", "weight", "25 %", Some(25)),
        going_back("production"),
        stage_finished("production", Outcome::Lost, None),
    ]);
    assert_eq!(list[0].event, "rollback");
    assert!(list[0].title.ends_with("how that ended is not known"), "{}", list[0].title);
    assert_eq!(list[0].app.as_deref(), Some("backend"));
}

#[test]
fn the_same_records_give_the_same_notices() {
    let events = || vec![started(), waiting("ok", 1), going_back("p"), went_back("p", false)];
    assert_eq!(told(events()), told(events()));
}
