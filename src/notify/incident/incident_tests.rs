//! The reports of a made journal.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::SystemClock;
use crate::event::{Event, Outcome, TaskReport};
use crate::notify::post_tests::{Receiver, post_over};
use crate::notify::story_tests::{
    card, gate, given, going_back, phase, records, reported, stage_finished, started, step, waiting, went_back,
};
use crate::notify::{Address, Notice};
use crate::sink::Sink;
use crate::stage::TaskKind;
use crate::store::memory::MemoryStore;

use super::{Chronicle, Incident, IncidentSink, Setup, markdown};

fn events() -> Vec<Event> {
    let facts = serde_json::json!({"app": "backend", "environment": "production", "namespace": "p", "strategy": "canary",
        "release": 3, "previous": 2, "images": [], "result": "rolled-back"});
    vec![
        started(),
        waiting("ok", 1),
        given("ok", true, "alice"),
        stage_finished("ok", Outcome::Success, None),
        phase("production", "apply", "deployment \"backend-canary\"", Some(0)),
        phase("production", "weight", "10 %", Some(10)),
        gate("production", "pass", "0.1 %"),
        phase("production", "weight", "25 %", Some(25)),
        gate("production", "fail", "20.0 %"),
        gate("production", "fail", "31.3 %"),
        going_back("production"),
        phase("production", "rollback", "traffic back | <b>at once</b>", Some(0)),
        went_back("production", true),
        Event::TaskEnded { step: step("production"), kind: TaskKind::Deploy, facts, ending: None },
        stage_finished("production", Outcome::Failure, Some("gate \"errors\" failed, rolled back")),
    ]
}

fn incidents(events: Vec<Event>) -> Vec<Incident> {
    let mut chronicle = Chronicle::new(card());
    records(events).iter().filter_map(|record| chronicle.hear(record)).collect()
}

#[test]
fn a_rollback_is_written_down_whole() {
    let list = incidents(events());
    assert_eq!(list.len(), 1);
    insta::assert_snapshot!("report", markdown(&list[0]));
    let json = serde_json::to_value(&list[0]).unwrap();
    assert_eq!((json["kind"].as_str(), json["severity"].as_str()), (Some("rolled-back"), Some("P0")));
    assert_eq!((&json["rollback"]["took"], &json["exposed"]), (&4000.into(), &25.into()));
    assert_eq!(json["gates"][0]["times"], 2);
}

#[test]
fn pages_and_failed_gates_are_incidents_and_what_went_well_is_none() {
    let well = vec![
        started(),
        phase("production", "weight", "10 %", Some(10)),
        gate("production", "pass", "0.1 %"),
        stage_finished("production", Outcome::Success, None),
    ];
    assert_eq!(incidents(well), []);
    let (app, environment) = ("backend".to_owned(), "production".to_owned());
    let paged = TaskReport::Paged { app, environment, severity: "P1".to_owned(), reason: "slow".to_owned() };
    let list = incidents(vec![
        gate("a", "fail", "31.3 %"),
        stage_finished("a", Outcome::Success, None),
        gate("b", "fail", "31.3 %"),
        reported("b", paged),
        stage_finished("b", Outcome::Failure, None),
        going_back("c"),
        stage_finished("c", Outcome::Lost, None),
    ]);
    let kinds: Vec<_> = list.iter().map(|one| (one.kind.as_str(), one.severity.as_str())).collect();
    assert_eq!(kinds, [("reported", "P0"), ("paged", "P1"), ("rolling-back", "P0")]);
}

#[test]
fn a_long_watch_keeps_its_beginning_and_says_what_is_left_out() {
    let mut list = vec![gate("p", "fail", "9 %")];
    list.extend((0..300).map(|n| phase("p", "watch", &format!("minute {n}"), Some(10))));
    list.push(stage_finished("p", Outcome::Failure, None));
    let incident = incidents(list).remove(0);
    assert_eq!(incident.timeline.len(), 202);
    assert_eq!(incident.timeline[200].what, "(101 moments between are left out)");
}

