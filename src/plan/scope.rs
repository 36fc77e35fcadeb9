//! The scope of expressions from plan time on: named contexts, and the status functions.

use std::collections::HashMap;

use crate::expr::{EvalError, Scope, StatusFunction, Value};

/// What `success()` and its friends answer.
#[derive(Debug, Clone, Default)]
pub enum StatusView {
    /// They may not be used here.
    #[default]
    None,
    /// Of a job's `if`: over all transitive ancestors.
    Ancestors {
        /// Every ancestor succeeded (a skipped one did not).
        success: bool,
        /// Any ancestor failed.
        failure: bool,
        /// The run is being cancelled.
        cancelled: bool,
        /// Results by stage id, for `success('build')`.
        results: HashMap<String, String>,
    },
    /// Of a step's `if`: the job so far: `success`, `failure` or `cancelled`.
    Job(&'static str),
}

/// Answers `hashFiles(patterns)`.
pub type HashFiles = dyn Fn(&[String]) -> Result<String, EvalError> + Sync;

/// Contexts by name, and the status functions' view. Contexts not set are unknown names.
#[derive(Default)]
pub struct ContextScope<'a> {
    /// Contexts by lower-case name.
    pub contexts: HashMap<&'static str, Value>,
    /// The status functions.
    pub status: StatusView,
    /// `hashFiles`, where files are at hand.
    pub hash_files: Option<&'a HashFiles>,
}

impl ContextScope<'_> {
    /// Sets context `name`.
    pub fn set(&mut self, name: &'static str, value: Value) -> &mut Self {
        self.contexts.insert(name, value);
        self
    }
}

impl Scope for ContextScope<'_> {
    fn context(&self, name: &str) -> Option<Value> {
        self.contexts.get(name).cloned()
    }

    fn status(&self, function: StatusFunction, args: &[Value]) -> Result<bool, EvalError> {
        match &self.status {
            StatusView::None => Err(EvalError::new("status functions can only be used in `if`")),
            StatusView::Job(status) => Ok(match function {
                StatusFunction::Success => *status == "success",
                StatusFunction::Failure => *status == "failure",
                StatusFunction::Cancelled => *status == "cancelled",
                StatusFunction::Always => true,
            }),
            StatusView::Ancestors { success, failure, cancelled, results } => {
                let of = |wanted: &str| {
                    args.iter().map(Value::to_text).any(|id| results.get(&id).is_some_and(|result| result == wanted))
                };
                Ok(match function {
                    StatusFunction::Always => true,
                    StatusFunction::Cancelled => *cancelled,
                    StatusFunction::Success if args.is_empty() => *success && !cancelled,
                    StatusFunction::Success => {
                        !cancelled
                            && args
                                .iter()
                                .map(Value::to_text)
                                .all(|id| results.get(&id).is_some_and(|r| r == "success"))
                    }
                    StatusFunction::Failure if args.is_empty() => *failure,
                    StatusFunction::Failure => of("failure"),
                })
            }
        }
    }

    fn hash_files(&self, patterns: &[String]) -> Result<String, EvalError> {
        match self.hash_files {
            Some(hash) => hash(patterns),
            None => Err(EvalError::new("hashFiles() needs the files of a job")),
        }
    }
}
