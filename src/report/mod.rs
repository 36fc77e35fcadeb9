//! Sinks of events, and how things are drawn.

pub mod commands;
pub mod critical;
pub mod dag;
pub mod diagnostic;
#[cfg(test)]
mod fixture;
pub mod glyph;
pub mod job_view;
pub mod json;
pub mod make;
pub mod markers;
pub mod plain;
pub mod plan;
mod preview;
pub mod run_view;
pub mod sanitize;
pub mod sarif;
mod snippet;
pub mod style;
pub mod summary;
pub mod tail;
pub mod terminal;
pub mod timeline;
pub mod waiting;
pub mod width;
