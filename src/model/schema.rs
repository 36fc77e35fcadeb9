//! The JSON Schema (2020-12) of both languages, made from the tables that the reader reads by.

use serde_json::{Map, Value, json};

use super::keys::{Form, Key, Table};
use super::tables::{PIPELINE, WORKFLOW};

/// The schema. Typed keys are left open here; `stage::schema` fills them in.
pub fn schema() -> Value {
    let mut definitions = Definitions { done: Map::new() };
    let either = vec![definitions.table(&WORKFLOW), definitions.table(&PIPELINE)];
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Slipway pipeline or GitHub Actions workflow",
        "type": "object",
        "anyOf": either,
        "$defs": definitions.done,
    })
}

struct Definitions {
    done: Map<String, Value>,
}

impl Definitions {
    /// A reference to the table's definition, which is made when it is first asked for.
    fn table(&mut self, table: &'static Table) -> Value {
        let id = definition_name(table);
        if !self.done.contains_key(&id) {
            // Stands in while the table's own keys refer to it.
            self.done.insert(id.clone(), Value::Null);
            let made = self.make(table);
            self.done.insert(id.clone(), made);
        }
        json!({"$ref": format!("#/$defs/{id}")})
    }

    fn make(&mut self, table: &'static Table) -> Value {
        let properties: Map<String, Value> = table.keys().map(|key| (key.name.to_owned(), self.key(key))).collect();
        let mut made = json!({
            "type": "object",
            "title": table.name,
            "properties": properties,
            "additionalProperties": false,
        });
        if !table.required.is_empty() {
            made["required"] = json!(table.required);
        }
        made
    }

    fn key(&mut self, key: &'static Key) -> Value {
        let expression = key.contexts.allows_any();
        let mut schema = self.form(&key.form, expression);
        let available: Vec<&str> = key.contexts.names().collect();
        let mut doc = key.doc.to_owned();
        if expression {
            doc.push_str(&format!(" Expressions may read {}.", available.join(", ")));
        }
        schema["description"] = Value::String(doc);
        schema
    }

    fn form(&mut self, form: &Form, expression: bool) -> Value {
        let or_expression = |schema: Value| {
            if expression { json!({"anyOf": [schema, {"type": "string", "pattern": "\\$\\{\\{"}]}) } else { schema }
        };
        let text = || json!({"type": ["string", "number", "boolean", "null"]});
        match form {
            Form::Text | Form::Condition => text(),
            Form::Bool => or_expression(json!({"type": "boolean"})),
            Form::Number(minimum) => or_expression(json!({"type": "number", "minimum": minimum})),
            Form::Texts => json!({"anyOf": [text(), {"type": "array", "items": text()}]}),
            Form::Choice(choices) => or_expression(json!({"enum": choices})),
            Form::Env => or_expression(json!({"type": ["object", "null"], "additionalProperties": text()})),
            Form::List(inner) => or_expression(json!({"type": "array", "items": self.form(inner, expression)})),
            Form::Map(table) => json!({"allOf": [self.table(table)]}),
            Form::MapOf(inner) => json!({
                "type": ["object", "null"],
                "additionalProperties": self.form(inner, expression),
            }),
            Form::OneOf(forms) => {
                let any: Vec<Value> = forms.iter().map(|form| self.form(form, expression)).collect();
                json!({"anyOf": any})
            }
            Form::Null => json!({"type": "null"}),
            Form::Any => json!({}),
        }
    }
}

/// A name for the definition; two tables may have one title (`defaults`), never one address.
fn definition_name(table: &'static Table) -> String {
    let base = table.name.trim_start_matches("an ").trim_start_matches("a ").replace(' ', "-");
    let twins = [&super::tables::JOB_DEFAULTS, &super::tables::JOB_DEFAULTS_RUN];
    if twins.iter().any(|twin| std::ptr::eq(*twin, table)) {
        return format!("job-{base}");
    }
    if std::ptr::eq(table, &super::tables_trigger::CALL_INPUT) {
        return format!("call-{base}");
    }
    base
}
