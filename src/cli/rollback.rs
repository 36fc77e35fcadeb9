//! `slipway rollback`: takes an application back. It finds out how the thing was deployed, and needs no run for it.

use std::time::Duration;

use crate::client::kube::Cluster;
use crate::deliver::rollback::Known;
use crate::event::Ending;
use crate::exit::Exit;
use crate::stage;
use crate::task::alone::Alone;
use crate::task::contract::TaskError;

use super::run::on_runtime;
use super::session::who;

/// Where an application is.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// The environment, from the user's slipway.toml
    #[arg(long, short)]
    pub environment: Option<String>,
    /// The namespace, by default the environment's
    #[arg(long, short)]
    pub namespace: Option<String>,
}

impl Place {
    /// The cluster and the namespace.
    pub async fn find(&self) -> Result<(Cluster, String), TaskError> {
        let environments = super::config::environments().map_err(|e| TaskError::failed(e.to_string()))?;
        let environment = match &self.environment {
            Some(name) => Some(environments.iter().find(|one| one.name == *name).cloned().ok_or_else(|| {
                let known: Vec<&str> = environments.iter().map(|one| one.name.as_str()).collect();
                let known = if known.is_empty() { "it defines none".to_owned() } else { format!("it defines {}", known.join(", ")) };
                TaskError::failed(format!("environment \"{name}\" is not in the user's slipway.toml; {known}. Say --namespace, with KUBECONFIG set"))
            })?),
            None => None,
        };
        let cluster = environment.as_ref().map(|one| one.cluster.clone()).unwrap_or_else(stage::Cluster::default);
        let namespace = self.namespace.clone().or_else(|| environment.and_then(|one| one.namespace));
        let namespace =
            namespace.ok_or_else(|| TaskError::failed("say where: --namespace NAME, or --environment NAME"))?;
        let cluster = Cluster::connect(&cluster).await.map_err(|e| TaskError::failed(crate::diagnostic::chain(&e)))?;
        Ok((cluster, namespace))
    }
}

/// Takes an application back to the release before, or to one of its history.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The application
    pub app: String,
    /// To this release; `slipway deploy history APP` lists them
    #[arg(long, value_name = "N")]
    pub to: Option<u64>,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// Time for what comes back to become ready, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub deadline: u64,
    /// Only says what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    on_runtime(async {
        match go(args).await {
            Ok(()) => Exit::Success,
            Err(error) => failed(&error),
        }
    })
}

async fn go(args: &Args) -> Result<(), TaskError> {
    let (cluster, namespace) = args.place.find().await?;
    let known = Known::of(&cluster, &namespace, &args.app).await?;
    let way = known.way(args.to).await?;
    println!("\"{}\" in namespace \"{namespace}\" of {}", args.app, cluster.target());
    println!("{}", way.said());
    if args.dry_run {
        return Ok(());
    }
    let here = std::env::current_dir().unwrap_or_default();
    let ctx = Alone::new("rollback", &who(), here, Box::new(|line| println!("{line}")));
    let holder = format!("rollback by {} (process {})", who(), std::process::id());
    known.go(&way, &ctx, &holder, Duration::from_secs(args.deadline)).await?;
    println!("\"{}\" is back", args.app);
    Ok(())
}

/// Says why, and gives the exit code.
pub fn failed(error: &TaskError) -> Exit {
    eprintln!("error: {error}");
    match error {
        TaskError::Failed { ending: Some(ending), .. } => match ending {
            Ending::RolledBack => Exit::RolledBack,
            Ending::Preflight => Exit::Preflight,
            Ending::Locked => Exit::Locked,
            Ending::Drift => Exit::Drift,
            Ending::Unhealthy => Exit::NotHealthy,
        },
        _ => Exit::PipelineFailed,
    }
}
