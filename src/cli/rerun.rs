//! `slipway rerun`.

use crate::exit::Exit;

/// Runs a finished run again.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let _ = args;
    Exit::Internal
}
