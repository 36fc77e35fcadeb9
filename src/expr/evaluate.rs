//! Evaluation against a scope.

use super::{EvalError, Value};

/// The status functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusFunction {
    /// `success()`
    Success,
    /// `failure()`
    Failure,
    /// `cancelled()`
    Cancelled,
    /// `always()`
    Always,
}

/// What an expression can see.
pub trait Scope {
    /// The context named `name` (lower-case), or `None` when there is none of this name here.
    fn context(&self, name: &str) -> Option<Value>;

    /// The value of a status function; `args` are job ids at job level (`success('build')`).
    fn status(&self, function: StatusFunction, args: &[Value]) -> Result<bool, EvalError> {
        let _ = args;
        Err(EvalError::new(format!("{function:?}() can only be used in `if`").to_lowercase()))
    }

    /// `hashFiles(patterns...)`.
    fn hash_files(&self, patterns: &[String]) -> Result<String, EvalError> {
        let _ = patterns;
        Err(EvalError::new("hashFiles() can only be used within a job"))
    }
}

/// A scope without anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoScope;

impl Scope for NoScope {
    fn context(&self, _name: &str) -> Option<Value> {
        None
    }
}
