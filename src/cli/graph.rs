//! `slipway graph`.

use crate::exit::Exit;

/// Draws the DAG.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let _ = args;
    Exit::Internal
}
