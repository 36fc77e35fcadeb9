//! The port of tasks: what typed stages do in the engine's own process.
//!
//! A typed stage is one task. `preview` shows for a dry run what it would do, and changes nothing. `run` does it. All that a
//! task sees of the engine is [`TaskCtx`].
//!
//! After a crash `run` is called again with the same specification, and everything that the journal holds is at hand: an
//! effect whose observation is on record is not done again ([`effect`]), one of which only the intent is on record is looked
//! for first. So a task is written as if it ran once, and each change outside the machine goes through [`effect`].

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::event::{Ending, TaskReport};
use crate::id::{RunId, StageId, StepKey};
use crate::stage::{Environment, Incident, TaskKind, Typed};

/// Does the tasks of one kind.
#[async_trait]
pub trait Task: Send + Sync {
    /// What `run` would do, without doing it: commands, effects, differences. It may read (a cluster, a registry) unless
    /// [`Surroundings::is_offline`].
    async fn preview(&self, spec: &TaskSpec, around: &dyn Surroundings) -> Result<Preview, TaskError>;

    /// Does it. Called again after a crash, see above.
    async fn run(&self, spec: &TaskSpec, ctx: &dyn TaskCtx) -> Result<TaskEnd, TaskError>;
}

/// Gives the task of a kind.
pub trait Tasks: Send + Sync {
    /// The task of this kind; an error says why there is none here.
    fn get(&self, kind: TaskKind) -> Result<Arc<dyn Task>, TaskError>;
}

/// What is asked for, all expressions evaluated. Holds secrets: never journaled or shown as it is.
#[derive(Debug, Clone)]
pub struct TaskSpec {
    /// The settings of the typed key.
    pub typed: Typed,
    /// The environment that the stage belongs to: file, configuration and server merged.
    pub environment: Option<Environment>,
    /// `incident:` of the file.
    pub incident: Incident,
    /// What tasks of the stages before this one left ([`TaskEnd::facts`]), direct and indirect needs, in the order of the DAG.
    pub before: Vec<Before>,
}

impl TaskSpec {
    /// What tasks of `kind` left.
    pub fn left_by(&self, kind: TaskKind) -> impl DoubleEndedIterator<Item = &Before> {
        self.before.iter().filter(move |before| before.kind == kind)
    }
}

/// What an earlier task left.
#[derive(Debug, Clone)]
pub struct Before {
    /// Its stage.
    pub stage: StageId,
    /// Its kind.
    pub kind: TaskKind,
    /// Whether it is a direct need.
    pub direct: bool,
    /// What it left.
    pub facts: Json,
}

/// How a task ended that did what it should.
#[derive(Debug, Clone, Default)]
pub struct TaskEnd {
    /// The stage's outputs.
    pub outputs: Vec<(String, String)>,
    /// What later tasks of the run may need; no secrets. A build leaves `{"ref", "digest", "tags"}`, a deploy
    /// [`Deployed`](crate::stage::Deployed).
    pub facts: Json,
}

/// Why a task did not do what it should. The texts are for people: what was tried, on what, why it failed, what to do next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TaskError {
    /// It failed.
    #[error("{message}")]
    Failed {
        /// Why.
        message: String,
        /// How the thing stands that it worked on, when that decides the exit code (a deploy that was taken back).
        ending: Option<Ending>,
        /// What was left, as in [`TaskEnd`]: outputs such as `result=rolled-back`, and facts.
        end: Box<TaskEnd>,
    },
    /// The run was cancelled while it went on, and it put right what it had begun.
    #[error("cancelled")]
    Cancelled,
    /// What became of it cannot be known.
    #[error("{0}")]
    Lost(String),
    /// The journal is gone: the engine ends at once. A task only passes it on.
    #[error("{0}")]
    Gone(String),
    /// It waits for a person and the run is to end meanwhile (`--no-wait`). A task only passes it on.
    #[error("it waits for a person")]
    Paused,
    /// The approvers rejected, and `on-reject: skip` says that what needs this stage is skipped.
    #[error("{0}")]
    Skipped(String),
}

