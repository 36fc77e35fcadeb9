//! What has happened, in the past tense. The journal stores these; state is folded from them; every reporter, store and
//! page is a sink of them. Log bytes are not events.

mod task;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{AttemptId, JobId, RunId, StageId, StepKey};
use crate::plan::ir::RunnerKind;
use crate::stage::TaskKind;

pub use task::{EffectData, Ending, GateReading, Order, TaskReport};

/// The version of the stored and printed form. Readers accept this and the one before.
pub const EVENT_VERSION: u32 = 1;

/// An event with its place in the run. `seq` counts from 1 without gaps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the form, [`EVENT_VERSION`].
    pub v: u32,
    /// Place in the run.
    pub seq: u64,
    /// When it was journaled.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// How a step, a job, a stage or a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It did what it should.
    Success,
    /// It failed.
    Failure,
    /// It was cancelled.
    Cancelled,
    /// It did not run.
    Skipped,
    /// What became of it cannot be known. In expressions it reads `failure`.
    Lost,
}

impl Outcome {
    /// As GitHub's contexts say it (`lost` reads `failure`).
    pub fn github(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure | Outcome::Lost => "failure",
            Outcome::Cancelled => "cancelled",
            Outcome::Skipped => "skipped",
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// The memory limit ended it.
    OutOfMemory,
}

/// Bytes sealed under the run's key (base64), opaque to all but `store`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(pub String);

/// An annotation's weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnnotationLevel {
    /// `::error::`
    Error,
    /// `::warning::`
    Warning,
    /// `::notice::`
    Notice,
}

/// `::error file=...::`, masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// Its weight.
    pub level: AnnotationLevel,
    /// The text.
    pub message: String,
    /// `title`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// `file`, relative to the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// `line`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// `endLine`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_line: Option<u32>,
    /// `col`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// `endColumn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_column: Option<u32>,
}

/// What JUnit files of a job said in sum.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestTotals {
    /// Test cases.
    pub total: u64,
    /// Failed ones (failures and errors).
    pub failed: u64,
    /// Skipped ones.
    pub skipped: u64,
    /// Names of failed cases with the first line of their message, at most 50.
    #[serde(default)]
    pub failures: Vec<(String, String)>,
}

/// A file kept with the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// Path within the workspace, `/` between parts.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, hex.
    pub sha256: String,
}

