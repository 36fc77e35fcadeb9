//! Copies of checkouts: what git tracks and what it does not ignore, and `.git` itself, so that git works in the copy.
//!
//! Files are cloned where the file system can (reflink) and copied by the kernel elsewhere; objects of git, which never
//! change, are hard links where that works.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Timespec, Timestamps};

use crate::workspace::contract::{CopyTotals, Workspaces};
use crate::workspace::git_data::{git_data, is_copied, settle};
use crate::workspace::hash::hash_files;

/// Copies checkouts on this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalWorkspaces;

impl Workspaces for LocalWorkspaces {
    fn populate(&self, from: &Path, to: &Path) -> io::Result<CopyTotals> {
        let mut copy = Copy { to: to.to_owned(), totals: CopyTotals::default(), folders: PathBuf::new() };
        match listed_by_git(from)? {
            Some(files) => {
                for file in files {
                    copy.entry(from, &file, false)?;
                }
                let git = git_data(from)?;
                for folder in &git {
                    copy.tree(folder, Path::new(".git"), true)?;
                }
                if git.iter().any(|folder| *folder != from.join(".git")) {
                    settle(&to.join(".git"))?;
                }
            }
            None => copy.tree(from, Path::new(""), false)?,
        }
        Ok(copy.totals)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                open_folders(path)?;
                fs::remove_dir_all(path)
            }
            other => other,
        }
    }

    fn hash_files(&self, workspace: &Path, patterns: &[String]) -> io::Result<String> {
        hash_files(workspace, patterns)
    }
}

/// A copy under way.
struct Copy {
    to: PathBuf,
    totals: CopyTotals,
    /// The folder that was made last: most files stand beside the one before.
    folders: PathBuf,
}

impl Copy {
    /// Copies one file or link, `relative` to both roots. What has gone meanwhile, and what is no file, is left out.
    fn entry(&mut self, from: &Path, relative: &Path, link_files: bool) -> io::Result<()> {
        if relative.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Ok(());
        }
        let source = from.join(relative);
        let meta = match fs::symlink_metadata(&source) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(named(error, &source)),
        };
        let target = self.to.join(relative);
        if let Some(parent) = target.parent()
            && self.folders != parent
        {
            fs::create_dir_all(parent).map_err(|e| named(e, parent))?;
            self.folders = parent.to_owned();
        }
        if meta.is_symlink() {
            let points_to = fs::read_link(&source)?;
            // A file that a step of the same job left there gives way.
            let _ = fs::remove_file(&target);
            symlink(points_to, &target).map_err(|e| named(e, &target))?;
        } else if meta.is_file() {
            if !(link_files && fs::hard_link(&source, &target).is_ok()) {
                copy_file(&source, &target, &meta).map_err(|e| named(e, &source))?;
            }
            self.totals.bytes += meta.len();
        } else if meta.is_dir() {
            // A repository within (a submodule): git lists its folder only.
            return self.tree(&source, relative, false);
        } else {
            return Ok(());
        }
        self.totals.files += 1;
        Ok(())
    }

    /// Copies a folder whole, to `relative` below the target. `git`: it is a `.git`, whose objects may be linked.
    fn tree(&mut self, from: &Path, relative: &Path, git: bool) -> io::Result<()> {
        let mut open = vec![PathBuf::new()];
        let root = self.to.clone();
        self.to = root.join(relative);
        fs::create_dir_all(&self.to)?;
        let result = (|| {
            while let Some(folder) = open.pop() {
                let objects = git && folder.starts_with("objects");
                let path = from.join(&folder);
                for entry in fs::read_dir(&path).map_err(|e| named(e, &path))? {
                    let entry = entry?;
                    let name = folder.join(entry.file_name());
                    let kind = entry.file_type()?;
                    // A copy within the copied folder (a state folder in a checkout) would never end.
                    if git && !is_copied(&name) || kind.is_dir() && root.starts_with(entry.path()) {
                        continue;
                    }
                    if kind.is_dir() {
                        fs::create_dir_all(self.to.join(&name))?;
                        open.push(name);
                    } else {
                        self.entry(from, &name, objects)?;
                    }
                }
            }
            Ok(())
        })();
        self.to = root;
        result
    }
}

fn copy_file(source: &Path, target: &Path, meta: &fs::Metadata) -> io::Result<()> {
    let mode = meta.permissions().mode() & 0o777;
    let mut from = File::open(source)?;
    let open = || OpenOptions::new().write(true).create_new(true).mode(mode | 0o200).open(target);
    let mut to = match open() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(target)?;
            open()?
        }
        other => other?,
    };
    if rustix::fs::ioctl_ficlone(&to, &from).is_err() {
        io::copy(&mut from, &mut to)?;
    }
    if mode & 0o200 == 0 {
        to.set_permissions(Permissions::from_mode(mode))?;
    }
    use std::os::unix::fs::MetadataExt;
    let time = Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::futimens(&to, &times)?;
    Ok(())
}

