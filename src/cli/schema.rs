//! `slipway schema`.

use crate::exit::Exit;

/// Prints the JSON Schema of pipeline files.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let _ = args;
    Exit::Internal
}
