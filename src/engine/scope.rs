//! What expressions of a job and its steps see. Contexts are made when they are asked for: most steps ask for none.

use crate::expr::{EvalError, Scope, StatusFunction, Value};
use crate::plan::contexts;
use crate::stage::Environment;

use super::context::RunContext;
use super::effects::JobProgress;

/// What is fixed for an attempt.
#[derive(Debug, Clone, Default)]
pub struct JobFacts {
    /// `github` in this job.
    pub github: Value,
    /// `needs`.
    pub needs: Value,
    /// `matrix`.
    pub matrix: Value,
    /// `strategy`.
    pub strategy: Value,
    /// `runner`; null before the sandbox is there.
    pub runner: Value,
    /// Containers and services of the `job` context.
    pub containers: Value,
    /// The pipeline's and the job's `env`.
    pub env: Vec<(String, String)>,
    /// The environment that the job belongs to.
    pub environment: Option<Environment>,
    /// `vars` with the environment's.
    pub vars: Option<Value>,
    /// `secrets` that the job may read; before it is known where it belongs, all that no environment names.
    pub secrets: Option<Value>,
}

/// `hashFiles` over a job's files.
pub type HashFiles<'a> = &'a (dyn Fn(&[String]) -> Result<String, EvalError> + Sync);

/// The scope of a job, or of one of its steps.
pub struct JobScope<'a> {
    /// The run.
    pub run: &'a RunContext,
    /// The job.
    pub facts: &'a JobFacts,
    /// What its steps have come to; none before they start.
    pub progress: Option<&'a JobProgress>,
    /// The step's own `env`.
    pub step_env: &'a [(String, String)],
    /// Files, where they are at hand.
    pub hash_files: Option<HashFiles<'a>>,
}

impl<'a> JobScope<'a> {
    /// The scope of the job itself.
    pub fn job(run: &'a RunContext, facts: &'a JobFacts) -> Self {
        Self { run, facts, progress: None, step_env: &[], hash_files: None }
    }
}

impl Scope for JobScope<'_> {
    fn context(&self, name: &str) -> Option<Value> {
        Some(match name {
            "github" => self.facts.github.clone(),
            "inputs" => self.run.base.inputs.clone(),
            "vars" => self.facts.vars.clone().unwrap_or_else(|| self.run.base.vars.clone()),
            "secrets" => self.facts.secrets.clone().unwrap_or_else(|| self.run.secrets.clone()),
            "environment" => super::lend::context(self.facts.environment.as_ref()?),
            // Pods come and go: their names are put in whenever a query is asked.
            "track" => Value::object([("pods", "${{ track.pods }}")].into_iter().collect()),
            "needs" => self.facts.needs.clone(),
            "matrix" => self.facts.matrix.clone(),
            "strategy" => self.facts.strategy.clone(),
            "runner" => self.facts.runner.clone(),
            "env" => {
                let global = self.progress.map_or(&[][..], |progress| &progress.env);
                let all: Vec<_> = [&self.facts.env[..], global, self.step_env].concat();
                contexts::env(&all)
            }
            "steps" => self.progress.map_or(Value::Null, JobProgress::steps),
            "job" => {
                let mut job = match &self.facts.containers {
                    Value::Object(object) => (**object).clone(),
                    _ => crate::expr::Object::new(),
                };
                job.insert("status", self.progress.map_or("success", JobProgress::status));
                Value::object(job)
            }
            _ => return None,
        })
    }

    fn status(&self, function: StatusFunction, _args: &[Value]) -> Result<bool, EvalError> {
        let status = self.progress.map_or("success", JobProgress::status);
        Ok(match function {
            StatusFunction::Success => status == "success",
            StatusFunction::Failure => status == "failure",
            StatusFunction::Cancelled => status == "cancelled",
            StatusFunction::Always => true,
        })
    }

    fn hash_files(&self, patterns: &[String]) -> Result<String, EvalError> {
        match self.hash_files {
            Some(hash) => hash(patterns),
            None => Err(EvalError::new("hashFiles() needs the files of a job")),
        }
    }
}
