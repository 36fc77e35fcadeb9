//! Who can give services to jobs on the host. The host itself has none; a container engine may lend its own.

use std::sync::Arc;

use async_trait::async_trait;

use crate::runner::contract::{Progress, RunnerError, SandboxSpec};

/// Starts the services of jobs that run on the host. All calls are idempotent, names are deterministic.
#[async_trait]
pub trait ServiceHost: Send + Sync {
    /// Starts the spec's services and waits until they are healthy; their ports are published on the loopback address.
    /// Gives `{services: {db: {id, network, ports: {"5432": "32768"}}}}`. Services that run already are adopted. Fails
    /// whole; `stop_services` is called in any case.
    async fn start_services(
        &self,
        spec: &SandboxSpec,
        progress: Arc<dyn Progress>,
    ) -> Result<serde_json::Value, RunnerError>;

    /// Finds the services that an earlier engine process started, as `start_services` gives them; `None` when one of them
    /// is not there any more.
    async fn find_services(&self, spec: &SandboxSpec) -> Result<Option<serde_json::Value>, RunnerError>;

    /// Removes the services. Succeeds when nothing is there; never hangs.
    async fn stop_services(&self, spec: &SandboxSpec) -> Result<(), RunnerError>;
}
