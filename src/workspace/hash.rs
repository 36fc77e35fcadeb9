//! `hashFiles`: SHA-256 over the SHA-256 of each matching file (runners.md 3.9), in the order in which GitHub's own library
//! (`@actions/glob`) finds them, so that keys of caches come out the same.
//!
//! A pattern that matches a folder takes all that is in it; hidden files count; braces are plain text. Folders that no
//! pattern can lead into are not looked at. Links to folders are not followed; a link to a file counts as that file while it
//! stays in the workspace.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use sha2::{Digest, Sha256};

use crate::workspace::contract::hex;

/// The hash of the files below `workspace` that match; an empty text when none does. Patterns count in their order, a leading
/// `!` takes away; nothing outside the workspace is read.
pub fn hash_files(workspace: &Path, patterns: &[String]) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut any = false;
    let mut buffer = vec![0; 64 * 1024];
    find(workspace, patterns, &mut |path| {
        let mut one = Sha256::new();
        let mut file = File::open(path)?;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            one.update(&buffer[..read]);
        }
        hash.update(one.finalize());
        any = true;
        Ok(())
    })?;
    Ok(if any { hex(&hash.finalize()) } else { String::new() })
}

/// Calls `found` for each file that matches, in order.
fn find(workspace: &Path, patterns: &[String], found: &mut impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let root = workspace.canonicalize()?;
    let lines = patterns.iter().flat_map(|pattern| pattern.lines()).map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let patterns =
        lines.filter_map(|line| Pattern::read(line, workspace).transpose()).collect::<io::Result<Vec<_>>>()?;
    for begin in beginnings(&patterns) {
        // Depth first, in the order of names.
        let mut open = vec![begin];
        while let Some(relative) = open.pop() {
            let path = workspace.join(&relative);
            // The way to it may lead out by a link.
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if meta.is_dir() {
                if patterns.iter().any(|pattern| pattern.leads_into(&relative))
                    && path.canonicalize()?.starts_with(&root)
                {
                    let mut names = fs::read_dir(&path)?.map(|e| Ok(e?.file_name())).collect::<io::Result<Vec<_>>>()?;
                    names.sort_unstable_by(|a, b| b.as_bytes().cmp(a.as_bytes()));
                    open.extend(names.into_iter().map(|name| relative.join(name)));
                }
                continue;
            }
            let taken = patterns.iter().rev().find(|pattern| pattern.matches(&relative));
            let is_file = || path.canonicalize().is_ok_and(|real| real.starts_with(&root) && real.is_file());
            if taken.is_some_and(|pattern| !pattern.takes_away) && is_file() {
                found(&path)?;
            }
        }
    }
    Ok(())
}

/// Where to begin looking: what each pattern says before its first wildcard, without what lies within another one.
fn beginnings(patterns: &[Pattern]) -> Vec<PathBuf> {
    let all: Vec<&PathBuf> = patterns.iter().filter(|p| !p.takes_away).map(|pattern| &pattern.begin).collect();
    let mut out: Vec<PathBuf> = Vec::new();
    for begin in &all {
        let within = |other: &&PathBuf| begin.starts_with(other) && begin != other;
        if !out.contains(begin) && !all.iter().any(within) {
            out.push((*begin).clone());
        }
    }
    out
}

/// One line of patterns.
struct Pattern {
    /// The path itself matches. `None` for `folder/`, which means folders only.
    whole: Option<GlobMatcher>,
    /// Of `a*/**` what stands before the end: it takes the file `a.txt` too.
    head: Option<GlobMatcher>,
    /// It lies within a folder that matches.
    within: GlobMatcher,
    /// The parts; `None` is `**`.
    parts: Vec<Option<GlobMatcher>>,
    begin: PathBuf,
    takes_away: bool,
}

