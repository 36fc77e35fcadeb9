//! Text with `${{ }}` in it.

use std::sync::Arc;

use super::ast::Expr;
use super::error::{EvalError, ParseError};
use super::evaluate::Scope;
use super::value::Value;

const OPEN: &str = "${{";
const CLOSE: &str = "}}";

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
    /// Parses `text`; offsets in the error are bytes of `text`, positions in its message those of the expression, without
    /// the white space around it.
    pub fn parse(text: &str) -> Result<Template, ParseError> {
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(open) = text[at..].find(OPEN).map(|i| at + i) {
            if open > at {
                parts.push(Part::Text(text[at..open].into()));
            }
            let inner = open + OPEN.len();
            let Some(end) = find_close(&text[inner..]).map(|i| inner + i) else {
                let message = "The expression is not closed. An unescaped ${{ sequence was found, but the closing }} \
                               sequence was not found.";
                return Err(ParseError { offset: open, ..ParseError::whole(message, text.len() - open) });
            };
            at = end + CLOSE.len();
            let source = text[inner..end].trim();
            let fail = |error: ParseError| {
                let lead = text[inner..end].len() - text[inner..end].trim_start().len();
                ParseError { offset: inner + lead + error.offset, ..error }
            };
            if source.is_empty() {
                let whole = ParseError::whole("An expression was expected", at - open);
                return Err(ParseError { offset: open, ..whole });
            }
            if source == "insert" && (open > 0 || at < text.len()) {
                let message = "The directive 'insert' is not allowed in this context. Directives are not supported for \
                               expressions that are embedded within a string. Directives are only supported when the \
                               entire value is an expression.";
                return Err(fail(ParseError::whole(message, source.len())));
            }
            parts.push(Part::Expr(Expr::parse(source).map_err(fail)?));
        }
        if at < text.len() {
            parts.push(Part::Text(text[at..].into()));
        }
        Ok(match parts.as_slice() {
            [] => Template::Literal("".into()),
            [Part::Text(text)] => Template::Literal(text.clone()),
            [Part::Expr(expr)] => Template::Expr(expr.clone()),
            _ => Template::Mixed(parts.into()),
        })
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

/// Where the `}}` begins that closes an expression: the first outside of strings.
fn find_close(text: &str) -> Option<usize> {
    let mut in_string = false;
    let bytes = text.as_bytes();
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            // An escaped quote ends a string and begins the next.
            b'\'' => in_string = !in_string,
            b'}' if !in_string && bytes.get(i + 1) == Some(&b'}') => return Some(i),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::NoScope;

    fn text(template: &str) -> String {
        Template::parse(template).unwrap().evaluate_text(&NoScope).unwrap()
    }

    #[test]
    fn text_and_expressions_mix() {
        assert_eq!(text("a ${{ 1 }}${{ 'b' }} c"), "a 1b c");
        assert_eq!(text("${{ '${{ this is an escaped expression }}' }}"), "${{ this is an escaped expression }}");
        assert_eq!(text("${{ 'it''s' }}"), "it's");
        assert_eq!(text("$} }} ${ {"), "$} }} ${ {");
        assert_eq!(text("é${{'}}'}}é"), "é}}é");
    }

    #[test]
    fn one_expression_keeps_its_type() {
        let value = |t: &str| Template::parse(t).unwrap().evaluate(&NoScope).unwrap();
        assert_eq!(value("${{ 1 }}").kind(), "Number");
        assert_eq!(value(" ${{ 1 }}").kind(), "String");
        assert_eq!(value("${{ fromJSON('[]') }}").kind(), "Array");
    }

    #[test]
    fn errors_are_githubs_and_point_into_the_text() {
        let error = |t: &str| Template::parse(t).unwrap_err();
        let unclosed = error("a ${{ secrets.foo");
        assert!(unclosed.message.starts_with("The expression is not closed. An unescaped ${{ sequence was found, but"));
        assert_eq!((unclosed.offset, unclosed.length), (2, 15));
        assert_eq!(error("echo ${{ }}").message, "An expression was expected");
        assert_eq!(error("${{}}").message, "An expression was expected");
        let end = error("${{ contains('a', 'b' }}");
        let wanted = "Unexpected end of expression: ''b''. Located at position 15 within expression: contains('a', 'b'";
        assert_eq!((end.message.as_str(), end.offset, end.length), (wanted, 18, 3));
        let quoted = error("${{ \"0xFZ\" }}");
        assert_eq!(quoted.message, "Unexpected symbol: '\"0xFZ\"'. Located at position 1 within expression: \"0xFZ\"");
        assert!(error("a ${{ insert }}").message.starts_with("The directive 'insert' is not allowed in this context."));
    }
}
