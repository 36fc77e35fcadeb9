//! `needs.x` must be among the stage's `needs` and `steps.x` an earlier step: GitHub gives an empty text for all others, and
//! nobody hears of it.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, Diagnostics, suggest};
use crate::model::{Dialect, codes};
use crate::plan::ir::{Plan, StagePlan};
use crate::plan::walk::{self, At};
use crate::span::Span;

/// What is asked of `needs` and `steps` in the stage.
pub(super) fn check(plan: &Plan, stage: &StagePlan, diagnostics: &mut Diagnostics) {
    // Beyond what is shown nothing is looked for: looking costs.
    if diagnostics.dropped > 0 {
        return;
    }
    // Steps by lower-case id, made when first asked for.
    let mut steps: Option<HashMap<String, usize>> = None;
    walk::job(&stage.job, &mut |at, _, piece| {
        walk::expressions(piece, &plan.pipeline.source, |expr, span| {
            for path in expr.paths() {
                let found = match path.as_slice() {
                    [head, id, rest @ ..] if head == "needs" && id != "*" => need(plan, stage, id, rest, span),
                    [head, id, ..] if head == "steps" && id != "*" => {
                        let steps = steps.get_or_insert_with(|| ids(stage));
                        step(stage, steps, at, id, span)
                    }
                    _ => None,
                };
                if let Some(diagnostic) = found {
                    diagnostics.push(diagnostic);
                }
            }
        });
    });
}

fn ids(stage: &StagePlan) -> HashMap<String, usize> {
    let steps = stage.job.steps.iter().enumerate();
    steps.filter_map(|(at, step)| step.id.as_ref().map(|id| (id.value.to_ascii_lowercase(), at))).collect()
}

fn need(plan: &Plan, stage: &StagePlan, id: &str, rest: &[String], span: Span) -> Option<Diagnostic> {
    let needs = || stage.needs.iter().map(|need| plan.stage(*need));
    let Some(found) = needs().find(|need| need.id.as_str().eq_ignore_ascii_case(id)) else {
        let message =
            format!("stage \"{}\" reads needs.{id}, which is not among its needs: it will be empty", stage.id);
        let diagnostic = Diagnostic::warning(codes::NEED_REFERENCE, span, message);
        return Some(if let Some(near) = suggest(id, needs().map(|need| need.id.as_str())) {
            diagnostic.help(format!("did you mean \"needs.{near}\"?"))
        } else if plan.find(id).is_some() {
            diagnostic.help(format!("add \"{id}\" to its \"needs\""))
        } else {
            let known: Vec<&str> = needs().take(20).map(|need| need.id.as_str()).collect();
            diagnostic.help(if known.is_empty() {
                "it needs nothing".to_owned()
            } else {
                format!("it needs: {}", known.join(", "))
            })
        });
    };
    let outputs = || found.job.outputs.iter().map(|(name, _)| name.value.as_str());
    // What called workflows and stages give is not written here: a stage's outputs need no declaration.
    let open = found.job.reusable.is_some() || plan.pipeline.dialect == Dialect::Stages;
    match rest {
        [what, output, ..] if what.eq_ignore_ascii_case("outputs") && output != "*" && !open => {
            if outputs().any(|name| name.eq_ignore_ascii_case(output)) {
                return None;
            }
            let message = format!("stage \"{}\" has no output \"{output}\": it will be empty", found.id);
            let diagnostic = Diagnostic::warning(codes::NEED_REFERENCE, span, message);
            Some(match suggest(output, outputs()) {
                Some(near) => diagnostic.help(format!("did you mean \"{near}\"?")),
                None => diagnostic.help(format!("declare it under \"outputs\" of \"{}\"", found.id)),
            })
        }
        _ => None,
    }
}

fn step(stage: &StagePlan, steps: &HashMap<String, usize>, at: At, id: &str, span: Span) -> Option<Diagnostic> {
    let now = match at {
        At::Step(number) => number,
        _ => usize::MAX,
    };
    let warn = |message: String| Diagnostic::warning(codes::STEP_REFERENCE, span, message);
    match steps.get(&id.to_ascii_lowercase()) {
        Some(place) if *place < now => None,
        Some(place) if *place == now => Some(
            warn(format!("step \"{id}\" of \"{}\" reads itself: it will be empty", stage.id))
                .help("read a step that comes before it"),
        ),
        Some(_) => Some(
            warn(format!("\"{}\" reads steps.{id} before that step has run: it will be empty", stage.id))
                .help("read it in a later step"),
        ),
        None => {
            let diagnostic = warn(format!("stage \"{}\" has no step \"{id}\": it will be empty", stage.id));
            Some(match suggest(id, steps.keys().map(String::as_str)) {
                Some(near) => diagnostic.help(format!("did you mean \"steps.{near}\"?")),
                None => diagnostic.help(format!("give the step that is meant \"id: {id}\"")),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::ir::{Placement, PlanInputs, RunnerChoice};
    use crate::plan::testing::{inputs, messages, plan_with};

    #[test]
    fn a_stages_outputs_need_no_declaration() {
        let text = "stages: {a: {run: 'true'}, b: {needs: a, run: 'echo ${{ needs.a.outputs.x }}'}}";
        let (_, found) = plan_with(text, inputs()).unwrap();
        assert_eq!(messages(&found), Vec::<String>::new());
    }

    #[test]
    fn what_will_be_empty_is_said() {
        let text = "
on: push
jobs:
  build: {runs-on: host, outputs: {version: '1'}, steps: [{run: 'true'}]}
  other: {runs-on: host, steps: [{run: 'true'}]}
  test:
    runs-on: host
    needs: build
    env: {A: '${{ needs.biuld.result }}', B: '${{ needs.other.result }}', C: '${{ needs.build.outputs.versoin }}'}
    steps:
      - {id: one, run: 'echo ${{ steps.two.outputs.x }}'}
      - {id: two, run: 'echo ${{ steps.one.outputs.x }} ${{ steps.on.outcome }} ${{ needs.build.outputs.VERSION }}'}
    outputs: {o: '${{ steps.TWO.outputs.x }}'}
";
        let placement = Placement { runner: RunnerChoice::Host, ..Placement::default() };
        let (_, found) = plan_with(text, PlanInputs { placement, ..inputs() }).unwrap();
        let said = messages(&found);
        let helps: Vec<&str> = found.list.iter().map(|d| d.help.as_deref().unwrap_or_default()).collect();
        assert_eq!(
            said,
            [
                "W012 stage \"test\" reads needs.biuld, which is not among its needs: it will be empty",
                "W012 stage \"test\" reads needs.other, which is not among its needs: it will be empty",
                "W012 stage \"build\" has no output \"versoin\": it will be empty",
                "W011 \"test\" reads steps.two before that step has run: it will be empty",
                "W011 stage \"test\" has no step \"on\": it will be empty",
            ]
        );
        assert_eq!(helps[0], "did you mean \"needs.build\"?");
        assert_eq!(helps[1], "add \"other\" to its \"needs\"");
        assert_eq!(helps[2], "did you mean \"version\"?");
        assert_eq!(helps[4], "did you mean \"steps.one\"?");
    }
}
