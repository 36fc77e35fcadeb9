//! The parsed expression.

use std::sync::Arc;

use super::error::{EvalError, ParseError, ParseErrorKind};
use super::evaluate::{Evaluator, Scope};
use super::functions::{self, Function};
use super::lexer::Operator;
use super::parser;
use super::value::Value;

/// A place in the list of nodes.
pub(super) type NodeId = u32;

/// A node of the tree.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    /// First byte in the source, with brackets around it.
    pub(super) start: usize,
    /// One past its last byte.
    pub(super) end: usize,
    /// Where its own name or operator begins.
    pub(super) at: usize,
    /// 1 for a leaf.
    pub(super) depth: usize,
}

#[derive(Debug, Clone)]
pub(super) enum NodeKind {
    Literal(Value),
    /// A context by its lower-case name.
    Context(Arc<str>),
    /// `*` as an index.
    Star,
    /// `target[index]`.
    Index(NodeId, NodeId),
    Not(NodeId),
    Compare(Operator, NodeId, NodeId),
    And(Vec<NodeId>),
    Or(Vec<NodeId>),
    Call(Function, Vec<NodeId>),
}

/// A parsed expression (without `${{ }}`); immutable and cheap to clone.
#[derive(Debug, Clone)]
pub struct Expr {
    /// As written.
    pub source: Arc<str>,
    /// The last is the root.
    pub(super) nodes: Arc<[Node]>,
}

impl Expr {
    /// Parses `source`. Functions must exist and have the right number of arguments. Where a function may be called, and
    /// names of contexts, are not checked here; see [`Expr::check`].
    pub fn parse(source: &str) -> Result<Expr, ParseError> {
        let nodes = parser::parse(source, None, None)?;
        Ok(Expr { source: source.into(), nodes: nodes.into() })
    }

    /// [`Expr::parse`] that knows which contexts exist (lower-case names): mistakes are found in the order of the text, as
    /// GitHub does it.
    pub fn parse_with(source: &str, contexts: &dyn Fn(&str) -> bool) -> Result<Expr, ParseError> {
        let nodes = parser::parse(source, Some(contexts), None)?;
        Ok(Expr { source: source.into(), nodes: nodes.into() })
    }

    /// What it names that does not exist where it stands, in GitHub's words: contexts beside `contexts`, and functions of
    /// the kind that is allowed only somewhere (`hashFiles`, `success`, `failure`, `cancelled`, `always`) beside
    /// `functions`. Case does not matter. In the order of the text.
    pub fn check(&self, contexts: &[&str], functions: &[&str]) -> Vec<ParseError> {
        let mut wrong = Vec::new();
        let has = |list: &[&str], name: &str| list.iter().any(|known| known.eq_ignore_ascii_case(name));
        self.visit(&mut |node| {
            let (what, length) = match &node.kind {
                NodeKind::Context(name) if !has(contexts, name) => ("Unrecognized named-value", name.len()),
                NodeKind::Call(function, _) if function.is_special() && !has(functions, function.name()) => {
                    ("Unrecognized function", function.name().len())
                }
                _ => return,
            };
            wrong.push(ParseError::at(ParseErrorKind::Parsing, what, &self.source, node.at, node.at + length));
        });
        wrong.sort_by_key(|error| error.offset);
        wrong
    }

    /// Its value. An error says what was tried; nothing panics, and work and memory are bounded.
    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, EvalError> {
        Evaluator::new(self, scope).value(self.root())
    }

    /// Whether success, failure, always or cancelled is called anywhere in it.
    pub fn uses_status_function(&self) -> bool {
        let mut found = false;
        self.visit(&mut |node| {
            found |= matches!(&node.kind, NodeKind::Call(Function::Status(_), _));
        });
        found
    }

    /// The paths that are read, each from its context's name on, as far as it is literal and lower-cased at its head:
    /// `github.event.issue.title` gives `["github", "event", "issue", "title"]`. A filter is `*` and goes on
    /// (`["github", "event", "commits", "*", "message"]`); a computed index ends a path with `*`.
    pub fn paths(&self) -> Vec<Vec<String>> {
        let mut paths: Vec<Vec<String>> = Vec::new();
        self.visit_chains(&mut |_, path, _| {
            if !paths.contains(&path) {
                paths.push(path);
            }
        });
        paths
    }

    /// Those of [`Expr::paths`] whose text can become part of the value: not what is only compared, asked for (`contains`,
    /// `startsWith`) or decided upon. The flag says whether a `toJSON` is around, so that an object's whole content counts.
    pub fn results(&self) -> Vec<(Vec<String>, bool)> {
        let mut found: Vec<(Vec<String>, bool)> = Vec::new();
        let mut todo = vec![(self.root(), false)];
        while let Some((id, whole)) = todo.pop() {
            match &self.nodes[id as usize].kind {
                NodeKind::Literal(_) | NodeKind::Star | NodeKind::Not(_) | NodeKind::Compare(..) => {}
                NodeKind::Context(_) => found.push((self.chain(id), whole)),
                NodeKind::Index(..) => {
                    let mut head = id;
                    while let NodeKind::Index(target, _) = &self.nodes[head as usize].kind {
                        head = *target;
                    }
                    match &self.nodes[head as usize].kind {
                        NodeKind::Context(_) => found.push((self.chain(id), whole)),
                        _ => todo.push((head, whole)),
                    }
                }
                // What comes before the last is given only when it is false: an empty text.
                NodeKind::And(items) => todo.extend(items.last().map(|last| (*last, whole))),
                NodeKind::Or(items) => todo.extend(items.iter().map(|item| (*item, whole))),
                NodeKind::Call(function, items) => match function {
                    Function::Format | Function::Join | Function::FromJson => {
                        todo.extend(items.iter().map(|item| (*item, whole)));
                    }
                    Function::ToJson => todo.extend(items.iter().map(|item| (*item, true))),
                    Function::Case => {
                        let values = items.iter().enumerate().filter(|(at, _)| at % 2 == 1 || at + 1 == items.len());
                        todo.extend(values.map(|(_, item)| (*item, whole)));
                    }
                    _ => {}
                },
            }
        }
        found
    }