impl TaskError {
    /// It failed, and nothing more is to say.
    pub fn failed(message: impl Into<String>) -> Self {
        TaskError::Failed { message: message.into(), ending: None, end: Box::default() }
    }

    /// It failed, and left something in this state.
    pub fn ended(message: impl Into<String>, ending: Ending, end: TaskEnd) -> Self {
        TaskError::Failed { message: message.into(), ending: Some(ending), end: Box::new(end) }
    }

    /// `what` failed because of `error` and its causes.
    pub fn because(what: impl std::fmt::Display, error: &dyn std::error::Error) -> Self {
        Self::failed(format!("{what}: {}", crate::diagnostic::chain(error)))
    }
}

/// Who and what the run is.
#[derive(Debug, Clone, Default)]
pub struct TaskIdentity {
    /// The run; in a dry run the id is empty.
    pub run: Option<RunId>,
    /// The step; none in a dry run.
    pub step: Option<StepKey>,
    /// The stage.
    pub stage: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// `github.run_number`.
    pub run_number: u64,
    /// The commit, zeros outside git.
    pub commit: String,
    /// The plan's hash.
    pub plan_hash: String,
    /// The repository `owner/name`, where it is known.
    pub repository: String,
    /// Who started the run.
    pub actor: String,
    /// Whether outsiders can have written the commit: then tasks that reach outside refuse.
    pub untrusted: bool,
}

/// What surrounds a task, in a run and in a dry run alike.
pub trait Surroundings: Send + Sync {
    /// Who and what the run is.
    fn identity(&self) -> &TaskIdentity;

    /// The commit's files on this machine. In a run a copy of the stage's own; in a dry run the checkout: do not write there.
    fn workspace(&self) -> &Path;

    /// `env` of file and stage, evaluated.
    fn env(&self) -> &[(String, String)];

    /// `text` with every `${{ }}` in it evaluated, as in a step (for texts of other files, such as manifests).
    fn evaluate(&self, text: &str) -> Result<String, String>;

    /// The value of a secret of the `secrets` context that this stage may read.
    fn secret(&self, name: &str) -> Option<String>;

    /// `text` with secrets as stars.
    fn mask(&self, text: &str) -> String;

    /// Whether a dry run must leave clusters and registries alone.
    fn is_offline(&self) -> bool {
        false
    }
}

/// A value of `env`, the last that is set.
pub fn env_of<'e>(around: &'e (impl Surroundings + ?Sized), name: &str) -> Option<&'e str> {
    around
        .env()
        .iter()
        .rev()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}

/// What a running task sees of the engine. Shared: all methods may be called at once.
#[async_trait]
pub trait TaskCtx: Surroundings {
    /// A private folder (0700) on this machine that is gone after the attempt.
    fn scratch(&self) -> &Path;

    /// Masks `value` from now on.
    fn add_mask(&self, value: &str);

    /// A line in the stage's log, masked.
    async fn log(&self, line: &str);

    /// A passing state ("2 of 3 pods ready"); shown, the next replaces it, not kept.
    fn state(&self, text: &str);

    /// Journals a fact about the task's way, for people, notices and reports.
    async fn report(&self, report: TaskReport) -> Result<(), TaskError>;

    /// What is on record of the effect `key`; `None` when nothing is.
    fn recall(&self, key: &str) -> Option<Recorded>;

    /// Keys of this task's effects on record, in order.
    fn recorded(&self) -> Vec<String>;

    /// Journals the intent of effect `key`, down to the disk. Use [`effect`] instead.
    async fn intend(&self, key: &str, intent: Json) -> Result<(), TaskError>;

    /// Journals what came of effect `key`. Use [`effect`] or [`remember`] instead. No secrets: it is stored masked.
    async fn observe(&self, key: &str, observation: Json) -> Result<(), TaskError>;

