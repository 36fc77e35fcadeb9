//! `slipway eval`.

use crate::exit::Exit;

/// Evaluates an expression.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let _ = args;
    Exit::Internal
}
