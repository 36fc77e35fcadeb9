//! `on:`.

use crate::span::{Span, Spanned};

use super::Data;

/// When a pipeline runs.
#[derive(Debug, Clone, Default)]
pub struct Triggers {
    /// Events with their filters, in file order.
    pub events: Vec<EventFilter>,
    /// Where it stands.
    pub span: Span,
}

/// One event with its filters. Empty patterns do not filter.
#[derive(Debug, Clone)]
pub struct EventFilter {
    /// Its name, such as `push`.
    pub name: Spanned<String>,
    /// `types:`.
    pub types: Vec<Spanned<String>>,
    /// `branches:` and `branches-ignore:`.
    pub branches: Patterns,
    /// `tags:` and `tags-ignore:`.
    pub tags: Patterns,
    /// `paths:` and `paths-ignore:`.
    pub paths: Patterns,
    /// `workflows:` of `workflow_run`.
    pub workflows: Vec<Spanned<String>>,
    /// `cron:` lines of `schedule`.
    pub cron: Vec<Spanned<String>>,
    /// `inputs:` of `workflow_dispatch` and `workflow_call`.
    pub inputs: Vec<InputSpec>,
}

/// Patterns to include and to ignore (only one of the two may be given, as on GitHub).
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    /// Any must match; a `!` takes away.
    pub include: Vec<Spanned<String>>,
    /// None may match.
    pub ignore: Vec<Spanned<String>>,
}

/// One of `inputs:`.
#[derive(Debug, Clone)]
pub struct InputSpec {
    /// Its name.
    pub name: Spanned<String>,
    /// `description:`.
    pub description: Option<String>,
    /// `required:`.
    pub required: bool,
    /// `default:`.
    pub default: Option<Data>,
    /// `type:`.
    pub kind: InputKind,
}

/// The type of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputKind {
    /// Text, the default.
    String,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// One of these.
    Choice(Vec<String>),
    /// The name of an environment.
    Environment,
}
