//! Releases on a real cluster by the real binary, under load. The ground is made by `scripts/testground`; each test has a namespace
//! of its own. `cargo test --test delivery -- --ignored`
#![expect(clippy::unwrap_used, reason = "what a test cannot do without fails it")]

mod blue_green;
mod canary;
mod guards;
mod moodify;
mod rolling;
mod support;
mod ways_back;
