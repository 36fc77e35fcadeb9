//! Releases on Kubernetes: what `deploy` and `verify` do, and taking them back.

pub mod analysis;
pub mod blue_green;
pub mod canary;
pub mod checks;
pub mod converge;
pub mod drain;
#[cfg(test)]
mod fake;
pub mod ground;
pub mod halt;
pub mod hands;
mod hashed;
mod images;
mod keyed;
pub mod lease;
pub mod live;
mod manifest;
mod narrowing;
pub mod objects;
pub mod orders;
pub mod outcome;
mod preflight;
mod preview;
pub mod release;
pub mod render;
pub mod rollback;
pub mod rolling;
mod route;
pub mod sides;
pub mod signs;
mod size;
pub mod standby;
#[cfg(test)]
mod strategy_tests;
mod takeover;
mod task;
pub mod traffic;
mod verify;
mod watch;

pub use task::DeployTask;
pub use verify::VerifyTask;
