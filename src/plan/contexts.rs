//! The contexts as values, and the variables that steps get from them. Pure functions over plain data, so that the engine
//! and the dry run share them.

use std::sync::Arc;

use crate::expr::{EvalError, Object, Scope, Value};
use crate::model::{EnvMap, Job, Late};
use crate::secret::Secret;

use super::ir::PlanInputs;
use super::scope::ContextScope;

/// Keys of `github` that exist only when a run, a job or a step does.
pub const RUN_TIME_KEYS: &[&str] =
    &["run_id", "run_number", "run_attempt", "workspace", "event_path", "token", "action"];

/// What is known before anything runs, made once for a plan and cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Base {
    /// `github`, without what only a run knows.
    pub github: Value,
    /// `inputs`.
    pub inputs: Value,
    /// `vars`.
    pub vars: Value,
}

impl Base {
    /// From a plan's inputs.
    pub fn new(inputs: &PlanInputs) -> Self {
        let object = |json: &serde_json::Value| match Value::from_json(json) {
            Value::Null => Value::object(Object::new()),
            value => value,
        };
        Self { github: object(&inputs.github), inputs: object(&inputs.inputs), vars: object(&inputs.vars) }
    }

    /// A scope with `github`, `inputs` and `vars`.
    pub fn scope(&self) -> ContextScope<'static> {
        let mut scope = ContextScope::default();
        scope.set("github", self.github.clone());
        scope.set("inputs", self.inputs.clone());
        scope.set("vars", self.vars.clone());
        scope
    }
}

/// What a run adds to `github`.
#[derive(Debug, Clone, Default)]
pub struct RunFacts {
    /// `github.run_id`.
    pub run_id: String,
    /// `github.run_number`, from 1.
    pub run_number: u64,
    /// `github.run_attempt`, from 1.
    pub run_attempt: u32,
}

/// `github` of a run, for expressions outside jobs.
pub fn github_of_run(base: &Value, run: &RunFacts) -> Value {
    let mut object = object_of(base);
    object.insert("run_id", run.run_id.as_str());
    object.insert("run_number", run.run_number.to_string());
    object.insert("run_attempt", run.run_attempt.max(1).to_string());
    object.insert("token", "");
    Value::object(object)
}

/// `github` within a job; `workspace` and `event_path` are paths as steps see them.
pub fn github_of_job(run: &Value, job: &str, workspace: &str, event_path: &str) -> Value {
    let mut object = object_of(run);
    object.insert("job", job);
    object.insert("workspace", workspace);
    object.insert("event_path", event_path);
    Value::object(object)
}

/// `github` within a step: `action` is the step's id, else `__run`.
pub fn github_of_step(job: &Value, action: &str) -> Value {
    let mut object = object_of(job);
    object.insert("action", action);
    Value::object(object)
}

/// One of `needs`.
#[derive(Debug, Clone)]
pub struct Need {
    /// The stage's id.
    pub id: String,
    /// `success`, `failure`, `cancelled` or `skipped`.
    pub result: String,
    /// Its outputs.
    pub outputs: Vec<(String, String)>,
}

/// `needs`, of direct needs.
pub fn needs(list: impl IntoIterator<Item = Need>) -> Value {
    let one = |need: Need| {
        let outputs: Object = need.outputs.into_iter().map(|(k, v)| (k, Value::from(v))).collect();
        let object: Object = [("result", Value::from(need.result)), ("outputs", outputs.into())].into_iter().collect();
        (need.id, Value::object(object))
    };
    Value::object(list.into_iter().map(one).collect())
}

/// `strategy`; `index` counts from 0.
pub fn strategy(fail_fast: bool, index: usize, total: usize, max_parallel: usize) -> Value {
    let object: Object = [
        ("fail-fast", Value::Bool(fail_fast)),
        ("job-index", Value::Number(index as f64)),
        ("job-total", Value::Number(total as f64)),
        ("max-parallel", Value::Number(max_parallel as f64)),
    ]
    .into_iter()
    .collect();
    Value::object(object)
}

