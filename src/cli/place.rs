//! Which cluster and namespace a command about an application means.

use crate::client::kube::Cluster;
use crate::exit::Exit;
use crate::stage;

/// Where an application is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PlaceArgs {
    /// The environment of your configuration (slipway.toml): its cluster and its namespace
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    /// The namespace; without it the environment's
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// A place, found.
pub struct Place {
    /// The cluster.
    pub cluster: Cluster,
    /// The namespace.
    pub namespace: String,
    /// The environment's name.
    pub environment: Option<String>,
}

/// Finds it; what is wrong is printed, and the exit code for it given.
pub async fn find(args: &PlaceArgs) -> Result<Place, Exit> {
    let said = |message: String, exit: Exit| {
        eprintln!("error: {message}");
        exit
    };
    let environments = super::config::environments().map_err(|error| said(error.to_string(), Exit::InvalidPipeline))?;
    let environment = match &args.environment {
        None => None,
        Some(name) => match environments.iter().find(|environment| environment.name == *name) {
            Some(environment) => Some(environment),
            None if args.namespace.is_some() => None,
            None => {
                let known: Vec<&str> = environments.iter().map(|environment| environment.name.as_str()).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let message = format!(
                    "your configuration has no environment \"{name}\" (it has: {known}); write it there, or give `--namespace`, and the cluster by KUBECONFIG"
                );
                return Err(said(message, Exit::NotFound));
            }
        },
    };
    let namespace = args.namespace.clone().or_else(|| environment.and_then(|one| one.namespace.clone()));
    let Some(namespace) = namespace else {
        return Err(said("give `--namespace`, or an `--environment` that has one".to_owned(), Exit::Usage));
    };
    let cluster = environment.map_or_else(stage::Cluster::default, |environment| environment.cluster.clone());
    let cluster = Cluster::connect(&cluster).await.map_err(|error| said(error.to_string(), Exit::NoRunner))?;
    Ok(Place { cluster, namespace, environment: args.environment.clone() })
}
