//! Evaluation against a scope. Recursion is bounded by the parser's depth limit; work by [`MAX_OPERATIONS`]; text by
//! [`MAX_TEXT`] for one result and [`MAX_TOTAL_TEXT`] for all of an evaluation.

use std::cmp::Ordering;
use std::sync::Arc;

use super::ast::{Expr, NodeId, NodeKind};
use super::error::{EvalError, ParseError, ParseErrorKind};
use super::functions::{self, Function, InvalidFormat, Piece};
use super::json::{self, Style, WriteError};
use super::lexer::Operator;
use super::text;
use super::value::Value;

/// Operations of one evaluation: nodes, and in pieces of [`ITEMS_PER_OPERATION`] and [`BYTES_PER_OPERATION`] what they go
/// through. Some hundredths of a second.
const MAX_OPERATIONS: usize = 100_000;

/// Items of an array that count as one operation.
const ITEMS_PER_OPERATION: usize = 16;

/// Bytes of text that count as one operation.
const BYTES_PER_OPERATION: usize = 1024;

/// Bytes that one function may make (GitHub's limit too).
const MAX_TEXT: usize = 1 << 20;

/// Bytes that all functions of an evaluation may make together.
const MAX_TOTAL_TEXT: usize = 16 << 20;

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

/// One evaluation.
pub(super) struct Evaluator<'a> {
    expr: &'a Expr,
    scope: &'a dyn Scope,
    operations: usize,
    text: usize,
}

/// A value, and whether it is what a filter (`.*`) gave: an index into that goes into each item.
struct Operand {
    value: Value,
    filtered: bool,
}

impl From<Value> for Operand {
    fn from(value: Value) -> Self {
        Operand { value, filtered: false }
    }
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(expr: &'a Expr, scope: &'a dyn Scope) -> Self {
        Self { expr, scope, operations: 0, text: 0 }
    }

    /// The value of node `id`.
    pub(super) fn value(&mut self, id: NodeId) -> Result<Value, EvalError> {
        self.operand(id).map(|operand| operand.value)
    }

    fn spend(&mut self, operations: usize) -> Result<(), EvalError> {
        self.operations += operations;
        if self.operations > MAX_OPERATIONS {
            return Err(EvalError::new(format!(
                "the expression takes more than {MAX_OPERATIONS} operations; split it, or do this work in a step"
            )));
        }
        Ok(())
    }

    fn spend_text(&mut self, texts: &[&str]) -> Result<(), EvalError> {
        self.spend(texts.iter().map(|text| text.len() / BYTES_PER_OPERATION).sum())
    }

    /// Counts text that was made.
    fn made(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.text += bytes;
        if bytes > MAX_TEXT || self.text > MAX_TOTAL_TEXT {
            return Err(too_long());
        }
        self.spend(bytes / BYTES_PER_OPERATION)
    }

    fn operand(&mut self, id: NodeId) -> Result<Operand, EvalError> {
        self.spend(1)?;
        let expr = self.expr;
        let node = &expr.nodes[id as usize];
        Ok(match &node.kind {
            NodeKind::Literal(value) => value.clone().into(),
            NodeKind::Star => Value::from("*").into(),
            NodeKind::Context(name) => match self.scope.context(name) {
                Some(value) => value.into(),
                None => {
                    let (what, end) = ("Unrecognized named-value", node.at + name.len());
                    let error = ParseError::at(ParseErrorKind::Parsing, what, &expr.source, node.at, end);
                    return Err(EvalError::new(error.message));
                }
            },
            NodeKind::Index(target, index) => self.index(*target, *index)?,
            NodeKind::Not(inner) => Value::Bool(!self.value(*inner)?.truthy()).into(),
            NodeKind::Compare(operator, left, right) => {
                let (left, right) = (self.value(*left)?, self.value(*right)?);
                if let (Value::String(a), Value::String(b)) = (&left, &right) {
                    self.spend_text(&[a, b])?;
                }
                Value::Bool(compare(*operator, &left, &right)).into()
            }
            NodeKind::And(items) => self.first(items, false)?,
            NodeKind::Or(items) => self.first(items, true)?,
            NodeKind::Call(function, arguments) => return self.call(*function, arguments),
        })
    }

