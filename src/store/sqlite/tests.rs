//! What SQLite's store does beside the contract: several processes, crashes, damaged files.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::event::{Event, Outcome};
use crate::id::RunId;
use crate::store::conformance::{new_run, own, record, resumed, wait};
use crate::store::contract::{GroupAnswer, Groups, RunFilter, Store, StoreError};
use crate::store::folder::StateFolder;
use crate::store::sqlite::{Durability, SqliteStore};

/// Says to a copy of this test binary what it is to do, and in which folder.
const ROLE: &str = "SLIPWAY_TEST_ROLE";
const FOLDER: &str = "SLIPWAY_TEST_FOLDER";

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(&StateFolder::open_at(path.to_owned()).unwrap(), Durability::Process).unwrap()
}

/// This test binary as another process.
fn child(role: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "store::sqlite::tests::what_another_process_does", "--nocapture"]);
    command.env(ROLE, role).env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Does nothing unless it runs as another test's child.
#[test]
fn what_another_process_does() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let store = open(std::env::var_os(FOLDER).unwrap().as_ref());
    match role.split_once(' ').unwrap_or((&role, "")) {
        ("append", _) => {
            let run = store.create(&new_run(1, "/a")).unwrap().run;
            let _lock = own(store.state(), &run);
            let journal = store.journal(&run).unwrap();
            let mut out = std::io::stdout();
            for seq in 1.. {
                wait(journal.append(resumed(seq), seq.is_multiple_of(50))).unwrap();
                // In one piece with its line end, so that the parent never reads half a number.
                out.write_all(format!("acknowledged {seq}\n").as_bytes()).unwrap();
            }
        }
        ("create", n) => {
            let run = store.create(&new_run(n.parse().unwrap(), "/a")).unwrap().run;
            let journal = store.journal(&run).unwrap();
            let committed: Vec<_> = (1..=50).map(|seq| journal.append(resumed(seq), false)).collect();
            committed.into_iter().for_each(|committed| wait(committed).unwrap());
        }
        (role, _) => panic!("no role {role}"),
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_acknowledged() {
    let temp = tempfile::tempdir().unwrap();
    let mut child = child("append", temp.path()).spawn().unwrap();
    let mut last = 0;
    for line in BufReader::new(child.stdout.as_mut().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(seq) = line.strip_prefix("acknowledged ") {
            last = seq.parse::<u64>().unwrap();
        }
        if last == 300 {
            break;
        }
    }
    // SIGKILL, in the middle of its work.
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(last, 300);
    let store = open(temp.path());
    let run = store.resolve("0").unwrap();
    let records = store.records(&run, 0).unwrap();
    assert!(records.len() as u64 >= last);
    assert!(records.iter().enumerate().all(|(i, record)| *record == resumed_at(record, i as u64 + 1)));
    let _lock = own(store.state(), &run);
    let journal = store.journal(&run).unwrap();
    wait(journal.append(resumed(records.len() as u64 + 1), true)).unwrap();
}

fn resumed_at(like: &crate::event::Record, seq: u64) -> crate::event::Record {
    crate::event::Record { at: like.at, ..resumed(seq) }
}

#[test]
fn many_processes_start_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..8).map(|n| child(&format!("create {n}"), temp.path()).spawn().unwrap()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let store = open(temp.path());
    let rows = store.list(&RunFilter::default()).unwrap();
    let mut numbers: Vec<u64> = rows.iter().map(|row| row.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(rows.iter().all(|row| store.records(&row.run, 0).unwrap().len() == 50));
}

#[test]
fn many_threads_append_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path());
    let runs: Vec<RunId> = (0..4).map(|n| store.create(&new_run(n, "/a")).unwrap().run).collect();
    std::thread::scope(|scope| {
        for run in &runs {
            let journal = store.journal(run).unwrap();
            scope.spawn(move || {
                let committed: Vec<_> = (1..=5000).map(|seq| journal.append(resumed(seq), false)).collect();
                committed.into_iter().for_each(|committed| wait(committed).unwrap());
            });
        }
    });
    assert!(runs.iter().all(|run| store.records(run, 0).unwrap().len() == 5000));
}

#[test]
fn what_is_queued_is_written_before_the_store_is_gone() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path());
    let run = store.create(&new_run(1, "/a")).unwrap().run;
    let journal = store.journal(&run).unwrap();
    drop(store);
    (1..=1000).for_each(|seq| drop(journal.append(resumed(seq), false)));
    drop(journal);
    assert_eq!(open(temp.path()).records(&run, 0).unwrap().len(), 1000);
}