    /// Resolves when the run is cancelled (at once if it is). The task puts right what it began and ends with
    /// [`TaskError::Cancelled`].
    async fn cancelled(&self);

    /// Whether the run is cancelled.
    fn is_cancelled(&self) -> bool;

    /// The time that is left of `timeout-minutes`. Time spent in [`Self::approval`] does not count.
    fn time_left(&self) -> Duration;

    /// Runs a program in the stage's sandbox (its container, or this machine), output into the stage's log. After a crash a
    /// program that was under way is found again: `key` is unique in the task.
    async fn exec(&self, key: &str, command: TaskCommand) -> Result<TaskExit, TaskError>;

    /// Waits for people. What was decided on record already is given at once.
    async fn approval(&self, ask: ApprovalAsk) -> Result<Decision, TaskError>;

    /// The next order that somebody gave to this deploy (`slipway deploy promote|abort`), journaled before it is given here.
    /// Waits until there is one. Each is given once a process; those on record are given again after a crash.
    async fn order(&self) -> DeployOrder;

    /// Keeps a file with the run, as an artifact of the stage, under the stage's folder. Gives its path within the run.
    async fn keep(&self, name: &str, bytes: &[u8]) -> Result<String, TaskError>;

    /// The time now (UTC), from the engine's clock.
    fn now(&self) -> crate::clock::Timestamp;
}

/// A program to run in the sandbox.
#[derive(Debug, Clone, Default)]
pub struct TaskCommand {
    /// Program and arguments. No shell is between.
    pub argv: Vec<String>,
    /// A script for the default shell of `run:` in place of `argv` (only for text that the file's author wrote as a script).
    pub script: Option<String>,
    /// Variables on top of the stage's `env`; here secrets go, never into `argv`.
    pub env: Vec<(String, String)>,
    /// Where it runs, relative to the workspace.
    pub cwd: Option<String>,
    /// Exit codes beside 0 that are no failure of the sandbox's; all are given back, this only changes what the log says.
    pub expected: Vec<i32>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskExit {
    /// Its code; 128 + n for signal n, 137 for the memory limit.
    pub code: i32,
    /// The last lines of its output, masked, at most 4 KiB.
    pub tail: String,
}

/// What is on record of an effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// What was to be done.
    pub intent: Json,
    /// What came of it; none when the engine died between.
    pub observation: Option<Json>,
    /// When the intent was journaled.
    pub at: crate::clock::Timestamp,
}

/// Does something outside the machine at most once: `intent` is journaled, then `act`, then its result. On record already: the
/// result is given. Only the intent on record: `observe` looks whether it was done (`Some`), else `act` does it again, so
/// `act` must be idempotent or `observe` exact.
pub async fn effect<T, A, O>(
    ctx: &dyn TaskCtx,
    key: &str,
    intent: Json,
    act: impl FnOnce() -> A,
    observe: impl FnOnce() -> O,
) -> Result<T, TaskError>
where
    T: Serialize + DeserializeOwned,
    A: Future<Output = Result<T, TaskError>>,
    O: Future<Output = Result<Option<T>, TaskError>>,
{
    let unreadable =
        |e: serde_json::Error| TaskError::Lost(format!("the record of effect \"{key}\" cannot be read: {e}"));
    let known = ctx.recall(key);
    if let Some(Recorded { observation: Some(observation), .. }) = known {
        return serde_json::from_value(observation).map_err(unreadable);
    }
    let found = if known.is_some() { observe().await? } else { None };
    let result = match found {
        Some(found) => found,
        None => {
            if known.is_none() {
                ctx.intend(key, intent).await?;
            }
            act().await?
        }
    };
    ctx.observe(key, serde_json::to_value(&result).map_err(unreadable)?).await?;
    Ok(result)
}

/// Journals a fact once (a deadline, a snapshot of counters): the first call's `make` counts, also after a crash.
pub async fn remember<T, F>(ctx: &dyn TaskCtx, key: &str, make: impl FnOnce() -> F) -> Result<T, TaskError>
where
    T: Serialize + DeserializeOwned,
    F: Future<Output = Result<T, TaskError>>,
{
    effect(ctx, key, Json::Null, make, || async { Ok(None) }).await
}

