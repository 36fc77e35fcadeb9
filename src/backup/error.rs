//! Why a backup failed.

use crate::diagnostic::chain;

/// What was tried, on what, and why it failed; for people.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct BackupError(pub String);

impl BackupError {
    /// `what` failed because of `error` and its causes.
    pub fn because(what: impl std::fmt::Display, error: &dyn std::error::Error) -> Self {
        Self(format!("{what}: {}", chain(error)))
    }
}

/// Names what was tried.
pub(super) trait Tried<T> {
    fn tried(self, what: impl FnOnce() -> String) -> Result<T, BackupError>;
}

impl<T, E: std::error::Error> Tried<T> for Result<T, E> {
    fn tried(self, what: impl FnOnce() -> String) -> Result<T, BackupError> {
        self.map_err(|error| BackupError::because(format!("failed to {}", what()), &error))
    }
}
