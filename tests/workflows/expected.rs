//! The parts of GitHub's expected JSON that map onto our model.

use serde_json::{Value, json};
use slipway::expr::{NoScope, Part, Template, Value as Expression};
use slipway::model::{
    Concurrency, Data, DataKind, EnvMap, Job, Late, MatrixSource, Pipeline, Step, StepAction, Text, core_number,
};

/// Compares every job and step.
pub fn compare(case: &str, pipeline: &Pipeline, expected: &Value) {
    let expected = &without_places(expected);
    let jobs = expected["jobs"].as_array().expect("jobs");
    assert_eq!(pipeline.jobs.len(), jobs.len(), "{case}: number of jobs");
    for (job, expected) in pipeline.jobs.iter().zip(jobs) {
        let place = format!("{case}, job {}", job.id.value);
        compare_job(&place, job, expected);
    }
    if let Some(env) = expected.get("env") {
        same(case, "env", &env_json(&pipeline.env), env);
    }
    if let Some(concurrency) = expected.get("concurrency") {
        same(case, "concurrency", &concurrency_json(pipeline.concurrency.as_ref().expect("concurrency")), concurrency);
    }
    if let Some(events) = expected.get("events").and_then(Value::as_object) {
        let on = pipeline.on.as_ref().expect("on");
        for (name, event) in events {
            let ours = on.events.iter().find(|e| e.name.value == *name).unwrap_or_else(|| panic!("{case}: no {name}"));
            if let Some(types) = event["types"].as_array() {
                let got: Vec<&str> = ours.types.iter().map(|t| t.value.as_str()).collect();
                assert_eq!(json!(got), json!(types), "{case}: types of {name}");
            }
            if let Some(branches) = event["branches"].as_array() {
                let got: Vec<&str> = ours.branches.include.iter().map(|t| t.value.as_str()).collect();
                assert_eq!(json!(got), json!(branches), "{case}: branches of {name}");
            }
        }
    }
}

/// Some cases say of each value where it stands: `{lit, file, line, col}` is the value.
fn without_places(value: &Value) -> Value {
    match value {
        Value::Object(map) => match map.get("lit") {
            Some(literal) => literal.clone(),
            None => map
                .iter()
                .filter(|(key, _)| !["file", "line", "col"].contains(&key.as_str()))
                .map(|(key, value)| (key.clone(), without_places(value)))
                .collect(),
        },
        Value::Array(items) => items.iter().map(without_places).collect(),
        other => other.clone(),
    }
}

fn compare_job(place: &str, job: &Job, expected: &Value) {
    assert_eq!(json!(job.id.value), expected["id"], "{place}");
    let name = job.name.as_ref().map_or(json!(job.id.value), text_json);
    same(place, "name", &name, &expected["name"]);
    same(place, "if", &condition_json(job.condition.as_ref()), &expected["if"]);
    let needs: Vec<&str> = job.needs.iter().map(|need| need.value.as_str()).collect();
    assert_eq!(json!(needs), expected.get("needs").cloned().unwrap_or(json!([])), "{place}: needs");
    if expected["type"] == "reusableWorkflowJob" || job.reusable.is_some() {
        assert!(job.reusable.is_some(), "{place}: calls a workflow");
        return;
    }
    let steps = expected["steps"].as_array().cloned().unwrap_or_default();
    assert_eq!(job.steps.len(), steps.len(), "{place}: number of steps");
    for (step, expected) in job.steps.iter().zip(&steps) {
        compare_step(place, step, expected);
    }
    if let Some(timeout) = expected.get("timeout-minutes") {
        same(place, "timeout-minutes", &late_json(job.timeout_minutes.as_ref(), number), timeout);
    }
    if let Some(continue_on_error) = expected.get("continue-on-error") {
        same(place, "continue-on-error", &late_json(job.continue_on_error.as_ref(), |b| json!(b)), continue_on_error);
    }
    if let Some(env) = expected.get("env") {
        same(place, "env", &env_json(&job.env), env);
    }
    if let Some(outputs) = expected.get("outputs") {
        let got: Vec<Value> = job.outputs.iter().map(|(k, v)| json!({"Key": k.value, "Value": text_json(v)})).collect();
        same(place, "outputs", &json!({"type": 2, "map": got}), outputs);
    }
    if let Some(concurrency) = expected.get("concurrency") {
        same(place, "concurrency", &concurrency_json(job.concurrency.as_ref().expect("concurrency")), concurrency);
    }
    if let Some(runs_on) = expected.get("runs-on") {
        let ours = job.runs_on.as_ref().unwrap_or_else(|| panic!("{place}: no runs-on"));
        if runs_on.is_string() || runs_on["type"] == 3 {
            same(place, "runs-on", &text_json(&ours.labels[0]), runs_on);
        }
    }
    if let Some(strategy) = expected.get("strategy") {
        compare_strategy(place, job, strategy);
    }
}

