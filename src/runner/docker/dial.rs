//! The way to a container's shim: a unix socket in a folder that both sides see, however long the folder's path is.

use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::os::fd::AsRawFd;
use tokio::net::UnixStream;

use crate::client::shim::{Dial, Stream};

/// The kernel takes addresses of at most 107 bytes.
const LONGEST: usize = 107;

/// Dials socket `name` in `folder`.
#[derive(Debug, Clone)]
pub struct FolderDial {
    /// The folder, as this machine sees it.
    pub folder: PathBuf,
    /// The socket's name in it.
    pub name: &'static str,
}

#[async_trait]
impl Dial for FolderDial {
    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        let path = self.folder.join(self.name);
        if path.as_os_str().len() <= LONGEST {
            return Ok(Box::new(UnixStream::connect(path).await?));
        }
        // By way of the open folder the address is short.
        let folder = openat(CWD, &self.folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let short = format!("/proc/self/fd/{}/{}", folder.as_raw_fd(), self.name);
        Ok(Box::new(UnixStream::connect(short).await?))
    }
}
