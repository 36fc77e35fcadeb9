//! What the scenarios stand on: the ground, a namespace each, an application, a project whose pipeline releases it, and load.

mod app;
mod ground;
mod load;
pub(crate) mod metrics;
pub(crate) mod moodify;
mod namespace;
pub(crate) mod project;
mod sink;

pub(crate) use app::{App, Router};
pub(crate) use ground::Ground;
pub(crate) use load::{Load, Shape};
pub(crate) use namespace::Namespace;
pub(crate) use project::Project;
