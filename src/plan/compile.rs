//! Pipeline to plan.

use std::sync::Arc;

use crate::diagnostic::Diagnostics;
use crate::model::Pipeline;

use super::ir::{Plan, PlanInputs};

/// Makes the plan. Mistakes that only show with the inputs at hand (an undefined `--stage`, a matrix that has no legs,
/// cycles, contexts that are not allowed) come all at once.
pub fn compile(pipeline: Arc<Pipeline>, inputs: Arc<PlanInputs>) -> Result<(Plan, Diagnostics), Diagnostics> {
    let _ = inputs;
    Err(Diagnostics::new(pipeline.source.clone()))
}
