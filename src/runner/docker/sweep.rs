//! Orphans: what carries this installation's label and belongs to a run that is over or unknown.

use std::collections::HashMap;

use bollard::Docker;
use bollard::query_parameters::{ListContainersOptions, ListNetworksOptions};

use crate::client::docker::failed;
use crate::id::RunId;
use crate::runner::contract::RunnerError;
use crate::runner::docker::body::{RUN_LABEL, STATE_LABEL};
use crate::runner::docker::containers::{remove, remove_network};

/// Removes them; gives how many there were.
pub async fn sweep(docker: &Docker, state_label: &str, is_live: impl Fn(&RunId) -> bool) -> Result<usize, RunnerError> {
    let filters = HashMap::from([("label".to_owned(), vec![format!("{STATE_LABEL}={state_label}")])]);
    let is_orphan = |labels: Option<&HashMap<String, String>>| {
        let run = labels.and_then(|labels| labels.get(RUN_LABEL));
        run.is_none_or(|run| !is_live(&RunId::from(run.as_str())))
    };
    let mut removed = 0;
    let options =
        ListContainersOptions { all: true, filters: Some(filters.clone()), ..ListContainersOptions::default() };
    let containers = docker.list_containers(Some(options)).await.map_err(failed("list containers"))?;
    for container in containers.iter().filter(|container| is_orphan(container.labels.as_ref())) {
        remove(docker, container.id.as_deref().unwrap_or_default()).await?;
        removed += 1;
    }
    let options = ListNetworksOptions { filters: Some(filters) };
    let networks = docker.list_networks(Some(options)).await.map_err(failed("list networks"))?;
    for network in networks.iter().filter(|network| is_orphan(network.labels.as_ref())) {
        remove_network(docker, network.id.as_deref().unwrap_or_default()).await?;
        removed += 1;
    }
    Ok(removed)
}
