//! Locks between processes: a run belongs to whoever holds its lock; so does a checkout that jobs run in. The kernel lets go of
//! them when the process ends, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::store::contract::StoreError;

/// A lock that is held; dropping it lets go.
#[derive(Debug)]
pub struct Lock {
    #[expect(dead_code, reason = "holding the file open is what holds the lock")]
    file: File,
}

/// What came of trying.
#[derive(Debug)]
pub enum TryLock {
    /// It is ours.
    Held(Lock),
    /// Somebody else has it: what is written in it (a process id, what for).
    Taken(String),
}

impl Lock {
    /// Tries to take the lock at `path` (made when it is missing), and writes `who` into it.
    pub fn try_at(path: &Path, who: &str) -> Result<TryLock, StoreError> {
        let failed = |e: io::Error| StoreError::failed(format!("lock \"{}\"", path.display()), e);
        let mut file = open(path).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                sign(&mut file, who).map_err(failed)?;
                Ok(TryLock::Held(Lock { file }))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(TryLock::Taken(read_holder(path))),
            Err(errno) => Err(failed(errno.into())),
        }
    }

    /// Waits for the lock at `path`; `waiting` hears once who has it.
    pub fn wait_at(path: &Path, who: &str, waiting: impl FnOnce(&str)) -> Result<Lock, StoreError> {
        match Self::try_at(path, who)? {
            TryLock::Held(lock) => return Ok(lock),
            TryLock::Taken(holder) => waiting(&holder),
        }
        let failed = |e: io::Error| StoreError::failed(format!("lock \"{}\"", path.display()), e);
        let mut file = open(path).map_err(failed)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
        sign(&mut file, who).map_err(failed)?;
        Ok(Lock { file })
    }

    /// Who holds the lock at `path` now, if anybody does.
    pub fn holder(path: &Path) -> Option<String> {
        let file = File::open(path).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => Some(read_holder(path)),
            _ => None,
        }
    }
}

/// The lock of a run's folder.
pub fn run_lock(run_folder: &Path) -> PathBuf {
    run_folder.join("lock")
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn sign(file: &mut File, who: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(who.as_bytes())
}

fn read_holder(path: &Path) -> String {
    let mut text = String::new();
    // A holder that cannot be read is a holder all the same.
    if let Ok(file) = File::open(path) {
        let _ = file.take(256).read_to_string(&mut text);
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_and_others_hear_who() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("lock");
        assert_eq!(Lock::holder(&path), None);
        let TryLock::Held(lock) = Lock::try_at(&path, "process 7").expect("locks") else { panic!("nobody has it") };
        assert!(matches!(Lock::try_at(&path, "process 8").expect("tries"), TryLock::Taken(who) if who == "process 7"));
        assert_eq!(Lock::holder(&path).as_deref(), Some("process 7"));
        drop(lock);
        assert_eq!(Lock::holder(&path), None);
        assert!(matches!(Lock::try_at(&path, "process 8").expect("tries"), TryLock::Held(_)));
    }
}
