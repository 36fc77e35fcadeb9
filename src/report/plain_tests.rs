use super::*;
use crate::id::JobId;
use crate::report::fixture::{FakeClock, Script, Shared, attempt, view};

fn print(script: &Script, loudness: Loudness, color: bool) -> String {
    let (shared, clock) = (Shared::default(), FakeClock::default());
    let stages =
        view(&[("lint", &[], &[]), ("test", &["lint"], &["test (18)", "test (20)"]), ("deploy", &["test"], &[])]);
    let out = Box::new(shared.clone());
    let style = Style::new(color);
    let mut sink = Plain::new(stages, out, Arc::new(clock.clone()), style, loudness, 60, Commands::default());
    script.play(&mut sink, &clock);
    sink.finish();
    shared.text()
}

fn script() -> Script {
    Script::new()
        .starting("lint", 1)
        .job_line("lint", "pulled node:20")
        .wait(500)
        .started("lint")
        .step("lint", 0, "npm run lint")
        .output("lint", 0, "clean\x1b[2J\n")
        .wait(1200)
        .step_ok("lint", 0)
        .job_end("lint", Outcome::Success)
        .named("test.1", "test (18)", 2)
        .started("test.1")
        .step("test.1", 0, "npm ci")
        .output("test.1", 0, "::group::Install\nadded 3\n")
        .output("test.1", 0, "::endgroup::\n::warning file=a.js,line=2::old\nfound \x1b[32m0\x1b[0m\n")
        .wait(2000)
        .step_ok("test.1", 0)
        .step("test.1", 1, "npm test")
        .output("test.1", 1, "one\nFAIL\n")
        .wait(100)
        .step_failed("test.1", 1, 1)
        .job_end("test.1", Outcome::Failure)
        .event(Event::JobDropped {
            job: JobId::from("test.2"),
            outcome: Outcome::Cancelled,
            reason: "fail-fast".into(),
        })
        .stage_end("test", Outcome::Failure)
        .skip("deploy", "success(), with needs.test.result = 'failure'")
        .run_end(Outcome::Failure)
}

#[test]
fn lines_carry_their_job() {
    insta::assert_snapshot!(print(&script(), Loudness::Normal, false), @"
    ci · push · 4f2a9c1d · run 0abc12345678
    [lint]      starting in docker (node:20), 1 step
    [lint]      pulled node:20
    [lint]      ▸ npm run lint
    [lint]      clean
    [lint]      ✓ succeeded (1.7s)
    [test (18)] starting in docker (node:20), 2 steps
    [test (18)] ▸ npm ci
    [test (18)] ┌ Install
    [test (18)] │ added 3
    [test (18)] warning: a.js:2: old
    [test (18)] found 0
    [test (18)] ✓ npm ci (2.0s)
    [test (18)] ▸ npm test
    [test (18)] one
    [test (18)] FAIL
    [test (18)] ✗ npm test failed: exit code 1 (100ms)
    [test (18)] ✗ failed (2.1s)
    [test (20)] ⊘ cancelled: fail-fast
    [deploy]    - skipped: success(), with needs.test.result = 'failure'

    ✗ ci failed after 3.8s (4 jobs: 1 succeeded, 1 failed, 1 cancelled, 1 skipped)

    ✓ lint      ░░░░████████████                           1.7s
    ✗ test (18)                 █████████████████████      2.1s

    failed
      test (18) › npm test: exit code 1
        │ one
        │ FAIL
    skipped
      deploy: success(), with needs.test.result = 'failure'
      test (20): fail-fast
    critical path
      lint 1.7s → test 2.1s
    next
      slipway logs 0abc12345678 test
      slipway rerun 0abc12345678 --failed
    ");
}

#[test]
fn quiet_shows_failures_with_their_log_and_the_summary() {
    let text = print(&script(), Loudness::Quiet, false);
    let before_summary = text.split("\n\n").next().unwrap();
    insta::assert_snapshot!(before_summary, @"
    [test (18)] ✗ npm test failed: exit code 1 (100ms)
    [test (18)]   one
    [test (18)]   FAIL
    [test (18)] ✗ failed (2.1s)
    ");
}

#[test]
fn verbose_tells_of_the_journal() {
    let text = print(&script(), Loudness::Verbose, false);
    assert!(text.contains("journal #1 run-started\n"), "{text}");
    assert!(text.contains("step-finished"), "{text}");
}

#[test]
fn colours_only_when_asked() {
    assert!(!print(&script(), Loudness::Normal, false).contains('\x1b'));
    let text = print(&script(), Loudness::Normal, true);
    assert!(text.contains("found \x1b[32m0\x1b[0m") && !text.contains("\x1b[2J"), "{text:?}");
}

#[test]
fn a_job_that_nobody_knows_is_named_by_its_id() {
    let text = print(&Script::new().output("new.3", 0, "hi\n"), Loudness::Normal, false);
    assert!(text.contains("[new.3]     hi\n"), "{text}");
    assert_eq!(attempt("new.3").to_string(), "new.3/1");
}
