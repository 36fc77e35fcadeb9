//! `slipway resume`.

use crate::exit::Exit;

/// Takes up an interrupted run.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let _ = args;
    Exit::Internal
}
