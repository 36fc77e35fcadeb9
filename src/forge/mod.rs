//! Forges: where code is hosted. `contract` is the port (floor 5); the rest are adapters (floor 6).

pub mod contract;
