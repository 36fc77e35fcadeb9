//! The shipped JSON Schema is the one that the program prints, and holds together.

use std::path::Path;

use serde_json::Value;

fn shipped() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/slipway.schema.json");
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("failed to read {}: {e}", path.display()))
}

#[test]
fn the_shipped_schema_is_current() {
    assert!(
        shipped() == slipway::cli::schema::text(),
        "schema/slipway.schema.json is old; run: slipway schema > schema/slipway.schema.json"
    );
}

#[test]
fn every_reference_leads_somewhere_and_every_definition_is_used() {
    let schema: Value = serde_json::from_str(&shipped()).expect("the schema is JSON");
    let definitions = schema["$defs"].as_object().expect("definitions");
    let mut references = Vec::new();
    collect(&schema, &mut references);
    for reference in &references {
        let name = reference.strip_prefix("#/$defs/").expect("a local reference");
        assert!(definitions.get(name).is_some_and(Value::is_object), "{reference} leads nowhere");
    }
    for name in definitions.keys() {
        assert!(references.contains(&format!("#/$defs/{name}")), "nothing refers to {name}");
    }
}

#[test]
fn every_key_is_described_for_editors() {
    let schema: Value = serde_json::from_str(&shipped()).expect("the schema is JSON");
    for (name, definition) in schema["$defs"].as_object().expect("definitions") {
        for (key, property) in definition["properties"].as_object().expect("a map") {
            assert!(property["description"].as_str().is_some_and(|d| !d.is_empty()), "{name}.{key} says nothing");
        }
        assert_eq!(definition["additionalProperties"], false, "{name}");
    }
}

fn collect(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                out.push(reference.clone());
            }
            map.values().for_each(|v| collect(v, out));
        }
        Value::Array(items) => items.iter().for_each(|v| collect(v, out)),
        _ => {}
    }
}
