//! What every store must do, run against each of them.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::event::{EVENT_VERSION, Event, Outcome, Record};
use crate::id::{AttemptId, JobId, RunId};
use crate::plan::ir::{Placement, PlanInputs, Selection};
use crate::store::contract::{GroupAnswer, Groups, Logs, NewRun, Request, RunFilter, Sealer, Store, StoreError};
use crate::store::folder::StateFolder;
use crate::store::lock::{Lock, TryLock, run_lock};
use crate::store::logs::FileLogs;
use crate::store::memory::MemoryStore;
use crate::store::seal::RunSealer;
use crate::store::sqlite::{Durability, SqliteStore};

/// A run of `checkout`; ids sort as `n` does.
pub(in crate::store) fn new_run(n: u32, checkout: &str) -> NewRun {
    NewRun {
        run: RunId::from(format!("{n:08}wxyz")),
        pipeline: "demo".to_owned(),
        name: format!("run {n}"),
        text: "stages: {a: {run: \"true\"}}\n".to_owned(),
        inputs: PlanInputs {
            untrusted: false,
            file: "slipway.yml".to_owned(),
            path: "slipway.yml".to_owned(),
            event_name: "push".to_owned(),
            github: serde_json::json!({"sha": "abc", "event": {}}),
            inputs: serde_json::json!({}),
            vars: serde_json::json!({}),
            env: vec![("A".to_owned(), "b".to_owned())],
            secret_names: vec!["TOKEN".to_owned()],
            selection: Selection::default(),
            placement: Placement::default(),
        },
        plan_json: "{}".to_owned(),
        plan_hash: "ab12".to_owned(),
        checkout: PathBuf::from(checkout),
        commit: "0".repeat(40),
        started: Timestamp(1_700_000_000_000 + i64::from(n)),
        origin: None,
    }
}

pub(in crate::store) fn record(seq: u64, event: Event) -> Record {
    Record { v: EVENT_VERSION, seq, at: SystemClock.now(), event }
}

pub(in crate::store) fn resumed(seq: u64) -> Record {
    record(seq, Event::RunResumed { pid: seq as u32 })
}

/// The lock of a run.
pub(in crate::store) fn own(folder: &StateFolder, run: &RunId) -> Lock {
    match Lock::try_at(&run_lock(&folder.run(run)), &format!("process {}", std::process::id())).unwrap() {
        TryLock::Held(lock) => lock,
        TryLock::Taken(who) => panic!("{who} has it"),
    }
}

/// Waits for a future without a runtime.
pub(in crate::store) fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// One store by all its ports.
struct Stores {
    store: Arc<dyn Store>,
    groups: Arc<dyn Groups>,
    logs: Arc<dyn Logs>,
    sealer: Arc<dyn Sealer>,
    folder: Option<(tempfile::TempDir, StateFolder)>,
}

/// A run whose sealer [`Stores`] has.
const SEALED: &str = "00000001wxyz";

impl Stores {
    fn memory() -> Self {
        let store = Arc::new(MemoryStore::default());
        Self { store: store.clone(), groups: store.clone(), logs: store.clone(), sealer: store, folder: None }
    }

    fn sqlite(durability: Durability) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let folder = StateFolder::open_at(temp.path().to_owned()).unwrap();
        let store = Arc::new(SqliteStore::open(&folder, durability).unwrap());
        let sealer = Arc::new(RunSealer::new(&folder, &RunId::from(SEALED)));
        let logs = Arc::new(FileLogs::new(&folder));
        Self { store: store.clone(), groups: store, logs, sealer, folder: Some((temp, folder)) }
    }

    /// What a process that works on the run holds.
    fn own(&self, run: &RunId) -> Option<Lock> {
        self.folder.as_ref().map(|(_, folder)| own(folder, run))
    }
}

fn all(check: impl Fn(Stores)) {
    check(Stores::memory());
    check(Stores::sqlite(Durability::Process));
    check(Stores::sqlite(Durability::Power));
}

