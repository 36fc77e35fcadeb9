//! The plan's types. Stages are the file's jobs; a stage has one job (leg) for each combination of its matrix.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::expr::Value;
use crate::id::{JobId, StageId};
use crate::model::{Job, Pipeline};

/// Everything beside the file's text that a plan depends on. Stored with the run; holds no secret value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanInputs {
    /// The file's name as the user gave it, for messages.
    pub file: String,
    /// The file's path from the checkout's root (`.github/workflows/ci.yml`), for `github.workflow_ref`.
    pub path: String,
    /// The event's name, such as `push`.
    pub event_name: String,
    /// The `github` context (with `event` inside), as JSON.
    pub github: serde_json::Value,
    /// The `inputs` context, as JSON.
    pub inputs: serde_json::Value,
    /// The `vars` context, as JSON.
    pub vars: serde_json::Value,
    /// `--env K=V`: wins over the file's `env` at the pipeline's level.
    pub env: Vec<(String, String)>,
    /// Names of the secrets that are given (never values).
    pub secret_names: Vec<String>,
    /// What is selected and where it runs.
    pub selection: Selection,
    /// Where jobs run.
    pub placement: Placement,
    /// Whether an outsider can have written the commit or started the run (a pull request of a fork): then there are no
    /// secrets and environments, and stages that reach outside are skipped.
    #[serde(default)]
    pub untrusted: bool,
}

/// `--stage`, `--from`, `--matrix`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Selection {
    /// Only these stages and what they need; empty means all.
    pub stages: Vec<String>,
    /// These stages and all that depend on them; what they need counts as done.
    pub from: Vec<String>,
    /// Only legs whose values agree (`node:20`): key and value as text.
    pub matrix: Vec<(String, String)>,
}

/// `--runner`, `-P`, `--allow-privileged`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Placement {
    /// Which runner is asked for.
    pub runner: RunnerChoice,
    /// `-P LABEL=IMAGE`.
    pub platforms: Vec<(String, String)>,
    /// Whether options that widen rights are allowed.
    pub allow_privileged: bool,
    /// Whether jobs run in the checkout itself.
    pub in_place: bool,
}

/// `--runner`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunnerChoice {
    /// A stage with an image runs in Docker, one without on the host.
    #[default]
    Auto,
    /// All on the host; images are ignored.
    Host,
    /// All in Docker; a stage without an image is an error.
    Docker,
    /// The scripted runner of the tests.
    Scripted,
}

/// Where a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunnerKind {
    /// Processes of this machine.
    Host,
    /// A container.
    Docker,
    /// Outcomes that a test wrote down.
    Scripted,
    /// Slipway itself: typed stages that run no program.
    Engine,
}

/// An index into [`Plan::stages`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StageIndex(pub u32);

/// The resolved DAG.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The file that it was made from.
    pub pipeline: Arc<Pipeline>,
    /// What else it was made from.
    pub inputs: Arc<PlanInputs>,
    /// The pipeline's name: `name:`, else the file's path.
    pub name: String,
    /// The run's name: `run-name:` evaluated, else the commit's title or the event.
    pub run_name: String,
    /// Stages in file order.
    pub stages: Vec<StagePlan>,
    /// A topological order of all stages, file order where the DAG leaves it open.
    pub order: Vec<StageIndex>,
    /// SHA-256 (hex) of the canonical unexpanded plan: without run id, times, paths and secret values.
    pub hash: String,
}

/// A stage of the plan.
#[derive(Debug, Clone)]
pub struct StagePlan {
    /// Its id.
    pub id: StageId,
    /// What the file says.
    pub job: Arc<Job>,
    /// Whom it waits for (direct needs).
    pub needs: Vec<StageIndex>,
    /// Who waits for it directly.
    pub dependents: Vec<StageIndex>,
    /// Whether `--stage`/`--from` choose it; one that is not chosen counts as succeeded without outputs.
    pub selected: bool,
    /// Its jobs.
    pub legs: Legs,
}

/// The jobs of a stage.
#[derive(Debug, Clone)]
pub enum Legs {
    /// Known when the plan is made (also for a stage without matrix: one leg).
    Fixed(Vec<Leg>),
    /// The matrix reads what is known only when `needs` are done.
    Late,
}

/// A job of a stage.
#[derive(Debug, Clone)]
pub struct Leg {
    /// Its id: the stage's, or `stage.N`.
    pub job: JobId,
    /// What people see: `name:` evaluated as far as it is known, else `test (20, ubuntu)`.
    pub name: String,
    /// The `matrix` context; null without a matrix.
    pub matrix: Value,
}

impl Plan {
    /// The stage at `index`.
    pub fn stage(&self, index: StageIndex) -> &StagePlan {
        &self.stages[index.0 as usize]
    }

    /// The index of the stage called `id`, without regard to case as GitHub has it.
    pub fn find(&self, id: &str) -> Option<StageIndex> {
        let position = self.stages.iter().position(|s| s.id.as_str() == id);
        position
            .or_else(|| self.stages.iter().position(|s| s.id.as_str().eq_ignore_ascii_case(id)))
            .map(|i| StageIndex(i as u32))
    }
}
