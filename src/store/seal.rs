//! Sealing: AES-256-GCM under a key of the run's own, which lies in the run's folder sealed under the state folder's key.
//! Removing that one file makes everything that was sealed unreadable.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError, RwLock};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::event::Sealed;
use crate::id::RunId;
use crate::secret::Secret;
use crate::store::contract::{Sealer, StoreError};
use crate::store::folder::{StateFolder, random_key};

const NONCE: usize = 12;

/// Seals for one run. Its key is made at the first seal.
pub struct RunSealer {
    run: RunId,
    state: StateFolder,
    cipher: OnceLock<Aes256Gcm>,
    making: RwLock<()>,
}

impl RunSealer {
    /// For `run` in `state`.
    pub fn new(state: &StateFolder, run: &RunId) -> Self {
        Self { run: run.clone(), state: state.clone(), cipher: OnceLock::new(), making: RwLock::new(()) }
    }

    /// Keeps the secrets that were given by value, for `resume`.
    pub fn save_secrets(&self, secrets: &[(String, Secret)]) -> Result<(), StoreError> {
        if secrets.is_empty() {
            return Ok(());
        }
        let list: Vec<(&str, &str)> = secrets.iter().map(|(name, secret)| (name.as_str(), secret.expose())).collect();
        let json = serde_json::to_vec(&list).map_err(|e| StoreError::failed("keep the run's secrets", e))?;
        let sealed = seal_with(&self.cipher()?, &self.run, &json);
        write_private(&self.path("secrets"), sealed.0.as_bytes())
            .map_err(|e| StoreError::failed("keep the run's secrets", e))
    }

