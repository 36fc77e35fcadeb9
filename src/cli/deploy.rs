//! `slipway deploy`: how applications stand on a cluster, their history, and orders to a deploy under way.

use crate::clock::{Clock, SystemClock};
use crate::deliver::release::{self, Release, Status};
use crate::event::Order;
use crate::exit::Exit;
use crate::report::width;
use crate::task::contract::TaskError;

use super::rollback::{Place, failed};
use super::run::on_runtime;
use super::state::ago;

/// Looks at releases, and gives orders to a deploy under way.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: DeployCommand,
}

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
pub enum DeployCommand {
    /// How applications stand: the release that serves, and what goes on
    Status(StatusArgs),
    /// Releases of an application, newest first
    History(HistoryArgs),
    /// Goes on: past a pause, a drift, or a question
    Promote(OrderArgs),
    /// Takes the release back that is under way
    Abort(OrderArgs),
}

/// `deploy status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// The application; without it all of the namespace
    pub app: Option<String>,
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
}

/// `deploy history`.
#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// The application
    pub app: String,
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
}

/// `deploy promote`, `deploy abort`.
#[derive(Debug, clap::Args)]
pub struct OrderArgs {
    /// The run
    pub run: String,
    /// The stage; without it the deploy that is under way
    pub stage: Option<String>,
    /// Past all steps that are left (promote only)
    #[arg(long)]
    pub full: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let order = |args: &OrderArgs, order| super::approve::order(&args.run, args.stage.as_deref(), order);
    match &args.command {
        DeployCommand::Promote(args) if args.full => order(args, Order::PromoteFull),
        DeployCommand::Promote(args) => order(args, Order::Promote),
        DeployCommand::Abort(args) => order(args, Order::Abort),
        DeployCommand::Status(args) => shown(status(args)),
        DeployCommand::History(args) => shown(history(args)),
    }
}

fn shown(work: impl Future<Output = Result<String, TaskError>>) -> Exit {
    on_runtime(async {
        match work.await {
            Ok(text) => {
                print!("{text}");
                Exit::Success
            }
            Err(error) => failed(&error),
        }
    })
}

async fn status(args: &StatusArgs) -> Result<String, TaskError> {
    let (cluster, namespace) = args.place.find().await?;
    let because = |e: crate::client::kube::KubeError| TaskError::failed(crate::diagnostic::chain(&e));
    let apps = match &args.app {
        Some(app) => vec![app.clone()],
        None => release::apps(&cluster, &namespace).await.map_err(because)?,
    };
    let mut rows = Vec::new();
    for app in &apps {
        let releases = release::list(&cluster, &namespace, app).await.map_err(because)?;
        let lease =
            cluster.find(&crate::client::kube::LEASE, &namespace, &format!("slipway-{app}")).await.map_err(because)?;
        let holder = lease.and_then(|lease| lease["spec"]["holderIdentity"].as_str().map(str::to_owned));
        rows.push((app.clone(), release::serving(&releases).cloned(), holder));
    }
    if args.json {
        let list: Vec<serde_json::Value> = rows
            .iter()
            .map(|(app, serving, holder)| serde_json::json!({"app": app, "serving": serving.as_ref().map(json), "deploying": holder}))
            .collect();
        return Ok(format!("{:#}\n", serde_json::json!({"version": 1, "namespace": namespace, "apps": list})));
    }
    if rows.is_empty() {
        return Ok(format!("no release is on record in namespace \"{namespace}\"\n"));
    }
    let mut table = vec![["APP", "RELEASE", "STRATEGY", "IMAGES", "SINCE", "DEPLOYING NOW"].map(str::to_owned)];
    for (app, serving, holder) in rows {
        let holder = holder.unwrap_or_else(|| "-".to_owned());
        table.push(match serving {
            Some(one) => [app, one.number.to_string(), one.strategy.clone(), images(&one), since(&one), holder],
            None => [app, "-".to_owned(), "-".to_owned(), "-".to_owned(), "-".to_owned(), holder],
        });
    }
    Ok(columns(&table))
}

async fn history(args: &HistoryArgs) -> Result<String, TaskError> {
    let (cluster, namespace) = args.place.find().await?;
    let releases = release::list(&cluster, &namespace, &args.app).await;
    let releases = releases.map_err(|e| TaskError::failed(crate::diagnostic::chain(&e)))?;
    if args.json {
        let list: Vec<serde_json::Value> = releases.iter().rev().map(json).collect();
        return Ok(format!("{:#}\n", serde_json::json!({"version": 1, "app": args.app, "releases": list})));
    }
    if releases.is_empty() {
        return Err(TaskError::failed(format!(
            "no release of \"{}\" is on record in namespace \"{namespace}\"",
            args.app
        )));
    }
    let mut table = vec![["RELEASE", "STATUS", "STRATEGY", "IMAGES", "COMMIT", "WHEN"].map(str::to_owned)];
    for one in releases.iter().rev() {
        let commit = one.commit.get(..8).unwrap_or(&one.commit).to_owned();
        table.push([
            one.number.to_string(),
            word(one.status).to_owned(),
            one.strategy.clone(),
            images(one),
            commit,
            since(one),
        ]);
    }
    Ok(columns(&table))
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Deployed => "deployed",
        Status::RolledBack => "rolled back",
        Status::Failed => "failed",
    }
}

fn json(release: &Release) -> serde_json::Value {
    serde_json::json!({"release": release.number, "status": release.status, "strategy": release.strategy,
        "images": release.images, "commit": release.commit, "run": release.run, "at": release.at.rfc3339()})
}

fn images(release: &Release) -> String {
    let short = |image: &str| match image.split_once("@sha256:") {
        Some((name, digest)) => {
            format!("{}@{}", name.rsplit('/').next().unwrap_or(name), digest.get(..12).unwrap_or(digest))
        }
        None => image.rsplit('/').next().unwrap_or(image).to_owned(),
    };
    let mut list: Vec<String> = release.images.iter().map(|(_, image)| short(image)).collect();
    list.dedup();
    list.join(" ")
}

fn since(release: &Release) -> String {
    ago(SystemClock.now().since(release.at))
}

fn columns(table: &[[String; 6]]) -> String {
    let wide = |column: usize| table.iter().map(|row| width::of(&row[column])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(wide).collect();
    let mut out = String::new();
    for row in table {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, wide)| format!("{cell}{}", " ".repeat(wide.saturating_sub(width::of(cell)))))
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}
