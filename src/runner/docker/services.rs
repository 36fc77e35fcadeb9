//! Services of a job: started together, waited for until they are healthy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::models::HealthStatusEnum;
use futures_util::future::{join_all, try_join_all};
use serde_json::{Value, json};

use crate::client::docker::{Engine, ensure_image};
use crate::diagnostic::chain;
use crate::runner::contract::{Progress, RunnerError, SandboxSpec, ServiceSpec};
use crate::runner::docker::body::{self, labels};
use crate::runner::docker::containers::{create, create_network, inspect, remove, remove_network, start, tail};
use crate::runner::host::ServiceHost;

/// Health is looked at so often: a service that is ready is not waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A service that is not healthy by then never will be.
const HEALTH_LIMIT: Duration = Duration::from_secs(300);

/// The name of a service's container.
pub fn name_of(spec: &SandboxSpec, id: &str) -> String {
    format!("{}-{id}", spec.name)
}

/// Starts all services of `spec` in network `spec.name` and waits until they are healthy. `publish`: the job runs on this
/// machine and reaches them by ports of the loopback address. Gives the `services` part of the `job` context.
pub async fn start_all(
    docker: &Docker,
    spec: &SandboxSpec,
    publish: bool,
    progress: &dyn Progress,
) -> Result<Value, RunnerError> {
    let one = |service: &ServiceSpec| {
        let service = service.clone();
        async move { start_one(docker, spec, &service, publish, progress).await }
    };
    try_join_all(spec.services.iter().map(one)).await?;
    facts(docker, spec).await.map(Option::unwrap_or_default)
}

async fn start_one(
    docker: &Docker,
    spec: &SandboxSpec,
    service: &ServiceSpec,
    publish: bool,
    progress: &dyn Progress,
) -> Result<(), RunnerError> {
    let container = &service.container;
    let options = body::options(container, spec)?;
    ensure_image(docker, &container.image, container.credentials.as_ref(), progress).await?;
    let name = name_of(spec, &service.id);
    create(docker, &name, body::service(spec, &service.id, container, options, &spec.name, publish)).await?;
    start(docker, &name)
        .await
        .map_err(|error| RunnerError::Service { service: service.id.clone(), reason: chain(&error) })?;
    let limit = tokio::time::Instant::now() + HEALTH_LIMIT;
    let mut said = false;
    loop {
        let state = inspect(docker, &name).await?.and_then(|found| found.state).unwrap_or_default();
        let unhealthy = |reason: String| RunnerError::Service { service: service.id.clone(), reason };
        if state.running != Some(true) {
            let reason = format!("it ended with code {}\n{}", state.exit_code.unwrap_or(-1), tail(docker, &name).await);
            return Err(unhealthy(reason));
        }
        match state.health.and_then(|health| health.status) {
            // The engine knows of no check, or of one that is turned off: running is enough.
            None | Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) => return Ok(()),
            Some(HealthStatusEnum::HEALTHY) => {
                progress.line(&format!("service \"{}\" is healthy", service.id));
                return Ok(());
            }
            Some(HealthStatusEnum::UNHEALTHY) => {
                return Err(unhealthy(format!("its check fails\n{}", tail(docker, &name).await)));
            }
            Some(HealthStatusEnum::STARTING) => {}
        }
        if tokio::time::Instant::now() >= limit {
            return Err(unhealthy(format!(
                "it was not healthy after {} s\n{}",
                HEALTH_LIMIT.as_secs(),
                tail(docker, &name).await
            )));
        }
        if !said {
            said = true;
            progress.state(&format!("waiting for service \"{}\"", service.id));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What the `job` context says of the services; `None` when one does not run.
pub async fn facts(docker: &Docker, spec: &SandboxSpec) -> Result<Option<Value>, RunnerError> {
    let mut services = BTreeMap::new();
    for service in &spec.services {
        let Some(found) = inspect(docker, &name_of(spec, &service.id)).await? else { return Ok(None) };
        if found.state.as_ref().and_then(|state| state.running) != Some(true) {
            return Ok(None);
        }
        let published = found.network_settings.and_then(|settings| settings.ports).unwrap_or_default();
        let mut ports = BTreeMap::new();
        for port in &service.container.ports {
            let inner = body::container_port(port);
            let outer = published.get(&inner).cloned().flatten().unwrap_or_default();
            let outer = outer.into_iter().find_map(|binding| binding.host_port);
            let plain = inner.trim_end_matches("/tcp").to_owned();
            ports.insert(plain.clone(), outer.unwrap_or(plain));
        }
        services.insert(service.id.clone(), json!({"id": found.id, "network": spec.name, "ports": ports}));
    }
    Ok(Some(json!(services)))
}

/// Removes the services; their network stays.
pub async fn remove_all(docker: &Docker, spec: &SandboxSpec) -> Result<(), RunnerError> {
    let remove_one = |service: &ServiceSpec| {
        let name = name_of(spec, &service.id);
        async move { remove(docker, &name).await }
    };
    // All are tried, also when one fails.
    join_all(spec.services.iter().map(remove_one)).await.into_iter().collect()
}

/// Removes the services and the network.
async fn stop_all(docker: &Docker, spec: &SandboxSpec) -> Result<(), RunnerError> {
    let removed = remove_all(docker, spec).await;
    removed.and(remove_network(docker, &spec.name).await)
}

/// Services of jobs that run on this machine.
pub struct DockerServices {
    engine: Arc<Engine>,
}

impl DockerServices {
    /// In `engine`.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

#[async_trait]
impl ServiceHost for DockerServices {
    async fn start_services(&self, spec: &SandboxSpec, progress: Arc<dyn Progress>) -> Result<Value, RunnerError> {
        let docker = self.engine.client().await?;
        create_network(docker, &spec.name, labels(spec)).await?;
        let services = start_all(docker, spec, true, &*progress).await?;
        Ok(json!({"services": services}))
    }

    async fn find_services(&self, spec: &SandboxSpec) -> Result<Option<Value>, RunnerError> {
        let docker = self.engine.client().await?;
        Ok(facts(docker, spec).await?.map(|services| json!({"services": services})))
    }

    async fn stop_services(&self, spec: &SandboxSpec) -> Result<(), RunnerError> {
        stop_all(self.engine.client().await?, spec).await
    }
}
