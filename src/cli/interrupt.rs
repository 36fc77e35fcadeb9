//! Signals to this process, as wishes that the run should end: the first asks, the second ends it at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;

/// Passes on Ctrl-C, SIGTERM and SIGHUP until it is aborted.
pub fn watch_signals(interrupts: Sender<String>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let streams = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()));
        let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = streams else { return };
        loop {
            let by = tokio::select! {
                Some(()) = interrupt.recv() => "ctrl-c",
                Some(()) = terminate.recv() => "SIGTERM",
                Some(()) = hangup.recv() => "SIGHUP",
                else => return,
            };
            if interrupts.send(by.to_owned()).await.is_err() {
                return;
            }
        }
    })
}
