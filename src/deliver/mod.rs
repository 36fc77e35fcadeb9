//! Releases on Kubernetes: what `deploy` and `verify` do, and taking them back.

pub mod converge;
pub mod sides;
pub mod traffic;
