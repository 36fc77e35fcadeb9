//! What steps leave for later steps: outputs, environment, paths. Sealed in the journal, since any of it may be secret.

use serde::{Deserialize, Serialize};

use crate::event::{Outcome, Sealed};
use crate::expr::{Object, Value};
use crate::store::contract::{Sealer, StoreError};

/// What one step set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEffects {
    /// Outputs in the order in which they were set; later ones win.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<(String, String)>,
    /// Variables for later steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(String, String)>,
    /// Entries for the front of PATH, in the order in which they were added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
}

impl StepEffects {
    /// Whether nothing was set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Sealed; nothing set needs no seal.
    pub fn seal(&self, sealer: &dyn Sealer) -> Option<Sealed> {
        if self.is_empty() {
            return None;
        }
        Some(sealer.seal(&serde_json::to_vec(self).expect("texts serialise")))
    }

    /// Opened again.
    pub fn open(sealed: Option<&Sealed>, sealer: &dyn Sealer) -> Result<Self, StoreError> {
        let Some(sealed) = sealed else { return Ok(Self::default()) };
        serde_json::from_slice(&sealer.open(sealed)?)
            .map_err(|e| StoreError::Unreadable(format!("what a step set cannot be read back: {e}")))
    }
}

/// What the steps so far have come to.
#[derive(Debug, Clone, Default)]
pub struct JobProgress {
    /// The `steps` context.
    pub(super) steps: Object,
    /// Outputs of all steps so far; later ones win. In a file with `stages:` they are the stage's.
    pub outputs: Vec<(String, String)>,
    /// `GITHUB_ENV` so far; later ones win.
    pub env: Vec<(String, String)>,
    /// PATH entries, the last added first.
    pub path: Vec<String>,
    /// A step's conclusion was a failure.
    pub failed: bool,
    /// What became of a step cannot be known.
    pub lost: bool,
    /// A step ran out of time, or the job did.
    pub timed_out: bool,
    /// The job was cancelled.
    pub cancelled: bool,
    /// The approvers said that what comes after is to be skipped.
    pub skipped: bool,
}

impl JobProgress {
    /// Takes a finished step in. `id` is the step's own or none.
    pub fn finished(&mut self, id: Option<&str>, outcome: Outcome, conclusion: Outcome, effects: &StepEffects) {
        match conclusion {
            Outcome::Failure => self.failed = true,
            Outcome::Lost => self.lost = true,
            Outcome::Success | Outcome::Cancelled | Outcome::Skipped => {}
        }
        for (name, value) in &effects.env {
            self.env.retain(|(known, _)| known != name);
            self.env.push((name.clone(), value.clone()));
        }
        for (name, value) in &effects.outputs {
            self.outputs.retain(|(known, _)| known != name);
            self.outputs.push((name.clone(), value.clone()));
        }
        for entry in &effects.path {
            self.path.retain(|known| known != entry);
            self.path.insert(0, entry.clone());
        }
        if let Some(id) = id {
            let outputs: Object = effects.outputs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let mut step = Object::new();
            step.insert("outputs", outputs);
            step.insert("outcome", outcome.github());
            step.insert("conclusion", conclusion.github());
            self.steps.insert(id, step);
        }
    }

    /// The `steps` context.
    pub fn steps(&self) -> Value {
        Value::object(self.steps.clone())
    }

    /// The job's status as `if` sees it: `success`, `failure` or `cancelled`.
    pub fn status(&self) -> &'static str {
        if self.cancelled {
            "cancelled"
        } else if self.failed || self.lost || self.timed_out {
            "failure"
        } else {
            "success"
        }
    }

    /// What the job has come to.
    pub fn outcome(&self) -> Outcome {
        if self.lost {
            Outcome::Lost
        } else if self.failed || self.timed_out {
            Outcome::Failure
        } else if self.cancelled {
            Outcome::Cancelled
        } else if self.skipped {
            Outcome::Skipped
        } else {
            Outcome::Success
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_paths_come_first_and_later_variables_win() {
        let mut progress = JobProgress::default();
        let effects = StepEffects {
            outputs: vec![("v".into(), "1".into()), ("V".into(), "2".into())],
            env: vec![("A".into(), "1".into()), ("A".into(), "2".into())],
            path: vec!["/a".into(), "/b".into(), "/a".into()],
        };
        progress.finished(Some("s"), Outcome::Failure, Outcome::Success, &effects);
        assert_eq!(progress.path, ["/a", "/b"]);
        assert_eq!(progress.env, [("A".to_owned(), "2".to_owned())]);
        let step = progress.steps().get("s");
        assert_eq!(step.get("outputs").get("v").to_text(), "2");
        assert_eq!(step.get("outcome").to_text(), "failure");
        assert_eq!(step.get("conclusion").to_text(), "success");
        assert_eq!(progress.status(), "success");
    }

    #[test]
    fn lost_weighs_more_than_failed_and_failed_more_than_cancelled() {
        let mut progress = JobProgress { cancelled: true, ..JobProgress::default() };
        assert_eq!(progress.outcome(), Outcome::Cancelled);
        progress.finished(None, Outcome::Failure, Outcome::Failure, &StepEffects::default());
        assert_eq!(progress.outcome(), Outcome::Failure);
        assert_eq!(progress.status(), "cancelled");
        progress.lost = true;
        assert_eq!(progress.outcome(), Outcome::Lost);
    }
}
