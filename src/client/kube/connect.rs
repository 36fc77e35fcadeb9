//! Which cluster is meant, and connecting to it.

use std::path::PathBuf;
use std::sync::Arc;

use kube::config::{KubeConfigOptions, Kubeconfig};

use super::{Cluster, KubeError};
use crate::diagnostic::chain;
use crate::stage;

impl Cluster {
    /// Connects to the cluster that `cluster` names: its kubeconfig by text or path, else `$KUBECONFIG`, in its context or the
    /// file's current one. Never one by accident: where nothing names a file, the user's own is not taken.
    pub async fn connect(cluster: &stage::Cluster) -> Result<Cluster, KubeError> {
        let (file, from) = kubeconfig(cluster)?;
        let context = cluster.context.clone().or_else(|| file.current_context.clone()).unwrap_or_default();
        let options = KubeConfigOptions { context: cluster.context.clone(), ..KubeConfigOptions::default() };
        let wrong = |error: &dyn std::error::Error| KubeError::Config(format!("{from}: {}", chain(error)));
        let config = kube::Config::from_custom_kubeconfig(file, &options).await.map_err(|error| wrong(&error))?;
        let target = format!("context \"{context}\" at {}", config.cluster_url.to_string().trim_end_matches('/'));
        let client = kube::Client::try_from(config).map_err(|error| wrong(&error))?;
        Ok(Cluster { client, target: target.into(), kinds: Arc::default() })
    }
}

fn kubeconfig(cluster: &stage::Cluster) -> Result<(Kubeconfig, String), KubeError> {
    if let Some(text) = &cluster.kubeconfig_data {
        let file = Kubeconfig::from_yaml(text.expose());
        let file =
            file.map_err(|error| KubeError::Config(format!("the kubeconfig's text is not valid: {}", chain(&error))))?;
        return Ok((file, "the environment's kubeconfig".to_owned()));
    }
    if let Some(path) = &cluster.kubeconfig {
        let path = match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
            (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
            _ => PathBuf::from(path),
        };
        let from = format!("kubeconfig \"{}\"", path.display());
        let file =
            Kubeconfig::read_from(&path).map_err(|error| KubeError::Config(format!("{from}: {}", chain(&error))))?;
        return Ok((file, from));
    }
    match Kubeconfig::from_env() {
        Ok(Some(file)) => Ok((file, "$KUBECONFIG".to_owned())),
        Ok(None) => Err(KubeError::Config(
            "no cluster is named: give the environment a \"cluster\", or set KUBECONFIG".to_owned(),
        )),
        Err(error) => Err(KubeError::Config(format!("$KUBECONFIG: {}", chain(&error)))),
    }
}
