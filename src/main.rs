//! The binary.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // One provider of cryptography for all that speaks TLS; it can be set once only, and here it is.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ExitCode::from(slipway::cli::run(&slipway::cli::Cli::parse()).code())
}
