//! `slipway deploy`: what is deployed, what was, and orders to a deploy under way.

use serde_json::{Value as Json, json};

use crate::client::kube::{DEPLOYMENT, KubeError, LEASE};
use crate::deliver::release::{self, Release, Status};
use crate::deliver::render::APP;
use crate::deliver::traffic::patch::annotation;
use crate::deliver::{sides, standby};
use crate::event::Order;
use crate::exit::Exit;

use super::place::{self, Place, PlaceArgs};
use super::run::on_runtime;

/// What is deployed, and orders to a deploy under way.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Shows what serves of an application, or of all in a namespace
    Status(ShowArgs),
    /// Lists an application's releases that are on record
    History(ShowArgs),
    /// Lets a deploy under way go on: after a `pause`, or when another hand changed something
    Promote(OrderArgs),
    /// Takes a deploy under way back
    Abort(OrderArgs),
}

/// What to show.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The application; without it all of the namespace
    pub app: Option<String>,
    /// Where it is.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Prints JSON
    #[arg(long)]
    pub json: bool,
}

/// Which deploy.
#[derive(Debug, clap::Args)]
pub struct OrderArgs {
    /// The run
    pub run: String,
    /// The stage; without it the one whose deploy is under way
    pub stage: Option<String>,
    /// Past all steps that are left (`promote` only)
    #[arg(long)]
    pub full: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    match &args.command {
        Command::Status(args) => show(args, false),
        Command::History(args) => show(args, true),
        Command::Promote(args) => {
            let order = if args.full { Order::PromoteFull } else { Order::Promote };
            super::approve::order(&args.run, args.stage.as_deref(), order)
        }
        Command::Abort(args) if args.full => {
            eprintln!("error: `--full` is for `promote`; an aborted deploy goes back whole");
            Exit::Usage
        }
        Command::Abort(args) => super::approve::order(&args.run, args.stage.as_deref(), Order::Abort),
    }
}

fn show(args: &ShowArgs, history: bool) -> Exit {
    on_runtime(async {
        let place = match place::find(&args.place).await {
            Ok(place) => place,
            Err(exit) => return exit,
        };
        let shown = if history { history_of(&place, args).await } else { status_of(&place, args).await };
        match shown {
            Ok(Some(text)) => {
                println!("{text}");
                Exit::Success
            }
            Ok(None) => {
                let what = args.app.as_ref().map_or("nothing".to_owned(), |app| format!("no release of \"{app}\""));
                eprintln!(
                    "error: {what} is on record in namespace \"{}\" of {}",
                    place.namespace,
                    place.cluster.target()
                );
                Exit::NotFound
            }
            Err(error) => {
                eprintln!("error: {error}");
                Exit::PipelineFailed
            }
        }
    })
}

async fn apps(place: &Place, args: &ShowArgs) -> Result<Vec<String>, KubeError> {
    match &args.app {
        Some(app) => Ok(vec![app.clone()]),
        None => release::apps(&place.cluster, &place.namespace).await,
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Deployed => "deployed",
        Status::RolledBack => "rolled back",
        Status::Failed => "failed",
    }
}

fn images(release: &Release) -> String {
    let short = |image: &str| image.rsplit('/').next().unwrap_or(image).to_owned();
    let mut list: Vec<String> = release.images.iter().map(|(_, image)| short(image)).collect();
    list.dedup();
    list.join(", ")
}

async fn history_of(place: &Place, args: &ShowArgs) -> Result<Option<String>, KubeError> {
    let mut all = Vec::new();
    for app in apps(place, args).await? {
        all.extend(release::list(&place.cluster, &place.namespace, &app).await?.into_iter().rev());
    }
    if all.is_empty() {
        return Ok(None);
    }
    if args.json {
        return Ok(Some(Json::from(all.iter().map(summary).collect::<Vec<_>>()).to_string()));
    }
    Ok(Some(table(&all)))
}

/// A release without its objects, which hold secrets.
fn summary(release: &Release) -> Json {
    let images: serde_json::Map<String, Json> =
        release.images.iter().map(|(container, image)| (container.clone(), Json::from(image.as_str()))).collect();
    json!({"app": release.app, "release": release.number, "status": release.status, "strategy": release.strategy,
        "environment": release.environment, "namespace": release.namespace, "images": images,
        "commit": release.commit, "run": release.run, "at": release.at.rfc3339()})
}

