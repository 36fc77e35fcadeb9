//! What of a text is known before anything runs. Values of secrets are stars, what only a run knows stays as it is written
//! and is named.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::expr::{EvalError, Expr, Object, Part, Scope, StatusFunction, Template, Value};
use crate::model::{Condition, EnvMap};

use super::condition::{decide, shown};
use super::contexts::{Base, RUN_TIME_KEYS};
use super::ir::PlanInputs;
use super::scope::{ContextScope, StatusView};
use super::view::{Shown, Variable, When};

/// What stands for a secret's value.
pub const STARS: &str = "***";

/// Contexts that are known as a whole.
const WHOLE: &[&str] = &["github", "inputs", "vars", "secrets", "env", "runner"];

/// Keys of `runner` that are known.
const RUNNER: &[&str] = &["os", "environment"];

/// The contexts of a dry run, of the file, a stage, a leg or a step.
#[derive(Debug, Clone)]
pub struct Known {
    contexts: Vec<(&'static str, Value)>,
    /// Shared until a step adds to it: most add nothing.
    env: Arc<Object>,
    /// Variables whose value waits for the run.
    env_waits: Arc<HashSet<String>>,
    given: Arc<HashSet<String>>,
}

/// A scope of what is known; `status` is an assumption.
struct Assumed<'a> {
    known: &'a Known,
    status: &'a StatusView,
}

impl Scope for Assumed<'_> {
    fn context(&self, name: &str) -> Option<Value> {
        self.known.contexts.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    fn status(&self, function: StatusFunction, args: &[Value]) -> Result<bool, EvalError> {
        ContextScope { status: self.status.clone(), ..ContextScope::default() }.status(function, args)
    }
}

impl Known {
    /// Of the file: `github`, `inputs`, `vars`, `secrets`.
    pub fn new(inputs: &PlanInputs) -> Self {
        let base = Base::new(inputs);
        let stars: Object = inputs.secret_names.iter().map(|name| (name.as_str(), Value::from(STARS))).collect();
        let runner: Object = [("os", "Linux"), ("environment", "self-hosted")].into_iter().collect();
        Self {
            contexts: vec![
                ("github", base.github),
                ("inputs", base.inputs),
                ("vars", base.vars),
                ("secrets", Value::object(stars)),
                ("runner", Value::object(runner)),
            ],
            env: Arc::new(Object::case_sensitive()),
            env_waits: Arc::default(),
            given: Arc::new(inputs.secret_names.iter().map(|name| name.to_ascii_uppercase()).collect()),
        }
    }

    /// With a context more, which hides an earlier one of its name.
    pub fn set(&mut self, name: &'static str, value: Value) {
        self.contexts.push((name, value));
    }

    /// With the variables of `map` on top; they are returned as they are shown.
    pub fn add_env(&mut self, map: &EnvMap) -> Vec<Variable> {
        let mut added = Vec::with_capacity(map.len());
        for entry in map {
            let value = self.text(&entry.value.template);
            if entry.is_insert() {
                added.push(Variable { name: "...".to_owned(), value });
                continue;
            }
            added.push(self.add_variable(&entry.name.value, value));
        }
        if !added.is_empty() {
            self.publish_env();
        }
        added
    }

    /// Lets expressions see the variables that were added.
    pub fn publish_env(&mut self) {
        self.contexts.retain(|(name, _)| *name != "env");
        self.contexts.push(("env", Value::Object(self.env.clone())));
    }

    /// With one variable more, which expressions see after [`Known::publish_env`].
    pub fn add_variable(&mut self, name: &str, value: Shown) -> Variable {
        if value.waits_for.is_empty() {
            if self.env_waits.contains(name) {
                Arc::make_mut(&mut self.env_waits).remove(name);
            }
            Arc::make_mut(&mut self.env).insert(name, value.text.as_str());
        } else {
            Arc::make_mut(&mut self.env_waits).insert(name.to_owned());
        }
        Variable { name: name.to_owned(), value }
    }

