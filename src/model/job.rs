//! A job of a workflow, or a stage: they are one thing.

use std::time::Duration;

use crate::span::{Span, Spanned};

use super::{Condition, Data, EnvMap, Late, Node, Step, Text};

/// A job (`jobs.<id>`) or stage (`stages.<id>`).
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id; legal per GitHub ([A-Za-z_][A-Za-z0-9_-]*, at most 100 characters).
    pub id: Spanned<String>,
    /// Where the whole job stands.
    pub span: Span,
    /// `name:`.
    pub name: Option<Text>,
    /// `needs:`; each names a job of this file (checked), without repetition.
    pub needs: Vec<Spanned<String>>,
    /// `if:`.
    pub condition: Option<Condition>,
    /// `runs-on:`.
    pub runs_on: Option<RunsOn>,
    /// `container:` or `image:`.
    pub container: Option<Container>,
    /// `services:`.
    pub services: Vec<Service>,
    /// `env:`.
    pub env: EnvMap,
    /// `defaults:`.
    pub defaults: Defaults,
    /// `strategy:` (of a stage: matrix, fail-fast, max-parallel).
    pub strategy: Option<Strategy>,
    /// `steps:`; a short `run:` of a stage is one step.
    pub steps: Vec<Step>,
    /// `outputs:` in file order.
    pub outputs: Vec<(Spanned<String>, Text)>,
    /// `timeout-minutes:`, in minutes; GitHub's default is 360.
    pub timeout_minutes: Option<Late<f64>>,
    /// `continue-on-error:`.
    pub continue_on_error: Option<Late<bool>>,
    /// `retry:` of a stage.
    pub retry: Option<Retry>,
    /// `artifacts:` of a stage.
    pub artifacts: Vec<ArtifactSpec>,
    /// `cache:` of a stage.
    pub cache: Vec<CacheSpec>,
    /// `reports:` of a stage.
    pub reports: Reports,
    /// `concurrency:`.
    pub concurrency: Option<Concurrency>,
    /// `environment:`.
    pub environment: Option<EnvironmentRef>,
    /// `network: own` of a stage: a network of its own even without services.
    pub own_network: bool,
    /// `permissions:`, kept as written.
    pub permissions: Option<Node>,
    /// The typed key (scan, build, deploy, ...), not yet read: `stage::read` does that.
    pub typed: Option<TypedStage>,
    /// `uses:` with `with` and `secrets`: a reusable workflow.
    pub reusable: Option<ReusableCall>,
}

/// A typed key with its settings as written.
#[derive(Debug, Clone)]
pub struct TypedStage {
    /// `scan`, `build`, `backup`, `deploy`, `approval`, `verify`, `release` or `notify`.
    pub key: Spanned<String>,
    /// The settings.
    pub node: Node,
}

/// A call of a reusable workflow.
#[derive(Debug, Clone)]
pub struct ReusableCall {
    /// What is called.
    pub uses: Spanned<String>,
    /// `with:`.
    pub with: Vec<(Spanned<String>, Data)>,
    /// `secrets:` as written.
    pub secrets: Option<Node>,
}

/// `runs-on:`.
#[derive(Debug, Clone)]
pub struct RunsOn {
    /// Labels, all of which a runner must have.
    pub labels: Vec<Text>,
    /// `group:`.
    pub group: Option<Text>,
    /// Where it stands.
    pub span: Span,
}

/// `defaults.run`.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// `shell:`.
    pub shell: Option<Text>,
    /// `working-directory:`.
    pub working_directory: Option<Text>,
}

/// `container:`, `image:` or a service's container.
#[derive(Debug, Clone)]
pub struct Container {
    /// The image; empty text after evaluation means no container, as on GitHub.
    pub image: Text,
    /// `credentials:`.
    pub credentials: Option<Credentials>,
    /// `env:`.
    pub env: EnvMap,
    /// `ports:`.
    pub ports: Vec<Text>,
    /// `volumes:`.
    pub volumes: Vec<Text>,
    /// `options:`, docker create's option string.
    pub options: Option<Text>,
    /// `command:`/`args` of a service in a Slipway file, run in place of the image's command.
    pub command: Vec<Text>,
    /// Where it stands.
    pub span: Span,
}

/// Registry credentials.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// `username:`.
    pub username: Text,
    /// `password:`.
    pub password: Text,
}

/// One of `services:`.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its id, which is its host name.
    pub id: Spanned<String>,
    /// What runs.
    pub container: Container,
}

/// `strategy:`.
#[derive(Debug, Clone)]
pub struct Strategy {
    /// `matrix:`.
    pub matrix: Option<Matrix>,
    /// `fail-fast:`, by default true.
    pub fail_fast: Option<Late<bool>>,
    /// `max-parallel:`.
    pub max_parallel: Option<Late<f64>>,
    /// Where it stands.
    pub span: Span,
}

/// `strategy.matrix`.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// What it is made of.
    pub source: MatrixSource,
    /// Where it stands.
    pub span: Span,
}

/// Where a matrix comes from.
#[derive(Debug, Clone)]
pub enum MatrixSource {
    /// The whole matrix is one expression.
    Expr(Text),
    /// Vectors, `include` and `exclude`; each may be an expression in whole or in part.
    Map {
        /// Vectors in file order. Each is a sequence, or a text that gives one.
        vectors: Vec<(Spanned<String>, Data)>,
        /// `include:`.
        include: Option<Data>,
        /// `exclude:`.
        exclude: Option<Data>,
    },
}

/// `concurrency:`.
#[derive(Debug, Clone)]
pub struct Concurrency {
    /// The group.
    pub group: Text,
    /// `cancel-in-progress:`, by default false.
    pub cancel_in_progress: Option<Late<bool>>,
    /// `queue: max`.
    pub queue_max: bool,
    /// Where it stands.
    pub span: Span,
}

/// `environment:`.
#[derive(Debug, Clone)]
pub struct EnvironmentRef {
    /// Its name.
    pub name: Text,
    /// `url:`.
    pub url: Option<Text>,
}

/// `retry: N` or `retry: {max: N, on: ...}`.
#[derive(Debug, Clone)]
pub struct Retry {
    /// How many attempts more, at most 10.
    pub max: Spanned<u32>,
    /// Upon what; without `on:` all three.
    pub on: Vec<RetryOn>,
}

/// What a retry answers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// The outcome is unknown, or the runner failed.
    Lost,
    /// The time was over.
    Timeout,
    /// A step failed.
    Failure,
}

/// `artifacts:`: globs of files kept with the run.
#[derive(Debug, Clone)]
pub struct ArtifactSpec {
    /// A glob relative to the workspace; a leading `!` takes away.
    pub pattern: Text,
}

/// `cache: {key, paths, restore-keys}`.
#[derive(Debug, Clone)]
pub struct CacheSpec {
    /// The key.
    pub key: Text,
    /// Paths: relative to the workspace, or `~/...` in the job's home.
    pub paths: Vec<Text>,
    /// Prefixes to try in turn, newest entry first.
    pub restore_keys: Vec<Text>,
    /// Where it stands.
    pub span: Span,
}

/// `reports:`.
#[derive(Debug, Clone, Default)]
pub struct Reports {
    /// Globs of JUnit XML files.
    pub junit: Vec<Text>,
}

/// Minutes as a duration; not finite or negative gives `None`.
pub fn minutes(value: f64) -> Option<Duration> {
    (value.is_finite() && value >= 0.0).then(|| Duration::from_secs_f64((value * 60.0).min(365.0 * 86_400.0)))
}