/// What happened. Names in `kebab-case`; texts are masked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The run began.
    RunStarted {
        /// Its id.
        run: RunId,
        /// The pipeline's name.
        pipeline: String,
        /// The run's name.
        name: String,
        /// The file.
        file: String,
        /// The event that it runs for.
        event_name: String,
        /// The commit, zeros outside git.
        commit: String,
        /// The plan's hash.
        plan_hash: String,
        /// The run that it repeats.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<RunId>,
    },
    /// Another process took the run up after a crash.
    RunResumed {
        /// Its process id.
        pid: u32,
    },
    /// The run ended for now: all that is left waits for a person. `resume` goes on.
    RunPaused {},
    /// Intent of an effect outside the machine.
    EffectIntended {
        /// The step.
        #[serde(flatten)]
        step: StepKey,
        /// The effect's name within the task.
        key: String,
        /// What is to be done.
        data: EffectData,
    },
    /// What came of an effect.
    EffectObserved {
        /// The step.
        #[serde(flatten)]
        step: StepKey,
        /// The effect's name within the task.
        key: String,
        /// What came of it.
        data: EffectData,
    },
    /// A fact about a task's way.
    TaskReported {
        /// The step.
        #[serde(flatten)]
        step: StepKey,
        /// The fact.
        report: TaskReport,
    },
    /// What a task left for later ones, and how the thing stands that it worked on.
    TaskEnded {
        /// The step.
        #[serde(flatten)]
        step: StepKey,
        /// Its kind.
        kind: TaskKind,
        /// What it left.
        #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
        facts: serde_json::Value,
        /// How the thing stands, when that decides the exit code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ending: Option<Ending>,
    },
    /// A stage waits for people.
    ApprovalWaiting {
        /// The stage.
        stage: StageId,
        /// The environment that it is for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        environment: Option<String>,
        /// Users and groups who may decide; empty: anyone.
        #[serde(default)]
        approvers: Vec<String>,
        /// How many must approve.
        required: u32,
        /// Whether who started the run may not approve.
        #[serde(default)]
        prevent_self_review: bool,
        /// When it is rejected by itself.
        until: Timestamp,
        /// What changes.
        summary: String,
        /// The hash of what the stages behind it consume.
        #[serde(default)]
        consumes: String,
        /// What is asked, as `workflow_dispatch` inputs.
        #[serde(default)]
        inputs: Vec<(String, serde_json::Value)>,
    },
    /// Somebody decided on a stage that waits.
    ApprovalGiven {
        /// The stage.
        stage: StageId,
        /// Whether they approved.
        approved: bool,
        /// Who.
        by: String,
        /// Their comment.
        #[serde(default)]
        comment: String,
        /// What they filled in.
        #[serde(default)]
        inputs: Vec<(String, String)>,
    },
    /// A request was refused.
    RequestRefused {
        /// Who asked.
        by: String,
        /// Why.
        reason: String,
    },
    /// Somebody gave a deploy under way an order.
    OrderGiven {
        /// The stage.
        stage: StageId,
        /// The order.
        order: Order,
        /// Who.
        by: String,
    },
    /// Somebody asked to cancel.
    CancelRequested {
        /// Who: a user, `ctrl-c`, `fail-fast`, `timeout`, `concurrency`.
        by: String,
        /// Which stage only; none means the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<StageId>,
    },
    /// A late matrix became jobs.
    JobsExpanded {
        /// The stage.
        stage: StageId,
        /// The `matrix` context of each leg, in order.
        legs: Vec<serde_json::Value>,
    },
    /// A stage will not run.
    StageSkipped {
        /// The stage.
        stage: StageId,
        /// Why: the condition with the values it saw.
        reason: String,
    },
    /// All jobs of a stage are over.
    StageFinished {
        /// The stage.
        stage: StageId,
        /// What `needs.<stage>.result` says.
        outcome: Outcome,
        /// What `needs.<stage>.outputs` says. None holds a secret.
        #[serde(default)]
        outputs: Vec<(String, String)>,
        /// Why it failed, when no job of it says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A job waits for its concurrency group.
    JobQueued {
        /// The job.
        job: JobId,
        /// The group.
        group: String,
    },
    /// A finished job of an earlier run was taken over (`rerun --failed`).
    JobReused {
        /// The job.
        job: JobId,
        /// From this run.
        from: RunId,
        /// Its outputs.
        #[serde(default)]
        outputs: Vec<(String, String)>,
        /// What the stage's tasks left; with the first of its jobs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        facts: Vec<serde_json::Value>,
    },
    /// Intent: the attempt's sandbox is about to be made.
    JobStarting {
        /// The attempt.
        #[serde(flatten)]
        attempt: AttemptId,
        /// What people call the job.
        name: String,
        /// Where.
        runner: RunnerKind,
        /// The image, in Docker.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        image: Option<String>,
        /// How many steps it has.
        steps: u32,
    },
    /// The sandbox is there: image, network, services, workspace.
    JobStarted {
        /// The attempt.
        #[serde(flatten)]
        attempt: AttemptId,
    },
    /// A step's `if` was false.
    StepSkipped {
        /// The step.
        #[serde(flatten)]
        step: StepKey,
        /// What people call it.
        name: String,
        /// Why.
        reason: String,
    },
    /// Intent: the step is about to start. Within an attempt this comes at most once for each step.
    StepStarting {
        /// The step.
        #[serde(flatten)]
        step: StepKey,
        /// What people call it.
        name: String,
    },
    /// So much of a step's raw output has been masked and written.
    LogAcknowledged {
        /// The step.
        #[serde(flatten)]
        step: StepKey,
        /// Bytes of the raw spool.
        raw: u64,
        /// Bytes of the masked log.
        log: u64,
    },
    /// A step registered values to mask (`::add-mask::`).
    MaskAdded {
        /// The step.
        #[serde(flatten)]
        step: StepKey,
        /// The values, as a JSON array of texts.
        values: Sealed,
    },
    /// A step or job said something about a file.
    Annotated {
        /// The step.
        #[serde(flatten)]
        step: StepKey,
        /// What it said.
        annotation: Annotation,
    },
    /// A step is over.
    StepFinished {
        /// The step.
        #[serde(flatten)]
        step: StepKey,
        /// Before `continue-on-error`.
        outcome: Outcome,
        /// After `continue-on-error`.
        conclusion: Outcome,
        /// How its process ended; none for what Slipway does itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<Exit>,
        /// Why it failed, when the exit does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Outputs, environment and paths it set, sealed (JSON of `engine::StepEffects`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        effects: Option<Sealed>,
    },
    /// A step wrote a summary; the text lies beside its log.
    SummaryWritten {
        /// The step.
        #[serde(flatten)]
        step: StepKey,
        /// Bytes, masked.
        size: u64,
    },
    /// Test reports of the job were read.
    TestsReported {
        /// The attempt.
        #[serde(flatten)]
        attempt: AttemptId,
        /// What they say.
        totals: TestTotals,
    },
    /// Files of the job were kept.
    ArtifactsKept {
        /// The attempt.
        #[serde(flatten)]
        attempt: AttemptId,
        /// Which.
        files: Vec<KeptFile>,
    },
    /// Intent: the sandbox is about to be removed; with it goes what knows that steps ran.
    JobClosing {
        /// The attempt.
        #[serde(flatten)]
        attempt: AttemptId,
    },
    /// An attempt is over and its sandbox removed.
    JobFinished {
        /// The attempt.
        #[serde(flatten)]
        attempt: AttemptId,
        /// Before `continue-on-error`.
        outcome: Outcome,
        /// What `needs` sees: `continue-on-error` makes a failure a success.
        conclusion: Outcome,
        /// Why, when the steps do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Its outputs; those that hold a secret are dropped with a warning.
        #[serde(default)]
        outputs: Vec<(String, String)>,
        /// Another attempt follows.
        #[serde(default)]
        retry: bool,
    },
    /// A job never started: cancelled before, or its settings have no value (then it failed).
    JobDropped {
        /// The job.
        job: JobId,
        /// `cancelled`, `skipped` or `failure`.
        outcome: Outcome,
        /// Why.
        reason: String,
    },
    /// The run is over.
    RunFinished {
        /// How.
        outcome: Outcome,
    },
}
