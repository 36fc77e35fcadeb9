//! How a stream to a shim is had.

use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

/// Bytes in both directions: a unix socket, or the two ends of a `shim connect` that runs in a container.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Makes streams to one shim; asked again when a stream breaks.
#[async_trait]
pub trait Dial: Send + Sync {
    /// A new stream. `NotFound` and `ConnectionRefused` mean that the shim may still be starting.
    async fn dial(&self) -> io::Result<Box<dyn Stream>>;
}

/// Dials a unix socket.
#[derive(Debug, Clone)]
pub struct UnixDial {
    /// The socket's path; at most 107 bytes long.
    pub socket: PathBuf,
}

#[async_trait]
impl Dial for UnixDial {
    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(UnixStream::connect(&self.socket).await?))
    }
}
