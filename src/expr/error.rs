//! What can be wrong with an expression.

/// The text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// In GitHub's words where the corpus has them.
    pub message: String,
    /// Byte offset within the expression's text.
    pub offset: usize,
    /// Length in bytes of what is wrong, at least 1.
    pub length: usize,
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
