//! Secrets from the moment they are read, and the masker that stands before every sink.

mod automaton;
mod encode;
mod layers;
mod masker;
mod value;

pub use encode::forms;
pub use masker::{MaskStream, Masker};
pub use value::Secret;