    /// The first of `items` whose truth is `wanted`, else the last.
    fn first(&mut self, items: &[NodeId], wanted: bool) -> Result<Operand, EvalError> {
        let mut last = Operand::from(Value::Null);
        for item in items {
            last = self.operand(*item)?;
            if last.value.truthy() == wanted {
                break;
            }
        }
        Ok(last)
    }

    fn index(&mut self, target: NodeId, index: NodeId) -> Result<Operand, EvalError> {
        let target = self.operand(target)?;
        let star = matches!(self.expr.nodes[index as usize].kind, NodeKind::Star);
        if target.value.is_primitive() {
            // The index is not even looked at, as GitHub does it.
            let value = if star { Value::array(Vec::new()) } else { Value::Null };
            return Ok(Operand { value, filtered: star });
        }
        let index = if star { None } else { Some(self.value(index)?) };
        if !target.filtered {
            return match index {
                None => {
                    let mut items = Vec::new();
                    self.spread(&target.value, &mut items)?;
                    Ok(Operand { value: Value::array(items), filtered: true })
                }
                Some(index) => Ok(look_up(&target.value, &index).unwrap_or_default().into()),
            };
        }
        let Value::Array(each) = &target.value else { return Ok(Value::Null.into()) };
        self.spend(each.len() / ITEMS_PER_OPERATION)?;
        let mut items = Vec::new();
        for item in each.iter() {
            match &index {
                None => self.spread(item, &mut items)?,
                Some(index) => items.extend(look_up(item, index)),
            }
        }
        Ok(Operand { value: Value::array(items), filtered: true })
    }

    /// Appends all items of `value`.
    fn spread(&mut self, value: &Value, items: &mut Vec<Value>) -> Result<(), EvalError> {
        match value {
            Value::Array(array) => {
                self.spend(array.len() / ITEMS_PER_OPERATION)?;
                items.extend(array.iter().cloned());
            }
            Value::Object(object) => {
                self.spend(object.len() / ITEMS_PER_OPERATION)?;
                items.extend(object.iter().map(|(_, value)| value.clone()));
            }
            _ => {}
        }
        Ok(())
    }

    fn call(&mut self, function: Function, arguments: &[NodeId]) -> Result<Operand, EvalError> {
        let value = match function {
            Function::Contains | Function::StartsWith | Function::EndsWith => {
                let (value, part) = (self.value(arguments[0])?, self.value(arguments[1])?);
                match (&value, &part) {
                    (Value::Array(items), _) => self.spend(items.len() / ITEMS_PER_OPERATION)?,
                    (Value::String(a), Value::String(b)) => self.spend_text(&[a, b])?,
                    _ => {}
                }
                Value::Bool(match function {
                    Function::Contains => functions::contains(&value, &part),
                    Function::StartsWith => functions::at_edge(&value, &part, text::starts_with),
                    _ => functions::at_edge(&value, &part, text::ends_with),
                })
            }
            Function::Format => self.format(arguments)?,
            Function::Join => self.join(arguments)?,
            Function::ToJson => {
                let value = self.value(arguments[0])?;
                let out = json::write(&value, Style::Pretty, MAX_TEXT).map_err(|error| match error {
                    WriteError::Depth => EvalError::new("toJSON: the value is nested too deep"),
                    WriteError::Length => too_long(),
                })?;
                self.made(out.len())?;
                Value::from(out)
            }
            Function::FromJson => {
                let text = self.value(arguments[0])?.text();
                self.made(text.len())?;
                serde_json::from_str(&text).map_err(|error| not_json(&text, &error))?
            }
            Function::Case => return self.case(arguments),
            Function::HashFiles => {
                let patterns = arguments.iter().map(|id| self.value(*id).map(|value| value.to_text()));
                let patterns = patterns.collect::<Result<Vec<_>, _>>()?;
                Value::from(self.scope.hash_files(&patterns)?)
            }
            Function::Status(status) => {
                let arguments = arguments.iter().map(|id| self.value(*id)).collect::<Result<Vec<_>, _>>()?;
                Value::Bool(self.scope.status(status, &arguments)?)
            }
        };
        Ok(value.into())
    }

