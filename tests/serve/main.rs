//! `slipway serve` as forges and people meet it: over a real socket, with real payloads.
#![expect(clippy::unwrap_used, reason = "what a test cannot do without fails it")]

mod apis;
mod client;
mod forge;
mod ground;
mod hooks;
mod payloads;
mod people;
mod push;
