//! The whole JSON Schema: the model's, with the typed keys' settings in it.

use serde_json::{Map, Value, json};

use super::tables::{KINDS, Kind};

/// The schema of pipeline files, for editors and for `slipway schema`.
pub fn schema() -> Value {
    let mut schema = crate::model::schema();
    for kind in KINDS {
        let mut filled = settings(kind);
        filled["description"] = Value::String(kind.doc.to_owned());
        schema["$defs"]["stage"]["properties"][kind.name] = filled;
    }
    schema
}

fn settings(kind: &Kind) -> Value {
    let mut properties = Map::new();
    for setting in kind.settings {
        let described = json!({"description": setting.doc});
        if setting.name.contains('-') {
            properties.insert(setting.name.replace('-', "_"), described.clone());
        }
        properties.insert(setting.name.to_owned(), described);
    }
    let required: Vec<&str> = kind.required().collect();
    let map = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "required": required,
    });
    let mut forms = vec![map, json!({"type": "string", "pattern": "\\$\\{\\{"})];
    let choices: Vec<&str> = kind.choices().collect();
    if !choices.is_empty() {
        forms.push(json!({"enum": choices}));
    }
    if required.is_empty() && !kind.one_choice {
        forms.push(json!({"type": "null"}));
    }
    json!({"anyOf": forms})
}
