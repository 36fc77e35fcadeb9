//! `slipway artifacts`.

use crate::exit::Exit;

/// Lists or brings out files kept with a run.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let _ = args;
    Exit::Internal
}
