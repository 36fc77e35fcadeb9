//! `slipway cancel`.

use crate::exit::Exit;

/// Cancels a run.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let _ = args;
    Exit::Internal
}
