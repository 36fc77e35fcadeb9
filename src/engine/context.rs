//! What all attempts of a run share.

use std::sync::Arc;

use crate::expr::{EvalError, Scope, Value};
use crate::id::RunId;
use crate::plan::contexts::{Base, RunFacts, env_entries, github_of_run, secrets};
use crate::plan::ir::Plan;
use crate::plan::scope::ContextScope;
use crate::secret::{Masker, Secret};

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
        Ok(Self { run, plan, ports, places, settings, masker, reporter, base, secrets, env, event_json })
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

/// Group and `cancel-in-progress` of a `concurrency:`. The group's case does not count.
pub fn group_of(concurrency: &crate::model::Concurrency, scope: &dyn Scope) -> Result<(String, bool), EvalError> {
    let group = concurrency.group.template.evaluate_text(scope)?.to_lowercase();
    if group.trim().is_empty() {
        return Err(EvalError::new("the concurrency group is empty"));
    }
    let cancel = crate::plan::contexts::late_bool(concurrency.cancel_in_progress.as_ref(), scope)?;
    Ok((group, cancel.unwrap_or(false)))
}
