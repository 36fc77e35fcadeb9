//! What several adapters use to talk to the outside.

pub mod clone;
pub mod docker;
pub mod git;
pub mod kube;
pub mod shim;
