//! Scalars that may hold expressions.

use crate::expr::{Expr, Template};
use crate::span::{Span, Spanned};

/// A text that may hold `${{ }}`.
#[derive(Debug, Clone)]
pub struct Text {
    /// The parsed text.
    pub template: Template,
    /// Where it stands.
    pub span: Span,
}

impl Text {
    /// Literal text.
    pub fn literal(text: &str, span: Span) -> Self {
        Self { template: Template::literal(text), span }
    }
}

/// A value that is known when the file is read, or an expression that gives it later.
#[derive(Debug, Clone)]
pub enum Late<T> {
    /// Known.
    Known(Spanned<T>),
    /// One expression.
    Expr(Text),
}

impl<T> Late<T> {
    /// The value, when it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Late::Known(value) => Some(&value.value),
            Late::Expr(_) => None,
        }
    }
}

/// An `if:`. `expr` is as written; GitHub's implicit `success() && (...)` is added where it is evaluated
/// (when [`Expr::uses_status_function`] is false). A missing `if` is `success()`.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The condition without `${{ }}`. Text mixed with `${{ }}` is a non-empty text, hence true: read as `format(...)`.
    pub expr: Expr,
    /// Where it stands.
    pub span: Span,
}

/// One entry of an `env:` map.
#[derive(Debug, Clone)]
pub struct EnvEntry {
    /// The name.
    pub name: Spanned<String>,
    /// The value.
    pub value: Text,
}

impl EnvEntry {
    /// The name of an entry whose value is an object: its entries stand in this one's place.
    pub const INSERT: &str = "${{ insert }}";

    /// Whether the value is an object of further entries.
    pub fn is_insert(&self) -> bool {
        self.name.value == Self::INSERT
    }
}

/// An `env:` map in file order.
pub type EnvMap = Vec<EnvEntry>;