fn compare_strategy(place: &str, job: &Job, expected: &Value) {
    let strategy = job.strategy.as_ref().unwrap_or_else(|| panic!("{place}: no strategy"));
    let entry = |name: &str| {
        expected["map"].as_array()?.iter().find(|entry| entry["Key"] == name).map(|entry| entry["Value"].clone())
    };
    let Some(matrix) = entry("matrix") else { return };
    let got = match &strategy.matrix.as_ref().expect("a matrix").source {
        MatrixSource::Expr(text) => text_json(text),
        MatrixSource::Map { vectors, include, exclude } => {
            let mut map: Vec<Value> =
                vectors.iter().map(|(k, v)| json!({"Key": k.value, "Value": data_json(v)})).collect();
            for (name, data) in [("include", include), ("exclude", exclude)] {
                map.extend(data.as_ref().map(|data| json!({"Key": name, "Value": data_json(data)})));
            }
            json!({"type": 2, "map": map})
        }
    };
    same(place, "matrix", &got, &matrix);
}

fn compare_step(place: &str, step: &Step, expected: &Value) {
    // GitHub makes ids for steps without one; ours have none.
    let id = expected["id"].as_str().expect("an id");
    if !id.starts_with("__") {
        assert_eq!(step.id.as_ref().map(|id| id.value.as_str()), Some(id), "{place}: id");
    }
    same(place, "step's if", &condition_json(step.condition.as_ref()), &expected["if"]);
    if let Some(name) = expected.get("name") {
        same(place, "step's name", &text_json(step.name.as_ref().expect("a name")), name);
    }
    if let Some(env) = expected.get("env") {
        same(place, "step's env", &env_json(&step.env), env);
    }
    match &step.action {
        StepAction::Run { script, shell, working_directory } => {
            same(place, "run", &text_json(script), &expected["run"]);
            for (name, text) in [("shell", shell), ("working-directory", working_directory)] {
                let got = text.as_ref().map(text_json).unwrap_or_default();
                same(place, name, &got, expected.get(name).unwrap_or(&Value::Null));
            }
        }
        StepAction::Uses { uses, with } => {
            assert_eq!(json!(uses.value), expected["uses"], "{place}: uses");
            let got: Vec<Value> = with.iter().map(|(k, v)| json!({"Key": k.value, "Value": data_json(v)})).collect();
            if let Some(with) = expected.get("with") {
                same(place, "with", &json!({"type": 2, "map": got}), with);
            }
        }
        StepAction::Task { key } => panic!("{place}: a workflow has no typed key \"{key}\""),
    }
    if let Some(timeout) = expected.get("timeout-minutes") {
        same(place, "timeout-minutes", &late_json(step.timeout_minutes.as_ref(), number), timeout);
    }
    if let Some(continue_on_error) = expected.get("continue-on-error") {
        same(place, "continue-on-error", &late_json(step.continue_on_error.as_ref(), |b| json!(b)), continue_on_error);
    }
}

/// Equal, where a text of ours may be a number or boolean of GitHub's: it keeps the letters as written.
fn same(place: &str, what: &str, got: &Value, expected: &Value) {
    assert!(alike(got, expected), "{place}: {what}\n     got {got}\nexpected {expected}");
}

