//! Pipeline files from the command line: found, read with a cap, decoded. Standard input is `-`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::exit::Exit;
use crate::model::{self, Limits, codes};
use crate::span::{Source, Span};

/// No more is read of a file than the reader would take, so that a device cannot fill memory.
fn max_bytes() -> u64 {
    Limits::default().bytes as u64
}

/// At most so many files are taken from one folder.
const MAX_FILES: usize = 1000;

/// Why there is no text.
#[derive(Debug)]
pub enum SourceError {
    /// The file cannot be read, or there is none: what was tried and why it failed.
    Unreadable {
        /// The message.
        message: String,
        /// Whether it does not exist.
        missing: bool,
    },
    /// It was read, but is not text or too long.
    Invalid(Box<Diagnostics>),
}

/// Reads the file at `path`, or `stdin` for `-`.
pub fn read(path: &Path, stdin: &mut dyn Read) -> Result<Source, SourceError> {
    let name = if path == Path::new("-") { "<stdin>".to_owned() } else { path.to_string_lossy().into_owned() };
    let unreadable = |e: io::Error| SourceError::Unreadable {
        message: format!("failed to read {name:?}: {}", plain(&e)),
        missing: e.kind() == io::ErrorKind::NotFound,
    };
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        stdin.take(max_bytes() + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    } else {
        let file = File::open(path).map_err(unreadable)?;
        file.take(max_bytes() + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    }
    decode(&name, bytes)
}

/// The text of a file that is no pipeline (an event, secrets); an error is drawn, with the exit code that it means.
pub fn text_of(path: &Path) -> Result<String, (String, Exit)> {
    match read(path, &mut io::empty()) {
        Ok(source) => Ok(source.text.to_string()),
        Err(SourceError::Unreadable { message, .. }) => Err((format!("error: {message}\n"), Exit::NotFound)),
        Err(SourceError::Invalid(_)) => {
            Err((format!("error: {path:?} is not UTF-8 text, or too large\n"), Exit::Usage))
        }
    }
}

/// Bytes to text, or a mistake with its place.
fn decode(name: &str, bytes: Vec<u8>) -> Result<Source, SourceError> {
    if bytes.len() as u64 > max_bytes() {
        let message = format!("file is larger than {} MiB", max_bytes() >> 20);
        let mut all = Diagnostics::new(Source::new(name, ""));
        all.push(
            Diagnostic::error(codes::BUDGET, Span::default(), message).help("split the pipeline into several files"),
        );
        return Err(SourceError::Invalid(Box::new(all)));
    }
    model::decode(name, bytes).map_err(SourceError::Invalid)
}

/// Pipeline files of a folder in a fixed order: `slipway.yml`, `.slipway/*.yml`, `.github/workflows/*.yml`; a folder without
/// any of these gives the YAML files that lie in it.
pub fn find(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> =
        ["slipway.yml", "slipway.yaml"].iter().map(|n| folder.join(n)).filter(|p| p.is_file()).collect();
    for below in [".slipway", ".github/workflows"] {
        let below = folder.join(below);
        if below.is_dir() {
            found.extend(yaml_files(&below)?);
        }
    }
    if found.is_empty() {
        found = yaml_files(folder)?;
    }
    found.truncate(MAX_FILES);
    Ok(found)
}

fn yaml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if matches!(path.extension().and_then(|e| e.to_str()), Some("yml" | "yaml")) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// An I/O error in lower case, without the number that the standard library adds.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stdin(bytes: &[u8]) -> Result<Source, SourceError> {
        read(Path::new("-"), &mut &bytes[..])
    }

    #[test]
    fn bytes_that_are_no_text_have_a_place() {
        assert_eq!(&*stdin(b"a: 1\n").unwrap().text, "a: 1\n");
        let Err(SourceError::Invalid(all)) = stdin(b"a: 1\nb: caf\xe9 x\nc") else { panic!("was accepted") };
        assert_eq!(all.source.position(all.list[0].span.start).line, 2);
        assert_eq!(all.source.line(2), "b: caf\u{fffd} x");
    }

    #[test]
    fn endless_input_is_refused_at_the_cap() {
        let Err(SourceError::Invalid(all)) = read(Path::new("-"), &mut io::repeat(b'a')) else {
            panic!("was accepted")
        };
        assert_eq!(all.list[0].message, "file is larger than 32 MiB");
    }

    #[test]
    fn a_missing_file_is_named() {
        let Err(SourceError::Unreadable { message, missing }) = read(Path::new("/no/such"), &mut io::empty()) else {
            panic!("was found")
        };
        assert_eq!((message.as_str(), missing), ("failed to read \"/no/such\": no such file or directory", true));
    }

    #[test]
    fn folders_are_searched_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        make("other.yaml");
        make("notes.txt");
        assert_eq!(find(folder.path()).unwrap(), [folder.path().join("other.yaml")]);
        [".github/workflows/b.yml", ".github/workflows/a.yml", ".slipway/x.yml", "slipway.yml"]
            .iter()
            .for_each(|name| make(name));
        let found = find(folder.path()).unwrap();
        let names: Vec<_> = found.iter().map(|p| p.strip_prefix(folder.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["slipway.yml", ".slipway/x.yml", ".github/workflows/a.yml", ".github/workflows/b.yml"]);
    }
}