#[test]
fn runs_are_made_found_listed_and_removed() {
    all(|stores| {
        let store = &stores.store;
        let rows: Vec<_> = [(1, "/a"), (2, "/a"), (3, "/b"), (4, "/a")]
            .map(|(n, checkout)| store.create(&new_run(n, checkout)).unwrap())
            .into();
        assert_eq!(
            rows.iter().map(|row| (row.number, row.serial)).collect::<Vec<_>>(),
            [(1, 1), (2, 2), (1, 3), (3, 4)]
        );
        assert!(store.create(&new_run(1, "/a")).is_err(), "one id twice");

        let loaded = store.load(&rows[1].run).unwrap();
        assert_eq!((loaded.row, loaded.text), (rows[1].clone(), new_run(2, "/a").text));
        assert_eq!(
            serde_json::to_value(&loaded.inputs).unwrap(),
            serde_json::to_value(&new_run(2, "/a").inputs).unwrap()
        );
        assert_eq!(loaded.plan_hash, "ab12");

        let list = |filter: RunFilter| store.list(&filter).unwrap().iter().map(|row| row.serial).collect::<Vec<_>>();
        assert_eq!(list(RunFilter::default()), [4, 3, 2, 1]);
        assert_eq!(list(RunFilter { checkout: Some("/a".into()), limit: 2, ..RunFilter::default() }), [4, 2]);

        assert_eq!(store.resolve("00000003").unwrap(), rows[2].run);
        assert_eq!(store.resolve("00000003WXYZ").unwrap(), rows[2].run);
        assert_eq!(store.resolve("#4").unwrap(), rows[3].run);
        let Err(StoreError::NotFound(message)) = store.resolve("0000") else { panic!("ambiguous") };
        assert!(message.contains("\"00000004wxyz\", \"00000003wxyz\""), "{message}");
        for unknown in ["", "#", "#9", "#-1", "9", "000000012", "%", "'", "é"] {
            assert!(matches!(store.resolve(unknown), Err(StoreError::NotFound(_))), "{unknown:?}");
        }

        assert!(matches!(store.remove(&rows[0].run), Err(StoreError::Held(_))), "a run that is not over was removed");
        let journal = store.journal(&rows[0].run).unwrap();
        wait(journal.append(record(1, Event::RunFinished { outcome: Outcome::Lost }), false)).unwrap();
        let row = store.load(&rows[0].run).unwrap().row;
        assert_eq!(row.outcome, Some(Outcome::Lost));
        assert!(row.finished.is_some());
        assert_eq!(list(RunFilter { unfinished: true, ..RunFilter::default() }), [4, 3, 2]);
        store.remove(&rows[0].run).unwrap();
        assert!(matches!(store.load(&rows[0].run), Err(StoreError::NotFound(_))));
        assert!(matches!(store.records(&rows[0].run, 0), Err(StoreError::NotFound(_))));
        store.remove(&rows[0].run).unwrap();
        assert_eq!(store.create(&new_run(5, "/a")).unwrap().number, 4, "numbers are never given twice");
    });
}

#[test]
fn records_come_back_as_they_went_in() {
    all(|stores| {
        let (one, other) = (new_run(1, "/a"), new_run(2, "/a"));
        stores.store.create(&one).unwrap();
        stores.store.create(&other).unwrap();
        let journals = [&one, &other].map(|new| stores.store.journal(&new.run).unwrap());
        let golden: Vec<Record> = include_str!("../../tests/golden/journal-v1.jsonl")
            .lines()
            .map(|line| {
                let seq = serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap();
                crate::journal::decode(seq, line).unwrap()
            })
            .collect();
        let mut committed = Vec::new();
        for record in &golden {
            committed.extend(journals.iter().map(|journal| journal.append(record.clone(), record.seq % 7 == 0)));
        }
        committed.into_iter().for_each(|committed| wait(committed).unwrap());
        assert_eq!(stores.store.records(&one.run, 0).unwrap(), golden);
        assert_eq!(stores.store.records(&other.run, 10).unwrap(), golden[10..]);
        assert_eq!(stores.store.records(&one.run, u64::MAX).unwrap(), []);
    });
}

#[test]
fn a_place_taken_twice_is_an_error_and_ends_the_journal_only_of_its_run() {
    all(|stores| {
        let (one, other) = (new_run(1, "/a"), new_run(2, "/a"));
        stores.store.create(&one).unwrap();
        stores.store.create(&other).unwrap();
        let (journal, sound) = (stores.store.journal(&one.run).unwrap(), stores.store.journal(&other.run).unwrap());
        let answers: Vec<_> = [1, 2, 2, 3]
            .map(|seq| (journal.append(resumed(seq), false), sound.append(resumed(seq.min(2)), false)))
            .into();
        let results: Vec<_> = answers.into_iter().map(|(a, _)| wait(a).is_ok()).collect();
        assert_eq!(results, [true, true, false, false]);
        assert_eq!(stores.store.records(&one.run, 0).unwrap().len(), 2);
        assert_eq!(stores.store.records(&other.run, 0).unwrap().len(), 2);
    });
}

#[test]
fn requests_are_given_once_and_to_their_run_only() {
    all(|stores| {
        let (one, other) = (new_run(1, "/a"), new_run(2, "/a"));
        stores.store.create(&one).unwrap();
        stores.store.create(&other).unwrap();
        let asks = ["x", "y"].map(|by| Request::Cancel { by: by.to_owned() });
        asks.iter().for_each(|ask| stores.store.request(&one.run, ask).unwrap());
        assert_eq!(stores.store.take_requests(&other.run).unwrap(), []);
        assert_eq!(stores.store.take_requests(&one.run).unwrap(), asks);
        assert_eq!(stores.store.take_requests(&one.run).unwrap(), []);
        assert!(matches!(stores.store.request(&RunId::from("none"), &asks[0]), Err(StoreError::NotFound(_))));
    });
}