fn alike(got: &Value, expected: &Value) -> bool {
    match (got, expected) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::String(a), Value::String(b)) => {
            // GitHub prints a number in a text's place in its own way: `1.10` is `1.1`, `0xff` is `255`, `True` is `true`.
            a == b || (!core_number(a).is_nan() && Ok(core_number(a)) == b.parse()) || a.to_lowercase() == *b
        }
        (Value::String(a), Value::Number(b)) => Some(core_number(a)) == b.as_f64(),
        (Value::String(a), Value::Bool(b)) => a.to_lowercase() == b.to_string(),
        (Value::String(a), Value::Null) => matches!(a.as_str(), "" | "~" | "null" | "Null" | "NULL"),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b)))
        }
        _ => got == expected,
    }
}

fn expr_json(expr: &str) -> Value {
    json!({"type": 3, "expr": expr.trim()})
}

fn text_json(text: &Text) -> Value {
    match &text.template {
        Template::Literal(text) => json!(**text),
        // GitHub folds a lone literal into its value.
        Template::Expr(expr) if expr.source.trim().starts_with('\'') && expr.paths().is_empty() => {
            expr.evaluate(&NoScope).expect("a constant").to_json()
        }
        Template::Expr(expr) => expr_json(&expr.source),
        Template::Mixed(parts) => {
            let (mut pattern, mut arguments, mut count) = (String::new(), String::new(), 0);
            for part in parts.iter() {
                match part {
                    Part::Text(text) => {
                        pattern.push_str(&text.replace('\'', "''").replace('{', "{{").replace('}', "}}"))
                    }
                    Part::Expr(expr) => {
                        pattern.push_str(&format!("{{{count}}}"));
                        arguments.push_str(&format!(", {}", expr.source.trim()));
                        count += 1;
                    }
                }
            }
            expr_json(&format!("format('{pattern}'{arguments})"))
        }
    }
}

fn condition_json(condition: Option<&slipway::model::Condition>) -> Value {
    let Some(condition) = condition else { return expr_json("success()") };
    let source = condition.expr.source.trim();
    if condition.expr.uses_status_function() {
        expr_json(source)
    } else {
        expr_json(&format!("success() && ({source})"))
    }
}

fn number(number: &f64) -> Value {
    match *number {
        n if n == f64::INFINITY => json!("Infinity"),
        n if n == f64::NEG_INFINITY => json!("-Infinity"),
        n if n.is_nan() => json!("NaN"),
        n => json!(n),
    }
}

fn late_json<T>(late: Option<&Late<T>>, known: impl Fn(&T) -> Value) -> Value {
    match late {
        None => Value::Null,
        Some(Late::Known(value)) => known(&value.value),
        Some(Late::Expr(text)) => text_json(text),
    }
}

fn env_json(env: &EnvMap) -> Value {
    let entries: Vec<Value> = env
        .iter()
        .map(|entry| {
            let key =
                if entry.is_insert() { json!({"type": 4, "directive": "insert"}) } else { json!(entry.name.value) };
            json!({"Key": key, "Value": text_json(&entry.value)})
        })
        .collect();
    json!({"type": 2, "map": entries})
}

fn concurrency_json(concurrency: &Concurrency) -> Value {
    let mut map = vec![json!({"Key": "group", "Value": text_json(&concurrency.group)})];
    if let Some(cancel) = &concurrency.cancel_in_progress {
        map.push(json!({"Key": "cancel-in-progress", "Value": late_json(Some(cancel), |b| json!(b))}));
    }
    if concurrency.queue_max {
        map.push(json!({"Key": "queue", "Value": "max"}));
    }
    if map.len() == 1 {
        return text_json(&concurrency.group);
    }
    json!({"type": 2, "map": map})
}

fn data_json(data: &Data) -> Value {
    match &data.kind {
        DataKind::Scalar(Expression::Number(n)) => number(n),
        DataKind::Scalar(value) => value.to_json(),
        DataKind::Text(text) => text_json(text),
        DataKind::Sequence(items) => json!({"type": 1, "seq": items.iter().map(data_json).collect::<Vec<_>>()}),
        DataKind::Mapping(entries) => {
            let map: Vec<Value> =
                entries.iter().map(|(k, v)| json!({"Key": text_json(k), "Value": data_json(v)})).collect();
            json!({"type": 2, "map": map})
        }
    }
}
