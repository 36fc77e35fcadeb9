//! `slipway schema`.

use std::io::{self, Write};

use crate::exit::Exit;
use crate::stage;

/// Prints the JSON Schema of pipeline files.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let Args {} = args;
    // A reader that went away early (`| head`) is no failure.
    match io::stdout().lock().write_all(text().as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Exit::Internal,
        _ => Exit::Success,
    }
}

/// The schema as it is printed and shipped.
pub fn text() -> String {
    format!("{:#}\n", stage::schema())
}
