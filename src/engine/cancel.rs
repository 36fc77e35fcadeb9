//! Cancellation: how far it has gone, and the ladder of signals.

use std::time::Duration;

use tokio::sync::watch;

/// How urgently a job should end. The greater replaces the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum CancelLevel {
    /// It goes on.
    #[default]
    None,
    /// Asked to end: steps get the ladder, `always()` steps run.
    Asked,
    /// End at once: kill, run nothing more, clean up.
    Now,
}

/// A job's view of its cancellation.
#[derive(Debug, Clone)]
pub struct CancelView(watch::Receiver<CancelLevel>);

impl CancelView {
    /// Over `receiver`.
    pub fn new(receiver: watch::Receiver<CancelLevel>) -> Self {
        Self(receiver)
    }

    /// One that never changes.
    pub fn never() -> Self {
        Self(watch::channel(CancelLevel::None).1)
    }

    /// How far it has gone.
    pub fn level(&self) -> CancelLevel {
        *self.0.borrow()
    }

    /// Resolves when the level is at least `level`; never, when nobody can raise it any more.
    pub async fn reached(&mut self, level: CancelLevel) {
        if self.0.wait_for(|now| *now >= level).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The rungs of the ladder: SIGINT at once, SIGTERM, SIGKILL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// Nothing was sent.
    Ground,
    /// SIGINT was sent.
    Interrupted,
    /// SIGTERM was sent.
    Terminated,
    /// SIGKILL was sent.
    Killed,
}

impl Rung {
    /// What comes next, after how long from now.
    pub fn next(self, interrupt_grace: Duration, terminate_grace: Duration) -> Option<(Rung, Duration)> {
        match self {
            Rung::Ground => Some((Rung::Interrupted, Duration::ZERO)),
            Rung::Interrupted => Some((Rung::Terminated, interrupt_grace)),
            Rung::Terminated => Some((Rung::Killed, terminate_grace)),
            Rung::Killed => None,
        }
    }
}
