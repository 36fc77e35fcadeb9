//! Folders below a root, made without ever leaving it: not even an empty folder is made where a link leads out.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Makes the folder `relative` below `root`, which is made too, and gives its path. Links within `root` are followed; names
/// other than plain ones, and links that lead out, are refused.
pub fn make_within(root: &Path, relative: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(root)?;
    let real = root.canonicalize()?;
    let mut path = root.to_owned();
    for part in relative.components() {
        let Component::Normal(name) = part else { return Err(leaves(&root.join(relative), root)) };
        path.push(name);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_symlink() => {
                if !path.canonicalize().is_ok_and(|target| target.starts_with(&real)) {
                    return Err(leaves(&path, root));
                }
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            },
            Err(error) => return Err(error),
        }
    }
    Ok(path)
}

fn leaves(path: &Path, root: &Path) -> io::Error {
    let message = format!("\"{}\" leads out of \"{}\"", path.display(), root.display());
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_is_made_outside() {
        let temp = tempfile::tempdir().expect("a folder");
        let (root, outside) = (temp.path().join("root"), temp.path().join("outside"));
        fs::create_dir_all(root.join("a")).expect("a folder");
        fs::create_dir_all(&outside).expect("a folder");
        symlink("a", root.join("inner")).expect("links");
        symlink(&outside, root.join("out")).expect("links");
        symlink("../root-2", root.join("nowhere")).expect("links");
        assert_eq!(make_within(&root, Path::new("inner/b/c")).expect("makes"), root.join("inner/b/c"));
        assert!(root.join("a/b/c").is_dir());
        for name in ["out", "out/x", "nowhere/x", "../x", "/x", "a/../../x"] {
            assert!(make_within(&root, Path::new(name)).is_err(), "{name}");
        }
        assert_eq!(fs::read_dir(&outside).expect("a folder").count(), 0);
        assert_eq!(fs::read_dir(temp.path()).expect("a folder").count(), 2);
    }
}