    /// The secrets that were kept; none when there were none or they are erased.
    pub fn load_secrets(&self) -> Result<Vec<(String, Secret)>, StoreError> {
        let text = match fs::read_to_string(self.path("secrets")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::failed("read the run's secrets", error)),
        };
        let json = self.open(&Sealed(text))?;
        let list: Vec<(String, String)> = serde_json::from_slice(&json)
            .map_err(|e| StoreError::Unreadable(format!("the run's secrets cannot be read back: {e}")))?;
        Ok(list.into_iter().map(|(name, value)| (name, Secret::new(value))).collect())
    }

    /// The run can no longer be resumed: what was sealed becomes unreadable.
    pub fn erase(&self) -> Result<(), StoreError> {
        for name in ["key", "secrets"] {
            match fs::remove_file(self.path(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::failed(format!("erase \"{}\"", self.path(name).display()), error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.state.run(&self.run).join(name)
    }

    fn cipher(&self) -> Result<Aes256Gcm, StoreError> {
        if let Some(cipher) = self.cipher.get() {
            return Ok(cipher.clone());
        }
        let _guard = self.making.write().unwrap_or_else(PoisonError::into_inner);
        let state = new_cipher(&self.state.key()?);
        let path = self.path("key");
        let key = match fs::read_to_string(&path) {
            Ok(text) => open_with(&state, &self.run, &Sealed(text))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = random_key();
                let sealed = seal_with(&state, &self.run, &key);
                write_private(&path, sealed.0.as_bytes()).map_err(|e| StoreError::failed("keep the run's key", e))?;
                key.to_vec()
            }
            Err(error) => return Err(StoreError::failed("read the run's key", error)),
        };
        let key = <[u8; 32]>::try_from(key.as_slice())
            .map_err(|_| StoreError::Unreadable("the run's key has the wrong length".to_owned()))?;
        Ok(self.cipher.get_or_init(|| new_cipher(&key)).clone())
    }
}

impl Sealer for RunSealer {
    fn seal(&self, clear: &[u8]) -> Sealed {
        match self.cipher() {
            Ok(cipher) => seal_with(&cipher, &self.run, clear),
            // Without a key nothing is kept: a run taken up later lacks the value and says so.
            Err(_) => Sealed(String::new()),
        }
    }

    fn open(&self, sealed: &Sealed) -> Result<Vec<u8>, StoreError> {
        if !self.path("key").exists() {
            return Err(StoreError::Unreadable("the run's key was erased when it ended".to_owned()));
        }
        open_with(&self.cipher()?, &self.run, sealed)
    }
}

/// Seals under the state folder's own key what must outlive its run: letters of the outbox with their addresses.
pub struct FolderSealer {
    state: StateFolder,
}

/// In place of a run's id.
const FOLDER: &str = "state-folder";

impl FolderSealer {
    /// For `state`.
    pub fn new(state: &StateFolder) -> Self {
        Self { state: state.clone() }
    }
}

impl Sealer for FolderSealer {
    fn seal(&self, clear: &[u8]) -> Sealed {
        match self.state.key() {
            Ok(key) => seal_with(&new_cipher(&key), &RunId::from(FOLDER), clear),
            // Without a key nothing is kept: whoever opens it says so.
            Err(_) => Sealed(String::new()),
        }
    }

    fn open(&self, sealed: &Sealed) -> Result<Vec<u8>, StoreError> {
        open_with(&new_cipher(&self.state.key()?), &RunId::from(FOLDER), sealed)
    }
}

fn new_cipher(key: &[u8; 32]) -> Aes256Gcm {
    Aes256Gcm::new(key.into())
}

/// base64 of nonce and ciphertext; bound to the run by the associated data.
fn seal_with(cipher: &Aes256Gcm, run: &RunId, clear: &[u8]) -> Sealed {
    let chance = random_key();
    let nonce_bytes: [u8; NONCE] = chance[..NONCE].try_into().expect("twelve of 32 bytes");
    let nonce = Nonce::from(nonce_bytes);
    let payload = Payload { msg: clear, aad: run.as_str().as_bytes() };
    let sealed = cipher.encrypt(&nonce, payload).expect("AES-GCM seals anything below 64 GiB");
    Sealed(STANDARD.encode([&nonce_bytes[..], &sealed].concat()))
}

fn open_with(cipher: &Aes256Gcm, run: &RunId, sealed: &Sealed) -> Result<Vec<u8>, StoreError> {
    let damaged = || StoreError::Unreadable("a sealed value is damaged, or was sealed under another key".to_owned());
    let bytes = STANDARD.decode(sealed.0.trim()).map_err(|_| damaged())?;
    let (nonce, rest) = bytes.split_at_checked(NONCE).ok_or_else(damaged)?;
    let nonce = Nonce::from(<[u8; NONCE]>::try_from(nonce).map_err(|_| damaged())?);
    cipher.decrypt(&nonce, Payload { msg: rest, aad: run.as_str().as_bytes() }).map_err(|_| damaged())
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(run: &str) -> (tempfile::TempDir, RunSealer) {
        let temp = tempfile::tempdir().expect("a folder");
        let state = StateFolder::open_at(temp.path().join("state")).expect("opens");
        let run = RunId::from(run);
        fs::create_dir_all(state.run(&run)).expect("a run's folder");
        let sealer = RunSealer::new(&state, &run);
        (temp, sealer)
    }

    #[test]
    fn what_is_sealed_opens_again_until_it_is_erased() {
        let (_temp, sealer) = sealer("r1");
        let sealed = sealer.seal(b"hunter2");
        assert!(!sealed.0.contains("hunter2"));
        assert_ne!(sealed, sealer.seal(b"hunter2"), "no nonce is used twice");
        let again = RunSealer::new(&sealer.state, &sealer.run);
        assert_eq!(again.open(&sealed).expect("opens"), b"hunter2");
        let other = RunSealer::new(&sealer.state, &RunId::from("r2"));
        fs::create_dir_all(sealer.state.run(&RunId::from("r2"))).expect("a folder");
        fs::copy(sealer.path("key"), other.path("key")).expect("copies");
        assert!(other.open(&sealed).is_err(), "another run's seal does not open");
        sealer.erase().expect("erases");
        assert!(again.open(&sealed).is_err());
    }

    #[test]
    fn damage_is_noticed() {
        let (_temp, sealer) = sealer("r1");
        let mut text = sealer.seal(b"value").0;
        let last = text.pop().expect("not empty");
        text.push(if last == 'A' { 'B' } else { 'A' });
        assert!(sealer.open(&Sealed(text)).is_err());
        assert!(sealer.open(&Sealed("x".to_owned())).is_err());
    }

    #[test]
    fn secrets_are_kept_sealed() {
        let (_temp, sealer) = sealer("r1");
        sealer.save_secrets(&[("A".to_owned(), Secret::new("hunter2"))]).expect("kept");
        let text = fs::read_to_string(sealer.path("secrets")).expect("there");
        assert!(!text.contains("hunter2"));
        let list = sealer.load_secrets().expect("read");
        assert_eq!(list[0].1.expose(), "hunter2");
    }
}
