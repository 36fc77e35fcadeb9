//! The YAML tree as it is written: every node with its span, scalars with their style. Structs are read from it.

use std::sync::Arc;

use crate::span::Span;

/// A node of the file.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is. Aliases share the anchor's node.
    pub kind: Arc<NodeKind>,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// Any scalar; its type is decided by who reads it (YAML 1.2 core rules for plain ones).
    Scalar {
        /// The text after YAML's unescaping and folding.
        text: Arc<str>,
        /// How it is written.
        style: ScalarStyle,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// A map in file order; keys are unique.
    Mapping(Vec<Entry>),
}

/// How a scalar is written: only plain ones can be null, booleans or numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarStyle {
    /// `abc`
    Plain,
    /// `'abc'` or `"abc"`
    Quoted,
    /// `|` or `>`
    Block,
}

/// An entry of a map.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key's text.
    pub key: Arc<str>,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}
