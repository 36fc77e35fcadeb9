//! `slipway resume`: takes up a run whose process died.

use std::sync::Arc;

use crate::cli::secrets::SecretArgs;
use crate::engine::ports::Runners;
use crate::exit::Exit;
use crate::id::RunId;
use crate::secret::Secret;
use crate::store::contract::{RunFilter, Store, StoreError};
use crate::store::seal::RunSealer;
use crate::store::sqlite::SqliteStore;

use super::rerun::reuse_of_rerun;
use super::run::{on_runtime, store_failed};
use super::runners::LocalRunners;
use super::session::{ShowArgs, Start, drive, exit_of, lock_run, open_state, stored_plan, tidy, who};

/// Takes up an interrupted run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run; without it the newest interrupted one of this checkout
    pub run: Option<String>,
    /// Takes it up only to cancel it
    #[arg(long)]
    pub cancel: bool,
    /// Secrets that were given again win over those that were kept.
    #[command(flatten)]
    pub secrets: SecretArgs,
    /// How it is shown.
    #[command(flatten)]
    pub show: ShowArgs,
}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let given = match args.secrets.read() {
        Ok(secrets) => secrets,
        Err((text, exit)) => {
            eprint!("{text}");
            return exit;
        }
    };
    let cancel = args.cancel.then(who);
    on_runtime(async {
        let taken = open_state().and_then(|store| {
            let run = match &args.run {
                Some(prefix) => store.resolve(prefix)?,
                None => newest_interrupted(&store)?,
            };
            Ok((store, run))
        });
        match taken {
            Ok((store, run)) => take_up(&store, &run, given, cancel, &args.show).await,
            Err(error) => store_failed(&error),
        }
    })
}

/// Takes up `run`; `cancel` says who asked to end it.
pub async fn take_up(
    store: &SqliteStore,
    run: &RunId,
    given: Vec<(String, Secret)>,
    cancel: Option<String>,
    show: &ShowArgs,
) -> Exit {
    let start = match prepare(store, run, given, cancel) {
        Ok(Taken::Start(start)) => start,
        Ok(Taken::Over(exit)) => return exit,
        Err(error) => return store_failed(&error),
    };
    let runners: Arc<dyn Runners> = Arc::new(LocalRunners::new(store.state()));
    drive(store, runners, *start, show).await
}

/// What there is of a run that is to be taken up.
pub(super) enum Taken {
    /// It can go on.
    Start(Box<Start>),
    /// It is over.
    Over(Exit),
}

/// What a run that is taken up goes on from; its lock is taken.
pub(super) fn prepare(
    store: &SqliteStore,
    run: &RunId,
    given: Vec<(String, Secret)>,
    cancel: Option<String>,
) -> Result<Taken, StoreError> {
    let stored = store.load(run)?;
    if let Some(outcome) = stored.row.outcome {
        // Its process may have died before it had removed what it no longer needed.
        if let Ok(_lock) = lock_run(store, run) {
            tidy(store, run)?;
        }
        eprintln!("run \"{run}\" is over; `slipway rerun {run}` runs it again");
        return Ok(Taken::Over(exit_of(outcome)));
    }
    let lock = lock_run(store, run)?;
    let plan = stored_plan(run, &stored.text, stored.inputs)?;
    if plan.hash != stored.plan_hash {
        return Err(StoreError::Unreadable(format!(
            "this Slipway makes another plan of run \"{run}\" than the one that it was started with; resume it with that version, or `slipway rerun {run}`"
        )));
    }
    let mut secrets = RunSealer::new(store.state(), run).load_secrets()?;
    for (name, value) in given {
        secrets.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        secrets.push((name, value));
    }
    let records = store.records(run, 0)?;
    let reused = reuse_of_rerun(store, run, stored.row.origin.as_ref())?;
    let plan = Arc::new(plan);
    let row = stored.row;
    Ok(Taken::Start(Box::new(Start { row, plan, records, secrets, reused, cancel, lock, beside_others: false })))
}

fn newest_interrupted(store: &SqliteStore) -> Result<RunId, StoreError> {
    let here = std::env::current_dir().map_err(|e| StoreError::failed("find the present folder", e))?;
    let checkout = crate::client::git::inspect(&here).root;
    let filter = RunFilter { checkout: Some(checkout.clone()), unfinished: true, limit: 0 };
    let rows = store.list(&filter)?;
    rows.into_iter().map(|row| row.run).find(|run| store.owner(run).is_none()).ok_or_else(|| {
        StoreError::NotFound(format!(
            "no run of \"{}\" is interrupted; `slipway runs --all` lists those of other checkouts",
            checkout.display()
        ))
    })
}