/// `strategy` of leg `index` of `total` of `job`: `fail-fast` and `max-parallel` evaluated in `scope`.
pub fn strategy_of(job: &Job, index: usize, total: usize, scope: &dyn Scope) -> Result<Value, EvalError> {
    let given = job.strategy.as_ref();
    let fail_fast = late_bool(given.and_then(|s| s.fail_fast.as_ref()), scope)?.unwrap_or(true);
    let max = late_number(given.and_then(|s| s.max_parallel.as_ref()), scope)?;
    let max = max.filter(|n| *n >= 1.0).map_or(total, |n| n as usize);
    Ok(strategy(fail_fast, index, total, max))
}

/// A boolean that may be an expression; what is no boolean is an error, as on GitHub.
pub fn late_bool(late: Option<&Late<bool>>, scope: &dyn Scope) -> Result<Option<bool>, EvalError> {
    match late {
        None => Ok(None),
        Some(Late::Known(value)) => Ok(Some(value.value)),
        Some(Late::Expr(text)) => match text.template.evaluate(scope)? {
            Value::Bool(value) => Ok(Some(value)),
            Value::String(word) if &*word == "true" => Ok(Some(true)),
            Value::String(word) if &*word == "false" || word.is_empty() => Ok(Some(false)),
            Value::Null => Ok(None),
            other => Err(wrong(&text.template.source(), "true or false", &other)),
        },
    }
}

/// A number that may be an expression.
pub fn late_number(late: Option<&Late<f64>>, scope: &dyn Scope) -> Result<Option<f64>, EvalError> {
    match late {
        None => Ok(None),
        Some(Late::Known(value)) => Ok(Some(value.value)),
        Some(Late::Expr(text)) => match text.template.evaluate(scope)? {
            Value::Null => Ok(None),
            value => match value.to_number() {
                number if number.is_finite() => Ok(Some(number)),
                _ => Err(wrong(&text.template.source(), "a number", &value)),
            },
        },
    }
}

fn wrong(source: &str, wanted: &str, value: &Value) -> EvalError {
    EvalError::new(format!("`{source}` must give {wanted}, but it gives {}", super::condition::shown(value)))
}

/// What `runner` says.
#[derive(Debug, Clone, Default)]
pub struct RunnerFacts {
    /// The runner's name.
    pub name: String,
    /// The architecture as Rust names it (`x86_64`, `aarch64`).
    pub arch: String,
    /// Temp folder as steps see it.
    pub temp: String,
    /// Tool cache as steps see it.
    pub tool_cache: String,
    /// Whether debug output is wanted (`ACTIONS_STEP_DEBUG`).
    pub debug: bool,
}

/// `runner`.
pub fn runner(facts: &RunnerFacts) -> Value {
    let arch = match facts.arch.as_str() {
        "x86_64" => "X64",
        "x86" => "X86",
        "aarch64" => "ARM64",
        "arm" => "ARM",
        other => other,
    };
    let mut object = Object::new();
    object.insert("os", "Linux");
    object.insert("arch", arch);
    object.insert("name", facts.name.as_str());
    object.insert("environment", "self-hosted");
    object.insert("temp", facts.temp.as_str());
    object.insert("tool_cache", facts.tool_cache.as_str());
    if facts.debug {
        object.insert("debug", "1");
    }
    Value::object(object)
}

/// `env`: names are told apart by case; later entries win.
pub fn env(entries: &[(String, String)]) -> Value {
    let mut object = Object::case_sensitive();
    for (name, value) in entries {
        object.insert(name.as_str(), value.as_str());
    }
    Value::object(object)
}

/// `secrets` with their values.
pub fn secrets(list: &[(String, Secret)]) -> Value {
    Value::object(list.iter().map(|(name, secret)| (name.as_str(), Value::from(secret.expose()))).collect())
}

/// An `env:` map in `scope`, `${{ insert }}` included, in file order.
pub fn env_entries(map: &EnvMap, scope: &dyn Scope) -> Result<Vec<(String, String)>, EvalError> {
    let mut entries = Vec::with_capacity(map.len());
    for entry in map {
        if !entry.is_insert() {
            entries.push((entry.name.value.clone(), entry.value.template.evaluate_text(scope)?));
            continue;
        }
        match entry.value.template.evaluate(scope)? {
            Value::Object(object) => entries.extend(object.iter().map(|(k, v)| (k.to_string(), v.to_text()))),
            Value::Null => {}
            other => return Err(wrong(&entry.value.template.source(), "an object", &other)),
        }
    }
    Ok(entries)
}

