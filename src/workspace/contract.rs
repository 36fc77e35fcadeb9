//! The port of workspaces. All calls block; the engine calls them on a blocking thread.

use std::io;
use std::path::Path;

/// Copies checkouts.
pub trait Workspaces: Send + Sync {
    /// Copies the checkout at `from` as it stands into `to` (exists, empty or not): tracked files, untracked ones that git
    /// does not ignore, and `.git` itself, so that git works in the copy; outside git every file. Reflinks where the file
    /// system has them. Modes, symbolic links and times stay.
    fn populate(&self, from: &Path, to: &Path) -> io::Result<CopyTotals>;

    /// Removes a workspace, also one with read-only folders in it.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// `hashFiles`: SHA-256 over the SHA-256 of each matching file below `workspace`, hex; no match gives an empty text
    /// (runners.md 3.9).
    fn hash_files(&self, workspace: &Path, patterns: &[String]) -> io::Result<String>;
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyTotals {
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
