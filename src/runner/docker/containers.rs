//! Containers and networks by name: made or adopted, started, removed. Every call may be repeated.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse, NetworkCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, LogsOptions, RemoveContainerOptions, StartContainerOptions,
};
use futures_util::StreamExt;

use crate::client::docker::{failed, reason, status};
use crate::runner::contract::RunnerError;

/// Bytes of a service's log that an error shows.
const TAIL_BYTES: usize = 8 * 1024;
/// Removing what is on its way out is tried so often.
const REMOVE_TRIES: u32 = 100;
const REMOVE_PAUSE: Duration = Duration::from_millis(50);

/// Makes a container; one of this name that exists already is ours from before a crash.
pub async fn create(docker: &Docker, name: &str, body: ContainerCreateBody) -> Result<(), RunnerError> {
    let options = CreateContainerOptions { name: Some(name.to_owned()), ..CreateContainerOptions::default() };
    match docker.create_container(Some(options), body).await {
        Ok(_) => Ok(()),
        Err(error) if status(&error) == Some(409) && reason(&error).contains("already in use") => Ok(()),
        Err(error) => Err(failed(format!("make container \"{name}\""))(error)),
    }
}

/// Starts a container; fine when it runs.
pub async fn start(docker: &Docker, name: &str) -> Result<(), RunnerError> {
    docker
        .start_container(name, None::<StartContainerOptions>)
        .await
        .map_err(failed(format!("start container \"{name}\"")))
}

/// What the engine knows of a container; `None` when there is none.
pub async fn inspect(docker: &Docker, name: &str) -> Result<Option<ContainerInspectResponse>, RunnerError> {
    match docker.inspect_container(name, None::<InspectContainerOptions>).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(failed(format!("look at container \"{name}\""))(error)),
    }
}

/// Whether a container of this name runs.
pub async fn runs(docker: &Docker, name: &str) -> Result<bool, RunnerError> {
    let found = inspect(docker, name).await?;
    Ok(found.and_then(|found| found.state).and_then(|state| state.running).unwrap_or(false))
}

/// Kills and removes a container with its anonymous volumes; fine when there is none. It is gone when this returns.
pub async fn remove(docker: &Docker, name: &str) -> Result<(), RunnerError> {
    let mut tries = 0;
    loop {
        let options = RemoveContainerOptions { force: true, v: true, link: false };
        match docker.remove_container(name, Some(options)).await {
            Ok(()) => return Ok(()),
            Err(error) if status(&error) == Some(404) => return Ok(()),
            // Somebody else is removing it.
            Err(error) if status(&error) == Some(409) && tries < REMOVE_TRIES => {
                tries += 1;
                tokio::time::sleep(REMOVE_PAUSE).await;
            }
            Err(error) => return Err(failed(format!("remove container \"{name}\""))(error)),
        }
    }
}

/// Makes a bridge network; fine when it is there.
pub async fn create_network(docker: &Docker, name: &str, labels: HashMap<String, String>) -> Result<(), RunnerError> {
    let listed = docker.inspect_network(name, None::<bollard::query_parameters::InspectNetworkOptions>).await;
    if listed.is_ok() {
        return Ok(());
    }
    let request = NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        labels: Some(labels),
        ..NetworkCreateRequest::default()
    };
    match docker.create_network(request).await {
        Ok(_) => Ok(()),
        Err(error) if status(&error) == Some(409) => Ok(()),
        Err(error) => Err(failed(format!("make network \"{name}\""))(error)),
    }
}

/// Removes a network; fine when there is none.
pub async fn remove_network(docker: &Docker, name: &str) -> Result<(), RunnerError> {
    let mut tries = 0;
    loop {
        match docker.remove_network(name).await {
            Ok(()) => return Ok(()),
            Err(error) if status(&error) == Some(404) => return Ok(()),
            // A container that has just gone may still be counted.
            Err(error) if reason(&error).contains("active endpoints") && tries < REMOVE_TRIES => {
                tries += 1;
                tokio::time::sleep(REMOVE_PAUSE).await;
            }
            Err(error) => return Err(failed(format!("remove network \"{name}\""))(error)),
        }
    }
}

/// The end of a container's log.
pub async fn tail(docker: &Docker, name: &str) -> String {
    let options = LogsOptions { stdout: true, stderr: true, tail: "20".to_owned(), ..LogsOptions::default() };
    let mut stream = docker.logs(name, Some(options));
    let mut text = String::new();
    while let Some(Ok(piece)) = stream.next().await {
        text.push_str(&String::from_utf8_lossy(&piece.into_bytes()));
        if text.len() > TAIL_BYTES {
            break;
        }
    }
    text.trim_end().to_owned()
}
