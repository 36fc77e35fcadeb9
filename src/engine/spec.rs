//! From a job's settings to what a runner must know.

use crate::expr::{EvalError, Scope};
use crate::id::AttemptId;
use crate::model::{Container, EnvMap, Job, Service, Text};
use crate::plan::contexts::env_entries;
use crate::plan::ir::RunnerKind;
use crate::runner::contract::{ContainerSpec, SandboxSpec, ServiceSpec};
use crate::secret::Secret;

use super::context::RunContext;

/// The sandbox of `attempt`, all expressions evaluated in `scope`. `image` is what placement chose.
pub fn sandbox(
    run: &RunContext,
    attempt: &AttemptId,
    job: &Job,
    kind: RunnerKind,
    image: Option<&str>,
    scope: &dyn Scope,
) -> Result<SandboxSpec, EvalError> {
    let container = match image {
        Some(image) if kind != RunnerKind::Host => {
            let mut spec = match &job.container {
                Some(own) => container(own, scope)?,
                None => ContainerSpec::default(),
            };
            spec.image = image.to_owned();
            Some(spec)
        }
        _ => None,
    };
    Ok(SandboxSpec {
        run: run.run.clone(),
        attempt: attempt.clone(),
        name: attempt.effect_name(&run.run),
        state_label: run.places.state_label.clone(),
        workspace: run.places.workspace(attempt, run.plan.inputs.placement.in_place),
        folder: run.places.attempt(attempt),
        run_folder: run.places.run_folder.clone(),
        tool_cache: run.places.tool_cache.clone(),
        container,
        services: services(&job.services, scope)?,
        own_network: job.own_network,
        allow_privileged: run.plan.inputs.placement.allow_privileged,
        resume_window: run.settings.resume_window,
    })
}

fn services(list: &[Service], scope: &dyn Scope) -> Result<Vec<ServiceSpec>, EvalError> {
    let mut services = Vec::with_capacity(list.len());
    for service in list {
        let spec = container(&service.container, scope)?;
        // An empty image takes the service out, as on GitHub.
        if !spec.image.trim().is_empty() {
            services.push(ServiceSpec { id: service.id.value.clone(), container: spec });
        }
    }
    Ok(services)
}

fn container(container: &Container, scope: &dyn Scope) -> Result<ContainerSpec, EvalError> {
    let credentials = match &container.credentials {
        Some(credentials) => Some((
            text(&credentials.username, scope)?,
            Secret::new(credentials.password.template.evaluate_text(scope)?),
        )),
        None => None,
    };
    Ok(ContainerSpec {
        image: text(&container.image, scope)?,
        credentials,
        env: env(&container.env, scope)?,
        ports: texts(&container.ports, scope)?,
        volumes: texts(&container.volumes, scope)?,
        options: container.options.as_ref().map(|o| text(o, scope)).transpose()?.unwrap_or_default(),
        command: texts(&container.command, scope)?,
    })
}

fn env(map: &EnvMap, scope: &dyn Scope) -> Result<Vec<(String, String)>, EvalError> {
    env_entries(map, scope)
}

/// A text's value.
pub fn text(text: &Text, scope: &dyn Scope) -> Result<String, EvalError> {
    text.template.evaluate_text(scope)
}

/// The values of several texts.
pub fn texts(list: &[Text], scope: &dyn Scope) -> Result<Vec<String>, EvalError> {
    list.iter().map(|item| text(item, scope)).collect()
}
