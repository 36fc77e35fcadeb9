//! What steps run, as the file says it, for `--verbose`: scripts, and the names (never values) of their environment.

use std::collections::HashMap;
use std::sync::Arc;

use crate::id::{StageId, StepKey};
use crate::model::{EnvMap, Job, StepAction};
use crate::plan::ir::Plan;

/// Scripts by step.
#[derive(Debug, Clone, Default)]
pub struct Commands {
    jobs: HashMap<StageId, Arc<Job>>,
    env: Vec<String>,
}

impl Commands {
    /// Of all stages of `plan`.
    pub fn of_plan(plan: &Plan) -> Self {
        Self {
            jobs: plan.stages.iter().map(|s| (s.id.clone(), s.job.clone())).collect(),
            env: names(&plan.pipeline.env).collect(),
        }
    }

    /// `$ npm test` a line, and `env: CI, NODE_ENV`. Expressions stand as they were written.
    pub fn of(&self, key: &StepKey) -> Vec<String> {
        let Some(job) = self.jobs.get(&key.job.stage()) else { return Vec::new() };
        let Some(step) = job.steps.get(key.step as usize) else { return Vec::new() };
        let mut lines: Vec<String> = match &step.action {
            StepAction::Run { script, .. } => {
                script.template.source().trim_end().lines().map(|l| format!("$ {l}")).collect()
            }
            StepAction::Uses { uses, .. } => vec![format!("uses {}", uses.value)],
            StepAction::Task { .. } => Vec::new(),
        };
        let mut env: Vec<String> = self.env.clone();
        for name in names(&job.env).chain(names(&step.env)) {
            if !env.contains(&name) {
                env.push(name);
            }
        }
        if !env.is_empty() {
            lines.push(format!("env: {}", env.join(", ")));
        }
        lines
    }
}

fn names(env: &EnvMap) -> impl Iterator<Item = String> {
    env.iter().map(|entry| entry.name.value.clone())
}
