//! What all attempts of a run share.

use std::sync::Arc;

use crate::diagnostic::Diagnostics;
use crate::expr::{EvalError, Scope, Value};
use crate::id::RunId;
use crate::plan::contexts::{Base, RunFacts, env_entries, github_of_run, secrets};
use crate::plan::ir::Plan;
use crate::plan::scope::ContextScope;
use crate::secret::{Masker, Secret};
use crate::stage::settings::{Reader, evaluated};
use crate::stage::{Environment, Incident};
use crate::state::RunState;

use super::desk::Desk;
use super::message::Reporter;
use super::ports::{Places, Ports, Settings};

/// Shared by the loop and all attempts of one run.
pub struct RunContext {
    /// The run.
    pub run: RunId,
    /// Its plan.
    pub plan: Arc<Plan>,
    /// Adapters.
    pub ports: Ports,
    /// Folders.
    pub places: Places,
    /// How it goes.
    pub settings: Settings,
    /// What is masked; grows.
    pub masker: Masker,
    /// The way to the loop.
    pub reporter: Reporter,
    /// `github`, `inputs`, `vars` of this run.
    pub base: Base,
    /// The `secrets` context.
    pub secrets: Value,
    /// The pipeline's `env`, then `--env`, evaluated.
    pub env: Vec<(String, String)>,
    /// `github.event` as a file's content.
    pub event_json: Arc<str>,
    /// Environments: the file's, under the user's or the server's.
    pub environments: Vec<Environment>,
    /// `incident` of the file.
    pub incident: Incident,
    /// Decisions and orders.
    pub desk: Desk,
}

impl RunContext {
    /// Prepares the run's contexts: registers the secrets with the masker and evaluates the pipeline's `env`.
    #[expect(clippy::too_many_arguments, reason = "each is a thing of its own, given once")]
    pub fn new(
        run: RunId,
        plan: Arc<Plan>,
        ports: Ports,
        places: Places,
        settings: Settings,
        secret_values: &[(String, Secret)],
        numbers: &RunFacts,
        reporter: Reporter,
        environments: &[Environment],
        state: &RunState,
    ) -> Result<Self, EvalError> {
        let masker = Masker::new();
        for (_, secret) in secret_values {
            masker.add(secret.expose());
        }
        let mut base = Base::new(&plan.inputs);
        base.github = github_of_run(&base.github, numbers);
        let secrets = secrets(secret_values);
        let mut scope = base.scope();
        scope.set("secrets", secrets.clone());
        let mut env = env_entries(&plan.pipeline.env, &scope)?;
        env.extend(plan.inputs.env.iter().cloned());
        let event_json = base.github.get("event").to_json().to_string().into();
        scope.set("env", crate::plan::contexts::env(&env));
        let environments = merged(&plan, &scope, environments)?;
        let incident = incident(&plan, &scope)?;
        let desk = Desk::of(state);
        Ok(Self {
            run,
            plan,
            ports,
            places,
            settings,
            masker,
            reporter,
            base,
            secrets,
            env,
            event_json,
            environments,
            incident,
            desk,
        })
    }

    /// The environment called `name`; one that nothing defines is empty.
    pub fn environment(&self, name: &str) -> Environment {
        let found = self.environments.iter().find(|environment| environment.name == name);
        found.cloned().unwrap_or_else(|| Environment { name: name.to_owned(), ..Environment::default() })
    }

    /// A scope with `github`, `inputs`, `vars`, `secrets` and the pipeline's `env`.
    pub fn scope(&self) -> ContextScope<'static> {
        let mut scope = self.base.scope();
        scope.set("secrets", self.secrets.clone());
        scope.set("env", crate::plan::contexts::env(&self.env));
        scope
    }

    /// Evaluates the pipeline's `concurrency`: group, and whether to cancel who holds it.
    pub fn concurrency(&self) -> Result<Option<(String, bool)>, EvalError> {
        let Some(concurrency) = &self.plan.pipeline.concurrency else { return Ok(None) };
        group_of(concurrency, &self.base.scope()).map(Some)
    }
}

/// The file's environments, evaluated, under `over`.
pub fn merged(plan: &Plan, scope: &dyn Scope, over: &[Environment]) -> Result<Vec<Environment>, EvalError> {
    let mut environments = Vec::new();
    if let Some(node) = &plan.pipeline.environments {
        let node =
            evaluated(node, &mut |template| template.evaluate(scope).map_err(|e| e.message)).map_err(EvalError::new)?;
        let mut diagnostics = Diagnostics::new(plan.pipeline.source.clone());
        environments = Environment::read_all(&node, &mut diagnostics, false);
        first_error(&diagnostics)?;
    }
    for one in over {
        match environments.iter().position(|own| own.name == one.name) {
            Some(at) => environments[at] = environments[at].clone().under(one),
            None => environments.push(one.clone()),
        }
    }
    Ok(environments)
}

fn incident(plan: &Plan, scope: &dyn Scope) -> Result<Incident, EvalError> {
    let Some(node) = &plan.pipeline.incident else { return Ok(Incident::default()) };
    let node =
        evaluated(node, &mut |template| template.evaluate(scope).map_err(|e| e.message)).map_err(EvalError::new)?;
    let mut diagnostics = Diagnostics::new(plan.pipeline.source.clone());
    let incident = Incident::read(&mut Reader::of_values(&mut diagnostics), &node);
    first_error(&diagnostics)?;
    Ok(incident.unwrap_or_default())
}

fn first_error(diagnostics: &Diagnostics) -> Result<(), EvalError> {
    match diagnostics.list.first() {
        Some(first) => Err(EvalError::new(first.message.clone())),
        None => Ok(()),
    }
}

/// Group and `cancel-in-progress` of a `concurrency:`. The group's case does not count.
pub fn group_of(concurrency: &crate::model::Concurrency, scope: &dyn Scope) -> Result<(String, bool), EvalError> {
    let group = concurrency.group.template.evaluate_text(scope)?.to_lowercase();
    if group.trim().is_empty() {
        return Err(EvalError::new("the concurrency group is empty"));
    }
    let cancel = crate::plan::contexts::late_bool(concurrency.cancel_in_progress.as_ref(), scope)?;
    Ok((group, cancel.unwrap_or(false)))
}
