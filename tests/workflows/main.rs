//! Pipelines as they are read: GitHub's own parser cases, the pipelines of the language's reference, and hostile files.

mod corpus;
mod expected;
mod hostile;
mod language;
mod random;
mod rules;

use std::path::PathBuf;

use slipway::diagnostic::Diagnostics;
use slipway::model::{Pipeline, ReadOptions};
use slipway::span::Source;
use slipway::stage;

/// The test ground's folder `name`; without one the test is skipped aloud.
fn ground(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SLIPWAY_TESTGROUND")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: there is no test ground at {} (set SLIPWAY_TESTGROUND)", folder.display());
    None
}

/// The files of `folder` in order, with their text.
fn files(folder: PathBuf) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = std::fs::read_dir(&folder)
        .expect("the test ground can be listed")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "yml"))
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).expect("the test ground can be read"))
        })
        .collect();
    files.sort();
    files
}

fn read(name: &str, text: &str) -> (Option<Pipeline>, Diagnostics) {
    stage::load(Source::new(name, text), &ReadOptions::default())
}

/// Errors as `line: message (help)`, for messages of tests.
fn errors(diagnostics: &Diagnostics) -> Vec<String> {
    diagnostics
        .list
        .iter()
        .filter(|d| d.severity == slipway::diagnostic::Severity::Error)
        .map(|d| format!("{}: {}", diagnostics.source.position(d.span.start).line, d.message))
        .collect()
}
