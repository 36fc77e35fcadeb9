//! `slipway rollback`: takes an application's release back, however it was deployed, without any journal.

use std::time::Duration;

use crate::deliver::rollback::{self, Ask};
use crate::event::Ending;
use crate::exit::Exit;
use crate::stage::settings::parse_duration;
use crate::task::contract::TaskError;

use super::alone::Alone;
use super::place::{self, PlaceArgs};
use super::run::on_runtime;
use super::session::who;

/// Takes a release back.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The application
    pub app: String,
    /// The release that is to serve; without it the one before
    #[arg(long, value_name = "N")]
    pub to: Option<u64>,
    /// Where it is.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Shows what would be done, and does nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Time for requests under way; without it the longer of 30 s and the pods' grace
    #[arg(long, value_name = "DURATION", value_parser = drain)]
    pub drain: Option<Duration>,
}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    on_runtime(async {
        let place = match place::find(&args.place).await {
            Ok(place) => place,
            Err(exit) => return exit,
        };
        let by = who();
        let reason = format!("{by} asked for it");
        let ask = Ask {
            cluster: &place.cluster,
            namespace: &place.namespace,
            app: &args.app,
            environment: place.environment.as_deref(),
            to: args.to,
            drain: args.drain,
            reason: &reason,
        };
        let way = match rollback::find(&ask).await {
            Ok(way) => way,
            Err(error) => {
                eprintln!("error: {error}");
                return Exit::NotFound;
            }
        };
        let release =
            |number: Option<u64>, other: &str| number.map_or(other.to_owned(), |number| format!("release {number}"));
        println!(
            "\"{}\" in namespace \"{}\" of {}: {} serves, deployed by {}; going back to {}",
            args.app,
            place.namespace,
            place.cluster.target(),
            release(way.from, "a release that is not on record"),
            way.strategy(),
            release(way.to, "what was before")
        );
        for step in way.steps() {
            println!("  - {step}");
        }
        if args.dry_run {
            println!("nothing was changed (dry run)");
            return Exit::Success;
        }
        match rollback::take_back(&ask, &Alone::new("rollback", by)).await {
            Ok(back) => {
                println!("done: {} serves", release(back.to, "what was before"));
                Exit::Success
            }
            Err(error) => {
                eprintln!("error: {error}");
                exit_of(&error)
            }
        }
    })
}

fn exit_of(error: &TaskError) -> Exit {
    match error {
        TaskError::Failed { ending: Some(Ending::Locked), .. } => Exit::Locked,
        TaskError::Failed { ending: Some(Ending::Unhealthy), .. } => Exit::NotHealthy,
        _ => Exit::PipelineFailed,
    }
}

fn drain(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a number and its unit, such as 30s or 5m".to_owned())
}
