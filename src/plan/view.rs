//! The dry run as data: what a run would do, stage by stage in the order of the DAG. The text for people
//! (`report::plan`) and the JSON of `slipway plan --format json` are made from it. No value of a secret is in it.

use serde::{Deserialize, Serialize};

/// The version of the JSON form. A new field does not change it.
pub const VERSION: u32 = 1;

/// A plan as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanView {
    /// The pipeline's name.
    pub name: String,
    /// The file as the user named it.
    pub file: String,
    /// The run's name.
    pub run_name: String,
    /// The event.
    pub event: String,
    /// `github.ref`; empty outside git.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The commit.
    pub sha: String,
    /// The plan's hash, which an approval holds on to.
    pub hash: String,
    /// Stages in the order of the DAG; without those that are not selected.
    pub stages: Vec<StageView>,
    /// Stages that `--stage` or `--from` leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_selected: Vec<String>,
}

/// A stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StageView {
    /// Its id.
    pub stage: String,
    /// Whom it waits for.
    pub needs: Vec<String>,
    /// `if:` as written.
    #[serde(rename = "if", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Whether it runs.
    pub when: When,
    /// Its jobs; `None` when the matrix waits for `needs`.
    pub jobs: Option<Vec<JobView>>,
    /// What each of its jobs does, when the matrix waits: `matrix` is not known in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each_job: Option<Box<JobView>>,
    /// What its matrix waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matrix_waits_for: Vec<String>,
    /// How many of its jobs run at once, when that is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<Shown>,
    /// How many more attempts, and upon what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryView>,
    /// Everything that cannot be known before the run, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_known_yet: Vec<String>,
}

/// Whether something runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum When {
    /// It runs if all goes well.
    Runs,
    /// It does not.
    Skipped {
        /// The condition with the values that it saw.
        why: String,
    },
    /// That is not known yet.
    Unknown {
        /// What it waits for.
        why: String,
    },
}

impl When {
    /// Not known before `name` is.
    pub fn waits(name: &str) -> Self {
        When::Unknown { why: format!("waits for {name}") }
    }
}

/// A text with what is known put in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The text; what is not known yet stands there as `${{ }}`, secrets as `***`.
    pub text: String,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
}

impl Shown {
    /// A text that is known.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), waits_for: Vec::new() }
    }
}

/// An environment variable, an output, an input of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(flatten)]
    pub value: Shown,
}

/// `retry:`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RetryView {
    /// How many attempts more.
    pub max: u32,
    /// Upon what: `lost`, `timeout`, `failure`.
    pub on: Vec<String>,
}

/// A job: a leg of a stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobView {
    /// Its id.
    pub job: String,
    /// What people see.
    pub name: String,
    /// The matrix' values; null without one.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub matrix: serde_json::Value,
    /// Where it runs.
    pub place: PlaceView,
    /// Its services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ContainerView>,
    /// Its environment: the file's, `--env`, its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<Variable>,
    /// Its time limit in minutes.
    pub timeout_minutes: Shown,
    /// Whether its failure counts, when that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continue_on_error: Option<Shown>,
    /// Its concurrency group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Shown>,
    /// Its environment's name (`environment:`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Shown>,
    /// Its steps.
    pub steps: Vec<StepView>,
    /// Files that are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Shown>,
    /// Folders that are kept between runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache: Vec<CacheView>,
    /// JUnit files that are read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub junit: Vec<Shown>,
    /// Its outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Variable>,
}

/// Where a job runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PlaceView {
    /// `host`, `docker` or `scripted`; `None` when that is not known yet, or cannot be.
    pub runner: Option<String>,
    /// The image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Why there, or what it waits for.
    pub why: String,
    /// The container's settings beside its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerView>,
    /// Whether it gets a network of its own.
    pub own_network: bool,
}

/// A container of a job or a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerView {
    /// A service's id; empty for the job's own container.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Its image.
    pub image: Shown,
    /// Its environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<Variable>,
    /// Its ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Shown>,
    /// Its volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Shown>,
    /// Its options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Shown>,
    /// Its command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<Shown>,
}

/// `cache:`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CacheView {
    /// The key.
    pub key: Shown,
    /// What is kept.
    pub paths: Vec<Shown>,
    /// Keys that do as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restore_keys: Vec<Shown>,
}

/// A step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepView {
    /// From 1.
    pub number: usize,
    /// `id:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `name:`, when it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Shown>,
    /// `if:` as written.
    #[serde(rename = "if", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Whether it runs.
    pub when: When,
    /// Its own environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<Variable>,
    /// What it does.
    #[serde(flatten)]
    pub action: ActionView,
    /// Its time limit in minutes, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_minutes: Option<Shown>,
    /// Whether its failure counts, when that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continue_on_error: Option<Shown>,
}

/// What a step does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ActionView {
    /// Runs a script.
    Run {
        /// The script.
        run: Shown,
        /// The shell; `bash -e` where none is given and bash is there, `sh -e` in containers.
        shell: Shown,
        /// Where, when that is not the workspace.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        working_directory: Option<Shown>,
    },
    /// Uses an action.
    Uses {
        /// The action.
        uses: String,
        /// Its inputs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        with: Vec<Variable>,
    },
    /// The task of a typed stage.
    Task {
        /// The typed key.
        task: String,
        /// What it would do: filled by who can look (`task::contract::Preview` as JSON).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        preview: Option<serde_json::Value>,
    },
}
