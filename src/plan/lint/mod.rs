//! What is wrong or dangerous in a plan, one rule a file. Only selected stages are looked at. Linear in the file's size:
//! texts without an expression cost nothing.

mod refuse;

use crate::diagnostic::Diagnostics;

use super::contexts::Base;
use super::ir::Plan;

/// Runs every rule over the selected stages of `plan`.
pub fn check(plan: &Plan, base: &Base, diagnostics: &mut Diagnostics) {
    let _ = base;
    for stage in plan.stages.iter().filter(|stage| stage.selected) {
        refuse::check(plan, stage, diagnostics);
    }
}
