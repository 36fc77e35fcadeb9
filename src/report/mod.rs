//! Sinks of events, and how things are drawn.

pub mod dag;
pub mod diagnostic;
pub mod json;
pub mod plain;
pub mod sanitize;
pub mod sarif;
mod snippet;
pub mod style;
pub mod summary;
pub mod terminal;
pub mod width;
