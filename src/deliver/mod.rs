//! Releases on Kubernetes: what `deploy` and `verify` do, and taking them back.

pub mod blue_green;
pub mod canary;
pub mod converge;
pub mod drain;
#[cfg(test)]
mod fake;
pub mod ground;
pub mod halt;
pub mod hands;
mod narrowing;
pub mod objects;
pub mod orders;
pub mod outcome;
mod route;
pub mod sides;
mod size;
pub mod standby;
#[cfg(test)]
mod strategy_tests;
mod takeover;
pub mod traffic;
mod watch;
