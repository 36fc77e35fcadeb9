//! Text to [`Pipeline`].

use crate::diagnostic::Diagnostics;
use crate::span::Source;

use super::Pipeline;

/// How to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOptions {
    /// Leaves out what only helps people (nothing yet).
    pub quiet: bool,
}

/// Reads a file. The pipeline is there when nothing in `Diagnostics` is an error; warnings may stand beside it.
pub fn read(source: Source, options: &ReadOptions) -> (Option<Pipeline>, Diagnostics) {
    let _ = options;
    (None, Diagnostics::new(source))
}
