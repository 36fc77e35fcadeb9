//! The engine's side of the shim: one connection on which the steps of many jobs run at once.
//!
//! ```text
//! start, signal, ... ─▶ frames (bounded) ─▶ driver ─▶ stream ─▶ shim
//! step's receiver ◀─ bounded channel ◀─ StepTable ◀─ driver ◀─┘
//! ```
//!
//! Promises: each byte of a step is delivered once and in order, also when the stream breaks and is dialled again; a
//! reader that stops reading holds up its own step only (at most [`protocol::STREAM_WINDOW`] bytes and one channel wait
//! for it, then the shim keeps the rest and at last the step waits); starts are idempotent, so they are simply said again.
//! When the shim stays away, every step gets [`StepEvent::Lost`](crate::runner::contract::StepEvent::Lost).
//!
//! Must be used inside a tokio runtime. Keep the client for as long as its receivers are read.

mod calls;
#[cfg(test)]
mod client_tests;
mod dial;
mod driver;
mod embedded;
#[path = "../../shim/protocol.rs"]
pub mod protocol;
#[cfg(test)]
mod protocol_tests;
mod steps;

pub use calls::ShimClient;
pub use dial::{Dial, Stream, UnixDial};
pub use embedded::{EMBEDDED, EMBEDDED_ARCH, EMBEDDED_HASH, write_embedded};
