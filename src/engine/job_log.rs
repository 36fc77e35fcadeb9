//! The log of a job's preparation and clean-up (pulling, services, caches); also tells whoever watches.

use std::sync::{Arc, Mutex, PoisonError};

use crate::id::AttemptId;
use crate::runner::contract::Progress;
use crate::secret::Masker;
use crate::store::contract::LogWriter;

use super::context::RunContext;
use super::message::{Message, Reporter};

/// A job's own log.
pub struct JobLog {
    attempt: AttemptId,
    masker: Masker,
    reporter: Reporter,
    /// None when it cannot be opened: its lines are shown all the same.
    log: Mutex<Option<Box<dyn LogWriter>>>,
}

impl JobLog {
    /// The log of `attempt`.
    pub fn open(run: &RunContext, attempt: &AttemptId) -> Arc<Self> {
        Arc::new(Self {
            attempt: attempt.clone(),
            masker: run.masker.clone(),
            reporter: run.reporter.clone(),
            log: Mutex::new(run.ports.logs.open_job(&run.run, attempt).ok()),
        })
    }
}

impl Progress for JobLog {
    fn line(&self, text: &str) {
        let text = self.masker.mask(text);
        if let Some(log) = self.log.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            // The line is shown below; a log that cannot be written changes nothing of the job.
            let _ = log.append(format!("{text}\n").as_bytes()).and_then(|()| log.flush());
        }
        self.reporter.show(Message::JobLine { attempt: self.attempt.clone(), text });
    }

    fn state(&self, text: &str) {
        let text = self.masker.mask(text);
        self.reporter.show(Message::JobState { attempt: self.attempt.clone(), text });
    }
}
