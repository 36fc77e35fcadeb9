//! GitHub's expression language: text in, value out. Pure; what needs the world ([`Scope::hash_files`]) is asked of the scope.
//! Semantics: reference runners.md 3.1, and every case of the corpus.

mod ast;
mod error;
mod evaluate;
mod functions;
mod lexer;
mod parser;
mod template;
mod value;

pub use ast::Expr;
pub use error::{EvalError, ParseError};
pub use evaluate::{NoScope, Scope, StatusFunction};
pub use template::{Part, Template};
pub use value::{Object, Value};