fn setup(temp: &std::path::Path, report: &str, run: &str) -> Setup {
    std::fs::create_dir_all(temp.join("checkout")).unwrap();
    Setup {
        card: card(),
        folder: temp.join("run"),
        checkout: temp.join("checkout"),
        report: Some(report.to_owned()),
        run: Some(run.to_owned()),
        scripts: true,
    }
}

#[tokio::test]
async fn reports_lie_with_the_run_and_in_the_checkout_and_the_runbook_runs_once() {
    let temp = tempfile::tempdir().unwrap();
    let (store, receiver) = (MemoryStore::default(), Receiver::default());
    let post = post_over(&store, Arc::new(SystemClock), None);
    let notice = Notice {
        event: "rollback".to_owned(),
        at: crate::clock::Timestamp(1),
        card: card(),
        stage: None,
        app: None,
        environment: None,
        title: "t".to_owned(),
        lines: Vec::new(),
        gate: None,
        command: None,
    };
    post.put("k", &notice, &Address::Slack { url: receiver.listen().await }).unwrap();
    let script = "head -1 $SLIPWAY_INCIDENT >>seen; grep -c version ${SLIPWAY_INCIDENT%.md}.json >>seen; exit 3";
    // Heard twice, as after a crash.
    for round in 0..2 {
        let mut sink = IncidentSink::new(setup(temp.path(), "docs/incidents/", script), Arc::clone(&post));
        records(events()).iter().for_each(|record| sink.record(record));
        post.deliver_due(9).await.unwrap();
        sink.finish();
        let said = sink.runbooks().wait(Duration::from_secs(20)).await;
        assert_eq!(said.len(), 1 - round, "{said:?}");
        assert!(said.iter().all(|one| one.contains("exit status: 3")), "{said:?}");
        assert_eq!(*sink.problems().lock().unwrap(), [""; 0]);
    }
    let seen = std::fs::read_to_string(temp.path().join("checkout/seen")).unwrap();
    assert_eq!(seen, "# P0: backend in production was rolled back\n1\n");
    let kept = std::fs::read_to_string(temp.path().join("run/incidents/production.md")).unwrap();
    assert!(kept.contains("- \"rollback\" by slack, done\n"), "{kept}");
    let copy = temp.path().join("checkout/docs/incidents/0abc-production.json");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(copy).unwrap()).unwrap();
    assert_eq!(json["told"][0]["state"], "done");
}

#[test]
fn nothing_is_written_outside_of_the_checkout_and_no_script_runs_where_it_may_not() {
    let temp = tempfile::tempdir().unwrap();
    let post = post_over(&MemoryStore::default(), Arc::new(SystemClock), None);
    std::os::unix::fs::symlink(temp.path(), temp.path().join("link")).unwrap();
    for report in ["../out", "/tmp", "link/out"] {
        let mut setup = setup(temp.path(), report, "touch ran");
        if report.starts_with("link") {
            std::os::unix::fs::symlink(temp.path(), setup.checkout.join("link")).unwrap();
        }
        setup.scripts = false;
        let mut sink = IncidentSink::new(setup, Arc::clone(&post));
        records(events()).iter().for_each(|record| sink.record(record));
        let problems = sink.problems();
        let problems = problems.lock().unwrap();
        assert!(problems[0].contains("is not in the checkout"), "{report}: {problems:?}");
        assert!(!temp.path().join("out").join("0abc-production.md").exists(), "{report}");
    }
    let mut setup = setup(temp.path(), "in", "touch ran");
    setup.scripts = false;
    let mut sink = IncidentSink::new(setup, post);
    records(events()).iter().for_each(|record| sink.record(record));
    assert!(sink.problems().lock().unwrap()[0].contains("incident.run was not run"));
    assert!(!temp.path().join("checkout/ran").exists());
}
