//! What an environment lends to the stages that belong to it, and which runs may use it.

use crate::expr::{EvalError, Object, Scope, Value};
use crate::model::Job;
use crate::plan::glob::{chosen, compile};
use crate::stage::{Environment, LentSecrets};

use super::context::RunContext;
use super::scope::JobFacts;

/// The name of the environment that `job` belongs to: its `environment`, or the one that its `deploy` names.
pub fn name_of(job: &Job, scope: &dyn Scope) -> Result<Option<String>, EvalError> {
    if let Some(environment) = &job.environment {
        let name = environment.name.template.evaluate_text(scope)?;
        return Ok(Some(name.trim().to_owned()).filter(|name| !name.is_empty()));
    }
    let typed = job.typed.as_ref().filter(|typed| typed.key.value == "deploy");
    let Some((text, _)) = typed.and_then(|typed| typed.node.get("environment")).and_then(|node| node.scalar()) else {
        return Ok(None);
    };
    let template = crate::expr::Template::parse(text).map_err(|error| EvalError::new(error.message))?;
    Ok(Some(template.evaluate_text(scope)?).filter(|name| !name.is_empty()))
}

/// Puts the environment's loans into `facts`: `vars` joined, `secrets` that it lends, the `environment` context. An error says
/// why this run may not use it.
pub fn lend(run: &RunContext, facts: &mut JobFacts, name: Option<&str>) -> Result<(), String> {
    let environment = name.map(|name| run.environment(name));
    // Where no environment names a secret, all stages read all of them.
    if run.environments.iter().any(|one| matches!(one.secrets, LentSecrets::Named(_))) {
        facts.secrets = Some(secrets_for(run, environment.as_ref()));
    }
    let Some(environment) = environment else { return Ok(()) };
    let branch = run.base.github.get("ref_name").to_text();
    let patterns = compile(environment.branches.iter().map(String::as_str));
    if !patterns.is_empty() && !chosen(patterns.iter(), &branch) {
        return Err(format!(
            "environment \"{}\" is only for runs of {}; this one is of \"{branch}\"",
            environment.name,
            environment.branches.join(", ")
        ));
    }
    facts.vars = Some(vars(&run.base.vars, &environment));
    facts.environment = Some(environment);
    Ok(())
}

/// A secret that an environment names is only for its own stages.
fn secrets_for(run: &RunContext, own: Option<&Environment>) -> Value {
    let lends = |environment: &Environment, name: &str| match &environment.secrets {
        LentSecrets::All => false,
        LentSecrets::Named(names) => names.iter().any(|lent| lent.eq_ignore_ascii_case(name)),
    };
    let Value::Object(all) = &run.secrets else { return run.secrets.clone() };
    let may = |name: &str| {
        own.is_some_and(|own| lends(own, name)) || !run.environments.iter().any(|other| lends(other, name))
    };
    Value::object(
        all.iter().filter(|(name, _)| may(name)).map(|(name, value)| (name.to_string(), value.clone())).collect(),
    )
}

/// `vars` with the environment's.
pub fn vars(base: &Value, environment: &Environment) -> Value {
    let mut vars = match base {
        Value::Object(object) => (**object).clone(),
        _ => Object::new(),
    };
    for (key, value) in &environment.vars {
        vars.insert(key.as_str(), value.as_str());
    }
    Value::object(vars)
}

/// The `environment` context.
pub fn context(environment: &Environment) -> Value {
    let mut object = Object::new();
    object.insert("name", environment.name.as_str());
    object.insert("url", environment.url.as_deref().unwrap_or_default());
    object.insert("namespace", environment.namespace.as_deref().unwrap_or_default());
    Value::object(object)
}
