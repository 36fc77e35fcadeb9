//! The exit codes of the binary. They are documented in docs/exit-codes.md and never change their meaning.

/// An exit code with its meaning. Where several apply the gravest wins, see [`Exit::gravity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Everything that ran succeeded.
    Success = 0,
    /// A stage of the pipeline failed.
    PipelineFailed = 1,
    /// The command line is wrong (clap's own code).
    Usage = 2,
    /// The pipeline file is invalid.
    InvalidPipeline = 3,
    /// No runner can run what the plan asks for.
    NoRunner = 4,
    /// The run was cancelled.
    Cancelled = 5,
    /// What was named does not exist (a run, a stage, a file).
    NotFound = 6,
    /// The outcome of something cannot be known.
    Lost = 7,
    /// The run waits for a person.
    Waiting = 10,
    /// A release was taken back, and what served before serves again.
    RolledBack = 20,
    /// A release was taken back, or not, and what serves is not healthy: a person is paged.
    NotHealthy = 21,
    /// Another deploy of the application is under way.
    Locked = 30,
    /// Another hand has changed what a deploy set.
    Drift = 40,
    /// A deploy was refused before its first write.
    Preflight = 50,
    /// Slipway itself failed.
    Internal = 70,
}

impl Exit {
    /// The number handed to the operating system.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Order of gravity: the greater wins where several runs end differently.
    pub fn gravity(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Waiting => 1,
            Exit::Cancelled => 2,
            Exit::PipelineFailed => 3,
            Exit::Preflight => 4,
            Exit::Locked => 5,
            Exit::RolledBack => 6,
            Exit::Lost => 7,
            Exit::Drift => 8,
            Exit::NotHealthy => 9,
            Exit::NotFound => 10,
            Exit::NoRunner => 11,
            Exit::InvalidPipeline => 12,
            Exit::Usage => 13,
            Exit::Internal => 14,
        }
    }

    /// The graver of two.
    pub fn worst(self, other: Exit) -> Exit {
        if other.gravity() > self.gravity() { other } else { self }
    }
}
