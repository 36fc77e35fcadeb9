use super::*;
use crate::event::EVENT_VERSION;
use crate::report::fixture::{START, Script, attempt, view};

fn counts(view: &RunView) -> (usize, usize, usize, usize, usize, usize) {
    let c = view.counts;
    (c.total, c.done, c.succeeded, c.failed, c.skipped, c.cancelled)
}

#[test]
fn counts_follow_jobs_through_retries_and_skips() {
    let stages = || view(&[("a", &[], &[]), ("b", &["a"], &["b (1)", "b (2)", "b (3)"]), ("c", &["b"], &[])]);
    let again = |retry| Event::JobFinished {
        attempt: attempt("a"),
        outcome: Outcome::Lost,
        conclusion: Outcome::Lost,
        reason: Some("the shim is gone".into()),
        outputs: Vec::new(),
        retry,
    };
    let script = Script::new().starting("a", 1).started("a").event(again(true));
    let run = script.fold(stages());
    assert_eq!((counts(&run), run.active.len(), run.jobs[0].phase), ((5, 0, 0, 0, 0, 0), 0, Phase::Waiting));
    assert_eq!(run.waits_for(1).map(|s| s.id.as_str()).collect::<Vec<_>>(), ["a"]);

    let script = Script::new().starting("a", 1).event(again(true)).event(Event::JobStarting {
        attempt: AttemptId::new(JobId::from("a"), 2),
        name: "a".into(),
        runner: crate::plan::ir::RunnerKind::Host,
        image: None,
        steps: 1,
    });
    let run = script.fold(stages());
    assert_eq!((run.active.len(), run.jobs[0].attempts.len()), (1, 2));
    assert_eq!(run.jobs[0].attempts[0].outcome, Some(Outcome::Lost));

    let run = Script::new()
        .starting("a", 1)
        .event(again(false))
        .stage_end("a", Outcome::Failure)
        .skip("b", "x")
        .fold(stages());
    assert_eq!(counts(&run), (5, 4, 0, 1, 3, 0), "legs of a skipped stage are skipped");
}

#[test]
fn a_late_matrix_counts_as_one_until_it_is_known() {
    let mut late = RunView::default();
    late.declare::<[_; 0]>(&StageId::from("test"), Vec::new(), None);
    assert_eq!(counts(&late).0, 1);
    let legs = vec![serde_json::json!({"os": "ubuntu", "node": 18}), serde_json::json!({"os": "alpine", "node": 20})];
    let script = Script::new().event(Event::JobsExpanded { stage: "test".into(), legs });
    let run = script.fold(late.clone());
    assert_eq!(counts(&run).0, 2);
    assert_eq!(
        run.jobs.iter().map(|j| j.name.as_str()).collect::<Vec<_>>(),
        ["test (ubuntu, 18)", "test (alpine, 20)"]
    );
    assert_eq!(run.jobs[1].id.as_str(), "test.2");
    assert_eq!(counts(&Script::new().skip("test", "x").fold(late)), (1, 1, 0, 0, 1, 0));
}

#[test]
fn records_alone_make_a_view_too() {
    let script = Script::new().starting("build.2", 2).step("build.2", 0, "make").wait(50).step_failed("build.2", 0, 2);
    let run = script.job_end("build.2", Outcome::Failure).stage_end("build", Outcome::Failure).fold(RunView::default());
    assert_eq!((counts(&run), run.stages.len(), run.pipeline.as_str()), ((1, 1, 0, 1, 0, 0), 1, "ci"));
    let step = &run.jobs[0].attempts[0].steps[0];
    assert_eq!((step.why(), step.duration(run.last).unwrap().as_millis()), ("exit code 2".to_owned(), 50));
}

#[test]
fn annotations_are_counted_and_bounded() {
    let annotation = Annotation {
        level: AnnotationLevel::Warning,
        message: "old".into(),
        title: None,
        file: None,
        line: None,
        end_line: None,
        column: None,
        end_column: None,
    };
    let event = || Event::Annotated { step: attempt("a").step(0), annotation: annotation.clone() };
    let run = (0..25).fold(Script::new(), |s, _| s.event(event())).fold(RunView::default());
    assert_eq!((run.warnings.count, run.warnings.first.len(), run.errors.count), (25, MAX_ANNOTATIONS, 0));
}

/// An event that looked at all jobs would make this 10^10 steps.
#[test]
fn events_of_a_hundred_thousand_jobs_cost_what_they_speak_of() {
    let names: Vec<String> = (0..100_000).map(|i| format!("job{i}")).collect();
    let mut run = RunView::default();
    for name in &names {
        let id = StageId::from(name.as_str());
        run.declare(&id, Vec::new(), Some([(JobId::new(&id, None), name.clone())]));
    }
    let mut seq = 0;
    let mut apply = |run: &mut RunView, event| {
        seq += 1;
        run.apply(&Record { v: EVENT_VERSION, seq, at: Timestamp(START), event });
    };
    for name in &names {
        let attempt = attempt(name);
        apply(&mut run, Event::JobStarted { attempt: attempt.clone() });
        apply(&mut run, Event::StepStarting { step: attempt.step(0), name: "x".into() });
        let (outcome, outputs) = (Outcome::Success, Vec::new());
        apply(&mut run, Event::StageFinished { stage: name.as_str().into(), outcome, outputs, reason: None });
    }
    assert_eq!(counts(&run), (100_000, 100_000, 100_000, 0, 0, 0));
    assert!(run.active.is_empty());
}
