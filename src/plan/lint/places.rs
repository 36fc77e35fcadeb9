//! Where stages run, as far as it is a matter of the file: an image that is missing under `--runner docker`, and labels of
//! `runs-on` that stand for no image.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::model::codes;
use crate::plan::contexts::Base;
use crate::plan::ir::{Legs, Plan, RunnerChoice, StagePlan};
use crate::plan::placement::{labels, place};
use crate::plan::scope::ContextScope;
use crate::span::Span;

/// At most so many stages are named in one warning.
const SHOWN: usize = 5;

/// Stages by their labels, in file order.
#[derive(Debug, Default)]
pub(super) struct Places {
    on_host: Vec<(String, String, Span, Vec<String>)>,
    index: HashMap<String, usize>,
}

impl Places {
    /// Looks at the first leg of a stage: the others differ by values only.
    pub(super) fn check(&mut self, plan: &Plan, stage: &StagePlan, base: &Base, diagnostics: &mut Diagnostics) {
        let placement = &plan.inputs.placement;
        let docker = placement.runner == RunnerChoice::Docker;
        let runs = stage.job.typed.is_none() && stage.job.reusable.is_none();
        let asked = docker || (placement.runner == RunnerChoice::Auto && stage.job.runs_on.is_some());
        if !runs || !asked {
            return;
        }
        let Legs::Fixed(legs) = &stage.legs else { return };
        let Some(leg) = legs.first() else { return };
        let mut scope = base.scope();
        scope.set("matrix", leg.matrix.clone());
        if waits(stage, &scope) {
            return;
        }
        let span = stage.job.runs_on.as_ref().map_or(stage.job.id.span, |runs_on| runs_on.span);
        match place(&stage.job, placement, &scope) {
            Err(message) => diagnostics.push(Diagnostic::error(codes::NO_IMAGE, span, message)),
            Ok(placed) if placed.image.is_none() && !docker => {
                let labels = labels(&stage.job, &scope).unwrap_or_default();
                let mapped = |label: &&String| placement.platforms.iter().any(|(k, _)| k.eq_ignore_ascii_case(label));
                let Some(first) = labels.first().filter(|_| !labels.iter().any(|label| mapped(&label))) else { return };
                let at = *self.index.entry(labels.join(", ")).or_insert_with_key(|joined| {
                    self.on_host.push((joined.clone(), first.clone(), span, Vec::new()));
                    self.on_host.len() - 1
                });
                self.on_host[at].3.push(stage.id.to_string());
            }
            Ok(_) => {}
        }
    }

    /// One warning for each set of labels.
    pub(super) fn finish(self, diagnostics: &mut Diagnostics) {
        for (labels, first, span, stages) in self.on_host {
            let mut names: Vec<String> = stages.iter().take(SHOWN).map(|name| format!("\"{name}\"")).collect();
            if stages.len() > SHOWN {
                names.push(format!("{} more", stages.len() - SHOWN));
            }
            let verb = if stages.len() == 1 { "runs" } else { "run" };
            let message = format!("{} {verb} on this host, where \"{labels}\" stands for no image", names.join(", "));
            diagnostics.push(
                Diagnostic::warning(codes::RUNS_ON_HOST, span, message).help(format!(
                    "\"-P {first}=IMAGE\" runs it in Docker, \"-P {first}=host\" says that this is meant"
                )),
            );
        }
    }
}

/// Whether image or labels read what only a run knows.
fn waits(stage: &StagePlan, scope: &ContextScope<'_>) -> bool {
    let image = stage.job.container.iter().map(|container| &container.image);
    let labels = stage.job.runs_on.iter().flat_map(|runs_on| &runs_on.labels);
    image
        .chain(labels)
        .flat_map(|text| text.template.expressions())
        .flat_map(|expr| expr.paths())
        .any(|path| path.first().is_some_and(|head| !scope.contexts.contains_key(head.as_str())))
}

#[cfg(test)]
mod tests {
    use crate::plan::ir::{Placement, PlanInputs, RunnerChoice};
    use crate::plan::testing::{inputs, messages, plan_with};

    #[test]
    fn labels_without_image_are_said_once_and_docker_needs_images() {
        let text = "
stages:
  a: {runs-on: ubuntu-latest, run: 'true'}
  b: {runs-on: ubuntu-latest, run: 'true'}
  c: {runs-on: arm, run: 'true'}
  d: {image: 'x:1', runs-on: arm, run: 'true'}
";
        let with = |runner, platforms: &[(&str, &str)]| {
            let platforms = platforms.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let placement = Placement { runner, platforms, ..Placement::default() };
            plan_with(text, PlanInputs { placement, ..inputs() })
        };
        let (_, found) = with(RunnerChoice::Auto, &[("arm", "host")]).unwrap();
        assert_eq!(
            messages(&found),
            ["W014 \"a\", \"b\" run on this host, where \"ubuntu-latest\" stands for no image"]
        );
        let refused = with(RunnerChoice::Docker, &[("ubuntu-latest", "u:1")]).unwrap_err();
        let said = messages(&refused);
        assert!(said.len() == 1 && said[0].starts_with("E063 stage \"c\" has no image"), "{said:?}");
    }
}