impl Pattern {
    /// Reads a line; `None` for one that means something outside the workspace, of which nothing is taken.
    fn read(line: &str, workspace: &Path) -> io::Result<Option<Self>> {
        let mut text = line;
        let mut takes_away = false;
        while let Some(rest) = text.strip_prefix('!') {
            (text, takes_away) = (rest.trim_start(), !takes_away);
        }
        if text.starts_with('/') {
            // `${{ github.workspace }}/...`
            match workspace.to_str().and_then(|root| text.strip_prefix(root)) {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => text = rest,
                _ => return Ok(None),
            }
        } else if text == "~" || text.starts_with("~/") {
            return Ok(None);
        }
        let folders_only = text.ends_with('/');
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
        let parts = if parts.first() == Some(&".") { &parts[1..] } else { &parts[..] };
        if parts.iter().any(|part| matches!(*part, "." | "..")) {
            let message = format!("pattern \"{line}\" holds \".\" or \"..\"; write it relative to the workspace");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let glob = |text: &str| glob(text).map_err(|why| invalid(line, &why));
        let whole = parts.join("/");
        let within = if whole.is_empty() { "**".to_owned() } else { format!("{whole}/**") };
        let head = parts.split_last().filter(|(last, _)| **last == "**").map(|(_, head)| head.join("/"));
        let literal = parts.iter().take_while(|part| !part.contains(['*', '?', '[', '\\']));
        Ok(Some(Self {
            whole: if folders_only { None } else { Some(glob(&whole)?) },
            head: head.map(|head| glob(&head)).transpose()?,
            within: glob(&within)?,
            parts: parts
                .iter()
                .map(|p| if *p == "**" { Ok(None) } else { glob(p).map(Some) })
                .collect::<io::Result<_>>()?,
            begin: literal.collect(),
            takes_away,
        }))
    }

    fn matches(&self, path: &Path) -> bool {
        let itself = [&self.whole, &self.head].into_iter().flatten().any(|glob| glob.is_match(path));
        itself || self.within.is_match(path)
    }

    /// Whether anything within `folder` may match.
    fn leads_into(&self, folder: &Path) -> bool {
        let mut parts = self.parts.iter();
        !self.takes_away
            && folder.iter().all(|name| match parts.next() {
                // Behind its end a pattern takes all that is in what it matched.
                None => true,
                Some(None) => {
                    parts = [].iter();
                    true
                }
                Some(Some(part)) => part.is_match(name),
            })
    }
}

/// GitHub has no `{a,b}`.
fn glob(text: &str) -> Result<GlobMatcher, globset::Error> {
    let plain = text.replace('{', "[{]").replace('}', "[}]");
    GlobBuilder::new(&plain).literal_separator(true).build().map(|glob| glob.compile_matcher())
}

fn invalid(line: &str, why: &globset::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("pattern \"{line}\" is not valid: {}", why.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> tempfile::TempDir {
        let temp = tempfile::tempdir().expect("a folder");
        for name in [
            "b.lock",
            "a.lock",
            "sub/c.lock",
            ".hidden/d.lock",
            "sub/deep/e.txt",
            "sub-2/f.txt",
            "x{y}.txt",
            "B/g.txt",
            "sub/.env",
            "#note",
        ] {
            let path = temp.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, name).expect("writes");
        }
        std::os::unix::fs::symlink("../a.lock", temp.path().join("sub/link.lock")).expect("links");
        std::os::unix::fs::symlink("/etc/passwd", temp.path().join("sub/out.lock")).expect("links");
        std::os::unix::fs::symlink("deep", temp.path().join("sub/folder")).expect("links");
        temp
    }

    /// The files that match, in order.
    fn files(temp: &Path, patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<String> =
            patterns.iter().map(|p| p.replace("ROOT", temp.to_str().expect("a text"))).collect();
        let mut out = Vec::new();
        find(temp, &patterns, &mut |path| {
            out.push(path.strip_prefix(temp).expect("below").to_string_lossy().into_owned());
            Ok(())
        })
        .expect("finds");
        out
    }

    /// What `@actions/glob` 0.7.0 found in the same tree (links that leave it aside).
    #[test]
    fn files_are_found_as_githubs_library_finds_them() {
        let temp = place();
        let cases: &[(&[&str], &[&str])] = &[
            (&["*.lock"], &["a.lock", "b.lock"]),
            (&["**/*.lock"], &[".hidden/d.lock", "a.lock", "b.lock", "sub/c.lock", "sub/link.lock"]),
            (&["**/*.lock", "!sub/**", "!.hidden/**"], &["a.lock", "b.lock"]),
            (&["sub"], &["sub/.env", "sub/c.lock", "sub/deep/e.txt", "sub/link.lock"]),
            (&["sub/"], &["sub/.env", "sub/c.lock", "sub/deep/e.txt", "sub/link.lock"]),
            (&["sub/*"], &["sub/.env", "sub/c.lock", "sub/deep/e.txt", "sub/link.lock"]),
            (&["a.lock/"], &[]),
            (
                &["**"],
                &[
                    "#note",
                    ".hidden/d.lock",
                    "B/g.txt",
                    "a.lock",
                    "b.lock",
                    "sub/.env",
                    "sub/c.lock",
                    "sub/deep/e.txt",
                    "sub/link.lock",
                    "sub-2/f.txt",
                    "x{y}.txt",
                ],
            ),
            (
                &["."],
                &[
                    "#note",
                    ".hidden/d.lock",
                    "B/g.txt",
                    "a.lock",
                    "b.lock",
                    "sub/.env",
                    "sub/c.lock",
                    "sub/deep/e.txt",
                    "sub/link.lock",
                    "sub-2/f.txt",
                    "x{y}.txt",
                ],
            ),
            (
                &["*"],
                &[
                    "#note",
                    ".hidden/d.lock",
                    "B/g.txt",
                    "a.lock",
                    "b.lock",
                    "sub/.env",
                    "sub/c.lock",
                    "sub/deep/e.txt",
                    "sub/link.lock",
                    "sub-2/f.txt",
                    "x{y}.txt",
                ],
            ),
            (&["b.lock", "a.lock"], &["b.lock", "a.lock"]),
            (
                &["sub-2/*.txt", "sub", "a.lock"],
                &["sub-2/f.txt", "sub/.env", "sub/c.lock", "sub/deep/e.txt", "sub/link.lock", "a.lock"],
            ),
            (&["sub/**/*.txt", "sub/deep/e.txt"], &["sub/deep/e.txt"]),
            (&["**/deep"], &["sub/deep/e.txt"]),
            (&["**/deep/**"], &["sub/deep/e.txt"]),
            (&["!sub", "sub/c.lock"], &["sub/c.lock"]),
            (&["sub/c.lock", "!sub"], &[]),
            (&["sub", "!sub/deep", "sub/deep/e.txt"], &["sub/.env", "sub/c.lock", "sub/deep/e.txt", "sub/link.lock"]),
            (&["!!a.lock"], &["a.lock"]),
            (&["x{y}.txt"], &["x{y}.txt"]),
            (&["{a,b}.lock"], &[]),
            (&["# a comment", "a.lock"], &["a.lock"]),
            (&["[ab].lock"], &["a.lock", "b.lock"]),
            (&["[!a].lock"], &["b.lock"]),
            (&["[^a].lock"], &["b.lock"]),
            (&["?.lock"], &["a.lock", "b.lock"]),
            (&["ROOT/sub/*.lock"], &["sub/c.lock", "sub/link.lock"]),
            (&["ROOT/**/f.txt"], &["sub-2/f.txt"]),
            (&["./sub/deep"], &["sub/deep/e.txt"]),
            (&["sub*/*.txt"], &["sub-2/f.txt"]),
            (&["s*/d*"], &["sub/deep/e.txt"]),
            (&["**/.env"], &["sub/.env"]),
            (&["*/*/e.txt"], &["sub/deep/e.txt"]),
            (&["sub/**/c.lock"], &["sub/c.lock"]),
            (&["no*thing"], &[]),
            (&["B", "a.lock", "b.lock"], &["B/g.txt", "a.lock", "b.lock"]),
            (&["a*/**"], &["a.lock"]),
            (&["**/*.txt", "!**/deep"], &["B/g.txt", "sub-2/f.txt", "x{y}.txt"]),
            (&["sub**/f.txt"], &["sub-2/f.txt"]),
            (&["a\\.lock"], &["a.lock"]),
            (&["sub/de\\ep/*"], &["sub/deep/e.txt"]),
        ];
        for (patterns, want) in cases {
            assert_eq!(files(temp.path(), patterns), *want, "{patterns:?}");
        }
    }

    #[test]
    fn nothing_outside_the_workspace_is_read() {
        let temp = place();
        assert!(files(temp.path(), &["/etc/passwd", "~/x", "ROOT-2/**", "sub/out.lock"]).is_empty());
        let hash = |pattern: &str| hash_files(temp.path(), &[pattern.to_owned()]);
        assert!(hash("../x").is_err() && hash("a/./b").is_err() && hash("[").is_err());
    }

    #[test]
    fn the_hash_is_of_the_files_hashes() {
        let temp = place();
        let mut hash = Sha256::new();
        ["a.lock", "b.lock"].iter().for_each(|text| hash.update(Sha256::digest(text.as_bytes())));
        let patterns = |text: &str| [text.to_owned()];
        assert_eq!(hash_files(temp.path(), &patterns("*.lock")).expect("hashes"), hex(&hash.finalize()));
        assert_eq!(hash_files(temp.path(), &patterns("nothing")).expect("hashes"), "");
    }
}
