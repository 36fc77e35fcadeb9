//! Why the API server did not do what it was asked.

/// Why the API server did not do what it was asked. The texts name the object.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KubeError {
    /// There is no such object.
    #[error("there is no {what}")]
    NotFound {
        /// The object.
        what: String,
    },
    /// Another hand was quicker, or it exists already.
    #[error("failed to {what}: {reason}")]
    Conflict {
        /// What was tried.
        what: String,
        /// What the server says.
        reason: String,
    },
    /// The server refuses the object's content; a test of a patch that does not hold is one of these.
    #[error("failed to {what}: {reason}")]
    Invalid {
        /// What was tried.
        what: String,
        /// What the server says.
        reason: String,
    },
    /// The user may not.
    #[error("not allowed to {what}: {reason}")]
    Forbidden {
        /// What was tried.
        what: String,
        /// What the server says.
        reason: String,
    },
    /// The server does not answer, after several tries.
    #[error("failed to {what}: the cluster does not answer: {reason}")]
    Unreachable {
        /// What was tried.
        what: String,
        /// How that shows.
        reason: String,
    },
    /// Which cluster is meant cannot be known or read.
    #[error("{0}")]
    Config(String),
    /// Anything else.
    #[error("failed to {what}: {reason}")]
    Other {
        /// What was tried.
        what: String,
        /// What the server says.
        reason: String,
    },
}

impl KubeError {
    /// Whether there is no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, KubeError::NotFound { .. })
    }
}
