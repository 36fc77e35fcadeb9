//! `slipway run` and its kin as a user meets them: the real binary on the host.
#![expect(clippy::unwrap_used, reason = "what a test cannot do without fails it")]

mod ci;
mod ends;
mod files;
mod secrets;
mod values;
