//! Folders kept between runs: an archive an entry, found by key, bounded in sum, the least recently used first out.
//!
//! ```text
//! cache/<scope>/<sha256 of key>.tar     the archive; its modification time is its last use
//! cache/<scope>/<sha256 of key>.key     the key
//! ```
//!
//! Archives hold `N/<path>` for the N-th of the paths, so that they unpack to where these stand in another workspace.

use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::clock::system_time;
use crate::store::contract::Caches;
use crate::store::folder::make_private;
use crate::store::within::make_within;
use crate::workspace::contract::hex;

/// All entries together, when nobody says otherwise.
const MAX_BYTES: u64 = 10 * 1024 * 1024 * 1024;

/// Caches below a folder.
#[derive(Debug, Clone)]
pub struct FileCaches {
    root: PathBuf,
    max_bytes: u64,
}

impl FileCaches {
    /// Below `root` (`cache` of the state folder).
    pub fn new(root: PathBuf) -> Self {
        Self { root, max_bytes: MAX_BYTES }
    }

    /// With another bound.
    pub fn bounded(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    fn folder(&self, scope: &str) -> PathBuf {
        self.root.join(&digest(scope)[..32])
    }

    /// Removes what is beyond the bound; gives the bytes that were freed.
    pub fn tidy(&self) -> io::Result<u64> {
        self.trim(self.max_bytes)
    }

    /// Removes the least recently used entries until all fit; gives the bytes that were freed.
    pub fn trim(&self, max_bytes: u64) -> io::Result<u64> {
        let mut entries = Vec::new();
        let mut total = 0;
        for scope in list(&self.root)? {
            for path in list(&scope)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "tar")) {
                let Ok(meta) = fs::metadata(&path) else { continue };
                total += meta.len();
                entries.push((meta.modified()?, meta.len(), path));
            }
        }
        entries.sort();
        let mut freed = 0;
        for (_, size, path) in entries {
            if total - freed <= max_bytes {
                break;
            }
            // Another process may have removed it.
            let _ = fs::remove_file(path.with_extension("key"));
            let _ = fs::remove_file(path);
            freed += size;
        }
        Ok(freed)
    }
}

