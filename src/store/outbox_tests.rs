//! What every outbox must do, run against each of them.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::{Event, Outcome, Sealed};
use crate::id::RunId;
use crate::store::conformance::{new_run, record, wait};
use crate::store::contract::outbox::{LetterState, NewLetter, Outbox};
use crate::store::contract::{Sealer, Store};
use crate::store::folder::StateFolder;
use crate::store::memory::MemoryStore;
use crate::store::seal::FolderSealer;
use crate::store::sqlite::{Durability, SqliteStore};

trait Both: Store + Outbox {}
impl<T: Store + Outbox> Both for T {}

const LEASE: Duration = Duration::from_secs(60);

fn all(check: impl Fn(&dyn Both)) {
    check(&MemoryStore::default());
    let temp = tempfile::tempdir().unwrap();
    let folder = StateFolder::open_at(temp.path().to_owned()).unwrap();
    check(&SqliteStore::open(&folder, Durability::Process).unwrap());
}

fn letter(key: &str, topic: &str) -> NewLetter {
    NewLetter {
        key: key.to_owned(),
        kind: "notice".to_owned(),
        run: Some(RunId::from("00000001wxyz")),
        topic: topic.to_owned(),
        about: format!("{key} to slack"),
        payload: Sealed("sealed".to_owned()),
    }
}

fn keys(store: &dyn Both, now: i64) -> Vec<String> {
    store.claim("notice", Timestamp(now), LEASE, 10).unwrap().into_iter().map(|letter| letter.key).collect()
}

#[test]
fn a_letter_is_put_once_and_delivered_once() {
    all(|store| {
        assert!(store.put(&letter("a", ""), Timestamp(1)).unwrap());
        assert!(!store.put(&letter("a", ""), Timestamp(2)).unwrap());
        assert!(store.put(&letter("b", ""), Timestamp(3)).unwrap());
        assert_eq!(store.claim("status", Timestamp(9), LEASE, 10).unwrap(), []);
        let claimed = store.claim("notice", Timestamp(9), LEASE, 1).unwrap();
        assert_eq!(
            (claimed[0].key.as_str(), claimed[0].put, claimed[0].tries, &*claimed[0].payload.0),
            ("a", Timestamp(1), 1, "sealed")
        );
        assert_eq!(keys(store, 10), ["b"]);
        assert_eq!(keys(store, 11), [""; 0], "both are claimed");
        store.done("a").unwrap();
        store.give_up("b", "no such channel").unwrap();
        assert_eq!(keys(store, 1_000_000), [""; 0]);
        assert!(!store.put(&letter("a", ""), Timestamp(12)).unwrap(), "it was delivered");
        let states: Vec<_> = store
            .letters_of(&RunId::from("00000001wxyz"))
            .unwrap()
            .into_iter()
            .map(|letter| (letter.key, letter.state, letter.reason, letter.payload.0))
            .collect();
        assert_eq!(
            states,
            [
                ("a".to_owned(), LetterState::Done, String::new(), String::new()),
                ("b".to_owned(), LetterState::Failed, "no such channel".to_owned(), String::new()),
            ]
        );
        assert_eq!(store.next_due("notice").unwrap(), None);
    });
}

#[test]
fn what_failed_is_due_again_later() {
    all(|store| {
        store.put(&letter("a", ""), Timestamp(1)).unwrap();
        assert_eq!(store.next_due("notice").unwrap(), Some(Timestamp(1)));
        assert_eq!(keys(store, 5), ["a"]);
        assert_eq!(store.next_due("notice").unwrap(), Some(Timestamp(60_005)));
        store.retry("a", Timestamp(500), "it is down").unwrap();
        assert_eq!(store.next_due("notice").unwrap(), Some(Timestamp(500)));
        assert_eq!(keys(store, 499), [""; 0]);
        let again = store.claim("notice", Timestamp(500), LEASE, 10).unwrap();
        assert_eq!((again[0].tries, again[0].reason.as_str()), (2, "it is down"));
        store.done("a").unwrap();
        store.retry("a", Timestamp(600), "late").unwrap();
        assert_eq!(store.letter("a").unwrap().unwrap().state, LetterState::Done, "what is over stays over");
        assert_eq!(store.letter("z").unwrap(), None);
    });
}

#[test]
fn a_lease_of_a_dead_process_runs_out() {
    all(|store| {
        store.put(&letter("a", ""), Timestamp(1)).unwrap();
        assert_eq!(keys(store, 1), ["a"]);
        assert_eq!(keys(store, 60_000), [""; 0]);
        assert_eq!(keys(store, 60_001), ["a"]);
    });
}

#[test]
fn of_a_topic_only_the_newest_counts_and_one_is_on_its_way() {
    all(|store| {
        store.put(&letter("pending", "sha"), Timestamp(1)).unwrap();
        store.put(&letter("other", "sha2"), Timestamp(1)).unwrap();
        assert_eq!(keys(store, 1), ["pending", "other"]);
        store.put(&letter("running", "sha"), Timestamp(2)).unwrap();
        store.put(&letter("success", "sha"), Timestamp(3)).unwrap();
        assert_eq!(keys(store, 4), [""; 0], "the first one is on its way");
        store.retry("pending", Timestamp(4), "down").unwrap();
        store.done("pending").unwrap();
        assert_eq!(keys(store, 5), ["success"]);
        let state = |key: &str| store.letter(key).unwrap().unwrap().state;
        assert_eq!([state("pending"), state("running")], [LetterState::Superseded; 2]);
    });
}

#[test]
fn a_run_that_is_removed_takes_what_is_over_with_it() {
    all(|store| {
        let run = store.create(&new_run(1, "/a")).unwrap().run;
        for key in ["over", "waits"] {
            store.put(&letter(key, ""), Timestamp(1)).unwrap();
        }
        store.done("over").unwrap();
        let journal = store.journal(&run).unwrap();
        wait(journal.append(record(1, Event::RunFinished { outcome: Outcome::Success }), false)).unwrap();
        store.remove(&run).unwrap();
        assert_eq!(store.letter("over").unwrap(), None);
        assert!(store.letter("waits").unwrap().is_some(), "it was not delivered yet");
    });
}

#[test]
fn payloads_are_sealed_under_the_folders_key() {
    let temp = tempfile::tempdir().unwrap();
    let folder = StateFolder::open_at(temp.path().join("a")).unwrap();
    let sealer = FolderSealer::new(&folder);
    let sealed = sealer.seal(b"https://hook/secret");
    assert!(!sealed.0.is_empty() && !sealed.0.contains("secret"));
    assert_eq!(FolderSealer::new(&folder).open(&sealed).unwrap(), b"https://hook/secret");
    let other = StateFolder::open_at(temp.path().join("b")).unwrap();
    assert!(FolderSealer::new(&other).open(&sealed).is_err());
    assert!(sealer.open(&Sealed(String::new())).is_err());
}
