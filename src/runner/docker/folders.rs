//! The folders of an attempt that its container sees, its token, and who may write where.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::client::shim::protocol::folder_of;
use crate::runner::contract::SandboxSpec;
use crate::runner::docker::body;

/// The folder in `spec.folder` that holds the shim's socket and the files of steps.
pub const BOX: &str = "box";
/// The shim's socket in it.
pub const SOCKET: &str = "sock";
/// The number of the step that opens files to everybody; no step of a file has it.
pub const RELEASE_STEP: u32 = u32::MAX;
/// As many as fit in a command line.
const MOST_FOREIGN: usize = 5000;

/// The attempt's folder is private; what is in it is open to the container's user, whoever that is, and to nobody else who
/// cannot enter the folder above.
pub fn make(spec: &SandboxSpec, is_root: bool) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(&spec.folder)?;
    DirBuilder::new().recursive(true).mode(0o700).create(&spec.tool_cache)?;
    let token = match token(spec)? {
        Some(token) => token,
        None => {
            let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()).into_bytes();
            write_private(&spec.folder.join("token"), &token)?;
            token
        }
    };
    for name in [BOX, "temp", "home"] {
        let path = spec.folder.join(name);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(if is_root { 0o755 } else { 0o777 }))?;
    }
    let inner = spec.folder.join(BOX);
    if !inner.join(SOCKET).exists() {
        write_private(&inner.join("token"), &token)?;
        if !is_root {
            // The shim removes it before any step starts.
            fs::set_permissions(inner.join("token"), Permissions::from_mode(0o666))?;
        }
    }
    if !is_root {
        open_workspace(spec)?;
        fs::set_permissions(&spec.tool_cache, Permissions::from_mode(0o777))?;
    }
    Ok(())
}

/// The token; `None` when there is none, or only what an engine wrote of it that died meanwhile.
pub fn token(spec: &SandboxSpec) -> io::Result<Option<Vec<u8>>> {
    match fs::read(spec.folder.join("token")) {
        Ok(token) => Ok(Some(token).filter(|token| token.len() == 64)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lets any user write in the job's own copy of the checkout: the container's user is another than ours. A workspace that
/// is the user's own checkout (`--in-place`) stays as it is.
pub fn open_workspace(spec: &SandboxSpec) -> io::Result<()> {
    if !spec.workspace.starts_with(&spec.run_folder) {
        return Ok(());
    }
    let walk = ignore::WalkBuilder::new(&spec.workspace).standard_filters(false).follow_links(false).build();
    for entry in walk.flatten() {
        let Some(kind) = entry.file_type().filter(|kind| !kind.is_symlink()) else { continue };
        let mode = fs::symlink_metadata(entry.path())?.permissions().mode();
        // Objects of git are shared with the checkout and stay as they are.
        if kind.is_file() && mode & 0o200 == 0 {
            continue;
        }
        let wanted = mode | if kind.is_dir() { 0o777 } else { 0o666 };
        if wanted == mode {
            continue;
        }
        match fs::set_permissions(entry.path(), Permissions::from_mode(wanted)) {
            // What steps have made is theirs already.
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The topmost folders below the attempt's that belong to somebody else, as the container sees them. Only what lies in such
/// folders cannot be removed from here. The user's own checkout (`--in-place`) is not looked at.
pub fn foreign(spec: &SandboxSpec) -> Vec<String> {
    let ours = rustix::process::geteuid().as_raw();
    let mut roots = vec![
        (spec.folder.join(BOX), body::BOX),
        (spec.folder.join("temp"), body::TEMP),
        (spec.folder.join("home"), body::HOME),
    ];
    if spec.workspace.starts_with(&spec.run_folder) {
        roots.push((spec.workspace.clone(), body::WORKSPACE));
    }
    let mut found = Vec::new();
    // The shim makes it for the step that opens the others.
    found.extend(folder_of(&spec.attempt.step(RELEASE_STEP).to_string()).map(|name| format!("{}/{name}", body::BOX)));
    let mut left: Vec<(PathBuf, String)> = roots.into_iter().map(|(path, inner)| (path, inner.to_owned())).collect();
    while let Some((folder, inner)) = left.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(data) = entry.metadata() else { continue };
            let inner = format!("{inner}/{}", entry.file_name().to_string_lossy());
            match data.is_dir() {
                true if data.uid() == ours => left.push((entry.path(), inner)),
                true if found.len() < MOST_FOREIGN => found.push(inner),
                _ => {}
            }
        }
    }
    found
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(content)
}
