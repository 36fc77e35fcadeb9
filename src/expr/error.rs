//! What can be wrong with an expression.

/// Which part of the reader refused the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseErrorKind {
    /// Characters that are no word of the language.
    Lexing,
    /// Words that make no expression.
    Parsing,
}

/// The text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// Which part of the reader refused the text.
    pub kind: ParseErrorKind,
    /// In GitHub's words where the corpus has them.
    pub message: String,
    /// Byte offset within the text that was parsed.
    pub offset: usize,
    /// Length in bytes of what is wrong, at least 1.
    pub length: usize,
}

impl ParseError {
    /// `what` about `source[start..end]`, as GitHub says it: positions count UTF-16 units from 1.
    pub(super) fn at(kind: ParseErrorKind, what: &str, source: &str, start: usize, end: usize) -> Self {
        let word = &source[start..end];
        let position = source[..start].encode_utf16().count() + 1;
        Self {
            kind,
            message: format!("{what}: '{word}'. Located at position {position} within expression: {source}"),
            offset: start,
            length: (end - start).max(1),
        }
    }

    /// `message` about the whole of a text that is `length` bytes long.
    pub(super) fn whole(message: impl Into<String>, length: usize) -> Self {
        Self { kind: ParseErrorKind::Parsing, message: message.into(), offset: 0, length: length.max(1) }
    }
}

/// The expression has no value here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvalError {
    /// What was tried and why it failed.
    pub message: String,
}

impl EvalError {
    /// With `message`.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}
