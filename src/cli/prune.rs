//! `slipway prune`.

use crate::exit::Exit;

/// Removes old runs and caches.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let _ = args;
    Exit::Internal
}
