//! Names of things: runs, stages, jobs, attempts, steps. Each is a type of its own, cheap to clone.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

text_id! {
    /// One execution of a pipeline: twelve lower-case letters and digits that sort by time. Any unique prefix names it.
    RunId
}
text_id! {
    /// A stage (GitHub: job) as the file names it.
    StageId
}
text_id! {
    /// One leg of a stage: `test`, or `test.2` for the second leg of a matrix (legs count from 1; `.` is in no stage's id).
    JobId
}

impl RunId {
    const ALPHABET: &'static [u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

    /// A new id: eight characters of milliseconds (good for 34 years from 2020), four of chance.
    pub fn new(now: crate::clock::Timestamp) -> Self {
        const EPOCH_2020_MS: i64 = 1_577_836_800_000;
        let time = u64::try_from(now.0 - EPOCH_2020_MS).unwrap_or(0);
        let chance =
            u64::from_le_bytes(uuid::Uuid::new_v4().as_bytes()[..8].try_into().expect("eight of sixteen bytes"));
        let bits = (time << 20) | (chance & 0xf_ffff);
        let text: String =
            (0..12).rev().map(|i| char::from(Self::ALPHABET[((bits >> (5 * i)) & 31) as usize])).collect();
        Self::from(text)
    }
}

impl JobId {
    /// The job of `stage`; `leg` counts from 1 and is `None` for a stage without a matrix.
    pub fn new(stage: &StageId, leg: Option<usize>) -> Self {
        match leg {
            None => Self::from(stage.as_str()),
            Some(n) => Self::from(format!("{stage}.{n}")),
        }
    }

    /// The stage it is a leg of.
    pub fn stage(&self) -> StageId {
        StageId::from(self.as_str().split('.').next().unwrap_or_default())
    }
}

/// One attempt of a job: one sandbox. Attempts count from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The job.
    pub job: JobId,
    /// From 1.
    pub attempt: u32,
}

/// One step of one attempt. Within an attempt a step starts at most once. Steps count from 0 in file order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepKey {
    /// The job.
    pub job: JobId,
    /// From 1.
    pub attempt: u32,
    /// From 0.
    pub step: u32,
}

impl AttemptId {
    /// Attempt `attempt` of `job`.
    pub fn new(job: JobId, attempt: u32) -> Self {
        Self { job, attempt }
    }

    /// Step `step` of this attempt.
    pub fn step(&self, step: u32) -> StepKey {
        StepKey { job: self.job.clone(), attempt: self.attempt, step }
    }

    /// The deterministic name of the attempt's effects: `slipway-<run>-<job>-<attempt>`.
    pub fn effect_name(&self, run: &RunId) -> String {
        format!("slipway-{run}-{}-{}", self.job, self.attempt)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.job, self.attempt)
    }
}

impl StepKey {
    /// The attempt it belongs to.
    pub fn attempt_id(&self) -> AttemptId {
        AttemptId { job: self.job.clone(), attempt: self.attempt }
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.job, self.attempt, self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn run_ids_sort_by_time() {
        let ids: Vec<RunId> =
            [1_700_000_000_000, 1_700_000_000_001, 1_900_000_000_000].map(|t| RunId::new(Timestamp(t))).into();
        assert!(ids.is_sorted(), "{ids:?}");
        assert!(ids.iter().all(|id| id.as_str().len() == 12));
    }

    #[test]
    fn a_leg_knows_its_stage() {
        let stage = StageId::from("test");
        assert_eq!(JobId::new(&stage, Some(2)).as_str(), "test.2");
        assert_eq!(JobId::new(&stage, Some(2)).stage(), stage);
        assert_eq!(JobId::new(&stage, None).as_str(), "test");
    }
}
