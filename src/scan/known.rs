//! What a scanner's report came to.

use super::Finding;

/// A report that was read whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scanned {
    /// The scanner, as its report calls it.
    pub tool: String,
    /// What it found.
    pub findings: Vec<Finding>,
    /// How many findings the scanner itself was told to leave out.
    pub suppressed: u64,
}

/// Why a report cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// There is none.
    #[error("it wrote no report \"{0}\"")]
    Missing(String),
    /// It is larger than is read.
    #[error("its report has {0} MiB, more than the {1} that are read")]
    TooLarge(u64, u64),
    /// It leads out of the workspace.
    #[error("its report \"{0}\" lies outside of the workspace, which is not read")]
    Outside(String),
    /// It cannot be read.
    #[error("its report cannot be read: {0}")]
    Unreadable(String),
    /// It is cut off, or no JSON.
    #[error("its report is no whole JSON ({0})")]
    NotJson(String),
    /// It is JSON of another kind.
    #[error("its report is no {0} report: {1}")]
    OtherKind(&'static str, String),
    /// The scanner says that it did not get to the end.
    #[error("its report says that it failed: {0}")]
    SaysFailed(String),
}
