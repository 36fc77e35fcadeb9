//! Where jobs run. `contract` is the port (floor 5); the rest are adapters (floor 6), friends of one another.

pub mod contract;
pub mod docker;
pub mod engine;
pub mod host;
pub mod scripted;
