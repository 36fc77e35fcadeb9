//! Tasks: what typed stages do in the engine's process. The rooms that do them are adapters of their own.

pub mod contract;
pub mod testing;
