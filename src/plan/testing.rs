//! Plans for tests, from text.

use std::sync::Arc;

use crate::diagnostic::Diagnostics;
use crate::model::{Pipeline, ReadOptions, read};
use crate::plan::compile::compile;
use crate::plan::ir::{Placement, Plan, PlanInputs, Selection};
use crate::span::Source;

/// `text` as a pipeline.
pub(crate) fn pipeline(text: &str) -> Arc<Pipeline> {
    let (pipeline, diagnostics) = read(Source::new("slipway.yml", text), &ReadOptions::default());
    Arc::new(pipeline.unwrap_or_else(|| panic!("{diagnostics:?}")))
}

/// The inputs of a push to main.
pub(crate) fn inputs() -> PlanInputs {
    PlanInputs {
        untrusted: false,
        file: "slipway.yml".into(),
        path: "slipway.yml".into(),
        event_name: "push".into(),
        github: serde_json::json!({"event_name": "push", "ref": "refs/heads/main", "sha": "0123", "event": {}}),
        inputs: serde_json::json!({}),
        vars: serde_json::json!({}),
        env: Vec::new(),
        secret_names: Vec::new(),
        selection: Selection::default(),
        placement: Placement::default(),
    }
}

/// The plan of `text` with `inputs`.
pub(crate) fn plan_with(text: &str, inputs: PlanInputs) -> Result<(Plan, Diagnostics), Diagnostics> {
    compile(pipeline(text), Arc::new(inputs))
}

/// Messages of diagnostics.
pub(crate) fn messages(diagnostics: &Diagnostics) -> Vec<String> {
    diagnostics.list.iter().map(|d| format!("{} {}", d.code, d.message)).collect()
}
