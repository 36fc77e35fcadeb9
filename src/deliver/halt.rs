//! Why a roll-out stops short of its end.

use crate::client::kube::KubeError;
use crate::event::GateReading;
use crate::task::contract::TaskError;

/// Why a roll-out stops.
#[derive(Debug)]
pub enum Halt {
    /// The new version is no good, or is not wanted: traffic goes back.
    Back(Reason),
    /// There is no way that is known to be healthy: everything stays as it is, and a person must look.
    Stranded(Reason),
    /// The task itself cannot go on; passed on as it is.
    Task(TaskError),
}

/// Why traffic goes back.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Reason {
    /// For people.
    pub text: String,
    /// The gates that failed, where gates decided.
    #[serde(default)]
    pub readings: Vec<GateReading>,
    /// Whether the run was cancelled.
    #[serde(default)]
    pub cancelled: bool,
}

impl Reason {
    /// In words only.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// The run was cancelled.
    pub fn cancelled() -> Self {
        Self { text: "the run was cancelled".to_owned(), cancelled: true, ..Self::default() }
    }

    /// Gates failed.
    pub fn gates(readings: Vec<GateReading>) -> Self {
        let text: Vec<String> = readings
            .iter()
            .map(|reading| format!("{} {} is over its limit of {}", reading.gate, reading.measured, reading.limit))
            .collect();
        Self { text: text.join("; "), readings, cancelled: false }
    }
}

impl From<KubeError> for Halt {
    fn from(error: KubeError) -> Self {
        Halt::Task(error.into())
    }
}

impl From<TaskError> for Halt {
    fn from(error: TaskError) -> Self {
        Halt::Task(error)
    }
}
