//! GitHub's expression language: text in, value out. Pure; what needs the world ([`Scope::hash_files`]) is asked of the scope.
//! Semantics: reference runners.md 3.1, and every case of the corpus.
//!
//! ```text
//! text ──template──▶ literal text and ${{ }} ──lexer──▶ tokens ──parser──▶ Expr ──evaluate(Scope)──▶ Value
//! ```

mod ast;
mod error;
mod evaluate;
mod functions;
mod json;
mod lexer;
mod number;
mod object;
mod parser;
mod template;
mod text;
mod value;

pub use ast::{Expr, special_functions};
pub use error::{EvalError, ParseError, ParseErrorKind};
pub use evaluate::{NoScope, Scope, StatusFunction};
pub use object::Object;
pub use template::{Part, Template};
pub use value::Value;
