//! A run's place on the host: a private folder, in memory where there is one, and the shim that serves in it.
//!
//! Everything is found again by the run's id alone: the folder's name is made from it, socket and token lie in it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::client::shim::write_embedded;
use crate::id::RunId;

/// Tries to run a program that another thread's fork still holds open for writing, a few milliseconds each.
const BUSY_TRIES: u32 = 50;
/// The variable by which the shim marks the processes of a step: the step's folder.
const MARKER: &[u8] = b"SLIPWAY_STEP=";

/// Where a run's shim lives.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The folder: 0700, ours.
    pub(super) folder: PathBuf,
}

impl Place {
    /// The place of `run` under `base`, whether it is there or not.
    pub(super) fn of(base: &Path, run: &RunId) -> Self {
        let user = rustix::process::getuid().as_raw();
        Self { folder: base.join(format!("slipway-{user}-{run}")) }
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// Whether a shim answers here.
    pub(super) fn answers(&self) -> bool {
        UnixStream::connect(self.socket()).is_ok()
    }

    /// The token, when the place is there and ours.
    pub(super) fn token(&self) -> io::Result<Vec<u8>> {
        self.check()?;
        let mut token = Vec::new();
        fs::File::open(self.folder.join("token"))?.take(1024).read_to_end(&mut token)?;
        Ok(token)
    }

    /// Makes the folder and the token, or takes those that an engine left that died before it had started the shim.
    fn prepare(&self) -> io::Result<Vec<u8>> {
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => self.check()?,
        }
        let path = self.folder.join("token");
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => {
                let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
                file.write_all(token.as_bytes())?;
                Ok(token.into_bytes())
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => match self.token()? {
                token if token.len() == 64 => Ok(token),
                _ => {
                    // The engine died while it wrote it: nobody can know it.
                    fs::remove_file(&path)?;
                    self.prepare()
                }
            },
            Err(e) => Err(e),
        }
    }

    /// The base may be open to everybody: what is not ours alone is not used.
    fn check(&self) -> io::Result<()> {
        let data = fs::symlink_metadata(&self.folder)?;
        let ours = data.is_dir() && data.uid() == rustix::process::getuid().as_raw();
        if ours && data.permissions().mode() & 0o077 == 0 {
            return Ok(());
        }
        let text = format!("\"{}\" is there and is not a private folder of this user", self.folder.display());
        Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
    }

    /// Starts the shim in the background; it listens when this returns. Blocks for some milliseconds.
    pub(super) fn start_shim(
        &self,
        shim_folder: &Path,
        env: &[(OsString, OsString)],
        window: Duration,
    ) -> io::Result<Vec<u8>> {
        let token = self.prepare()?;
        let program = write_embedded(shim_folder)?;
        let mut command = Command::new(&program);
        command.arg("serve").arg("--dir").arg(&self.folder).arg("--socket").arg(self.socket());
        command.args(["--token-stdin", "--detach", "--remove-dir", "--window", &window.as_secs_f64().to_string()]);
        command.env_clear().envs(env.iter().map(|(name, value)| (name, value))).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut tries = 0;
        let mut child = loop {
            match command.spawn() {
                Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(5));
                }
                result => break result?,
            }
        };
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(&token)?;
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(token);
        }
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }

    /// Removes the folder with all that is in it, and, where the shim could not, processes of its steps.
    pub(super) fn remove(&self) -> io::Result<()> {
        if self.check().is_err() {
            // Not there, or not ours.
            return Ok(());
        }
        self.kill_marked();
        match fs::remove_dir_all(&self.folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// Kills processes that carry the mark of a step of this place. A shim leaves none; this is for one that was killed.
    fn kill_marked(&self) {
        let mut mark = MARKER.to_vec();
        mark.extend_from_slice(self.folder.as_os_str().as_encoded_bytes());
        mark.push(b'/');
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid =
                entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(rustix::process::Pid::from_raw);
            let (Some(pid), Ok(env)) = (pid, fs::read(entry.path().join("environ"))) else { continue };
            if env.split(|b| *b == 0).any(|variable| variable.starts_with(&mark)) {
                // It may have ended just now.
                let _: Result<(), rustix::io::Errno> =
                    rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}
