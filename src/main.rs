//! The binary.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    ExitCode::from(slipway::cli::run(&slipway::cli::Cli::parse()).code())
}
