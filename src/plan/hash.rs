//! The plan's hash: what an approval holds on to. It depends on what was planned, not on when, where or as which run.

use sha2::{Digest, Sha256};

use crate::model::Pipeline;

use super::contexts::RUN_TIME_KEYS;
use super::ir::PlanInputs;

/// Changes when the form below does.
const FORM: &str = "slipway-plan-1";

/// SHA-256 (hex) of the file's text (line ends aside) and of what else the plan depends on: event, contexts, selection,
/// placement and the names of secrets. Keys of `github` that only a run knows, and the file's name, do not count.
pub fn of(pipeline: &Pipeline, inputs: &PlanInputs) -> String {
    let mut github = inputs.github.clone();
    if let Some(object) = github.as_object_mut() {
        RUN_TIME_KEYS.iter().for_each(|key| {
            object.shift_remove(*key);
        });
    }
    let mut secrets = inputs.secret_names.clone();
    secrets.sort();
    let facts = serde_json::json!({
        "form": FORM,
        "event_name": inputs.event_name,
        "github": sorted(github),
        "inputs": sorted(inputs.inputs.clone()),
        "vars": sorted(inputs.vars.clone()),
        "env": inputs.env,
        "secrets": secrets,
        "selection": inputs.selection,
        "placement": inputs.placement,
    });
    let mut hasher = Sha256::new();
    hasher.update(facts.to_string().as_bytes());
    for line in pipeline.source.text.lines() {
        hasher.update(b"\n");
        hasher.update(line.as_bytes());
    }
    let mut hex = String::with_capacity(64);
    for byte in hasher.finalize() {
        hex.push(char::from(b"0123456789abcdef"[usize::from(byte >> 4)]));
        hex.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
    }
    hex
}

/// The same with the keys of all objects in order.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    let mut value = value;
    value.sort_all_objects();
    value
}
