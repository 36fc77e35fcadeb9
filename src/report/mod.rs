//! Sinks of events, and how things are drawn.

pub mod dag;
pub mod diagnostic;
pub mod json;
pub mod plain;
pub mod sarif;
pub mod summary;
pub mod terminal;
