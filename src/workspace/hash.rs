//! `hashFiles`: SHA-256 over the SHA-256 of each matching file (runners.md 3.9).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};
use sha2::{Digest, Sha256};

use crate::workspace::contract::hex;

/// One line of patterns.
struct Pattern {
    glob: GlobMatcher,
    takes_away: bool,
}

/// The hash of the files below `workspace` that match; an empty text when none does. Patterns count in their order, a leading
/// `!` takes away; links are not followed, and nothing outside the workspace is read. Files are taken in the order of a walk
/// by name.
pub fn hash_files(workspace: &Path, patterns: &[String]) -> io::Result<String> {
    let lines = patterns.iter().flat_map(|pattern| pattern.lines()).map(str::trim).filter(|line| !line.is_empty());
    let patterns = lines.map(pattern).collect::<io::Result<Vec<_>>>()?;
    let mut hash = Sha256::new();
    let mut any = false;
    let mut buffer = vec![0; 64 * 1024];
    let walk = ignore::WalkBuilder::new(workspace)
        .standard_filters(false)
        .follow_links(false)
        .sort_by_file_name(|a, b| a.cmp(b))
        .build();
    for entry in walk {
        let entry = entry.map_err(io::Error::other)?;
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        let relative = entry.path().strip_prefix(workspace).unwrap_or(entry.path());
        let wanted = patterns.iter().rev().find(|pattern| pattern.glob.is_match(relative));
        if wanted.is_some_and(|pattern| !pattern.takes_away) {
            let mut one = Sha256::new();
            let mut file = File::open(entry.path())?;
            loop {
                let read = file.read(&mut buffer)?;
                if read == 0 {
                    break;
                }
                one.update(&buffer[..read]);
            }
            hash.update(one.finalize());
            any = true;
        }
    }
    Ok(if any { hex(&hash.finalize()) } else { String::new() })
}

fn pattern(line: &str) -> io::Result<Pattern> {
    let (takes_away, text) = match line.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, line),
    };
    let text = text.trim_start_matches("./").trim_start_matches('/');
    let glob = GlobBuilder::new(text).literal_separator(true).build();
    let glob = glob.map_err(|e| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("pattern \"{line}\" is not valid: {}", e.kind()))
    })?;
    Ok(Pattern { glob: glob.compile_matcher(), takes_away })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_of_the_files_hashes_in_order() {
        let temp = tempfile::tempdir().expect("a folder");
        for (name, text) in [("b.lock", "2"), ("a.lock", "1"), ("sub/c.lock", "3"), (".hidden/d.lock", "4")] {
            let path = temp.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("writes");
        }
        let expected = |texts: &[&str]| {
            let mut hash = Sha256::new();
            texts.iter().for_each(|text| hash.update(Sha256::digest(text.as_bytes())));
            hex(&hash.finalize())
        };
        let hash = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
            hash_files(temp.path(), &patterns).expect("hashes")
        };
        assert_eq!(hash(&["*.lock"]), expected(&["1", "2"]));
        assert_eq!(hash(&["**/*.lock"]), expected(&["4", "1", "2", "3"]));
        assert_eq!(hash(&["**/*.lock\n!sub/**", "!.hidden/**"]), expected(&["1", "2"]));
        assert_eq!(hash(&["nothing"]), "");
        assert!(hash_files(temp.path(), &["[".to_owned()]).is_err());
    }
}
