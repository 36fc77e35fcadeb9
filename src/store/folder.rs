//! The state folder: `$SLIPWAY_HOME`, else `$XDG_STATE_HOME/slipway`, else `~/.local/state/slipway`. Never in the checkout.
//!
//! ```text
//! slipway.db          runs, journal, requests, groups
//! runs/<id>/          pipeline.yml, inputs.json, plan.json, lock, wake, key, secrets, logs/, work/, attempts/
//! cache/  shim/  tools/
//! key                 seals the keys of runs (0600)
//! label               tells this folder's containers from others'
//! ```

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::id::RunId;
use crate::store::contract::StoreError;

/// A state folder that exists.
#[derive(Debug, Clone)]
pub struct StateFolder {
    root: PathBuf,
}

impl StateFolder {
    /// Where the environment says it is; `get` looks up a variable.
    pub fn locate(get: impl Fn(&str) -> Option<String>) -> Result<PathBuf, StoreError> {
        let set = |name: &str| get(name).filter(|value| !value.is_empty());
        if let Some(home) = set("SLIPWAY_HOME") {
            return Ok(PathBuf::from(home));
        }
        if let Some(state) = set("XDG_STATE_HOME").filter(|state| state.starts_with('/')) {
            return Ok(Path::new(&state).join("slipway"));
        }
        match set("HOME") {
            Some(home) => Ok(Path::new(&home).join(".local/state/slipway")),
            None => Err(StoreError::NotFound(
                "there is no place for the state folder: set SLIPWAY_HOME, XDG_STATE_HOME or HOME".to_owned(),
            )),
        }
    }

    /// Opens the folder that the environment names, and makes what is missing.
    pub fn open() -> Result<Self, StoreError> {
        Self::open_at(Self::locate(|name| std::env::var(name).ok())?)
    }

    /// Opens the folder at `root`, and makes what is missing. Safe when many do so at once.
    pub fn open_at(root: PathBuf) -> Result<Self, StoreError> {
        let root = std::path::absolute(&root).unwrap_or(root);
        let folder = Self { root };
        if !folder.root.join("runs").is_dir() {
            for path in [folder.root.clone(), folder.runs()] {
                make_private(&path)
                    .map_err(|e| StoreError::failed(format!("make the state folder \"{}\"", path.display()), e))?;
            }
        }
        Ok(folder)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.root.join("slipway.db")
    }

    /// All runs.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// One run.
    pub fn run(&self, run: &RunId) -> PathBuf {
        self.runs().join(run.as_str())
    }

    /// Caches.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// The shim's program.
    pub fn shim(&self) -> PathBuf {
        self.root.join("shim")
    }

    /// `RUNNER_TOOL_CACHE`.
    pub fn tools(&self) -> PathBuf {
        self.root.join("tools")
    }

    /// What containers of this folder are labelled with: sixteen hexadecimal digits.
    pub fn label(&self) -> Result<String, StoreError> {
        let made = || uuid::Uuid::new_v4().simple().to_string()[..16].to_owned().into_bytes();
        let bytes = self.once("label", made)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// The key under which the keys of runs are sealed: 32 bytes of chance.
    pub fn key(&self) -> Result<[u8; 32], StoreError> {
        let bytes = self.once("key", || random_key().to_vec())?;
        <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| {
            StoreError::Unreadable(format!(
                "the key \"{}\" has {} bytes in place of 32; restore it, or remove it (interrupted runs then cannot be resumed)",
                self.root.join("key").display(),
                bytes.len()
            ))
        })
    }

    /// A small file that is made once, whoever comes first: others read what the first wrote.
    fn once(&self, name: &str, make: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let path = self.root.join(name);
        let failed = |e: io::Error| StoreError::failed(format!("read or make \"{}\"", path.display()), e);
        match fs::read(&path) {
            Ok(bytes) if !bytes.is_empty() => return Ok(bytes),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let temporary = self.root.join(format!(".{name}-{}", uuid::Uuid::new_v4().simple()));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(&make())?;
            file.sync_all()?;
            // A link does not replace: the first one wins.
            match fs::hard_link(&temporary, &path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => Ok(()),
            }
        };
        let written = write();
        // Whether it was made or not, the temporary name goes.
        let _ = fs::remove_file(&temporary);
        written.map_err(failed)?;
        fs::read(&path).map_err(failed)
    }
}

/// 32 bytes of chance.
pub fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    let (a, b) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    let (c, d) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    // Version and variant bits of a UUID are fixed, so each gives 122 bits: hashing four leaves a full key.
    use sha2::Digest;
    let mut hash = sha2::Sha256::new();
    for id in [a, b, c, d] {
        hash.update(id.as_bytes());
    }
    key.copy_from_slice(&hash.finalize());
    key
}

/// Makes a folder (and those above it) that only its owner can enter; fine when it exists.
pub fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_where() {
        let env = |list: &'static [(&str, &str)]| {
            StateFolder::locate(move |name| list.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned()))
        };
        assert_eq!(env(&[("SLIPWAY_HOME", "/a"), ("HOME", "/h")]).expect("set"), Path::new("/a"));
        assert_eq!(env(&[("XDG_STATE_HOME", "/x"), ("HOME", "/h")]).expect("set"), Path::new("/x/slipway"));
        assert_eq!(env(&[("SLIPWAY_HOME", ""), ("HOME", "/h")]).expect("set"), Path::new("/h/.local/state/slipway"));
        assert!(env(&[]).is_err());
    }

    #[test]
    fn first_comers_agree_on_key_and_label() {
        let temp = tempfile::tempdir().expect("a folder");
        let root = temp.path().join("state");
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let root = root.clone();
                std::thread::spawn(move || {
                    let folder = StateFolder::open_at(root).expect("opens");
                    (folder.key().expect("a key"), folder.label().expect("a label"))
                })
            })
            .collect();
        let all: Vec<_> = threads.into_iter().map(|t| t.join().expect("no panic")).collect();
        assert!(all.iter().all(|one| *one == all[0]));
        assert_eq!(all[0].1.len(), 16);
    }
}