/// Keys of `github` that steps get as `GITHUB_*` (runners.md 3.5.4). The token is not among them.
const EXPORTED: &[&str] = &[
    "action",
    "action_path",
    "action_ref",
    "action_repository",
    "actor",
    "actor_id",
    "api_url",
    "base_ref",
    "event_name",
    "event_path",
    "graphql_url",
    "head_ref",
    "job",
    "ref",
    "ref_name",
    "ref_protected",
    "ref_type",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "retention_days",
    "run_attempt",
    "run_id",
    "run_number",
    "server_url",
    "sha",
    "triggering_actor",
    "workflow",
    "workflow_ref",
    "workflow_sha",
    "workspace",
];

/// `GITHUB_*`, `RUNNER_*` and `CI` of a step, from its contexts. `files` are the paths of the step's file commands by name:
/// `("ENV", path)`, `OUTPUT`, `PATH`, `STATE`, `STEP_SUMMARY`.
pub fn github_env(github: &Value, runner: &Value, files: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut out = vec![("CI".to_owned(), "true".to_owned()), ("GITHUB_ACTIONS".to_owned(), "true".to_owned())];
    for key in EXPORTED {
        if let Value::Object(object) = github
            && let Some(value) = object.get(key)
            && value.is_primitive()
        {
            out.push((format!("GITHUB_{}", key.to_ascii_uppercase()), value.to_text()));
        }
    }
    for (name, path) in files {
        out.push((format!("GITHUB_{name}"), (*path).to_owned()));
    }
    for key in ["os", "arch", "name", "temp", "tool_cache", "environment", "debug"] {
        let value = runner.get(key);
        if !matches!(value, Value::Null) {
            out.push((format!("RUNNER_{}", key.to_ascii_uppercase()), value.to_text()));
        }
    }
    let workspace = github.get("workspace").to_text();
    if let Some((parent, _)) = workspace.rsplit_once('/') {
        out.push(("RUNNER_WORKSPACE".to_owned(), if parent.is_empty() { "/" } else { parent }.to_owned()));
    }
    out
}

fn object_of(value: &Value) -> Object {
    match value {
        Value::Object(object) => Arc::unwrap_or_clone(object.clone()),
        _ => Object::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_step_gets_githubs_variables_and_no_token() {
        let base = Value::from_json(&json!({"ref": "refs/heads/main", "event": {"a": 1}, "ref_protected": false}));
        let run = github_of_run(&base, &RunFacts { run_id: "r1".into(), run_number: 7, run_attempt: 1 });
        let job = github_of_job(&run, "test", "/w/demo", "/t/event.json");
        let github = github_of_step(&job, "__run");
        let runner = runner(&RunnerFacts { arch: "x86_64".into(), name: "host".into(), ..RunnerFacts::default() });
        let env = github_env(&github, &runner, &[("OUTPUT", "/t/out")]);
        let get = |name: &str| env.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
        assert_eq!(get("CI"), Some("true"));
        assert_eq!(get("GITHUB_REF"), Some("refs/heads/main"));
        assert_eq!(get("GITHUB_REF_PROTECTED"), Some("false"));
        assert_eq!(get("GITHUB_RUN_NUMBER"), Some("7"));
        assert_eq!(get("GITHUB_JOB"), Some("test"));
        assert_eq!(get("GITHUB_ACTION"), Some("__run"));
        assert_eq!(get("GITHUB_OUTPUT"), Some("/t/out"));
        assert_eq!(get("RUNNER_ARCH"), Some("X64"));
        assert_eq!(get("RUNNER_WORKSPACE"), Some("/w"));
        assert_eq!(get("GITHUB_EVENT"), None);
        assert_eq!(get("GITHUB_TOKEN"), None);
    }

    #[test]
    fn env_is_case_sensitive_and_needs_are_not() {
        let env = env(&[("A".into(), "1".into()), ("a".into(), "2".into())]);
        assert_eq!((env.get("A").to_text(), env.get("a").to_text()), ("1".into(), "2".into()));
        let needs =
            needs([Need { id: "Build".into(), result: "success".into(), outputs: vec![("x".into(), "y".into())] }]);
        assert_eq!(needs.get("build").get("outputs").get("X").to_text(), "y");
    }
}
