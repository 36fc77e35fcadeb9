//! A tree of YAML data in which any value may be an expression: matrices, `with`, event inputs.

use crate::expr::{EvalError, Object, Scope, Value};
use crate::span::Span;

use super::{EnvEntry, Text};

/// A piece of data with its place.
#[derive(Debug, Clone)]
pub struct Data {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: DataKind,
}

/// What a piece of data is.
#[derive(Debug, Clone)]
pub enum DataKind {
    /// A scalar without expression, with its YAML 1.2 core type.
    Scalar(Value),
    /// A scalar with `${{ }}`.
    Text(Text),
    /// A list.
    Sequence(Vec<Data>),
    /// A map in file order.
    Mapping(Vec<(Text, Data)>),
}

impl Data {
    /// Whether no expression is in it.
    pub fn is_literal(&self) -> bool {
        match &self.kind {
            DataKind::Scalar(_) => true,
            DataKind::Text(text) => text.template.as_literal().is_some(),
            DataKind::Sequence(items) => items.iter().all(Data::is_literal),
            DataKind::Mapping(entries) => {
                entries.iter().all(|(k, v)| k.template.as_literal().is_some() && v.is_literal())
            }
        }
    }

    /// Every text with an expression in it, keys too.
    pub fn texts<'a>(&'a self, out: &mut Vec<&'a Text>) {
        match &self.kind {
            DataKind::Scalar(_) => {}
            DataKind::Text(text) => out.push(text),
            DataKind::Sequence(items) => items.iter().for_each(|item| item.texts(out)),
            DataKind::Mapping(entries) => {
                for (key, value) in entries {
                    if key.template.as_literal().is_none() {
                        out.push(key);
                    }
                    value.texts(out);
                }
            }
        }
    }

    /// Its value in `scope`.
    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, EvalError> {
        Ok(match &self.kind {
            DataKind::Scalar(value) => value.clone(),
            DataKind::Text(text) => text.template.evaluate(scope)?,
            DataKind::Sequence(items) => {
                Value::array(items.iter().map(|i| i.evaluate(scope)).collect::<Result<_, _>>()?)
            }
            DataKind::Mapping(entries) => {
                let mut object = Object::new();
                for (key, value) in entries {
                    if key.template.as_literal() == Some(EnvEntry::INSERT) {
                        match value.evaluate(scope)? {
                            Value::Object(inner) => {
                                inner.iter().for_each(|(k, v)| object.insert(k.clone(), v.clone()));
                            }
                            _ => return Err(EvalError::new("what is inserted is no object")),
                        }
                        continue;
                    }
                    object.insert(key.template.evaluate_text(scope)?, value.evaluate(scope)?);
                }
                Value::object(object)
            }
        })
    }
}
