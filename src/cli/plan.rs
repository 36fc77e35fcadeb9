//! `slipway plan`.

use crate::exit::Exit;

/// Shows what a run would do (dry run).
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let _ = args;
    Exit::Internal
}
