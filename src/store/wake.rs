//! The owner's side of requests: a datagram socket in the run's folder, and a look four times a second in case it fails.

use std::path::Path;
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::sync::mpsc::{Receiver, channel};

/// The socket's name in the run's folder.
pub const WAKE: &str = "wake";
/// How often the owner looks by itself.
const POLL: Duration = Duration::from_millis(250);

/// Gives a wake-up whenever requests may be there, until the receiver is dropped.
pub fn watch_requests(run_folder: &Path) -> Receiver<()> {
    let (sender, receiver) = channel(1);
    let path = run_folder.join(WAKE);
    // One that a dead owner left; the run's lock is ours.
    let _ = std::fs::remove_file(&path);
    // The path of a socket may have some hundred bytes; then the owner looks by itself.
    let socket = UnixDatagram::bind(&path).ok();
    tokio::spawn(async move {
        let mut buffer = [0; 16];
        loop {
            match &socket {
                Some(socket) => {
                    tokio::select! {
                        _ = socket.recv(&mut buffer) => {}
                        () = tokio::time::sleep(POLL) => {}
                        () = sender.closed() => break,
                    }
                }
                None => {
                    tokio::select! {
                        () = tokio::time::sleep(POLL) => {}
                        () = sender.closed() => break,
                    }
                }
            }
            if sender.send(()).await.is_err() {
                break;
            }
        }
        let _ = std::fs::remove_file(path);
    });
    receiver
}
