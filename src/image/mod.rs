//! Images: built through the container engine's API and pushed to a registry.
//!
//! The context becomes an archive in the task's private folder, what `.dockerignore` lists left out. A build is repeated after
//! a crash (the engine's cache makes it short), a push is looked for in the registry first.

mod builder;
mod buildkit;
mod context;
mod dockerfile;
mod ignored;
mod name;
mod pattern;
mod push;
mod session;
mod task;
mod trace;

pub use ignored::DockerIgnore;
pub use task::BuildTask;