/// What people are asked.
#[derive(Debug, Clone, Default)]
pub struct ApprovalAsk {
    /// The environment that it is for.
    pub environment: Option<String>,
    /// Users and groups who may decide; empty: anyone.
    pub approvers: Vec<String>,
    /// How many must approve.
    pub required: u32,
    /// Whether who started the run may not approve.
    pub prevent_self_review: bool,
    /// After which it is rejected.
    pub timeout: Duration,
    /// What changes, for the person who decides (text with lines, masked by the engine).
    pub summary: String,
    /// The hash of what the stages behind it consume: when it differs later, the approval is void.
    pub consumes: String,
    /// What is asked: name, and whether it must be given; checked by [`crate::stage::Approval`].
    pub inputs: Vec<(String, Json)>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Decision {
    /// Whether it was approved; else it was rejected, or time ran out.
    pub approved: bool,
    /// Who decided; `timeout` when nobody did.
    pub by: Vec<String>,
    /// Their comment.
    pub comment: String,
    /// What they filled in.
    pub inputs: Vec<(String, String)>,
}

/// What somebody asks of a deploy under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeployOrder {
    /// Go on (a `pause: true`, drift), or with `full` straight to the end.
    Promote {
        /// Who.
        by: String,
        /// Skip the remaining steps.
        full: bool,
    },
    /// Take it back.
    Abort {
        /// Who.
        by: String,
    },
}

/// What a task would do.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Preview {
    /// In order.
    pub lines: Vec<PreviewLine>,
    /// What cannot be known before the run, and why.
    pub unknown: Vec<String>,
    /// What would be refused before the first write (a preflight that fails).
    pub refused: Vec<String>,
}

impl Preview {
    /// With one more effect.
    pub fn effect(mut self, text: impl Into<String>) -> Self {
        self.lines.push(PreviewLine::Effect { text: text.into() });
        self
    }
}

impl Preview {
    /// For people, a line each.
    pub fn text(&self) -> Vec<String> {
        let mut text = Vec::new();
        for line in &self.lines {
            match line {
                PreviewLine::Command { argv, image } => {
                    let place = image.as_ref().map(|image| format!(" [{image}]")).unwrap_or_default();
                    text.push(format!("$ {}{place}", argv.join(" ")));
                }
                PreviewLine::Effect { text: effect } => text.push(effect.clone()),
                PreviewLine::Change { verb, object, namespace, diff } => {
                    let place = namespace.as_ref().map(|namespace| format!(" in {namespace}")).unwrap_or_default();
                    text.push(format!("{verb} {object}{place}"));
                    text.extend(diff.iter().map(|line| format!("  {line}")));
                }
                PreviewLine::Step { text: step, .. } => text.push(step.clone()),
            }
        }
        text.extend(self.refused.iter().map(|why| format!("would be refused: {why}")));
        text.extend(self.unknown.iter().map(|what| format!("not known yet: {what}")));
        text
    }
}

/// A line of a preview.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum PreviewLine {
    /// A program that would run.
    Command {
        /// Program and arguments, masked.
        argv: Vec<String>,
        /// The image that it runs in.
        image: Option<String>,
    },
    /// Something that would be done.
    Effect {
        /// In words.
        text: String,
    },
    /// An object of a cluster that would change.
    Change {
        /// `create`, `change`, `delete`, `same`.
        verb: String,
        /// `deployments.apps/backend`.
        object: String,
        /// The namespace.
        namespace: Option<String>,
        /// The difference, as lines that begin with `+`, `-` or a space; empty for `same`.
        diff: Vec<String>,
    },
    /// A step of a strategy.
    Step {
        /// In words: `10 % for 5m, gates: errors 5 %, p95 2 s`.
        text: String,
        /// How long it takes at least, in milliseconds.
        milliseconds: u64,
    },
}
