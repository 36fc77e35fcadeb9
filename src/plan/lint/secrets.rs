//! Secrets that are read and not given are empty texts at run time; that is said once for each name.

use std::collections::HashSet;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::expr::Expr;
use crate::model::codes;
use crate::plan::ir::{Plan, StagePlan};
use crate::plan::walk;
use crate::span::Span;

/// What has been said already, in upper case, for the whole file.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    known: HashSet<String>,
}

impl Secrets {
    /// With the names that are given.
    pub(super) fn new(plan: &Plan) -> Self {
        Self { known: plan.inputs.secret_names.iter().map(|name| name.to_ascii_uppercase()).collect() }
    }

    /// What the file's top reads.
    pub(super) fn check_file(&mut self, plan: &Plan, diagnostics: &mut Diagnostics) {
        walk::file(&plan.pipeline, &mut |_, _, piece| {
            walk::expressions(piece, &plan.pipeline.source, |expr, span| self.see(expr, span, diagnostics));
        });
    }

    /// What a stage reads.
    pub(super) fn check(&mut self, plan: &Plan, stage: &StagePlan, diagnostics: &mut Diagnostics) {
        walk::job(&stage.job, &mut |_, _, piece| {
            walk::expressions(piece, &plan.pipeline.source, |expr, span| self.see(expr, span, diagnostics));
        });
    }

    fn see(&mut self, expr: &Expr, span: Span, diagnostics: &mut Diagnostics) {
        for path in expr.paths() {
            let [head, name, ..] = path.as_slice() else { continue };
            if head == "secrets" && name != "*" && self.known.insert(name.to_ascii_uppercase()) {
                let message = format!("the secret \"{name}\" is not given: it will be empty");
                diagnostics.push(Diagnostic::warning(codes::SECRET_MISSING, span, message).help(format!(
                    "give it with \"--secret {name}\" (its value comes from the environment), \"--secret-file\", or the \
                     variable SLIPWAY_SECRET_{name}"
                )));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::ir::PlanInputs;
    use crate::plan::testing::{inputs, messages, plan_with};

    #[test]
    fn a_missing_secret_is_said_once() {
        let text = "
env: {T: '${{ secrets.ONE }}'}
stages:
  a: {env: {A: '${{ secrets.one }}', B: '${{ secrets.GIVEN }}'}, run: 'echo ${{ secrets.TWO }}'}
";
        let (_, found) = plan_with(text, PlanInputs { secret_names: vec!["given".into()], ..inputs() }).unwrap();
        assert_eq!(
            messages(&found),
            [
                "W013 the secret \"ONE\" is not given: it will be empty",
                "W013 the secret \"TWO\" is not given: it will be empty"
            ]
        );
    }
}
