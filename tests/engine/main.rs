//! The engine over a scripted runner: pipeline text to plan to records, with the real store, and with time that stands still
//! where time counts.
#![expect(clippy::unwrap_used, reason = "what a test cannot do without fails it")]

mod case;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::Notify;

use slipway::event::{Event, Exit, Outcome, Record};
use slipway::plan::ir::Plan;
use slipway::runner::contract::Signal;
use slipway::runner::scripted::{Script, ScriptEnd};
use slipway::state::{RunPhase, RunState};

use case::{Case, cancel_asked, finished};

#[tokio::test]
async fn outputs_reach_those_who_need_them_and_make_matrices() {
    let done = Case::new(
        "stages:
  a:
    outputs: {list: '${{ steps.s.outputs.list }}', word: '${{ steps.s.outputs.word }}'}
    steps: [{id: s, run: x}]
  b:
    needs: a
    strategy: {matrix: {v: '${{ fromJSON(needs.a.outputs.list) }}'}}
    steps: [{run: 'echo ${{ matrix.v }} ${{ needs.a.outputs.word }} ${{ strategy.job-total }}'}]
  c:
    needs: [a, b]
    steps: [{run: 'echo ${{ needs.b.result }} ${{ needs.a.outputs.free }}'}]
",
    )
    .script("a/1/0", Script::exit(0).writes("output", "list=[\"x\",\"y\"]\nword=salt\nfree=undeclared\n"))
    .run()
    .await;
    assert_eq!(done.outcome, Outcome::Success);
    assert_eq!(done.started(), ["a/1/0", "b.1/1/0", "b.2/1/0", "c/1/0"]);
    assert!(done.script_of("b.2/1/0").contains("echo y salt 2"), "{}", done.script_of("b.2/1/0"));
    assert!(done.script_of("c/1/0").contains("echo success undeclared"));
}

#[tokio::test]
async fn a_matrix_without_a_value_fails_its_stage() {
    let text = "stages:
  a: {steps: [{run: x}]}
  b:
    needs: a
    strategy: {matrix: {v: '${{ fromJSON(needs.a.outputs.list) }}'}}
    steps: [{run: x}]
  c: {needs: b, if: always(), steps: [{run: x}]}
";
    let done = Case::new(text).run().await;
    assert_eq!(done.outcome, Outcome::Failure);
    done.assert_stages(&[("a", "success"), ("b", "failure"), ("c", "success")]);
}

