//! Matrices: GitHub's rules (runners.md 3.4), at plan time and again when `needs` are done.

use std::sync::Arc;

use crate::expr::{EvalError, Object, Scope, Value};
use crate::id::{JobId, StageId};
use crate::model::{Job, Matrix, MatrixSource};

use super::ir::Leg;

/// A matrix has at most so many legs, as on GitHub.
pub const MAX_LEGS: usize = 256;

/// Vectors may multiply to this many combinations before `exclude` takes away; more is refused before anything is made.
const MAX_COMBINATIONS: usize = 16_384;

/// Objects within a matrix are compared and named to this depth.
const MAX_DEPTH: usize = 50;

/// GitHub cuts the names of jobs here.
const MAX_NAME: usize = 100;

/// The legs of `matrix` in `scope`. At most [`MAX_LEGS`]; an error says which part of the matrix is wrong. Names are
/// GitHub's defaults (`test (20, ubuntu)`); [`super::compile::name_leg`] applies the job's `name:`.
pub fn expand(stage: &StageId, matrix: &Matrix, scope: &dyn Scope) -> Result<Vec<Leg>, EvalError> {
    let parts = evaluate(matrix, scope)?;
    let mut legs = Vec::new();
    for (at, row) in rows(&parts)?.into_iter().enumerate() {
        let name = name(stage, row.named.iter());
        legs.push(Leg { job: JobId::new(stage, Some(at + 1)), name, matrix: Value::object(row.object) });
    }
    Ok(legs)
}

/// Legs again from their `matrix` contexts (as `JobsExpanded` keeps them), in the same order, with default names.
pub fn restore(job: &Job, matrices: &[Value]) -> Vec<Leg> {
    let stage = StageId::from(job.id.value.as_str());
    let vectors: Vec<&str> = match job.strategy.as_ref().and_then(|s| s.matrix.as_ref()).map(|m| &m.source) {
        Some(MatrixSource::Map { vectors, .. }) => vectors.iter().map(|(key, _)| key.value.as_str()).collect(),
        _ => Vec::new(),
    };
    let one = |(at, matrix): (usize, &Value)| {
        let mut named: Vec<Value> = vectors.iter().map(|key| matrix.get(key)).collect();
        if let (true, Value::Object(object)) = (named.is_empty(), matrix) {
            named = object.iter().map(|(_, value)| value.clone()).collect();
        }
        Leg { job: JobId::new(&stage, Some(at + 1)), name: name(&stage, named.iter()), matrix: matrix.clone() }
    };
    matrices.iter().enumerate().map(one).collect()
}

/// A matrix, evaluated.
struct Parts {
    vectors: Vec<(Arc<str>, Arc<Vec<Value>>)>,
    include: Vec<Arc<Object>>,
    exclude: Vec<Arc<Object>>,
}

/// A leg to be.
struct Row {
    object: Object,
    /// What its name shows.
    named: Vec<Value>,
}

fn evaluate(matrix: &Matrix, scope: &dyn Scope) -> Result<Parts, EvalError> {
    let mut parts = Parts { vectors: Vec::new(), include: Vec::new(), exclude: Vec::new() };
    match &matrix.source {
        MatrixSource::Expr(text) => {
            let value = text.template.evaluate(scope)?;
            let Value::Object(object) = &value else {
                return Err(EvalError::new(format!(
                    "the matrix must be an object, but `{}` gives {}",
                    text.template.source(),
                    kind(&value)
                )));
            };
            for (key, value) in object.iter() {
                if key.eq_ignore_ascii_case("include") {
                    parts.include = items("include", value)?;
                } else if key.eq_ignore_ascii_case("exclude") {
                    parts.exclude = items("exclude", value)?;
                } else {
                    parts.vectors.push((key.clone(), vector(key, value)?));
                }
            }
        }
        MatrixSource::Map { vectors, include, exclude } => {
            for (key, data) in vectors {
                let value = data.evaluate(scope)?;
                parts.vectors.push((key.value.as_str().into(), vector(&key.value, &value)?));
            }
            if let Some(data) = include {
                parts.include = items("include", &data.evaluate(scope)?)?;
            }
            if let Some(data) = exclude {
                parts.exclude = items("exclude", &data.evaluate(scope)?)?;
            }
        }
    }
    Ok(parts)
}

fn vector(key: &str, value: &Value) -> Result<Arc<Vec<Value>>, EvalError> {
    match value {
        Value::Array(items) if items.is_empty() => {
            Err(EvalError::new(format!("the matrix vector \"{key}\" does not contain any values")))
        }
        Value::Array(items) => Ok(items.clone()),
        other => Err(EvalError::new(format!("the matrix vector \"{key}\" must be a list, but it is {}", kind(other)))),
    }
}

fn items(key: &str, value: &Value) -> Result<Vec<Arc<Object>>, EvalError> {
    let list = match value {
        Value::Array(items) => items,
        // An expression that gave nothing adds nothing.
        Value::Null => return Ok(Vec::new()),
        other => {
            return Err(EvalError::new(format!("\"{key}\" of the matrix must be a list, but it is {}", kind(other))));
        }
    };
    if list.len() > MAX_COMBINATIONS {
        return Err(EvalError::new(format!(
            "\"{key}\" of the matrix has {} items; at most {MAX_COMBINATIONS} are read",
            list.len()
        )));
    }
    let item = |value: &Value| match value {
        Value::Object(object) if object.is_empty() => {
            Err(EvalError::new(format!("\"{key}\" of the matrix has an empty item")))
        }
        Value::Object(object) => Ok(object.clone()),
        other => {
            Err(EvalError::new(format!("an item of \"{key}\" of the matrix must be a map, but it is {}", kind(other))))
        }
    };
    list.iter().map(item).collect()
}

