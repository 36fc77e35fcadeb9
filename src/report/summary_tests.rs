use super::*;
use crate::event::{AnnotationLevel, Event, KeptFile, TestTotals};
use crate::id::{JobId, StageId};
use crate::report::fixture::{START, Script, attempt, view};

fn look(columns: usize) -> Look {
    Look { style: Style::default(), columns, now: Timestamp(START + 60_000) }
}

fn stages() -> RunView {
    view(&[("lint", &[], &[]), ("test", &["lint"], &["test (18)", "test (20)"]), ("deploy", &["test"], &[])])
}

fn failing() -> Script {
    let annotation = Annotation {
        level: AnnotationLevel::Error,
        message: "unexpected token\nmore".into(),
        title: None,
        file: Some("src/a.js".into()),
        line: Some(12),
        end_line: None,
        column: Some(3),
        end_column: None,
    };
    Script::new()
        .starting("lint", 1)
        .wait(1000)
        .started("lint")
        .step("lint", 0, "npm run lint")
        .wait(3000)
        .step_ok("lint", 0)
        .event(Event::ArtifactsKept {
            attempt: attempt("lint"),
            files: vec![KeptFile { path: "out/report.html".into(), size: 1_300_000, sha256: String::new() }],
        })
        .job_end("lint", Outcome::Success)
        .wait(1500)
        .named("test.1", "test (18)", 2)
        .started("test.1")
        .step("test.1", 0, "npm test")
        .event(Event::Annotated { step: attempt("test.1").step(0), annotation })
        .wait(2500)
        .step_failed("test.1", 0, 2)
        .event(Event::TestsReported {
            attempt: attempt("test.1"),
            totals: TestTotals {
                total: 31,
                failed: 12,
                skipped: 1,
                failures: vec![("parser nests".into(), "expected 1, got 2".into())],
            },
        })
        .job_end("test.1", Outcome::Failure)
        .event(Event::JobDropped {
            job: JobId::from("test.2"),
            outcome: Outcome::Cancelled,
            reason: "fail-fast: \"test (18)\" failed".into(),
        })
        .stage_end("test", Outcome::Failure)
        .skip("deploy", "success(), with needs.test.result = 'failure'")
        .run_end(Outcome::Failure)
}

fn tails() -> Tails {
    let mut tails = Tails::default();
    let key = attempt("test.1").step(0);
    tails.push(&key, "1\n2\n3\n4\n5\nFAIL \x1b[2Jparser\n");
    tails.close(&key, true);
    tails
}

#[test]
fn says_what_happened_and_what_to_do() {
    insta::assert_snapshot!(text(&failing().fold(stages()), &tails(), look(70)), @r#"
    ✗ ci failed after 8.0s (4 jobs: 1 succeeded, 1 failed, 1 cancelled, 1 skipped)

    ✓ lint      ░░░░░██████████████████                              4.0s
    ✗ test (18)                                 ███████████████      2.5s

    failed
      test (18) › npm test: exit code 2
        │ 2
        │ 3
        │ 4
        │ 5
        │ FAIL parser
    skipped
      deploy: success(), with needs.test.result = 'failure'
      test (20): fail-fast: "test (18)" failed
    errors
      src/a.js:12:3: unexpected token [test (18)]
    tests
      31 run, 12 failed, 1 skipped
      ✗ parser nests: expected 1, got 2 [test (18)]
      … and 11 more
    artifacts
      lint: out/report.html, 1.2 MiB
    critical path
      lint 4.0s → (waited 1.5s) test 2.5s
    next
      slipway logs 0abc12345678 test
      slipway rerun 0abc12345678 --failed
    "#);
}

#[test]
fn last_lines_of_a_log_are_cut_to_the_screen() {
    let mut tails = Tails::default();
    let key = attempt("test.1").step(0);
    tails.push(&key, &"日".repeat(500));
    tails.close(&key, true);
    let text = text(&failing().fold(stages()), &tails, look(40));
    let line = text.lines().find(|l| l.contains('日')).unwrap();
    assert!(width::of(line) <= 40 && line.ends_with('…'), "{line}");
}

#[test]
fn success_is_short() {
    let script = Script::new().starting("a", 1).wait(70_000).job_end("a", Outcome::Success).run_end(Outcome::Success);
    insta::assert_snapshot!(text(&script.fold(view(&[("a", &[], &[])])), &Tails::default(), look(70)), @"
    ✓ ci succeeded in 1m10s
    ");
}

#[test]
fn what_is_not_finished_can_be_resumed() {
    let script = Script::new().starting("lint", 1).started("lint").step("lint", 0, "x");
    insta::assert_snapshot!(text(&script.fold(stages()), &Tails::default(), look(70)), @"
    ‖ ci is not finished (so far 1m00s) (4 jobs: 4 open)
    next
      slipway resume 0abc12345678
    ");
}

#[test]
fn lists_are_bounded() {
    let names: Vec<String> = (0..50).map(|i| format!("s{i}")).collect();
    let script = names.iter().fold(Script::new(), |s, n| s.skip(n, "off")).run_end(Outcome::Success);
    let drawn = text(&script.fold(RunView::default()), &Tails::default(), look(70));
    assert!(drawn.contains("… and 30 more") && drawn.lines().count() < 30, "{drawn}");
}

#[test]
fn a_failure_that_is_allowed_is_said() {
    let script = Script::new().starting("a", 1).step("a", 0, "x").step_failed("a", 0, 1).event(Event::JobFinished {
        attempt: attempt("a"),
        outcome: Outcome::Failure,
        conclusion: Outcome::Success,
        reason: None,
        outputs: Vec::new(),
        retry: false,
    });
    let script = script.event(Event::StageFinished {
        stage: StageId::from("a"),
        outcome: Outcome::Success,
        outputs: Vec::new(),
        reason: None,
    });
    let drawn = text(&script.run_end(Outcome::Success).fold(RunView::default()), &Tails::default(), look(70));
    assert!(drawn.contains("a › x (allowed to fail): exit code 1"), "{drawn}");
}

#[test]
fn a_stage_that_failed_without_a_job_says_why() {
    let mut late = RunView::default();
    late.declare::<[_; 0]>(&StageId::from("test"), Vec::new(), None);
    let script = Script::new().event(Event::StageFinished {
        stage: StageId::from("test"),
        outcome: Outcome::Failure,
        outputs: Vec::new(),
        reason: Some("its matrix has no legs".into()),
    });
    let drawn = text(&script.run_end(Outcome::Failure).fold(late), &Tails::default(), look(70));
    assert!(drawn.contains("failed\n  test: its matrix has no legs\n"), "{drawn}");
}

#[test]
fn sizes_are_readable() {
    assert_eq!(
        [0, 1023, 1024, 1_300_000, u64::MAX].map(size),
        ["0 B", "1023 B", "1.0 KiB", "1.2 MiB", "16777216.0 TiB"]
    );
}