    /// The path of a chain of indexes on a context.
    fn chain(&self, id: NodeId) -> Vec<String> {
        let mut indexes = Vec::new();
        let mut at = id;
        while let NodeKind::Index(target, index) = &self.nodes[at as usize].kind {
            indexes.push(*index);
            at = *target;
        }
        let NodeKind::Context(name) = &self.nodes[at as usize].kind else { return Vec::new() };
        let mut path = vec![name.to_string()];
        for index in indexes.iter().rev() {
            match self.literal_index(*index) {
                Some(text) => path.push(text),
                None => {
                    path.push("*".to_owned());
                    break;
                }
            }
        }
        path
    }

    /// The names of the functions that are called, lower-cased, each once.
    pub fn functions(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.visit(&mut |node| {
            if let NodeKind::Call(function, _) = &node.kind {
                let name = function.name().to_ascii_lowercase();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        });
        names
    }

    /// What it reads with the values that this has in `scope`, for explanations: literal paths (`github.ref`), computed ones
    /// as written, and status functions (`success()`). What has no value here is left out.
    pub fn observed(&self, scope: &dyn Scope) -> Vec<(String, Value)> {
        let mut seen: Vec<(String, NodeId)> = Vec::new();
        self.visit_chains(&mut |id, path, literal| {
            let node = &self.nodes[id as usize];
            seen.push((if literal { path.join(".") } else { self.source[node.start..node.end].to_owned() }, id));
        });
        self.visit_ids(&mut |id, node| {
            if matches!(node.kind, NodeKind::Call(Function::Status(_), _)) {
                seen.push((self.source[node.start..node.end].to_owned(), id));
            }
        });
        let mut observed: Vec<(String, Value)> = Vec::new();
        for (name, id) in seen {
            if observed.iter().any(|(known, _)| *known == name) {
                continue;
            }
            if let Ok(value) = Evaluator::new(self, scope).value(id) {
                observed.push((name, value));
            }
        }
        observed
    }

    pub(super) fn root(&self) -> NodeId {
        (self.nodes.len() - 1) as NodeId
    }

    fn visit(&self, see: &mut dyn FnMut(&Node)) {
        self.visit_ids(&mut |_, node| see(node));
    }

    /// All nodes, from left to right.
    fn visit_ids(&self, see: &mut dyn FnMut(NodeId, &Node)) {
        let mut todo = vec![self.root()];
        while let Some(id) = todo.pop() {
            let node = &self.nodes[id as usize];
            see(id, node);
            push_children(&node.kind, &mut todo);
        }
    }

    /// The longest chains `context.a.b`, from left to right: node, path, and whether all of the path is literal.
    fn visit_chains(&self, see: &mut dyn FnMut(NodeId, Vec<String>, bool)) {
        let mut todo = vec![self.root()];
        while let Some(id) = todo.pop() {
            let kind = &self.nodes[id as usize].kind;
            if !matches!(kind, NodeKind::Context(_) | NodeKind::Index(..)) {
                push_children(kind, &mut todo);
                continue;
            }
            let mut indexes = Vec::new();
            let mut at = id;
            while let NodeKind::Index(target, index) = &self.nodes[at as usize].kind {
                indexes.push(*index);
                at = *target;
            }
            let computed: Vec<NodeId> = indexes.iter().copied().filter(|i| self.literal_index(*i).is_none()).collect();
            if let NodeKind::Context(_) = &self.nodes[at as usize].kind {
                let path = self.chain(id);
                see(id, path, computed.is_empty());
                todo.extend(computed);
            } else {
                todo.extend(computed);
                todo.push(at);
            }
        }
    }

    fn literal_index(&self, id: NodeId) -> Option<String> {
        match &self.nodes[id as usize].kind {
            NodeKind::Star => Some("*".to_owned()),
            NodeKind::Literal(value) => Some(value.to_text()),
            _ => None,
        }
    }
}

/// Pushes the children of `kind` so that the first is popped first.
fn push_children(kind: &NodeKind, todo: &mut Vec<NodeId>) {
    match kind {
        NodeKind::Literal(_) | NodeKind::Context(_) | NodeKind::Star => {}
        NodeKind::Not(inner) => todo.push(*inner),
        NodeKind::Index(a, b) | NodeKind::Compare(_, a, b) => todo.extend([*b, *a]),
        NodeKind::And(items) | NodeKind::Or(items) | NodeKind::Call(_, items) => todo.extend(items.iter().rev()),
    }
}

/// Names of the functions that are allowed only somewhere: `hashFiles` and the status functions.
pub fn special_functions() -> &'static [&'static str] {
    functions::SPECIAL
}
