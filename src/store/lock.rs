//! Locks between processes: a run belongs to whoever holds its lock; so does a checkout that jobs run in. The kernel lets go of
//! them when the process ends, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::store::contract::StoreError;

/// Bytes that say who holds a lock.
const NOTE: usize = 256;
/// So often a lock that others look at is tried; each looks for microseconds.
const TRIES: u32 = 200;

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
        let file = open(path).map_err(failed)?;
        if !take(&file).map_err(failed)? {
            return Ok(TryLock::Taken(read_holder(path)));
        }
        sign(&file, who).map_err(failed)?;
        Ok(TryLock::Held(Lock { file }))
    }

    /// Waits for the lock at `path`; `waiting` hears once who has it.
    pub fn wait_at(path: &Path, who: &str, waiting: impl FnOnce(&str)) -> Result<Lock, StoreError> {
        match Self::try_at(path, who)? {
            TryLock::Held(lock) => return Ok(lock),
            TryLock::Taken(holder) => waiting(&holder),
        }
        let failed = |e: io::Error| StoreError::failed(format!("lock \"{}\"", path.display()), e);
        let file = open(path).map_err(failed)?;
        while let Err(errno) = flock(&file, FlockOperation::LockExclusive) {
            if errno != Errno::INTR {
                return Err(failed(errno.into()));
            }
        }
        sign(&file, who).map_err(failed)?;
        Ok(Lock { file })
    }

    /// Who holds the lock at `path` now, if anybody does.
    pub fn holder(path: &Path) -> Option<String> {
        let file = File::open(path).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => Some(read_holder(path)),
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

/// Takes the lock; false when somebody holds it. Whoever only looks ([`Lock::holder`]) shares it for a moment: then it is tried again.
fn take(file: &File) -> io::Result<bool> {
    for _ in 0..TRIES {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::INTR) => continue,
            Err(Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(errno.into()),
        }
        match flock(file, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(errno) if errno != Errno::INTR => return Err(errno.into()),
            _ => {}
        }
        let _ = flock(file, FlockOperation::Unlock);
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(false)
}

/// In one write, filled up with spaces: whoever reads sees the old holder or the new one.
fn sign(file: &File, who: &str) -> io::Result<()> {
    file.write_all_at(format!("{who:<NOTE$}\n").as_bytes(), 0)
}

fn read_holder(path: &Path) -> String {
    let mut text = String::new();
    // A holder that cannot be read is a holder all the same.
    if let Ok(file) = File::open(path) {
        let _ = file.take(NOTE as u64).read_to_string(&mut text);
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

    #[test]
    fn whoever_looks_is_not_in_the_way() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("lock");
        drop(Lock::try_at(&path, "me").expect("locks"));
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    Lock::holder(&path);
                }
            });
            let taken = |_: &i32| matches!(Lock::try_at(&path, "me").expect("tries"), TryLock::Taken(_));
            let refused = (0..2000).filter(taken).count();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(refused, 0);
        });
    }

    #[test]
    fn the_second_waits_and_hears_for_whom() {
        let temp = tempfile::tempdir().expect("a folder");
        let path = temp.path().join("lock");
        let TryLock::Held(first) = Lock::try_at(&path, "a long name of a run").expect("locks") else { panic!() };
        let mut heard = None;
        let second = Lock::wait_at(&path, "run 2", |who| {
            heard = Some(who.to_owned());
            drop(first);
        });
        assert_eq!(heard.as_deref(), Some("a long name of a run"));
        assert_eq!(Lock::holder(&path).as_deref(), Some("run 2"));
        drop(second.expect("locks"));
    }
}
