//! Releases on Kubernetes: what `deploy` and `verify` do, and taking them back.

pub mod traffic;
