//! `slipway cancel`: asks the owner of a run to end it; a run that nobody owns is taken up to be ended.

use crate::exit::Exit;
use crate::store::contract::{Request, Store, StoreError};

use super::resume::take_up;
use super::run::{on_runtime, store_failed};
use super::session::{ShowArgs, open_state, who};

/// Cancels a run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run
    pub run: String,
    /// Asks twice: the run ends at once
    #[arg(long)]
    pub now: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    on_runtime(async {
        let asked = open_state().and_then(|store| {
            let run = store.resolve(&args.run)?;
            if store.load(&run)?.row.outcome.is_some() {
                return Err(StoreError::NotFound(format!("run \"{run}\" is over already")));
            }
            let owner = store.owner(&run);
            if owner.is_some() {
                for _ in 0..if args.now { 2 } else { 1 } {
                    store.request(&run, &Request::Cancel { by: who() })?;
                }
            }
            Ok((store, run, owner))
        });
        match asked {
            Ok((_, run, Some(owner))) => {
                println!("asked {owner} to cancel run {run}; `slipway logs {run} --follow` shows it");
                Exit::Success
            }
            Ok((store, run, None)) => {
                eprintln!("nobody owns run {run}: taking it up to end it");
                match take_up(&store, &run, Vec::new(), Some(who()), &ShowArgs::default()).await {
                    Exit::Cancelled => Exit::Success,
                    other => other,
                }
            }
            Err(error) => store_failed(&error),
        }
    })
}