fn table(releases: &[Release]) -> String {
    let head = ["APP", "RELEASE", "STATUS", "STRATEGY", "AT", "COMMIT", "RUN", "IMAGES"].map(str::to_owned);
    let short = |text: &str, count: usize| text.chars().take(count).collect::<String>();
    let mut rows = vec![head];
    rows.extend(releases.iter().map(|one| {
        [
            one.app.clone(),
            one.number.to_string(),
            word(one.status).to_owned(),
            one.strategy.clone(),
            one.at.rfc3339(),
            short(&one.commit, 8),
            one.run.clone(),
            images(one),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..8).map(width).collect();
    let line = |row: &[String; 8]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

async fn status_of(place: &Place, args: &ShowArgs) -> Result<Option<String>, KubeError> {
    let mut texts = Vec::new();
    let mut documents = Vec::new();
    for app in apps(place, args).await? {
        let releases = release::list(&place.cluster, &place.namespace, &app).await?;
        let deployments = place.cluster.list(&DEPLOYMENT, &place.namespace, &format!("{APP}={app}")).await?;
        if releases.is_empty() && deployments.is_empty() {
            continue;
        }
        let lease = place.cluster.find(&LEASE, &place.namespace, &format!("slipway-{app}")).await?;
        let holder = lease.and_then(|lease| lease["spec"]["holderIdentity"].as_str().map(str::to_owned));
        let serving = release::serving(&releases);
        let sides: Vec<Json> = deployments.iter().map(side).collect();
        if args.json {
            documents.push(json!({"app": app, "namespace": place.namespace, "serving": serving.map(summary),
                "last": releases.last().map(summary), "under-way": holder, "deployments": sides}));
            continue;
        }
        texts.push(told(&app, serving, releases.last(), holder.as_deref(), &sides));
    }
    match (args.json, texts.is_empty() && documents.is_empty()) {
        (_, true) => Ok(None),
        (true, false) => Ok(Some(Json::from(documents).to_string())),
        (false, false) => Ok(Some(texts.join("\n\n"))),
    }
}

fn side(deployment: &Json) -> Json {
    json!({"name": sides::name(deployment), "track": Some(sides::track(deployment)).filter(|track| !track.is_empty()),
        "replicas": sides::replicas(deployment), "available": sides::available(deployment),
        "release": annotation(deployment, "slipway.dev/release"), "standby-until": annotation(deployment, standby::STANDBY_UNTIL)})
}

fn told(app: &str, serving: Option<&Release>, last: Option<&Release>, holder: Option<&str>, sides: &[Json]) -> String {
    let mut lines = vec![match serving {
        Some(one) => format!(
            "{app}: release {} serves ({}, since {}): {}",
            one.number,
            one.strategy,
            one.at.rfc3339(),
            images(one)
        ),
        None => format!("{app}: no release on record serves"),
    }];
    if let Some(last) = last.filter(|last| serving.is_none_or(|one| one.number != last.number)) {
        lines.push(format!("  release {} {}: {}", last.number, word(last.status), images(last)));
    }
    if let Some(holder) = holder {
        lines.push(format!("  under way: {holder}"));
    }
    for side in sides {
        let text = |key: &str| side[key].as_str().unwrap_or_default();
        let mut line =
            format!("  deployment {}: {} of {} pods available", text("name"), side["available"], side["replicas"]);
        if !text("standby-until").is_empty() {
            line.push_str(&format!(", stands by until {}", text("standby-until")));
        }
        lines.push(line);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn release(number: u64, status: Status) -> Release {
        Release {
            number,
            app: "shop".into(),
            namespace: "n".into(),
            environment: None,
            strategy: "canary".into(),
            status,
            images: vec![("web".into(), "registry/team/shop@sha256:abc".into())],
            commit: "0123456789".into(),
            run: "r1".into(),
            at: Timestamp(0),
            service: None,
            deployment: None,
            router: None,
            objects: vec![json!({"kind": "Secret", "data": {"key": "c2VjcmV0"}})],
        }
    }

    #[test]
    fn a_history_stands_in_columns() {
        let text = table(&[release(10, Status::RolledBack), release(9, Status::Deployed)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "shop  10       rolled back  canary    1970-01-01T00:00:00.000Z  01234567  r1   shop@sha256:abc"
        );
        assert!(lines[2].starts_with("shop  9        deployed     canary"), "{text}");
    }

    #[test]
    fn what_is_printed_holds_no_objects_of_a_release() {
        assert!(!summary(&release(1, Status::Deployed)).to_string().contains("c2VjcmV0"));
    }

    #[test]
    fn a_status_names_what_serves_and_what_stands_by() {
        let sides =
            [json!({"name": "shop-blue", "available": 2, "replicas": 2, "standby-until": "2026-01-01T00:00:00Z"})];
        let text =
            told("shop", Some(&release(1, Status::Deployed)), Some(&release(2, Status::Failed)), Some("run x"), &sides);
        assert!(text.contains("release 1 serves") && text.contains("release 2 failed"), "{text}");
        assert!(text.contains("under way: run x") && text.contains("stands by until 2026-01-01T00:00:00Z"), "{text}");
    }
}
