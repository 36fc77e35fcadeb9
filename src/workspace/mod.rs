//! The files of a job: its own copy of the checkout. `contract` is the port (floor 5), `copy` and `hash` the adapter (floor 6).

pub mod contract;
pub mod copy;
pub mod git_data;
pub mod hash;
