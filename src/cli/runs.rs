//! `slipway runs`.

use crate::exit::Exit;

/// Lists runs, or shows one.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let _ = args;
    Exit::Internal
}
