//! How runs end: exit codes, interrupts, what is left.

use rustix::process::Signal;

use crate::ci::{Ci, events, until};

const ONE: &str = "stages:\n  a: {run: 'echo hello'}\n";

#[test]
fn every_end_has_its_code() {
    Ci::new(ONE).slipway(&["run"]).exits(0).says("hello");
    Ci::new("stages:\n  a: {run: 'exit 3'}\n").slipway(&["run"]).exits(1).says("exit code 3");
    Ci::new(ONE).slipway(&["run", "--no-such"]).exits(2);
    Ci::new("stages:\n  a: {runn: x, needs: b}\n").slipway(&["run"]).exits(3).complains("slipway.yml:2");
    Ci::new("stages:\n  a: {image: alpine, run: x}\n")
        .env("DOCKER_HOST", "unix:///no/such/socket")
        .slipway(&["run"])
        .exits(4)
        .complains("--runner host");
    Ci::new(ONE).slipway(&["run", "other.yml"]).exits(6).complains("other.yml");
    Ci::new(ONE).slipway(&["resume", "abc"]).exits(6);
    Ci::new(ONE).slipway(&["rerun", "abc"]).exits(6);
}

#[test]
fn a_run_that_is_over_is_not_taken_up_again() {
    let ci = Ci::new("stages:\n  a: {run: 'echo x >> $MARKS/a; exit 1'}\n");
    ci.slipway(&["run"]).exits(1);
    let run = ci.newest();
    ci.slipway(&["resume", &run]).exits(1).complains("is over");
    ci.slipway(&["resume"]).exits(6);
    assert_eq!(ci.marked("a"), "x\n");
}

#[test]
fn json_lines_have_no_gaps() {
    let ci = Ci::new(
        "stages:
  a: {strategy: {matrix: {n: [1, 2]}}, steps: [{run: 'echo out ${{ matrix.n }}'}, {run: 'echo err >&2'}]}
  b: {needs: a, run: 'exit 1'}
  c: {needs: b, run: x}
",
    );
    let ran = ci.slipway(&["run", "--json"]).exits(1);
    assert_eq!(ran.stderr, "");
    let events = events(&ran.stdout);
    assert_eq!(events["step-finished"].len(), 5);
    assert_eq!(events["run-finished"][0]["outcome"], "failure");
    assert_eq!(events["stage-skipped"][0]["stage"], "c");
    let texts: Vec<&str> = events["output"].iter().filter_map(|o| o["text"].as_str()).collect();
    assert!(texts.contains(&"out 2\n") && texts.contains(&"err\n"), "{texts:?}");
}

#[test]
fn quiet_shows_what_failed_and_the_end() {
    let ci = Ci::new("stages:\n  a: {run: 'echo all is well'}\n  b: {needs: a, run: 'echo oh no; exit 1'}\n");
    ci.slipway(&["run", "--quiet"]).exits(1).does_not_say("all is well").says("failed");
    ci.slipway(&["run", "--quiet", "--stage", "a"]).exits(0).does_not_say("all is well");
}

/// A step that a polite interrupt ends, a step that always runs, and one that then does not.
const LONG: &str = "defaults: {run: {shell: sh}}
stages:
  a:
    steps:
      - run: |
          trap 'echo > $MARKS/trapped; exit 130' INT
          echo > $MARKS/started
          while :; do sleep 0.05; done
      - run: echo > $MARKS/next
      - {if: always(), run: 'echo > $MARKS/always'}
  b: {needs: a, run: 'echo > $MARKS/next'}
";

fn assert_polite(ci: &Ci) {
    let there = ["trapped", "always", "next"].map(|name| ci.mark(name).exists());
    assert_eq!(there, [true, true, false], "trapped, always, next");
}

#[test]
fn an_interrupt_cancels_politely_and_leaves_nothing() {
    let ci = Ci::new(LONG);
    let run = ci.start(&["run"]);
    ci.until_marked("started");
    run.signal(Signal::INT);
    run.wait().exits(5).says("cancelled");
    assert_polite(&ci);
    ci.assert_nothing_left();
}

#[test]
fn another_process_can_cancel() {
    let ci = Ci::new(LONG);
    let run = ci.start(&["run"]);
    ci.until_marked("started");
    ci.slipway(&["cancel", &ci.newest()]).exits(0);
    run.wait().exits(5);
    assert_polite(&ci);
    ci.assert_nothing_left();
}

#[test]
fn the_second_interrupt_does_not_wait() {
    let ci = Ci::new(
        "stages:
  a:
    steps:
      - {shell: sh, run: \"trap '' INT TERM; echo > $MARKS/started; while :; do sleep 0.05; done\"}
      - {if: always(), run: 'echo > $MARKS/always'}
",
    );
    let run = ci.start(&["run", "--json"]);
    ci.until_marked("started");
    run.signal(Signal::INT);
    let database = slipway::store::sqlite::SqliteStore::open(
        &slipway::store::folder::StateFolder::open_at(ci.state()).unwrap(),
        slipway::store::sqlite::Durability::Process,
    )
    .unwrap();
    let id = slipway::id::RunId::from(ci.newest());
    // The first one has arrived; two at once could be one.
    until("the first interrupt is on record", || {
        use slipway::store::contract::Store;
        let records = database.records(&id, 0).unwrap();
        records.iter().any(|record| matches!(record.event, slipway::event::Event::CancelRequested { .. }))
    });
    run.signal(Signal::INT);
    let ran = run.wait().exits(5);
    assert!(!ci.mark("always").exists());
    let events = events(&ran.stdout);
    let at = |kind: &str| events[kind][0]["at"].as_i64().unwrap();
    assert!(at("run-finished") - at("cancel-requested") < 7000, "it waited for the ladder");
    ci.assert_nothing_left();
}

#[test]
fn daemons_of_steps_end_with_their_job() {
    let ci = Ci::new(
        "defaults: {run: {shell: sh}}
stages:
  a:
    run: |
      setsid sh -c 'trap \"\" HUP INT TERM; echo > $MARKS/daemon; while :; do sleep 0.1; done' >/dev/null 2>&1 &
      while [ ! -e $MARKS/daemon ]; do sleep 0.02; done
",
    );
    ci.slipway(&["run"]).exits(0);
    assert!(ci.mark("daemon").exists());
    ci.assert_nothing_left();
}

#[test]
fn a_killed_run_is_taken_up_and_its_steps_run_once() {
    let ci = Ci::new(
        "defaults: {run: {shell: sh}}
stages:
  a:
    steps:
      - run: 'echo x >> $MARKS/a; while [ ! -e $MARKS/go ]; do sleep 0.02; done; echo done'
      - run: 'echo y >> $MARKS/a'
",
    );
    let run = ci.start(&["run"]);
    ci.until_marked("a");
    run.signal(Signal::KILL);
    run.wait();
    std::fs::write(ci.mark("go"), "").unwrap();
    ci.slipway(&["resume"]).exits(0).says("done");
    assert_eq!(ci.marked("a"), "x\ny\n");
    ci.assert_nothing_left();
}

#[test]
fn a_killed_run_can_be_cancelled() {
    let ci = Ci::new(LONG);
    let run = ci.start(&["run"]);
    ci.until_marked("started");
    run.signal(Signal::KILL);
    run.wait();
    ci.slipway(&["cancel", &ci.newest()]);
    assert_polite(&ci);
    ci.assert_nothing_left();
}
