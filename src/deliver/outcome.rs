//! How a roll-out ended, when it was not stopped from outside.

use super::halt::Reason;

/// How it ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The new version serves.
    Deployed,
    /// The old version serves all of the traffic again.
    Back(Reason),
    /// Traffic rests at the last weight that was proven; a person must decide.
    Rests {
        /// Why.
        reason: Reason,
        /// The canary's share in percent.
        weight: u32,
    },
    /// What serves is not known to be healthy; a person must look.
    Stranded(Reason),
}