#[tokio::test]
async fn status_functions_look_at_all_ancestors() {
    let done = Case::new(
        "stages:
  a: {steps: [{run: x}]}
  b: {needs: a, steps: [{run: x}]}
  c: {needs: b, steps: [{run: x}]}
  d: {needs: b, if: failure(), steps: [{run: x}]}
  e: {needs: b, if: always(), steps: [{run: x}]}
  f: {needs: b, if: cancelled(), steps: [{run: x}]}
  g: {needs: b, if: \"needs.b.result == 'skipped'\", steps: [{run: x}]}
  h: {needs: b, if: \"!cancelled() && needs.b.result == 'skipped'\", steps: [{run: x}]}
",
    )
    .script("a/1/0", Script::exit(1))
    .run()
    .await;
    assert_eq!(done.outcome, Outcome::Failure);
    done.assert_stages(&[
        ("a", "failure"),
        ("b", "skipped"),
        ("c", "skipped"),
        ("d", "success"),
        ("e", "success"),
        ("f", "skipped"),
        ("g", "skipped"),
        ("h", "success"),
    ]);
}

const LEGS: &str = "stages:
  m:
    strategy: {fail-fast: FAST, max-parallel: 2, matrix: {n: [1, 2, 3, 4]}}
    steps: [{run: x}, {if: always(), run: y}]
";

#[tokio::test]
async fn a_failed_leg_ends_the_others() {
    let done = Case::new(&LEGS.replace("FAST", "true"))
        .script("m.1/1/0", Script::exit(1))
        .script("m.2/1/0", Script::exit(0).ends(ScriptEnd::On(Signal::Interrupt, Exit::Code(130))))
        .run()
        .await;
    assert_eq!(done.outcome, Outcome::Failure);
    assert_eq!(done.started(), ["m.1/1/0", "m.1/1/1", "m.2/1/0", "m.2/1/1"]);
    assert_eq!(done.step_end("m.2/1/0"), (Outcome::Cancelled, Outcome::Cancelled));
    assert_eq!(done.runner.signals(), [("m.2/1/0".to_owned(), Signal::Interrupt)]);
    let dropped = |record: &&Record| matches!(record.event, Event::JobDropped { outcome: Outcome::Cancelled, .. });
    assert_eq!(done.records.iter().filter(dropped).count(), 2);
}

#[tokio::test]
async fn without_fail_fast_all_legs_run_a_few_at_once() {
    let done = Case::new(&LEGS.replace("FAST", "false")).script("m.1/1/0", Script::exit(1)).run().await;
    assert_eq!(done.outcome, Outcome::Failure);
    assert_eq!(done.started().len(), 8);
    assert_eq!(done.runner.most_open(), 2);
}

#[tokio::test]
async fn no_more_jobs_run_at_once_than_are_allowed() {
    let text =
        "stages:\n  m: {strategy: {matrix: {n: [1, 2, 3, 4, 5]}}, steps: [{run: x}]}\n  o: {steps: [{run: x}]}\n";
    for (jobs, most) in [(1, 1), (3, 3), (16, 6)] {
        let done = Case::new(text).jobs(jobs).run().await;
        assert_eq!((done.outcome, done.runner.most_open()), (Outcome::Success, most));
    }
}

#[tokio::test]
async fn retries_answer_to_what_they_name() {
    let lost = Script::exit(0).ends(ScriptEnd::Lost("gone".into()));
    for (on, first, attempts, outcome) in [
        ("failure", Script::exit(1), 2, Outcome::Success),
        ("lost", Script::exit(1), 1, Outcome::Failure),
        ("lost", lost.clone(), 2, Outcome::Success),
        ("failure", lost, 1, Outcome::Lost),
    ] {
        let text = format!("stages:\n  a: {{retry: {{max: 2, on: {on}}}, steps: [{{run: x}}]}}\n");
        let done = Case::new(&text).script("a/1/0", first).run().await;
        assert_eq!((done.outcome, done.started().len()), (outcome, attempts), "on {on}");
    }
    let always =
        Case::new("stages:\n  a: {retry: 2, steps: [{run: x}]}\n").script("a/*/0", Script::exit(1)).run().await;
    assert_eq!(
        (always.outcome, always.started()),
        (Outcome::Failure, vec!["a/1/0".into(), "a/2/0".into(), "a/3/0".into()])
    );
}

#[tokio::test]
async fn failures_can_be_allowed() {
    let done = Case::new(
        "stages:
  a:
    steps:
      - {id: s, run: x, continue-on-error: true}
      - {run: 'echo ${{ steps.s.outcome }} ${{ steps.s.conclusion }}'}
  b: {continue-on-error: true, steps: [{run: x}]}
  c: {needs: [a, b], steps: [{run: 'echo ${{ needs.b.result }}'}]}
",
    )
    .script("a/1/0", Script::exit(1))
    .script("b/1/0", Script::exit(1))
    .run()
    .await;
    assert_eq!(done.outcome, Outcome::Success);
    assert_eq!(done.step_end("a/1/0"), (Outcome::Failure, Outcome::Success));
    assert!(done.script_of("a/1/1").contains("echo failure success"));
    assert!(done.script_of("c/1/0").contains("echo success"));
}

#[tokio::test]
async fn secrets_leave_a_job_by_no_output() {
    let done = Case::new(
        "stages:
  a:
    outputs: {bad: '${{ steps.s.outputs.bad }}', good: '${{ steps.s.outputs.good }}'}
    steps: [{id: s, run: x}]
  b: {needs: a, steps: [{run: 'echo [${{ needs.a.outputs.bad }}] [${{ needs.a.outputs.good }}]'}]}
",
    )
    .secret("TOKEN", "s3cret-value")
    .script("a/1/0", Script::exit(0).writes("output", "bad=x s3cret-value y\ngood=1\n"))
    .run()
    .await;
    assert_eq!(done.outcome, Outcome::Success);
    assert!(done.script_of("b/1/0").contains("echo [] [1]"));
    let text = serde_json::to_string(&done.records).unwrap();
    assert!(!text.contains("s3cret"), "{text}");
}

const CANCELLED: &str = "stages:
  a:
    steps:
      - run: x
      - run: y
      - {if: always(), run: z}
      - {if: cancelled(), run: w}
  b: {needs: a, steps: [{run: x}]}
  c: {needs: a, if: always(), steps: [{run: x}]}
";

fn stubborn(signal: Signal) -> Script {
    Script::exit(0).ends(ScriptEnd::On(signal, Exit::Code(1)))
}

#[tokio::test(start_paused = true)]
async fn cancellation_climbs_the_ladder() {
    use Signal::{Interrupt, Kill, Terminate};
    for (heeds, sent, after) in [
        (Interrupt, vec![Interrupt], 0),
        (Terminate, vec![Interrupt, Terminate], 7500),
        (Kill, vec![Interrupt, Terminate, Kill], 10000),
    ] {
        let case = Case::new(CANCELLED).in_memory().script("a/1/0", stubborn(heeds));
        let done = case.interrupted_at("a/1/0").run().await;
        assert_eq!(done.outcome, Outcome::Cancelled);
        done.assert_stages(&[("a", "cancelled"), ("b", "skipped"), ("c", "success")]);
        assert_eq!(done.started(), ["a/1/0", "a/1/2", "a/1/3", "c/1/0"]);
        assert_eq!(done.runner.signals().into_iter().map(|(_, signal)| signal).collect::<Vec<_>>(), sent);
        let took = done.when(finished("a/1/0")) - done.when(cancel_asked);
        assert_eq!(took.as_millis(), after, "{heeds:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_second_interrupt_ends_at_once() {
    let case = Case::new(CANCELLED).in_memory().script("a/1/0", stubborn(Signal::Kill));
    let again = case.interrupt.clone();
    let done = case
        .upon(move |event| {
            if cancel_asked(event) {
                again.try_send("ctrl-c".to_owned()).unwrap();
            }
        })
        .interrupted_at("a/1/0")
        .run()
        .await;
    assert_eq!(done.outcome, Outcome::Cancelled);
    assert_eq!(done.started(), ["a/1/0"]);
    assert_eq!(done.when(finished("a/1/0")), done.when(cancel_asked));
    assert_eq!(done.runner.signals().last().unwrap().1, Signal::Kill);
    done.assert_stages(&[("a", "cancelled"), ("b", "skipped"), ("c", "skipped")]);
}

#[tokio::test(start_paused = true)]
async fn an_always_step_goes_on_when_the_run_is_cancelled() {
    let text = "stages:\n  a: {steps: [{if: always(), run: x}, {run: y}]}\n";
    let release = Arc::new(Notify::new());
    let held = Script::exit(0).ends(ScriptEnd::Held(Arc::clone(&release), Exit::Code(0)));
    let done = Case::new(text)
        .in_memory()
        .script("a/1/0", held)
        .upon(move |event| {
            if cancel_asked(event) {
                let release = Arc::clone(&release);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    release.notify_one();
                });
            }
        })
        .interrupted_at("a/1/0")
        .run()
        .await;
    assert_eq!(done.step_end("a/1/0"), (Outcome::Success, Outcome::Success));
    assert_eq!((done.outcome, done.started()), (Outcome::Cancelled, vec!["a/1/0".to_owned()]));
    assert_eq!(done.runner.signals(), []);
}

#[tokio::test(start_paused = true)]
async fn time_limits_end_steps_and_jobs() {
    for (text, steps) in [
        (
            "stages:\n  a: {steps: [{run: x, timeout-minutes: 2}, {run: y}, {if: failure(), run: z}]}\n",
            ["a/1/0", "a/1/2"],
        ),
        (
            "stages:\n  a: {timeout-minutes: 2, steps: [{run: x}, {run: y}, {if: always(), run: z}]}\n",
            ["a/1/0", "a/1/2"],
        ),
    ] {
        let done = Case::new(text).in_memory().script("a/1/0", stubborn(Signal::Terminate)).run().await;
        assert_eq!((done.outcome, done.started()), (Outcome::Failure, steps.map(str::to_owned).to_vec()), "{text}");
        assert_eq!(done.step_end("a/1/0"), (Outcome::Failure, Outcome::Failure));
        assert_eq!(done.when(finished("a/1/0")), Duration::from_millis(120_000 + 7500));
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_can_be_tried_again() {
    let text = "stages:\n  a: {timeout-minutes: 1, retry: {max: 1, on: timeout}, steps: [{run: x}]}\n";
    let done = Case::new(text).in_memory().script("a/1/0", stubborn(Signal::Interrupt)).run().await;
    assert_eq!((done.outcome, done.started().len()), (Outcome::Success, 2));
}

#[tokio::test]
async fn a_lost_sandbox_is_not_a_failure_and_a_refused_one_is() {
    let text = "stages:\n  a: {steps: [{run: x}, {if: always(), run: y}]}\n  b: {needs: a, if: failure(), steps: [{run: z}]}\n";
    let lost = Script::exit(0).ends(ScriptEnd::Lost("gone".into()));
    let done = Case::new(text).script("a/1/0", lost).run().await;
    assert_eq!((done.outcome, done.started()), (Outcome::Lost, vec!["a/1/0".into(), "b/1/0".into()]));
    done.assert_stages(&[("a", "lost"), ("b", "success")]);

    let case = Case::new(text);
    case.runner.refuse("a", "it may not");
    let done = case.run().await;
    assert_eq!((done.outcome, done.started()), (Outcome::Failure, vec!["b/1/0".into()]));
    done.assert_stages(&[("a", "failure"), ("b", "success")]);
}

#[tokio::test]
async fn a_step_that_cannot_start_fails() {
    let text = "stages:\n  a: {steps: [{run: x}, {if: failure(), run: y}]}\n";
    let none = Script::exit(0).ends(ScriptEnd::NoStart("no such program".into()));
    let done = Case::new(text).script("a/1/0", none).run().await;
    assert_eq!((done.outcome, done.started()), (Outcome::Failure, vec!["a/1/0".into(), "a/1/1".into()]));
    assert_eq!(done.step_end("a/1/0").0, Outcome::Failure);
}

#[tokio::test(start_paused = true)]
async fn a_group_lets_one_job_in_at_a_time() {
    let text = "stages:\n  a: {concurrency: g, steps: [{run: x}]}\n  b: {concurrency: G, steps: [{run: x}]}\n";
    let done = Case::new(text).in_memory().run().await;
    assert_eq!((done.outcome, done.started().len(), done.runner.most_open()), (Outcome::Success, 2, 1));
    assert!(done.records.iter().any(|record| matches!(record.event, Event::JobQueued { .. })));
}

/// The records of a run in which much happens.
fn rich() -> (Arc<Plan>, Vec<Record>) {
    let text = "stages:
  a: {retry: 1, outputs: {list: '${{ steps.s.outputs.list }}'}, steps: [{id: s, run: x}, {if: failure(), run: y}]}
  b: {needs: a, strategy: {matrix: {n: '${{ fromJSON(needs.a.outputs.list) }}'}}, steps: [{run: x}]}
  c: {needs: a, if: failure(), steps: [{run: x}]}
";
    let case = Case::new(text).in_memory().script("a/1/0", Script::exit(1)).script(
        "a/2/0",
        Script::exit(0).prints("::add-mask::hidden-value\n::error::no\n").writes("output", "list=[1,2]\n"),
    );
    let done = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(case.run());
    (done.plan, done.records)
}

#[test]
fn the_fold_takes_nothing_twice() {
    let (plan, records) = rich();
    let mut state = RunState::new(Arc::clone(&plan));
    for (at, record) in records.iter().enumerate() {
        // Masks, annotations and the like may come again after a crash; starts and ends may not.
        let once = |record: &&Record| {
            !matches!(record.event, Event::MaskAdded { .. } | Event::Annotated { .. } | Event::JobStarted { .. })
        };
        for wrong in records[..at].iter().filter(once) {
            let wrong = Record { seq: state.seq + 1, ..wrong.clone() };
            assert!(state.clone().apply(&wrong).is_err(), "{wrong:?} was taken at place {}", at + 1);
        }
        let gap = Record { seq: record.seq + 1, ..record.clone() };
        assert!(state.apply(&gap).is_err());
        state.apply(record).unwrap();
    }
    assert_eq!(state.phase, RunPhase::Finished(Outcome::Success));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever comes in whatever order: no panic, and what is refused changes nothing.
    #[test]
    fn the_fold_never_panics(order in proptest::collection::vec(any::<prop::sample::Index>(), 1..200), prefix in 0usize..40) {
        thread_local! {
            static RICH: (Arc<Plan>, Vec<Record>) = rich();
        }
        RICH.with(|(plan, records)| {
            let mut state = RunState::new(Arc::clone(plan));
            for record in &records[..prefix.min(records.len())] {
                state.apply(record).unwrap();
            }
            for index in &order {
                // Their places are made right, so that only what they say can be wrong.
                let mut record = index.get(records).clone();
                record.seq = state.seq + 1;
                let before = format!("{state:?}");
                let unfinished = state.unfinished;
                if state.apply(&record).is_err() {
                    assert_eq!(format!("{state:?}"), before, "{record:?}");
                }
                assert!(state.unfinished <= unfinished);
            }
        });
    }
}