fn rows(parts: &Parts) -> Result<Vec<Row>, EvalError> {
    let is_vector = |key: &str| parts.vectors.iter().any(|(vector, _)| vector.eq_ignore_ascii_case(key));
    for item in &parts.exclude {
        if let Some((key, _)) = item.iter().find(|(key, _)| !is_vector(key)) {
            return Err(EvalError::new(format!(
                "the matrix exclude key \"{key}\" does not match any key within the matrix"
            )));
        }
    }
    let count = parts.vectors.iter().try_fold(1_usize, |n, (_, values)| n.checked_mul(values.len()));
    let count = count.filter(|n| *n <= MAX_COMBINATIONS).ok_or_else(|| {
        EvalError::new(format!("the matrix multiplies to more than {MAX_COMBINATIONS} combinations; split the stage"))
    })?;
    // Without vectors there is no combination that an include could be added to.
    let count = if parts.vectors.is_empty() { 0 } else { count };
    let mut survivors: Vec<Object> = Vec::new();
    for at in 0..count {
        let combination = combination(parts, at);
        if !parts.exclude.iter().any(|filter| matches_all(filter.iter(), &combination)) {
            survivors.push(combination);
            if survivors.len() > MAX_LEGS {
                return Err(too_many());
            }
        }
    }
    let originals = survivors.clone();
    let mut unmatched: Vec<&Arc<Object>> = Vec::new();
    for include in &parts.include {
        let filter = || include.iter().filter(|(key, _)| is_vector(key));
        let mut found = false;
        for (original, row) in originals.iter().zip(&mut survivors) {
            if matches_all(filter(), original) {
                found = true;
                for (key, value) in include.iter().filter(|(key, _)| !is_vector(key)) {
                    row.insert(key.clone(), value.clone());
                }
            }
        }
        if !found {
            unmatched.push(include);
            if survivors.len() + unmatched.len() > MAX_LEGS {
                return Err(too_many());
            }
        }
    }
    let named =
        |object: &Object| parts.vectors.iter().map(|(key, _)| object.get(key).cloned().unwrap_or_default()).collect();
    let mut rows: Vec<Row> = survivors.into_iter().map(|object| Row { named: named(&object), object }).collect();
    for include in unmatched {
        let named = include.iter().map(|(_, value)| value.clone()).collect();
        rows.push(Row { object: (**include).clone(), named });
    }
    if rows.is_empty() {
        return Err(EvalError::new("the matrix gives no job: it has no vector and no include, or all is excluded"));
    }
    Ok(rows)
}

fn too_many() -> EvalError {
    EvalError::new(format!(
        "the matrix gives more than {MAX_LEGS} jobs, which is the most that is allowed; split the stage"
    ))
}

/// Combination `at` of the cross product, in which the last vector is the fastest.
fn combination(parts: &Parts, mut at: usize) -> Object {
    let mut picked: Vec<usize> = Vec::with_capacity(parts.vectors.len());
    for (_, values) in parts.vectors.iter().rev() {
        picked.push(at % values.len());
        at /= values.len();
    }
    parts
        .vectors
        .iter()
        .zip(picked.iter().rev())
        .map(|((key, values), pick)| (key.clone(), values[*pick].clone()))
        .collect()
}

/// Whether every leaf of the filter equals what stands at its path.
fn matches_all<'a>(mut filter: impl Iterator<Item = (&'a Arc<str>, &'a Value)>, combination: &Object) -> bool {
    filter.all(|(key, wanted)| combination.get(key).is_some_and(|value| matches(wanted, value, 0)))
}

fn matches(wanted: &Value, value: &Value, depth: usize) -> bool {
    if depth > MAX_DEPTH {
        return false;
    }
    match (wanted, value) {
        (Value::Object(wanted), Value::Object(value)) => {
            wanted.iter().all(|(key, w)| value.get(key).is_some_and(|v| matches(w, v, depth + 1)))
        }
        (Value::Array(wanted), Value::Array(value)) => {
            wanted.len() <= value.len() && wanted.iter().zip(value.iter()).all(|(w, v)| matches(w, v, depth + 1))
        }
        (Value::Object(_) | Value::Array(_), _) | (_, Value::Object(_) | Value::Array(_)) => false,
        _ => wanted.loose_eq(value),
    }
}

/// `stage (v1, v2)`; objects and lists by their leaves; without any value the stage alone.
fn name<'a>(stage: &StageId, values: impl Iterator<Item = &'a Value>) -> String {
    let mut leaves = Vec::new();
    values.for_each(|value| collect_leaves(value, &mut leaves, 0));
    if leaves.is_empty() {
        return stage.to_string();
    }
    let name = format!("{stage} ({})", leaves.join(", "));
    if name.chars().count() <= MAX_NAME {
        return name;
    }
    name.chars().take(MAX_NAME - 3).chain("...".chars()).collect()
}

fn collect_leaves(value: &Value, out: &mut Vec<String>, depth: usize) {
    match value {
        _ if depth > MAX_DEPTH || out.len() > MAX_NAME => {}
        Value::Array(items) => items.iter().for_each(|item| collect_leaves(item, out, depth + 1)),
        Value::Object(object) => object.iter().for_each(|(_, value)| collect_leaves(value, out, depth + 1)),
        _ => {
            let text = value.to_text();
            if !text.is_empty() {
                out.push(text);
            }
        }
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        other => format!("of kind \"{}\"", other.kind().to_lowercase()),
    }
}

#[cfg(test)]
#[path = "expand_tests.rs"]
mod tests;