#[test]
fn groups_have_one_holder_and_one_that_waits() {
    all(|stores| {
        let runs: Vec<RunId> = [(1, "/a"), (2, "/a"), (3, "/a"), (4, "/b")]
            .map(|(n, checkout)| stores.store.create(&new_run(n, checkout)).unwrap().run)
            .into();
        let mut locks: Vec<_> = runs.iter().map(|run| stores.own(run)).collect();
        let ask =
            |n: usize, group: &str, cancel| stores.groups.acquire(group, &runs[n], runs[n].as_str(), cancel).unwrap();
        assert_eq!(ask(0, "Deploy", false), GroupAnswer::Acquired);
        assert_eq!(ask(3, "deploy", false), GroupAnswer::Acquired, "groups are of their checkout");
        assert_eq!(ask(1, "dePLOY", false), GroupAnswer::Wait);
        assert_eq!(stores.store.take_requests(&runs[0]).unwrap(), []);
        assert_eq!(ask(2, "deploy", true), GroupAnswer::Wait);
        assert_eq!(ask(2, "deploy", true), GroupAnswer::Wait);
        assert_eq!(ask(1, "deploy", false), GroupAnswer::Superseded);
        let cancel = Request::Cancel { by: "concurrency group \"deploy\"".to_owned() };
        assert_eq!(stores.store.take_requests(&runs[0]).unwrap(), [cancel]);
        // A holder that is over counts no more, though it never gave the group back.
        let journal = stores.store.journal(&runs[0]).unwrap();
        wait(journal.append(record(1, Event::RunFinished { outcome: Outcome::Success }), false)).unwrap();
        locks[0] = None;
        assert_eq!(ask(2, "deploy", false), GroupAnswer::Acquired);
        stores.groups.release("DEPLOY", &runs[2], runs[2].as_str()).unwrap();
        stores.groups.release("DEPLOY", &runs[2], runs[2].as_str()).unwrap();
        assert_eq!(ask(1, "deploy", false), GroupAnswer::Acquired);
    });
}

#[test]
fn logs_are_cut_read_and_kept_apart() {
    all(|stores| {
        let run = stores.store.create(&new_run(1, "/a")).unwrap().run;
        let attempt = AttemptId::new(JobId::from("test.1"), 1);
        let (step, other) = (attempt.step(0), attempt.step(1));
        let mut log = stores.logs.open(&run, &step, 0).unwrap();
        log.append(b"one\ntwo\n").unwrap();
        assert_eq!(log.len(), 8);
        log.flush().unwrap();
        log.append(b"never acknowledged").unwrap();
        log.flush().unwrap();
        drop(log);
        let mut log = stores.logs.open(&run, &step, 8).unwrap();
        assert_eq!(log.len(), 8);
        log.append(b"three\n").unwrap();
        log.flush().unwrap();
        assert_eq!(stores.logs.read(&run, &step, 0, 100).unwrap(), b"one\ntwo\nthree\n");
        assert_eq!(stores.logs.read(&run, &step, 4, 3).unwrap(), b"two");
        assert_eq!(stores.logs.read(&run, &step, 14, 100).unwrap(), b"");
        assert_eq!(stores.logs.read(&run, &other, 0, 100).unwrap(), b"");
        for line in ["pulling\n", "cleaning\n"] {
            let mut job = stores.logs.open_job(&run, &attempt).unwrap();
            job.append(line.as_bytes()).unwrap();
            job.flush().unwrap();
        }
        assert_eq!(stores.logs.read_job(&run, &attempt, 0, 100).unwrap(), b"pulling\ncleaning\n");
        stores.logs.write_summary(&run, &other, "# hello").unwrap();
        assert!(stores.logs.open(&run, &step, 0).unwrap().is_empty());
        assert_eq!(stores.logs.read(&run, &step, 0, 100).unwrap(), b"");
    });
}

#[test]
fn what_is_sealed_opens_again() {
    all(|stores| {
        stores.store.create(&new_run(1, "/a")).unwrap();
        for clear in [&b""[..], b"value", &[0xff; 1000]] {
            let sealed = stores.sealer.seal(clear);
            assert!(clear.is_empty() || !sealed.0.contains("value"));
            assert_eq!(stores.sealer.open(&sealed).unwrap(), clear);
        }
        assert!(stores.sealer.open(&crate::event::Sealed("?".to_owned())).is_err());
    });
}