    fn case(&mut self, arguments: &[NodeId]) -> Result<Operand, EvalError> {
        let (pairs, default) = arguments.as_chunks::<2>();
        for [predicate, value] in pairs {
            match self.value(*predicate)? {
                Value::Bool(true) => return self.operand(*value),
                Value::Bool(false) => {}
                _ => return Err(EvalError::new("case predicate must evaluate to a boolean value")),
            }
        }
        self.operand(default[0])
    }

    fn format(&mut self, arguments: &[NodeId]) -> Result<Value, EvalError> {
        let format = self.value(arguments[0])?.text();
        self.spend_text(&[&format])?;
        let mut values: Vec<Option<Arc<str>>> = vec![None; arguments.len() - 1];
        let mut out = String::new();
        let mut at = 0;
        loop {
            let piece = functions::next_piece(&format, at)
                .map_err(|InvalidFormat| EvalError::new(format!("The following format string is invalid: {format}")))?;
            let Some((piece, next)) = piece else { break };
            at = next;
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Argument(index, specifiers) => {
                    self.spend(1)?;
                    let Some(slot) = values.get_mut(index) else {
                        return Err(EvalError::new(format!(
                            "The following format string references more arguments than were supplied: {format}"
                        )));
                    };
                    // Only what the format names is evaluated, and once.
                    let known = slot.take();
                    let value = match known {
                        Some(value) => value,
                        None => {
                            let value = self.value(arguments[index + 1])?;
                            if !specifiers.is_empty() {
                                return Err(EvalError::new(format!(
                                    "The format specifiers '{specifiers}' are not valid for objects of type '{}'",
                                    value.kind()
                                )));
                            }
                            value.text()
                        }
                    };
                    out.push_str(&value);
                    values[index] = Some(value);
                }
            }
            if out.len() > MAX_TEXT {
                return Err(too_long());
            }
        }
        self.made(out.len())?;
        Ok(Value::from(out))
    }

    fn join(&mut self, arguments: &[NodeId]) -> Result<Value, EvalError> {
        let value = self.value(arguments[0])?;
        let items = match &value {
            Value::Array(items) => items,
            Value::Object(_) => return Ok(Value::from("")),
            _ => return Ok(Value::String(value.text())),
        };
        self.spend(items.len() / ITEMS_PER_OPERATION)?;
        let mut separator: Arc<str> = ",".into();
        if let (Some(second), true) = (arguments.get(1), items.len() > 1) {
            let given = self.value(*second)?;
            if given.is_primitive() {
                separator = given.text();
            }
        }
        let mut out = String::new();
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                out.push_str(&separator);
            }
            out.push_str(&item.text());
            if out.len() > MAX_TEXT {
                return Err(too_long());
            }
        }
        self.made(out.len())?;
        Ok(Value::from(out))
    }
}

fn too_long() -> EvalError {
    EvalError::new(format!("the expression makes more than {} MiB of text; do this work in a step", MAX_TEXT >> 20))
}

fn not_json(text: &str, error: &serde_json::Error) -> EvalError {
    if text.trim().is_empty() {
        return EvalError::new("fromJSON: the text is empty, which is no JSON");
    }
    // The text itself may be a secret, so it is not shown.
    EvalError::new(format!("fromJSON: the text is no JSON: {error}"))
}

/// `value[index]`; none where GitHub finds nothing.
fn look_up(value: &Value, index: &Value) -> Option<Value> {
    match value {
        Value::Object(object) if index.is_primitive() => object.get(&index.text()).cloned(),
        Value::Array(items) => {
            let number = index.to_number();
            // NaN is not in the range either.
            (0.0..=f64::from(i32::MAX)).contains(&number).then(|| items.get(number as usize).cloned())?
        }
        _ => None,
    }
}

fn compare(operator: Operator, left: &Value, right: &Value) -> bool {
    match operator {
        Operator::Equal => left.loose_eq(right),
        Operator::NotEqual => !left.loose_eq(right),
        Operator::Less => left.loose_cmp(right) == Some(Ordering::Less),
        Operator::Greater => left.loose_cmp(right) == Some(Ordering::Greater),
        Operator::LessOrEqual => left.loose_eq(right) || left.loose_cmp(right) == Some(Ordering::Less),
        Operator::GreaterOrEqual => left.loose_eq(right) || left.loose_cmp(right) == Some(Ordering::Greater),
        // Not between two operands.
        Operator::And | Operator::Or | Operator::Not => false,
    }
}
