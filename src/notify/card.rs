//! What every notice says of the run that it tells of.

use serde::{Deserialize, Serialize};

/// A run's particulars.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The run's id.
    pub id: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// `github.run_number`.
    pub number: u64,
    /// The commit, zeros outside git.
    pub commit: String,
    /// The branch or tag, where it is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub branch: String,
    /// Who started the run.
    pub actor: String,
    /// The event that it runs for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trigger: String,
    /// The repository, `owner/name`, where it is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// The run's page, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl Card {
    /// `shop #12`.
    pub fn title(&self) -> String {
        match self.number {
            0 => self.pipeline.clone(),
            number => format!("{} #{number}", self.pipeline),
        }
    }

    /// `run 0abc…, commit 1234567 on main, started by ann`.
    pub fn footer(&self) -> String {
        let mut text = format!("run {}", self.id);
        if self.commit.bytes().any(|byte| byte != b'0') {
            text += &format!(", commit {}", self.commit.get(..12).unwrap_or(&self.commit));
        }
        if !self.branch.is_empty() {
            text += &format!(" on {}", self.branch);
        }
        if !self.actor.is_empty() {
            text += &format!(", started by {}", self.actor);
        }
        text
    }
}