/// What git tracks below `folder` and what it does not ignore; `None` outside git, or where there is no git.
fn listed_by_git(folder: &Path) -> io::Result<Option<Vec<PathBuf>>> {
    if !folder.ancestors().any(|above| above.join(".git").exists()) {
        return Ok(None);
    }
    let output = Command::new("git")
        .args(["-c", "core.fsmonitor=false", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(folder)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(io::Error::other(format!("git cannot list the files of \"{}\": {said}", folder.display())));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let names = output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    // Files in a merge conflict are listed once a side, one behind the other.
    let mut files: Vec<PathBuf> = names.map(|name| PathBuf::from(OsStr::from_bytes(name))).collect();
    files.dedup();
    // A folder that the repository around it ignores has files all the same.
    Ok(Some(files).filter(|files| !files.is_empty()))
}

/// Makes every folder below `path` writable, so that its entries can be removed. Links are not followed.
fn open_folders(path: &Path) -> io::Result<()> {
    let mut open = vec![path.to_owned()];
    while let Some(folder) = open.pop() {
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).map_err(|e| named(e, &folder))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            }
        }
    }
    Ok(())
}

fn named(error: io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("\"{}\": {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().expect("below something")).expect("a folder");
        fs::write(path, text).expect("writes");
    }

    fn git(folder: &Path, args: &[&str]) {
        let ran = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
            .args(args)
            .current_dir(folder)
            .output();
        assert!(ran.expect("git runs").status.success(), "git {args:?}");
    }

    #[test]
    fn a_copy_has_what_git_does_not_ignore_and_git_works_in_it() {
        let temp = tempfile::tempdir().expect("a folder");
        let (from, to) = (temp.path().join("from"), temp.path().join("to"));
        write(&from.join("a/b.txt"), "tracked");
        write(&from.join(".gitignore"), "ignored\n");
        write(&from.join("ignored"), "x");
        write(&from.join("gone"), "x");
        symlink("a/b.txt", from.join("link")).expect("links");
        git(&from, &["init", "-q"]);
        git(&from, &["add", "."]);
        git(&from, &["commit", "-q", "-m", "one"]);
        write(&from.join("new"), "untracked");
        fs::remove_file(from.join("gone")).expect("removes");
        fs::set_permissions(from.join("a/b.txt"), Permissions::from_mode(0o755)).expect("sets");
        LocalWorkspaces.populate(&from, &to).expect("copies");
        assert_eq!(fs::read_to_string(to.join("a/b.txt")).expect("there"), "tracked");
        assert_eq!(fs::read_to_string(to.join("new")).expect("there"), "untracked");
        assert!(!to.join("ignored").exists() && !to.join("gone").exists());
        assert_eq!(fs::read_link(to.join("link")).expect("a link"), Path::new("a/b.txt"));
        assert_eq!(fs::metadata(to.join("a/b.txt")).expect("there").mode() & 0o777, 0o755);
        git(&to, &["log", "-1"]);
        git(&to, &["commit", "-q", "--allow-empty", "-m", "two"]);
        let objects = |folder: &Path| {
            let ran =
                Command::new("git").args(["rev-list", "--count", "HEAD"]).current_dir(folder).output().expect("runs");
            String::from_utf8_lossy(&ran.stdout).trim().to_owned()
        };
        assert_eq!((objects(&from), objects(&to)), ("1".to_owned(), "2".to_owned()), "the checkout is not touched");
        LocalWorkspaces.populate(&from, &to).expect("copying again replaces");
    }

    #[test]
    fn outside_git_everything_is_copied() {
        let temp = tempfile::tempdir().expect("a folder");
        let (from, to) = (temp.path().join("from"), temp.path().join("to"));
        write(&from.join("a/.hidden"), "1");
        let totals = LocalWorkspaces.populate(&from, &to).expect("copies");
        assert_eq!(totals, CopyTotals { files: 1, bytes: 1 });
        assert!(to.join("a/.hidden").exists());
        // A copy into a folder of the checkout itself ends.
        LocalWorkspaces.populate(&from, &from.join("state/work")).expect("copies");
        assert!(from.join("state/work/a/.hidden").exists());
    }

    #[test]
    fn read_only_folders_can_be_removed() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("w");
        write(&path.join("a/b/c"), "1");
        fs::set_permissions(path.join("a/b"), Permissions::from_mode(0o500)).expect("sets");
        LocalWorkspaces.remove(&path).expect("removes");
        assert!(!path.exists());
        LocalWorkspaces.remove(&path).expect("removing again is no mistake");
    }
}
