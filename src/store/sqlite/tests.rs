use std::path::PathBuf;

use crate::clock::Timestamp;
use crate::event::{EVENT_VERSION, Event, Outcome, Record};
use crate::id::RunId;
use crate::plan::ir::{Placement, PlanInputs, Selection};
use crate::store::contract::{GroupAnswer, Groups, NewRun, Request, RunFilter, Store, StoreError};
use crate::store::folder::StateFolder;
use crate::store::lock::{Lock, TryLock, run_lock};
use crate::store::sqlite::{Durability, SqliteStore};

fn new_run(id: &str) -> NewRun {
    NewRun {
        run: RunId::from(id),
        pipeline: "ci".to_owned(),
        name: "a commit".to_owned(),
        text: "stages: {}".to_owned(),
        inputs: PlanInputs {
            file: "ci.yml".to_owned(),
            path: "ci.yml".to_owned(),
            event_name: "push".to_owned(),
            github: serde_json::json!({}),
            inputs: serde_json::json!({}),
            vars: serde_json::json!({}),
            env: Vec::new(),
            secret_names: Vec::new(),
            selection: Selection::default(),
            placement: Placement::default(),
        },
        plan_json: "{}".to_owned(),
        plan_hash: "hash".to_owned(),
        checkout: PathBuf::from("/checkout"),
        commit: "0".repeat(40),
        started: Timestamp(1000),
        origin: None,
    }
}

fn store() -> (tempfile::TempDir, SqliteStore) {
    let temp = tempfile::tempdir().expect("a folder");
    let state = StateFolder::open_at(temp.path().join("state")).expect("opens");
    let store = SqliteStore::open(&state, Durability::Process).expect("opens");
    (temp, store)
}

fn record(seq: u64, event: Event) -> Record {
    Record { v: EVENT_VERSION, seq, at: Timestamp(2000), event }
}

fn hold(store: &SqliteStore, run: &str) -> Lock {
    let path = run_lock(&store.state().run(&RunId::from(run)));
    match Lock::try_at(&path, "this test").expect("locks") {
        TryLock::Held(lock) => lock,
        TryLock::Taken(who) => panic!("{who} has it"),
    }
}

#[tokio::test]
async fn records_come_back_in_order_and_the_end_is_in_the_list() {
    let (_temp, store) = store();
    let row = store.create(&new_run("aaa1")).expect("made");
    assert_eq!((row.number, row.serial), (1, 1));
    assert_eq!(store.create(&new_run("aab2")).expect("made").number, 2);
    let run = RunId::from("aaa1");
    let journal = store.journal(&run).expect("opens");
    let first = journal.append(record(1, Event::RunResumed { pid: 7 }), false);
    let second = journal.append(record(2, Event::RunFinished { outcome: Outcome::Failure }), true);
    first.await.expect("committed");
    second.await.expect("committed");
    assert!(journal.append(record(2, Event::RunResumed { pid: 8 }), false).await.is_err(), "a place is taken once");
    let records = store.records(&run, 1).expect("reads");
    assert_eq!(records, [record(2, Event::RunFinished { outcome: Outcome::Failure })]);
    let row = store.load(&run).expect("loads").row;
    assert_eq!((row.outcome, row.finished), (Some(Outcome::Failure), Some(Timestamp(2000))));
    let open = store.list(&RunFilter { unfinished: true, ..RunFilter::default() }).expect("lists");
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].run, RunId::from("aab2"));
}

#[test]
fn a_prefix_names_a_run_when_it_names_one_only() {
    let (_temp, store) = store();
    for id in ["abc1", "abd2"] {
        store.create(&new_run(id)).expect("made");
    }
    assert_eq!(store.resolve("abc").expect("one").as_str(), "abc1");
    assert_eq!(store.resolve("#2").expect("one").as_str(), "abd2");
    assert!(matches!(store.resolve("ab"), Err(StoreError::NotFound(text)) if text.contains("abd2")));
    assert!(store.resolve("x").is_err());
    assert!(store.resolve("%").is_err());
    assert!(store.resolve("").is_err());
}

#[test]
fn requests_are_given_once() {
    let (_temp, store) = store();
    let run = store.create(&new_run("r1")).expect("made").run;
    let cancel = Request::Cancel { by: "alice".to_owned() };
    store.request(&run, &cancel).expect("written");
    assert_eq!(store.take_requests(&run).expect("read"), [cancel]);
    assert!(store.take_requests(&run).expect("read").is_empty());
}

#[test]
fn one_holds_a_group_one_waits_and_a_newcomer_takes_its_place() {
    let (_temp, store) = store();
    let runs = ["r1", "r2", "r3"];
    let locks: Vec<Lock> = runs
        .iter()
        .map(|id| {
            store.create(&new_run(id)).expect("made");
            hold(&store, id)
        })
        .collect();
    let ask = |id: &str, cancel| store.acquire("deploy", &RunId::from(id), id, cancel).expect("answers");
    assert_eq!(ask("r1", false), GroupAnswer::Acquired);
    assert_eq!(ask("r1", false), GroupAnswer::Acquired);
    assert_eq!(ask("r2", false), GroupAnswer::Wait);
    assert_eq!(ask("r3", true), GroupAnswer::Wait);
    assert_eq!(ask("r2", false), GroupAnswer::Superseded);
    assert_eq!(store.take_requests(&RunId::from("r1")).expect("read").len(), 1, "the holder is asked to end");
    store.release("deploy", &RunId::from("r1"), "r1").expect("released");
    assert_eq!(ask("r3", false), GroupAnswer::Acquired);
    // A holder whose process is gone holds nothing.
    drop(locks);
    let _mine = hold(&store, "r2");
    assert_eq!(ask("r2", false), GroupAnswer::Acquired);
}

#[test]
fn a_newer_database_and_one_that_is_none_are_refused() {
    let temp = tempfile::tempdir().expect("a folder");
    let state = StateFolder::open_at(temp.path().join("state")).expect("opens");
    drop(SqliteStore::open(&state, Durability::Power).expect("opens"));
    let connection = rusqlite::Connection::open(state.database()).expect("opens");
    connection.execute_batch("PRAGMA user_version = 99").expect("sets");
    drop(connection);
    assert!(
        matches!(SqliteStore::open(&state, Durability::Process), Err(StoreError::Unreadable(text)) if text.contains("99"))
    );
    std::fs::write(state.database(), b"this is no database, and it is long enough to be noticed as none at all")
        .expect("writes");
    assert!(SqliteStore::open(&state, Durability::Process).is_err());
}

#[test]
fn removing_a_run_leaves_nothing() {
    let (_temp, store) = store();
    let run = store.create(&new_run("r1")).expect("made").run;
    store.remove(&run).expect("removed");
    assert!(!store.state().run(&run).exists());
    assert!(store.load(&run).is_err());
    store.remove(&run).expect("removing again is no mistake");
}
