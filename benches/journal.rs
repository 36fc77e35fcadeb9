//! What the journal costs over SQLite itself: `cargo bench --bench journal`.
//!
//! Durable events a second through the writer, over rows a second of raw SQLite that commits batches of 100 and of 4096 rows of the
//! same texts into the same table, interleaved, in both modes of durability; then one record alone, append to commit, over one
//! raw commit; then the opening of a database that is there. Ratios are taken within one run; times alone say little.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use slipway::clock::{Clock, SystemClock, instant};
use slipway::event::{EVENT_VERSION, Event, Exit, Outcome, Record};
use slipway::id::{AttemptId, JobId, RunId};
use slipway::journal::encode;
use slipway::plan::ir::{Placement, PlanInputs, Selection};
use slipway::store::contract::{Journal, NewRun, Store};
use slipway::store::folder::StateFolder;
use slipway::store::sqlite::{Durability, SqliteStore};

const ROUNDS: usize = 5;
/// Records of a round; with FULL a batch waits for the disk, so there are fewer.
const MANY: u64 = 100_000;
const FEW: u64 = 20_000;
const LONE: usize = 300;

fn record(seq: u64) -> Record {
    let step = AttemptId::new(JobId::from("test.12"), 1).step((seq / 2) as u32);
    let name = "npm run test".to_owned();
    let event = if seq.is_multiple_of(2) {
        Event::StepStarting { step, name }
    } else {
        Event::StepFinished {
            step,
            outcome: Outcome::Success,
            conclusion: Outcome::Success,
            exit: Some(Exit::Code(0)),
            reason: None,
            effects: None,
        }
    };
    Record { v: EVENT_VERSION, seq, at: SystemClock.now(), event }
}

fn new_run(run: &RunId) -> NewRun {
    let empty = || serde_json::json!({});
    NewRun {
        run: run.clone(),
        pipeline: "bench".to_owned(),
        name: "bench".to_owned(),
        text: String::new(),
        inputs: PlanInputs {
            untrusted: false,
            file: "slipway.yml".to_owned(),
            path: "slipway.yml".to_owned(),
            event_name: "push".to_owned(),
            github: empty(),
            inputs: empty(),
            vars: empty(),
            env: Vec::new(),
            secret_names: Vec::new(),
            selection: Selection::default(),
            placement: Placement::default(),
        },
        plan_json: String::new(),
        plan_hash: String::new(),
        checkout: "/bench".into(),
        commit: String::new(),
        started: SystemClock.now(),
        origin: None,
    }
}

fn open(folder: &Path, durability: Durability) -> SqliteStore {
    let state = StateFolder::open_at(folder.to_owned()).expect("the folder opens");
    SqliteStore::open(&state, durability).expect("the database opens")
}

fn journal(store: &SqliteStore, n: usize) -> (RunId, Arc<dyn Journal>) {
    let run = RunId::from(format!("{n:012}"));
    store.create(&new_run(&run)).expect("the run is made");
    let journal = store.journal(&run).expect("the journal opens");
    (run, journal)
}

fn raw(folder: &Path, durability: Durability) -> Connection {
    let connection = Connection::open(folder.join("slipway.db")).expect("opens");
    connection.pragma_update(None, "synchronous", durability.mode()).expect("sets");
    connection
}

fn insert(connection: &mut Connection, run: &str, from: u64, rows: &[String]) {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).expect("begins");
    let mut statement =
        transaction.prepare_cached("INSERT INTO records (run, seq, body) VALUES (?1, ?2, ?3)").expect("prepares");
    for (row, seq) in rows.iter().zip(from as i64..) {
        statement.execute((run, seq, row)).expect("inserts");
    }
    drop(statement);
    transaction.commit().expect("commits");
}

fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn throughput(durability: Durability, count: u64, runtime: &tokio::runtime::Runtime) {
    let temp = tempfile::tempdir().expect("a folder");
    let store = open(temp.path(), durability);
    let mut raw = raw(temp.path(), durability);
    let texts: Vec<String> = (1..=count).map(|seq| encode(&record(seq))).collect();
    let (mut ours, mut small, mut large) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (_, journal) = journal(&store, round);
        let start = instant();
        let mut last = None;
        for seq in 1..=count {
            last = Some(journal.append(record(seq), false));
        }
        // Records are committed in order: the last one's commit is all the others'.
        runtime.block_on(last.expect("there are records")).expect("it is committed");
        ours.push(per_second(count, start.elapsed()));
        for (batch, list) in [(100, &mut small), (4096, &mut large)] {
            let start = instant();
            for (chunk, from) in texts.chunks(batch).zip((0..).step_by(batch)) {
                insert(&mut raw, &format!("raw-{batch}-{round}"), from, chunk);
            }
            list.push(per_second(count, start.elapsed()));
        }
    }
    let (ours, small, large) = (median(&mut ours), median(&mut small), median(&mut large));
    let mode = durability.mode();
    println!(
        "journal ({mode}): {ours:.0} events/s = {:.2} x raw SQLite in batches of 100 ({small:.0} rows/s), {:.2} x in batches of 4096 ({large:.0} rows/s)",
        ours / small,
        ours / large
    );
}

fn lone(durability: Durability, runtime: &tokio::runtime::Runtime) {
    let temp = tempfile::tempdir().expect("a folder");
    let store = open(temp.path(), durability);
    let mut raw = raw(temp.path(), durability);
    let (_, journal) = journal(&store, 0);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for seq in 1..=LONE as u64 {
        let start = instant();
        runtime.block_on(journal.append(record(seq), false)).expect("it is committed");
        ours.push(start.elapsed().as_secs_f64() * 1e6);
        let text = [encode(&record(seq))];
        let start = instant();
        insert(&mut raw, "raw", seq, &text);
        theirs.push(start.elapsed().as_secs_f64() * 1e6);
    }
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    println!(
        "one record alone ({}): {ours:.0} us to its commit = {:.2} x a raw commit ({theirs:.0} us)",
        durability.mode(),
        ours / theirs
    );
}

fn opening() {
    let temp = tempfile::tempdir().expect("a folder");
    drop(open(temp.path(), Durability::Process));
    let mut times: Vec<f64> = (0..100)
        .map(|_| {
            let start = instant();
            drop(open(temp.path(), Durability::Process));
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    println!("opening a state folder that is there: {:.0} us", median(&mut times));
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    throughput(Durability::Process, MANY, &runtime);
    throughput(Durability::Power, FEW, &runtime);
    lone(Durability::Process, &runtime);
    lone(Durability::Power, &runtime);
    opening();
}
