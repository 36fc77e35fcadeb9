//! The engine: one loop over a pure scheduler; journal first, then act.

pub mod commands;
pub mod file_commands;
pub mod junit;
