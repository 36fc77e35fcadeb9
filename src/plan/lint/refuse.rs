//! What this version reads and cannot run yet is refused by name, before anything starts.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::model::{StepAction, codes};
use crate::stage;

use crate::plan::ir::{Plan, StagePlan};

/// Refuses channels of the file's `notify` that no version can do yet.
pub(super) fn check_file(plan: &Plan, diagnostics: &mut Diagnostics) {
    stage::rule_refusals(&plan.pipeline).into_iter().for_each(|refusal| diagnostics.push(refusal));
}

/// Refuses actions other than `actions/checkout`, reusable workflows and typed stages.
pub(super) fn check(plan: &Plan, stage: &StagePlan, diagnostics: &mut Diagnostics) {
    let job = &stage.job;
    if let Some(call) = &job.reusable {
        let message = format!(
            "job \"{}\" calls the reusable workflow \"{}\", which this version reads but cannot run yet",
            stage.id, call.uses.value
        );
        diagnostics.push(
            Diagnostic::error(codes::NOT_YET, call.uses.span, message).help("choose other jobs with \"--stage\""),
        );
    }
    stage::refusals(job, &plan.pipeline.source).into_iter().for_each(|refusal| diagnostics.push(refusal));
    for (at, step) in job.steps.iter().enumerate() {
        let StepAction::Uses { uses, .. } = &step.action else { continue };
        if step.action.is_checkout() {
            continue;
        }
        let name =
            match step.name.as_ref().map(|name| name.template.source()).or(step.id.as_ref().map(|id| id.value.clone()))
            {
                Some(name) => format!("step \"{name}\""),
                None => format!("step {}", at + 1),
            };
        let message = format!(
            "{name} of \"{}\" uses \"{}\": until Slipway can run actions, only actions/checkout works",
            stage.id, uses.value
        );
        diagnostics.push(
            Diagnostic::error(codes::NOT_YET, uses.span, message)
                .help("do its work with \"run\", or choose other stages with \"--stage\""),
        );
    }
}
