//! What is kept. `contract` is the port (floor 5); the rest are adapters (floor 6).

pub mod artifacts;
pub mod cache;
#[cfg(test)]
mod conformance;
pub mod contract;
pub mod folder;
pub mod group;
pub mod inbox;
pub mod lock;
pub mod logs;
pub mod memory;
mod memory_outbox;
#[cfg(test)]
mod outbox_tests;
pub mod seal;
pub mod sqlite;
pub mod wake;
mod within;
