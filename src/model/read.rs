//! Text to [`Pipeline`]. This file holds the collector and the reading of maps by their tables; each noun has a file
//! `read_*` of its own.

use crate::diagnostic::{Diagnostic, Diagnostics, suggest};
use crate::span::{Source, Span};

use super::codes;
use super::keys::{Contexts, Table};
use super::limits::Limits;
use super::yaml;
use super::{Dialect, Node, NodeKind, Pipeline};

/// How to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOptions {
    /// Leaves out what only helps people (nothing yet).
    pub quiet: bool,
    /// What the file may cost.
    pub limits: Limits,
}

/// Reads a file. The pipeline is there when nothing in `Diagnostics` is an error; warnings may stand beside it.
pub fn read(source: Source, options: &ReadOptions) -> (Option<Pipeline>, Diagnostics) {
    let mut diagnostics = Diagnostics::new(source.clone());
    let root = yaml::parse(&source, &options.limits, &mut diagnostics);
    let mut reader = Reader { source, diagnostics, dialect: Dialect::Workflow };
    let pipeline = match root {
        Some(root) => reader.pipeline(&root),
        None if reader.diagnostics.has_errors() => None,
        None => {
            reader.empty(Span::default());
            None
        }
    };
    let mut diagnostics = reader.diagnostics;
    diagnostics.sort();
    let pipeline = if diagnostics.has_errors() { None } else { pipeline };
    (pipeline, diagnostics)
}

/// Reads a YAML file that is no pipeline. Nothing (an empty file) is `None` without an error.
pub fn read_node(source: Source, limits: &Limits) -> (Option<Node>, Diagnostics) {
    let mut diagnostics = Diagnostics::new(source.clone());
    let root = yaml::parse(&source, limits, &mut diagnostics);
    (root, diagnostics)
}

/// Reads nodes and collects what is wrong with them.
pub(super) struct Reader {
    pub(super) source: Source,
    pub(super) diagnostics: Diagnostics,
    pub(super) dialect: Dialect,
}

/// A key that was found, with its value.
#[derive(Clone, Copy)]
pub(super) struct Field<'n> {
    /// The key.
    pub(super) name: &'static str,
    /// Where the key stands.
    pub(super) span: Span,
    /// The value.
    pub(super) node: &'n Node,
    /// What expressions in it may use.
    pub(super) contexts: Contexts,
}

impl<'n> Field<'n> {
    /// The same field where expressions may use `contexts`.
    pub(super) fn within(self, contexts: Contexts) -> Self {
        Self { contexts, ..self }
    }
}

/// The known keys of a map.
pub(super) struct Fields<'n> {
    /// Where the map stands.
    pub(super) span: Span,
    list: Vec<Field<'n>>,
    table: &'static Table,
}

impl<'n> Fields<'n> {
    /// The field called `name`, which the table must hold.
    pub(super) fn get(&self, name: &str) -> Option<Field<'n>> {
        debug_assert!(self.table.find(name).is_some(), "{} has no key {name}", self.table.name);
        self.list.iter().find(|field| field.name == name).copied()
    }

    /// The fields in file order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Field<'n>> {
        self.list.iter().copied()
    }
}

/// What people write who come from elsewhere, and what they mean.
const SYNONYMS: &[(&str, &str)] = &[
    ("script", "run"),
    ("commands", "run"),
    ("command", "run"),
    ("cmd", "run"),
    ("depends_on", "needs"),
    ("depends-on", "needs"),
    ("after", "needs"),
    ("when", "if"),
    ("condition", "if"),
    ("timeout", "timeout-minutes"),
    ("variables", "env"),
    ("environment-variables", "env"),
    ("triggers", "on"),
    ("workdir", "working-directory"),
    ("cwd", "working-directory"),
    ("tags", "runs-on"),
    ("secrets-inherit", "secrets"),
];

impl Reader {
    /// Adds a mistake.
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// The map at `node` by `table`: unknown and missing keys are reported. `None` when it is no map.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, table: &'static Table) -> Option<Fields<'n>> {
        let Some(entries) = node.entries() else {
            self.wrong_kind(node, &format!("{} is a map", table.name));
            return None;
        };
        let mut list = Vec::with_capacity(entries.len());
        for entry in entries {
            match table.find(&entry.key) {
                Some(key) => list.push(Field {
                    name: key.name,
                    span: entry.key_span,
                    node: &entry.value,
                    contexts: match self.dialect {
                        Dialect::Workflow => key.contexts,
                        Dialect::Stages => key.contexts.for_stages(),
                    },
                }),
                None => self.unknown_key(&entry.key, entry.key_span, table),
            }
        }
        for required in table.required {
            if !list.iter().any(|field| field.name == *required) {
                let message = format!("{} needs the key \"{required}\"", table.name);
                self.push(Diagnostic::error(codes::MISSING, start_of(node), message));
            }
        }
        Some(Fields { span: node.span, list, table })
    }

    fn unknown_key(&mut self, name: &str, span: Span, table: &'static Table) {
        let mut diagnostic =
            Diagnostic::error(codes::UNKNOWN_KEY, span, format!("\"{name}\" is not a key of {}", table.name));
        let synonym = SYNONYMS.iter().find(|(other, meant)| *other == name && table.find(meant).is_some());
        if name == "matrix" && table.find("strategy").is_some() {
            diagnostic = diagnostic.help("write it as \"strategy: {matrix: ...}\"");
        } else if let Some(near) = suggest(&name.replace('_', "-"), table.keys().map(|key| key.name)) {
            diagnostic = diagnostic.help(format!("did you mean \"{near}\"?"));
        } else if let Some((_, meant)) = synonym {
            diagnostic = diagnostic.help(format!("did you mean \"{meant}\"?"));
        } else {
            let known: Vec<&str> = table.keys().map(|key| key.name).collect();
            diagnostic = diagnostic.help(format!("known keys: {}", known.join(", ")));
        }
        self.push(diagnostic);
    }

    /// Says that `node` is of another kind than wanted (`"needs" is a text or a list`).
    pub(super) fn wrong_kind(&mut self, node: &Node, wanted: &str) {
        let message = format!("{wanted}, but this is {}", node.describe());
        let span = if node.scalar().is_some() { node.span } else { start_of(node) };
        self.push(Diagnostic::error(codes::KIND, span, message));
    }

    /// Says that the keys `a` and `b` exclude each other, at the later of the two.
    pub(super) fn conflict(&mut self, a: Field<'_>, b: Field<'_>, why: &str) {
        let (first, second) = if a.span.start <= b.span.start { (a, b) } else { (b, a) };
        let message = format!("\"{}\" cannot stand beside \"{}\": {why}", second.name, first.name);
        self.push(
            Diagnostic::error(codes::CONFLICT, second.span, message)
                .related(first.span, format!("\"{}\" stands here", first.name)),
        );
    }
}

/// The first place of a node: of a map its first key, so that a message does not underline pages.
pub(super) fn start_of(node: &Node) -> Span {
    match &*node.kind {
        NodeKind::Mapping(entries) => entries.first().map_or(node.span, |entry| entry.key_span),
        NodeKind::Sequence(items) => items.first().map_or(node.span, start_of),
        NodeKind::Scalar { .. } => node.span,
    }
}
