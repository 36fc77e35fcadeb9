//! A whole file.

use std::sync::Arc;

use crate::span::{Source, Spanned};

use super::{Concurrency, Defaults, EnvMap, Job, Node, Text, Triggers};

/// Which language a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `jobs:`: a GitHub Actions workflow. The workspace is empty until `actions/checkout`.
    Workflow,
    /// `stages:`: a Slipway pipeline. The files are there from the start.
    Stages,
}

/// A pipeline as read from one file.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The file.
    pub source: Source,
    /// `jobs:` or `stages:`.
    pub dialect: Dialect,
    /// `name:`.
    pub name: Option<Spanned<String>>,
    /// `run-name:`.
    pub run_name: Option<Text>,
    /// `on:`; with `stages:` it may be missing, then the file runs only when it is named.
    pub on: Option<Triggers>,
    /// `env:`.
    pub env: EnvMap,
    /// `defaults:`.
    pub defaults: Defaults,
    /// `concurrency:`.
    pub concurrency: Option<Concurrency>,
    /// `permissions:`, kept as written.
    pub permissions: Option<Node>,
    /// `environments:` of a Slipway file, as written.
    pub environments: Option<Node>,
    /// `notify:` rules of a Slipway file, as written.
    pub notify: Option<Node>,
    /// `incident:` of a Slipway file, as written.
    pub incident: Option<Node>,
    /// Jobs or stages in file order, shared with the plan. A list of `stages` has been turned into `needs` already.
    pub jobs: Vec<Arc<Job>>,
}
