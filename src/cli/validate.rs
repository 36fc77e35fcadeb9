//! `slipway validate`.

use crate::exit::Exit;

/// Checks pipeline files.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let _ = args;
    Exit::Internal
}
