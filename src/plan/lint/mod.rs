//! What is wrong or dangerous in a plan, one rule a file. Only selected stages are looked at. Linear in the file's size:
//! texts without an expression cost nothing.

mod places;
mod references;
pub mod refuse;
mod secrets;
pub mod untrusted;

use crate::diagnostic::Diagnostics;

use super::contexts::Base;
use super::ir::Plan;

/// Runs every rule over the selected stages of `plan`.
pub fn check(plan: &Plan, base: &Base, diagnostics: &mut Diagnostics) {
    let mut secrets = secrets::Secrets::new(plan);
    let mut places = places::Places::default();
    secrets.check_file(plan, diagnostics);
    refuse::check_file(plan, diagnostics);
    for stage in plan.stages.iter().filter(|stage| stage.selected) {
        refuse::check(plan, stage, diagnostics);
        untrusted::check(plan, stage, diagnostics);
        references::check(plan, stage, diagnostics);
        secrets.check(plan, stage, diagnostics);
        places.check(plan, stage, base, diagnostics);
    }
    places.finish(diagnostics);
}