impl Caches for FileCaches {
    fn restore(
        &self,
        scope: &str,
        key: &str,
        restore_keys: &[String],
        paths: &[PathBuf],
    ) -> io::Result<Option<String>> {
        let folder = self.folder(scope);
        let exact = folder.join(format!("{}.tar", digest(key)));
        let found = if exact.exists() { Some((exact, key.to_owned())) } else { newest(&folder, restore_keys)? };
        let Some((path, key)) = found else { return Ok(None) };
        let file = match File::open(&path) {
            // It was removed meanwhile: a miss.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let used = file.set_times(FileTimes::new().set_modified(system_time()));
        unpack(file, paths)?;
        used.map(|()| Some(key))
    }

    fn save(&self, scope: &str, key: &str, paths: &[PathBuf]) -> io::Result<bool> {
        let folder = self.folder(scope);
        let path = folder.join(format!("{}.tar", digest(key)));
        if path.exists() || !paths.iter().any(|path| path.exists()) {
            return Ok(false);
        }
        make_private(&folder)?;
        let temporary = folder.join(format!(".{}", uuid::Uuid::new_v4().simple()));
        let written = pack(&temporary, paths).and_then(|()| {
            fs::write(path.with_extension("key"), key)?;
            fs::rename(&temporary, &path)
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        self.trim(self.max_bytes)?;
        Ok(true)
    }
}

fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The newest entry whose key begins with the first prefix that any begins with.
fn newest(folder: &Path, prefixes: &[String]) -> io::Result<Option<(PathBuf, String)>> {
    let mut entries = Vec::new();
    for path in list(folder)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "key")) {
        let archive = path.with_extension("tar");
        if let (Ok(key), Ok(modified)) = (fs::read_to_string(&path), fs::metadata(&archive).and_then(|m| m.modified()))
        {
            entries.push((modified, archive, key));
        }
    }
    entries.sort();
    Ok(prefixes.iter().filter(|prefix| !prefix.is_empty()).find_map(|prefix| {
        let found = entries.iter().rev().find(|(_, _, key)| key.starts_with(prefix.as_str()));
        found.map(|(_, archive, key)| (archive.clone(), key.clone()))
    }))
}

fn pack(target: &Path, paths: &[PathBuf]) -> io::Result<()> {
    let mut builder = tar::Builder::new(io::BufWriter::new(File::create(target)?));
    builder.follow_symlinks(false);
    for (index, path) in paths.iter().enumerate() {
        let name = index.to_string();
        match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_dir() => builder.append_dir_all(&name, path)?,
            Ok(_) => builder.append_path_with_name(path, &name)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    builder.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()
}

/// Unpacks entry by entry. A name that leaves its path is refused, and the tar crate refuses to write through links.
fn unpack(file: File, paths: &[PathBuf]) -> io::Result<()> {
    let mut archive = tar::Archive::new(io::BufReader::new(file));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        let mut parts = name.components();
        let index = match parts.next() {
            Some(Component::Normal(first)) => first.to_str().and_then(|text| text.parse::<usize>().ok()),
            _ => None,
        };
        let rest = parts.as_path();
        let plain = rest.components().all(|part| matches!(part, Component::Normal(_)));
        let (Some(base), true) = (index.and_then(|index| paths.get(index)), plain) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("entry \"{}\" is not ours", name.display()),
            ));
        };
        if rest.as_os_str().is_empty() {
            match entry.header().entry_type().is_dir() {
                true => fs::create_dir_all(base)?,
                false => {
                    base.parent().map_or(Ok(()), fs::create_dir_all)?;
                    entry.unpack(base).map(drop)?;
                }
            }
            continue;
        }
        let folder = entry.header().entry_type().is_dir();
        make_within(base, if folder { rest } else { rest.parent().unwrap_or(Path::new("")) })?;
        if !folder {
            // A hard link in an archive names another entry, and devices are nobody's cache; ours are made without.
            let kind = entry.header().entry_type();
            if !(kind.is_file() || kind.is_symlink() || kind.is_gnu_sparse()) {
                continue;
            }
            let target = base.join(rest);
            let _ = fs::remove_file(&target);
            entry.unpack(&target).map(drop)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().expect("below something")).expect("a folder");
        fs::write(path, text).expect("writes");
    }

    #[test]
    fn what_is_saved_comes_back_elsewhere() {
        let temp = tempfile::tempdir().expect("a folder");
        let caches = FileCaches::new(temp.path().join("cache"));
        let (a, b) = (temp.path().join("a"), temp.path().join("b"));
        write(&a.join("deps/x/y.txt"), "1");
        write(&a.join("one.txt"), "2");
        std::os::unix::fs::symlink("y.txt", a.join("deps/x/link")).expect("links");
        let paths = |root: &Path| [root.join("deps"), root.join("one.txt"), root.join("missing")];
        assert!(caches.save("s", "npm-1", &paths(&a)).expect("saved"));
        assert!(!caches.save("s", "npm-1", &paths(&a)).expect("there already"));
        assert_eq!(caches.restore("other", "npm-1", &[], &paths(&b)).expect("reads"), None);
        assert_eq!(
            caches.restore("s", "npm-2", &["x".into(), "npm-".into()], &paths(&b)).expect("reads").as_deref(),
            Some("npm-1")
        );
        assert_eq!(fs::read_to_string(b.join("deps/x/link")).expect("there"), "1");
        assert_eq!(fs::read_to_string(b.join("one.txt")).expect("there"), "2");
        // Restoring over what is there replaces it.
        assert!(caches.restore("s", "npm-1", &[], &paths(&b)).expect("reads").is_some());
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let temp = tempfile::tempdir().expect("a folder");
        let caches = FileCaches::new(temp.path().join("cache"));
        let path = temp.path().join("data");
        write(&path.join("f"), &"x".repeat(10_000));
        for (key, age) in [("a", 300), ("b", 200), ("c", 100)] {
            caches.save("s", key, std::slice::from_ref(&path)).expect("saved");
            let file = File::open(caches.folder("s").join(format!("{}.tar", digest(key)))).expect("there");
            let time = system_time() - std::time::Duration::from_secs(age);
            file.set_times(FileTimes::new().set_modified(time)).expect("sets");
        }
        assert!(caches.restore("s", "a", &[], std::slice::from_ref(&path)).expect("used").is_some());
        assert!(caches.trim(30_000).expect("trims") > 0);
        let there = |key: &str| caches.restore("s", key, &[], std::slice::from_ref(&path)).expect("reads").is_some();
        assert!(there("a") && there("c") && !there("b"));
    }

    #[test]
    fn an_archive_that_leaves_its_folder_is_refused() {
        let temp = tempfile::tempdir().expect("a folder");
        let evil = temp.path().join("evil.tar");
        let mut builder = tar::Builder::new(File::create(&evil).expect("makes"));
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.as_gnu_mut().expect("gnu").name[..9].copy_from_slice(b"0/../../x");
        header.set_cksum();
        builder.append(&header, &b"1"[..]).expect("appends");
        drop(builder.into_inner().expect("ends"));
        let base = temp.path().join("w/base");
        assert!(unpack(File::open(&evil).expect("opens"), &[base]).is_err());
        assert!(!temp.path().join("x").exists());
    }
}
