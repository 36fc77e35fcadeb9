//! `slipway validate`: all mistakes of all files at once.

use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use crate::cli::source::{self, SourceError};
use crate::diagnostic::Diagnostics;
use crate::exit::Exit;
use crate::model::{ReadOptions, codes};
use crate::report::diagnostic;
use crate::report::sarif::sarif;
use crate::report::style::wants_color_here;
use crate::stage;

/// Checks pipeline files and shows all their mistakes, each with its place and a way out.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, folders (searched for pipeline files), or `-` for standard input
    #[arg(value_name = "FILE", default_value = ".")]
    pub files: Vec<PathBuf>,
    /// How mistakes are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One JSON document
    Json,
    /// SARIF 2.1.0
    Sarif,
}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let color = wants_color_here(io::stdout().is_terminal());
    check(args, color, &mut io::stdin().lock(), &mut io::stdout().lock(), &mut io::stderr().lock())
}

/// The command with its streams. What cannot be written (a closed pipe) is let go.
fn check(args: &Args, color: bool, stdin: &mut dyn Read, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    let mut exit = Exit::Success;
    let mut results = Vec::new();
    let (files, worst) = expand(&args.files, err);
    exit = exit.worst(worst);
    for path in files {
        let (diagnostics, jobs) = match source::read(&path, stdin) {
            Ok(source) => {
                let (pipeline, diagnostics) = stage::load(source, &ReadOptions::default());
                (diagnostics, pipeline.map(|p| p.jobs.len()))
            }
            Err(SourceError::Invalid(diagnostics)) => (*diagnostics, None),
            Err(SourceError::Unreadable { message, missing }) => {
                let _ = writeln!(err, "error: {message}");
                exit = exit.worst(if missing { Exit::NotFound } else { Exit::Internal });
                continue;
            }
        };
        if diagnostics.has_errors() || jobs.is_none() {
            exit = exit.worst(Exit::InvalidPipeline);
        }
        if args.format == Format::Text {
            let _ = out.write_all(as_text(&diagnostics, jobs, color).as_bytes());
        } else {
            results.push(diagnostics);
        }
    }
    let document = match args.format {
        Format::Text => return exit,
        Format::Json => diagnostic::json(&results),
        Format::Sarif => sarif(&results, explain),
    };
    let _ = writeln!(out, "{document:#}");
    exit
}

fn as_text(diagnostics: &Diagnostics, jobs: Option<usize>, color: bool) -> String {
    let mut text = diagnostic::text(diagnostics, color);
    if let (false, Some(jobs)) = (diagnostics.has_errors(), jobs) {
        text.push_str(&format!("{}: valid, {}\n", diagnostics.source.name, diagnostic::counted(jobs, "stage")));
    }
    text
}

/// Title and explanation of a code.
fn explain(code: &str) -> Option<(&'static str, &'static str)> {
    codes::ALL.iter().find(|c| c.code == code).map(|c| (c.title, c.explanation))
}

/// Folders become the pipeline files in them.
fn expand(paths: &[PathBuf], err: &mut dyn Write) -> (Vec<PathBuf>, Exit) {
    let mut files = Vec::new();
    let mut exit = Exit::Success;
    for path in paths {
        if path == Path::new("-") || !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        match source::find(path) {
            Ok(found) if found.is_empty() => {
                let _ = writeln!(
                    err,
                    "error: found no pipeline file in {path:?}: looked for slipway.yml, .slipway/*.yml and \
                     .github/workflows/*.yml"
                );
                exit = exit.worst(Exit::NotFound);
            }
            Ok(found) => files.extend(found.into_iter().map(|p| p.strip_prefix("./").map(Path::to_owned).unwrap_or(p))),
            Err(e) => {
                let _ = writeln!(err, "error: failed to read folder {path:?}: {}", source::plain(&e));
                exit = exit.worst(Exit::NotFound);
            }
        }
    }
    (files, exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(files: &[&str], format: Format, stdin: &[u8]) -> (Exit, String, String) {
        let args = Args { files: files.iter().map(PathBuf::from).collect(), format };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = check(&args, false, &mut &stdin[..], &mut out, &mut err);
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_in_every_format() {
        let (exit, out, _) = validate(&["-"], Format::Text, b"jobs:\n  a\xff: 1\n");
        assert_eq!(exit, Exit::InvalidPipeline);
        insta::assert_snapshot!(out, @"
        error[E001]: the file is not UTF-8: byte 9 (from 0) is 0xff, which no character has there
         --> <stdin>:2:4
          |
        2 |   a�: 1
          |    ^
          = help: save it as UTF-8

        1 error in <stdin>
        ");
        let (_, out, _) = validate(&["-"], Format::Json, b"\xff");
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["files"][0]["errors"], 1);
        let (_, out, _) = validate(&["-"], Format::Sarif, b"\xff");
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["runs"][0]["results"][0]["ruleId"], "E001");
        assert_eq!(value["runs"][0]["tool"]["driver"]["rules"][0]["shortDescription"]["text"], "not UTF-8");
    }

    #[test]
    fn what_is_not_there_is_said() {
        let (exit, out, err) = validate(&["/no/such.yml"], Format::Text, b"");
        assert_eq!((exit, out.as_str()), (Exit::NotFound, ""));
        assert_eq!(err, "error: failed to read \"/no/such.yml\": no such file or directory\n");
        let folder = tempfile::tempdir().unwrap();
        let (exit, _, err) = validate(&[folder.path().to_str().unwrap()], Format::Text, b"");
        assert_eq!(exit, Exit::NotFound);
        assert!(err.contains("looked for slipway.yml"), "{err}");
    }
}
