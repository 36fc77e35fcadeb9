//! The port of forges: what a run tells the place that hosts its code, and what it asks there.
//!
//! One value of [`Forge`] is bound to one repository and holds its credentials. Calls are single attempts: whoever needs them to
//! arrive puts them into the outbox, and [`ForgeError::is_final`] and [`ForgeError::retry_after`] say how to go on.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// One repository at its forge.
#[async_trait]
pub trait Forge: Send + Sync {
    /// Sets a commit's status. Setting the same again changes nothing.
    async fn status(&self, status: &CommitStatus) -> Result<(), ForgeError>;

    /// Makes an issue, or gives the open or closed one that holds the same marker: asking twice makes one.
    async fn create_issue(&self, issue: &NewIssue) -> Result<IssueRef, ForgeError>;

    /// What `user` may do in the repository.
    async fn permission(&self, user: &str) -> Result<Permission, ForgeError>;
}

/// Gives the forge of a repository, where there is one.
pub trait Forges: Send + Sync {
    /// The forge of `repository` (`owner/name`); none where no credentials for it are at hand.
    fn forge(&self, repository: &str) -> Option<Arc<dyn Forge>>;
}

/// A status of a commit, as it stands beside the commit and on a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitStatus {
    /// The full id of the commit.
    pub sha: String,
    /// What it is about, unique in the commit: `slipway/<pipeline>`.
    pub context: String,
    /// How it stands.
    pub state: StatusState,
    /// In words, for people; adapters cut it to what their forge takes.
    pub description: String,
    /// Where more is to be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// How a commit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatusState {
    /// The run goes on.
    Pending,
    /// It did what it should.
    Success,
    /// It failed.
    Failure,
    /// It could not be run, or was cancelled.
    Error,
}

/// An issue to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewIssue {
    /// Its title.
    pub title: String,
    /// Its text, Markdown. The marker is not part of it.
    pub body: String,
    /// Labels; those that the repository lacks are made or left out.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Letters, digits, `-` and `.`; unique for the notice. Adapters put it into the body as a comment that is not shown, and look
    /// for it before they make a second one.
    pub marker: String,
}

/// An issue that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueRef {
    /// Its number in the repository.
    pub number: u64,
    /// Its page.
    pub url: String,
}

/// What a user may do in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// Nothing, or nothing is known.
    None,
    /// See it.
    Read,
    /// Push to it.
    Write,
    /// Change its settings.
    Admin,
}

/// Why a forge did not do what it was asked. The texts hold no credentials.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ForgeError {
    /// It will say the same again: no access, no such repository, not valid. What was tried, on what, why.
    #[error("{0}")]
    Refused(String),
    /// It asks to come again later.
    #[error("{message}")]
    Limited {
        /// What was tried, on what, why.
        message: String,
        /// After which time.
        after: Duration,
    },
    /// It could not be reached, or had trouble of its own.
    #[error("{0}")]
    Failed(String),
}

impl ForgeError {
    /// Whether trying again is in vain.
    pub fn is_final(&self) -> bool {
        matches!(self, ForgeError::Refused(_))
    }

    /// The time after which the forge asks to come again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            ForgeError::Limited { after, .. } => Some(*after),
            _ => None,
        }
    }
}
