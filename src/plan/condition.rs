//! `if`: the implicit `success() &&`, and the reason why it was false.

use crate::expr::{EvalError, Scope, StatusFunction, Value};
use crate::model::Condition;

/// Texts longer than this are shortened in reasons.
const MAX_SHOWN: usize = 200;

/// At most so many values are shown in a reason.
const MAX_VALUES: usize = 12;

/// What an `if` came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it runs.
    pub run: bool,
    /// Why not, for people: the condition with the values it saw
    /// (`github.ref == 'refs/heads/main', with github.ref = 'refs/heads/dev'`). Empty when it runs.
    pub reason: String,
}

/// Evaluates `condition` in `scope`: none is `success()`; one without a status function is `success() && (it)`.
pub fn decide(condition: Option<&Condition>, scope: &dyn Scope) -> Result<Decision, EvalError> {
    let Some(condition) = condition else {
        let run = scope.status(StatusFunction::Success, &[])?;
        return Ok(Decision { run, reason: if run { String::new() } else { not_successful(scope) } });
    };
    let expr = &condition.expr;
    if !expr.uses_status_function() && !scope.status(StatusFunction::Success, &[])? {
        return Ok(Decision { run: false, reason: not_successful(scope) });
    }
    if expr.evaluate(scope)?.truthy() {
        return Ok(Decision { run: true, reason: String::new() });
    }
    Ok(Decision { run: false, reason: explain(condition, scope) })
}

/// The condition with the values that it sees in `scope`.
pub fn explain(condition: &Condition, scope: &dyn Scope) -> String {
    let source = one_line(condition.expr.source.trim());
    let observed = condition.expr.observed(scope);
    if observed.is_empty() {
        return format!("`{source}` is false");
    }
    let mut values: Vec<String> = observed
        .iter()
        .take(MAX_VALUES)
        .map(|(name, value)| format!("{} = {}", one_line(name), shown(value)))
        .collect();
    if observed.len() > MAX_VALUES {
        values.push("...".to_owned());
    }
    format!("`{source}` is false, with {}", values.join(", "))
}

/// A value as an expression would write it.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => format!("'{}'", one_line(text).replace('\'', "''")),
        Value::Array(_) | Value::Object(_) => one_line(&value.to_json().to_string()),
        _ => value.to_text(),
    }
}

fn not_successful(scope: &dyn Scope) -> String {
    let is = |function| scope.status(function, &[]).unwrap_or(false);
    if is(StatusFunction::Cancelled) {
        "the run was cancelled".to_owned()
    } else if is(StatusFunction::Failure) {
        "something before it failed".to_owned()
    } else {
        "something it needs was skipped".to_owned()
    }
}

fn one_line(text: &str) -> String {
    let mut out: String = text.chars().take(MAX_SHOWN).map(|c| if c == '\n' || c == '\r' { ' ' } else { c }).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        out.push_str("...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{Expr, Object};
    use crate::plan::scope::{ContextScope, StatusView};
    use crate::span::Span;

    fn decide_in(text: &str, status: StatusView) -> Decision {
        let condition = Condition { expr: Expr::parse(text).unwrap(), span: Span::default() };
        let mut scope = ContextScope { status, ..ContextScope::default() };
        let github: Object = [("ref", Value::from("refs/heads/dev"))].into_iter().collect();
        scope.set("github", Value::object(github));
        decide(Some(&condition), &scope).unwrap()
    }

    #[test]
    fn success_is_implied_unless_a_status_function_is_called() {
        assert!(decide_in("github.ref == 'refs/heads/dev'", StatusView::Job("success")).run);
        assert!(!decide_in("github.ref == 'refs/heads/dev'", StatusView::Job("failure")).run);
        assert!(decide_in("always()", StatusView::Job("failure")).run);
        assert!(decide_in("failure() && true", StatusView::Job("failure")).run);
        assert!(!decide_in("failure()", StatusView::Job("success")).run);
    }

    #[test]
    fn the_reason_shows_what_was_seen() {
        let decision = decide_in("github.ref == 'refs/heads/main'", StatusView::Job("success"));
        assert_eq!(decision.reason, "`github.ref == 'refs/heads/main'` is false, with github.ref = 'refs/heads/dev'");
        assert_eq!(decide_in("true", StatusView::Job("cancelled")).reason, "the run was cancelled");
    }
}