#[test]
fn damaged_and_newer_databases_are_refused_in_words() {
    let refused = |make: &dyn Fn(&Path)| {
        let temp = tempfile::tempdir().unwrap();
        make(&temp.path().join("slipway.db"));
        match SqliteStore::open(&StateFolder::open_at(temp.path().to_owned()).unwrap(), Durability::Process) {
            Err(StoreError::Unreadable(message)) => message,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it was opened"),
        }
    };
    let garbage = refused(&|path| std::fs::write(path, "no database at all, just text ".repeat(500)).unwrap());
    assert!(garbage.contains("damaged"), "{garbage}");
    let newer = refused(&|path| {
        rusqlite::Connection::open(path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    });
    assert!(newer.contains("newer slipway") && newer.contains("99"), "{newer}");
}

#[test]
fn damaged_records_and_files_are_named() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path());
    let run = store.create(&new_run(1, "/a")).unwrap().run;
    let journal = store.journal(&run).unwrap();
    wait(journal.append(resumed(1), false)).unwrap();
    let spoil = |body: &str| {
        store.connection().execute("UPDATE records SET body = ?1", [body]).unwrap();
        match store.records(&run, 0) {
            Err(StoreError::Unreadable(message)) => message,
            other => panic!("{other:?}"),
        }
    };
    assert!(spoil("{\"v\":1,").contains("record 1 is damaged"));
    assert!(spoil(r#"{"v":7,"seq":1,"at":0,"event":"run-resumed","pid":1}"#).contains("use the newer one"));
    assert!(spoil(r#"{"v":1,"seq":2,"at":0,"event":"run-resumed","pid":1}"#).contains("says that it is record 2"));
    for name in ["inputs.json", "pipeline.yml"] {
        std::fs::write(store.state().run(&run).join(name), b"\xff{").unwrap();
        let Err(StoreError::Unreadable(message)) = store.load(&run) else { panic!("{name}") };
        assert!(message.contains(name), "{message}");
        std::fs::write(
            store.state().run(&run).join("inputs.json"),
            serde_json::to_vec(&new_run(1, "/a").inputs).unwrap(),
        )
        .unwrap();
    }
}

#[test]
fn a_log_that_a_crash_tore_keeps_what_was_whole() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path());
    let run = store.create(&new_run(1, "/a")).unwrap().run;
    let journal = store.journal(&run).unwrap();
    (1..=20).for_each(|seq| wait(journal.append(resumed(seq), false)).unwrap());
    // As after a crash of the machine: the files as they are, the last frame of the log half there.
    let torn = tempfile::tempdir().unwrap();
    for name in ["slipway.db", "slipway.db-wal"] {
        std::fs::copy(temp.path().join(name), torn.path().join(name)).unwrap();
    }
    let wal = std::fs::OpenOptions::new().write(true).open(torn.path().join("slipway.db-wal")).unwrap();
    let length = wal.metadata().unwrap().len();
    wal.set_len(length - 2000).unwrap();
    let records = open(torn.path()).records(&run, 0).unwrap();
    assert_eq!(records.len(), 19);
}

#[test]
fn a_holder_that_was_killed_keeps_its_group_while_it_can_be_resumed() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path());
    let runs: Vec<RunId> = (1..=3).map(|n| store.create(&new_run(n, "/a")).unwrap().run).collect();
    let ask = |n: usize| store.acquire("g", &runs[n], runs[n].as_str(), false).unwrap();
    let lock = own(store.state(), &runs[0]);
    let waiting = own(store.state(), &runs[1]);
    assert_eq!((ask(0), ask(1)), (GroupAnswer::Acquired, GroupAnswer::Wait));
    wait(store.journal(&runs[0]).unwrap().append(resumed(1), false)).unwrap();
    drop(lock);
    assert_eq!(ask(1), GroupAnswer::Wait, "the holder may still be taken up");
    drop(waiting);
    let _newest = own(store.state(), &runs[2]);
    // Whoever waited and was killed is in nobody's way.
    assert_eq!(ask(2), GroupAnswer::Wait);
    assert_eq!(ask(1), GroupAnswer::Wait);
    // Two hours without a word: it can be resumed no more.
    let old = crate::event::Record { at: crate::clock::Timestamp(1), ..resumed(1) };

    store.connection().execute("UPDATE records SET body = ?1", [crate::journal::encode(&old)]).unwrap();
    let _again = own(store.state(), &runs[1]);
    assert_eq!(ask(1), GroupAnswer::Acquired);
}

#[test]
fn a_run_that_is_over_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path());
    let run = store.create(&new_run(1, "/a")).unwrap().run;
    let lock = own(store.state(), &run);
    let journal = store.journal(&run).unwrap();
    wait(journal.append(record(1, Event::RunFinished { outcome: Outcome::Success }), false)).unwrap();
    store.acquire("g", &run, run.as_str(), false).unwrap();
    let Err(StoreError::Held(message)) = store.remove(&run) else { panic!("removed though it is owned") };
    assert!(message.contains("process"), "{message}");
    drop(lock);
    store.remove(&run).unwrap();
    assert!(!store.state().run(&run).exists());
    for table in ["runs", "records", "requests", "groups"] {
        let rows: i64 =
            store.connection().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
}

#[test]
fn a_database_of_version_1_is_brought_up_to_date() {
    let temp = tempfile::tempdir().unwrap();
    let old = rusqlite::Connection::open(temp.path().join("slipway.db")).unwrap();
    old.execute_batch(include_str!("../../../tests/golden/store-v1.sql")).unwrap();
    drop(old);
    let store = open(temp.path());
    let run = store.resolve("0sj4").unwrap();
    assert_eq!(store.records(&run, 0).unwrap().len(), 1);
    let next = new_run(2, "/a");
    assert_eq!(store.create(&next).unwrap().number, 8);
    let _lock = own(store.state(), &next.run);
    assert_eq!(store.acquire("g", &next.run, "x", false).unwrap(), GroupAnswer::Acquired);
}
