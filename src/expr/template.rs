//! Text with `${{ }}` in it.

use std::sync::Arc;

use super::{EvalError, Expr, ParseError, Scope, Value};

/// A scalar as written: literal text, one expression (which keeps its type), or a mixture (which is text).
#[derive(Debug, Clone)]
pub enum Template {
    /// No expression in it.
    Literal(Arc<str>),
    /// Exactly one `${{ }}`, nothing around it.
    Expr(Expr),
    /// Text and expressions in turn.
    Mixed(Arc<Vec<Part>>),
}

/// A part of a mixture.
#[derive(Debug, Clone)]
pub enum Part {
    /// Text.
    Text(Arc<str>),
    /// `${{ expr }}`.
    Expr(Expr),
}

impl Template {
    /// Parses `text`; offsets in the error are bytes of `text`.
    pub fn parse(text: &str) -> Result<Template, ParseError> {
        Ok(Template::Literal(text.into()))
    }

    /// Literal text.
    pub fn literal(text: impl Into<Arc<str>>) -> Template {
        Template::Literal(text.into())
    }

    /// The text, when no expression is in it.
    pub fn as_literal(&self) -> Option<&str> {
        match self {
            Template::Literal(text) => Some(text),
            _ => None,
        }
    }

    /// As written, with `${{ }}`.
    pub fn source(&self) -> String {
        match self {
            Template::Literal(text) => text.to_string(),
            Template::Expr(expr) => format!("${{{{ {} }}}}", expr.source.trim()),
            Template::Mixed(parts) => parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => text.to_string(),
                    Part::Expr(expr) => format!("${{{{ {} }}}}", expr.source.trim()),
                })
                .collect(),
        }
    }

    /// The expressions in it.
    pub fn expressions(&self) -> Vec<&Expr> {
        match self {
            Template::Literal(_) => Vec::new(),
            Template::Expr(expr) => vec![expr],
            Template::Mixed(parts) => {
                parts.iter().filter_map(|p| if let Part::Expr(e) = p { Some(e) } else { None }).collect()
            }
        }
    }

    /// Its value: a lone expression keeps its type, all else is text.
    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, EvalError> {
        match self {
            Template::Literal(text) => Ok(Value::String(text.clone())),
            Template::Expr(expr) => expr.evaluate(scope),
            Template::Mixed(_) => self.evaluate_text(scope).map(Value::from),
        }
    }

    /// Its value as text.
    pub fn evaluate_text(&self, scope: &dyn Scope) -> Result<String, EvalError> {
        match self {
            Template::Literal(text) => Ok(text.to_string()),
            Template::Expr(expr) => Ok(expr.evaluate(scope)?.to_text()),
            Template::Mixed(parts) => {
                let mut out = String::new();
                for part in parts.iter() {
                    match part {
                        Part::Text(text) => out.push_str(text),
                        Part::Expr(expr) => out.push_str(&expr.evaluate(scope)?.to_text()),
                    }
                }
                Ok(out)
            }
        }
    }
}
