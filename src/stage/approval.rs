//! `approval:`. Waits for people.

use std::time::Duration;

use crate::model::Node;

use super::settings::{Reader, json_of};

/// What a rejection means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnReject {
    /// The stage fails.
    #[default]
    Fail,
    /// What needs the stage is skipped, and the run does not fail.
    Skip,
}

/// The settings of `approval`.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// Users and groups; empty: the environment's, else anyone.
    pub approvers: Vec<String>,
    /// How many must approve.
    pub required: u32,
    /// Whether who started the run may not approve.
    pub prevent_self_review: bool,
    /// After which it is rejected.
    pub timeout: Duration,
    /// What a rejection means.
    pub on_reject: OnReject,
    /// What is asked of the approver: name and specification as in `workflow_dispatch`.
    pub inputs: Vec<(String, serde_json::Value)>,
}

impl Default for Approval {
    fn default() -> Self {
        Self {
            approvers: Vec::new(),
            required: 1,
            prevent_self_review: false,
            timeout: Duration::from_secs(30 * 86_400),
            on_reject: OnReject::Fail,
            inputs: Vec::new(),
        }
    }
}

const KEYS: &[&str] = &["approvers", "required", "prevent-self-review", "timeout", "on-reject", "inputs"];
const INPUT_KEYS: &[&str] = &["type", "description", "required", "default", "options"];
/// More approvals than this nobody asks for.
const MAX_REQUIRED: u64 = 100;

impl Approval {
    /// Reads the settings; what is wrong is reported, and then there is none.
    pub fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let mut approval = Self::default();
        if node.is_null() || reader.is_open(node) {
            return Some(approval);
        }
        let settings = reader.map("approval", node, KEYS, &[])?;
        if let Some(node) = settings.get("approvers") {
            approval.approvers = reader.texts("approvers", node);
        }
        if let Some(node) = settings.get("required") {
            approval.required = reader.integer("required", node, 1..=MAX_REQUIRED)? as u32;
        }
        if let Some(node) = settings.get("prevent-self-review") {
            approval.prevent_self_review = reader.boolean("prevent-self-review", node)?;
        }
        if let Some(node) = settings.get("timeout") {
            approval.timeout = reader.duration("timeout", node)?;
        }
        if let Some(node) = settings.get("on-reject")
            && reader.word("on-reject", node, &["fail", "skip"])? == "skip"
        {
            approval.on_reject = OnReject::Skip;
        }
        if let Some(node) = settings.get("inputs") {
            let Some(entries) = node.entries() else {
                reader.wrong_kind("inputs", node, "a map of inputs");
                return None;
            };
            for entry in entries {
                if !entry.value.is_null() {
                    let input = reader.map("input", &entry.value, INPUT_KEYS, &[])?;
                    if let Some(kind) = input.get("type") {
                        reader.word("type", kind, &["string", "choice", "boolean", "number"])?;
                    }
                }
                approval.inputs.push((entry.key.to_string(), json_of(&entry.value)));
            }
        }
        Some(approval)
    }
}

/// Checks what an approver filled in against what is asked, and adds defaults. An error says what to give.
pub fn filled(
    asked: &[(String, serde_json::Value)],
    given: &[(String, String)],
) -> Result<Vec<(String, String)>, String> {
    if let Some((name, _)) = given.iter().find(|(name, _)| !asked.iter().any(|(known, _)| known == name)) {
        let known: Vec<&str> = asked.iter().map(|(name, _)| name.as_str()).collect();
        let known =
            if known.is_empty() { "it asks for none".to_owned() } else { format!("it asks for {}", known.join(", ")) };
        return Err(format!("there is no input \"{name}\": {known}"));
    }
    let mut filled = Vec::with_capacity(asked.len());
    for (name, spec) in asked {
        let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let default = spec.get("default").filter(|value| !value.is_null()).map(text);
        let value = given.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone()).or(default);
        let Some(value) = value else {
            if spec.get("required").and_then(serde_json::Value::as_bool).unwrap_or(false) {
                return Err(format!("input \"{name}\" must be given: --input {name}=VALUE"));
            }
            continue;
        };
        let options: Vec<String> = spec["options"].as_array().into_iter().flatten().map(text).collect();
        let fits = match spec["type"].as_str() {
            Some("boolean") => matches!(value.as_str(), "true" | "false"),
            Some("number") => value.parse::<f64>().is_ok(),
            Some("choice") => options.contains(&value),
            _ => true,
        };
        if !fits {
            let wanted = if options.is_empty() {
                spec["type"].as_str().unwrap_or_default().to_owned()
            } else {
                options.join(", ")
            };
            return Err(format!("input \"{name}\" cannot be \"{value}\"; it is one of: {wanted}"));
        }
        filled.push((name.clone(), value));
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn inputs_are_checked_and_defaults_added() {
        let asked = vec![
            ("strategy".to_owned(), json!({"type": "choice", "options": ["rolling", "canary"], "default": "canary"})),
            ("ticket".to_owned(), json!({"required": true})),
        ];
        let given = |list: &[(&str, &str)]| {
            let list: Vec<_> = list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            filled(&asked, &list)
        };
        assert_eq!(
            given(&[("ticket", "T-1")]),
            Ok(vec![("strategy".to_owned(), "canary".to_owned()), ("ticket".to_owned(), "T-1".to_owned())])
        );
        assert_eq!(given(&[]), Err("input \"ticket\" must be given: --input ticket=VALUE".to_owned()));
        assert!(given(&[("ticket", "x"), ("strategy", "big-bang")]).is_err_and(|e| e.contains("rolling, canary")));
        assert!(given(&[("tickets", "x")]).is_err_and(|e| e.contains("it asks for strategy, ticket")));
    }
}
