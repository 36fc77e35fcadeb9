//! What the engine is given: adapters by their contracts, places, limits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::id::AttemptId;
use crate::plan::ir::RunnerKind;
use crate::runner::contract::{Runner, RunnerError};
use crate::store::contract::{Artifacts, Caches, Groups, Logs, RESUME_WINDOW, Sealer, Store};
use crate::task::contract::Tasks;
use crate::workspace::contract::Workspaces;

/// The adapters.
#[derive(Clone)]
pub struct Ports {
    /// Runners by kind.
    pub runners: Arc<dyn Runners>,
    /// Runs and journals.
    pub store: Arc<dyn Store>,
    /// Logs.
    pub logs: Arc<dyn Logs>,
    /// Kept files.
    pub artifacts: Arc<dyn Artifacts>,
    /// Kept folders.
    pub caches: Arc<dyn Caches>,
    /// Concurrency groups.
    pub groups: Arc<dyn Groups>,
    /// Seals what later steps need.
    pub sealer: Arc<dyn Sealer>,
    /// Copies of the checkout.
    pub workspaces: Arc<dyn Workspaces>,
    /// What typed stages do.
    pub tasks: Arc<dyn Tasks>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Gives runners by kind; made when they are first asked for.
pub trait Runners: Send + Sync {
    /// The runner of this kind.
    fn get(&self, kind: RunnerKind) -> Result<Arc<dyn Runner>, RunnerError>;
}

/// Folders of the run on this machine.
#[derive(Debug, Clone)]
pub struct Places {
    /// The run's folder in the state folder.
    pub run_folder: PathBuf,
    /// Where private folders of attempts are made.
    pub attempts: PathBuf,
    /// Where workspaces are made.
    pub workspaces: PathBuf,
    /// `RUNNER_TOOL_CACHE`.
    pub tool_cache: PathBuf,
    /// The checkout that the run is of.
    pub checkout: PathBuf,
    /// This installation's label.
    pub state_label: String,
    /// Separates caches of different checkouts.
    pub cache_scope: String,
}

impl Places {
    /// The private folder of an attempt.
    pub fn attempt(&self, attempt: &AttemptId) -> PathBuf {
        self.attempts.join(format!("{}-{}", attempt.job, attempt.attempt))
    }

    /// The workspace of an attempt.
    pub fn workspace(&self, attempt: &AttemptId, in_place: bool) -> PathBuf {
        if in_place {
            return self.checkout.clone();
        }
        // Tools that print their folder's name should print something that a person knows.
        let name = self.checkout.file_name().unwrap_or("workspace".as_ref());
        self.workspaces.join(format!("{}-{}", attempt.job, attempt.attempt)).join(name)
    }
}

/// How the run goes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Jobs at once.
    pub jobs: usize,
    /// How long sandboxes wait for a new engine after a crash.
    pub resume_window: Duration,
    /// Shows `::debug::`, sets RUNNER_DEBUG.
    pub debug: bool,
    /// From SIGINT to SIGTERM on cancellation; GitHub's figure is 7.5 s.
    pub interrupt_grace: Duration,
    /// From SIGTERM to SIGKILL; GitHub's figure is 2.5 s.
    pub terminate_grace: Duration,
    /// Ends for now when all that is left waits for a person.
    pub no_wait: bool,
}

impl Settings {
    /// Jobs at once when nobody says: twice the processors, at least four, since jobs also wait.
    pub fn default_jobs() -> usize {
        std::thread::available_parallelism().map_or(4, |n| (n.get() * 2).max(4))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            jobs: Self::default_jobs(),
            resume_window: RESUME_WINDOW,
            debug: false,
            interrupt_grace: Duration::from_millis(7500),
            terminate_grace: Duration::from_millis(2500),
            no_wait: false,
        }
    }
}