    /// The scope, for what knows how to deal with contexts that are missing.
    pub fn scope(&self) -> impl Scope + '_ {
        Assumed { known: self, status: &StatusView::None }
    }

    /// `template` with what is known put in.
    pub fn text(&self, template: &Template) -> Shown {
        let mut waits = BTreeSet::new();
        let mut part = |expr: &Expr| match self.value(expr) {
            Ok(text) => text,
            Err(missing) => {
                waits.extend(missing);
                format!("${{{{ {} }}}}", expr.source.trim())
            }
        };
        let text = match template {
            Template::Literal(text) => text.to_string(),
            Template::Expr(expr) => part(expr),
            Template::Mixed(parts) => {
                let mut out = String::new();
                for piece in parts.iter() {
                    match piece {
                        Part::Text(text) => out.push_str(text),
                        Part::Expr(expr) => out.push_str(&part(expr)),
                    }
                }
                out
            }
        };
        Shown { text, waits_for: waits.into_iter().collect() }
    }

    /// What `condition` comes to; none is `success()`. `good` is the status if all goes well, `bad` if something fails.
    pub fn when(&self, condition: Option<&Condition>, good: &StatusView, bad: &StatusView) -> When {
        let expr = condition.map(|condition| &condition.expr);
        let waits = expr.map(|expr| self.waits_for(expr)).unwrap_or_default();
        let asks_status = expr.is_some_and(|expr| expr.uses_status_function());
        if let Some(key) = waits.iter().find(|name| self.is_part(name)) {
            return When::waits(key);
        }
        let with = |status| decide(condition, &Assumed { known: self, status });
        let well = match (with(good), waits.first()) {
            (Ok(decision), _) => decision,
            (Err(_), Some(missing)) => return When::waits(missing),
            (Err(error), None) => return When::Unknown { why: error.message },
        };
        if well.run {
            return When::Runs;
        }
        if asks_status {
            let source = expr.map_or("", |expr| expr.source.trim());
            match (with(bad), waits.first()) {
                (Ok(decision), _) if !decision.run => {}
                (Ok(_), _) => return When::Unknown { why: format!("`{source}` depends on how the run goes") },
                (Err(_), Some(missing)) => return When::waits(missing),
                (Err(error), None) => return When::Unknown { why: error.message },
            }
        }
        When::Skipped { why: well.reason }
    }

    /// The text of `expr`, else what it waits for.
    fn value(&self, expr: &Expr) -> Result<String, Vec<String>> {
        let waits = self.waits_for(expr);
        if waits.iter().any(|name| self.is_part(name)) {
            return Err(waits);
        }
        match expr.evaluate(&self.scope()) {
            Ok(value) => {
                let text = value.to_text();
                // What is only compared with a secret would tell of its value, and the stars are not it.
                match self.secret_of(expr) {
                    Some(secret) if !text.contains(STARS) => Err(vec![secret]),
                    _ => Ok(text),
                }
            }
            Err(_) if !waits.is_empty() => Err(waits),
            Err(error) => Err(vec![format!("nothing: {}", error.message)]),
        }
    }

    /// A secret with a value that `expr` reads.
    fn secret_of(&self, expr: &Expr) -> Option<String> {
        expr.paths().into_iter().find_map(|path| match path.as_slice() {
            [head, name, ..] if head == "secrets" && self.given.contains(&name.to_ascii_uppercase()) => {
                Some(path.join("."))
            }
            _ => None,
        })
    }

    /// What only a run knows of what `expr` reads.
    fn waits_for(&self, expr: &Expr) -> Vec<String> {
        let mut names: Vec<String> = expr
            .paths()
            .into_iter()
            .filter(|path| match path.as_slice() {
                [head] if head == "github" => true,
                [head] if head == "env" => !self.env_waits.is_empty(),
                [head, key, ..] if head == "github" => RUN_TIME_KEYS.contains(&key.to_ascii_lowercase().as_str()),
                [head, key, ..] if head == "env" => self.env_waits.contains(key),
                [head, key, ..] if head == "runner" => !RUNNER.contains(&key.to_ascii_lowercase().as_str()),
                [head, ..] => !self.contexts.iter().any(|(name, _)| name == head) && head != "env",
                [] => false,
            })
            .map(|path| path.join("."))
            .collect();
        if expr.functions().iter().any(|name| name == "hashfiles") {
            names.push("hashFiles()".to_owned());
        }
        names
    }

    /// Whether what is missing is a part of a context that is there: it would be taken for null.
    fn is_part(&self, name: &str) -> bool {
        WHOLE.contains(&name.split('.').next().unwrap_or_default())
    }
}

/// A value for people, in one line.
pub fn one_line(value: &Value) -> String {
    match value {
        Value::String(text) if !text.contains('\n') => text.to_string(),
        other => shown(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::inputs;
    use crate::span::Span;

    fn known() -> Known {
        let mut known = Known::new(&PlanInputs { secret_names: vec!["KEY".into()], ..inputs() });
        known.add_variable("A", Shown::plain("1"));
        known.add_variable("B", Shown { text: "x".into(), waits_for: vec!["needs.a.result".into()] });
        known.publish_env();
        known
    }

    fn text(template: &str) -> (String, String) {
        let shown = known().text(&Template::parse(template).unwrap());
        (shown.text, shown.waits_for.join(" "))
    }

    #[test]
    fn what_is_known_is_put_in_and_the_rest_is_named() {
        let is = |template: &str, wanted: &str, waits: &str| {
            assert_eq!(text(template), (wanted.to_owned(), waits.to_owned()), "{template}");
        };
        is("a ${{ github.ref }} ${{ env.A }}", "a refs/heads/main 1", "");
        is("${{ github.run_id }} ${{github.sha}}", "${{ github.run_id }} 0123", "github.run_id");
        is("${{ needs.a.outputs.x }}", "${{ needs.a.outputs.x }}", "needs.a.outputs.x");
        is("${{ env.B }}", "${{ env.B }}", "env.B");
        is("${{ github.ref == 'x' && needs.a.outputs.x || 'no' }}", "no", "");
        is("${{ secrets.KEY }}-${{ secrets.NONE }}", "***-", "");
        is("${{ format('Bearer {0}', secrets.KEY) }}", "Bearer ***", "");
        is("${{ secrets.KEY == 'guess' }}", "${{ secrets.KEY == 'guess' }}", "secrets.KEY");
        is("${{ hashFiles('x') }}", "${{ hashFiles('x') }}", "hashFiles()");
        is("${{ runner.os }} ${{ runner.temp }}", "Linux ${{ runner.temp }}", "runner.temp");
    }

    #[test]
    fn conditions_are_decided_when_they_can_be() {
        let when = |text: &str| {
            let condition = Condition { expr: Expr::parse(text).unwrap(), span: Span::default() };
            known().when(Some(&condition), &StatusView::Job("success"), &StatusView::Job("failure"))
        };
        assert_eq!(when("github.ref == 'refs/heads/main'"), When::Runs);
        assert!(matches!(when("github.ref == 'x' && needs.a.outputs.x"), When::Skipped { .. }));
        assert_eq!(when("needs.a.outputs.x"), When::waits("needs.a.outputs.x"));
        assert_eq!(when("always()"), When::Runs);
        assert_eq!(when("failure()"), When::Unknown { why: "`failure()` depends on how the run goes".into() });
        assert!(matches!(when("failure() && github.ref == 'x'"), When::Skipped { .. }));
    }
}
