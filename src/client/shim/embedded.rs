//! The shim's program, built by `build.rs` and carried along.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The program: static, for this machine's architecture.
pub const EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/slipway-shim"));

/// Names the program's bytes: two different programs have two names.
pub const EMBEDDED_HASH: &str = env!("SLIPWAY_SHIM_HASH");

/// The architecture as Rust names it (`x86_64`, `aarch64`).
pub const EMBEDDED_ARCH: &str = std::env::consts::ARCH;

/// Writes the program into `folder` (made with 0700 when missing) unless it is there, and gives its path. The file appears
/// whole or not at all, so processes may do this at the same time.
pub fn write_embedded(folder: &Path) -> io::Result<PathBuf> {
    let path = folder.join(format!("slipway-shim-{EMBEDDED_HASH}"));
    let whole = |path: &Path| path.metadata().is_ok_and(|m| m.is_file() && m.len() == EMBEDDED.len() as u64);
    if whole(&path) {
        return Ok(path);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let draft = folder.join(format!(".slipway-shim-{}", uuid::Uuid::new_v4()));
    let written = write_whole(&draft).and_then(|()| std::fs::rename(&draft, &path));
    if written.is_err() {
        // Nobody else knows the draft's name, and the first error is the one to tell.
        drop(std::fs::remove_file(&draft));
    }
    written.map(|()| path)
}

fn write_whole(path: &Path) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o700).open(path)?;
    file.write_all(EMBEDDED)?;
    // Readable for a container's user who is not the one here; the folder around it keeps others out.
    file.set_permissions(Permissions::from_mode(0o755))
}
