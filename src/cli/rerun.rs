//! `slipway rerun`: a new run of the same text and inputs, which names its origin.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cli::secrets::SecretArgs;
use crate::engine::ports::Runners;
use crate::engine::run::Reused;
use crate::event::Outcome;
use crate::exit::Exit;
use crate::id::RunId;
use crate::secret::Secret;
use crate::stage::{TaskKind, kind_of};
use crate::state::{JobPhase, RunState};
use crate::store::contract::{Store, StoreError};
use crate::store::sqlite::SqliteStore;

use super::run::{on_runtime, store_failed};
use super::runners::LocalRunners;
use super::session::{ShowArgs, Start, begin, drive, open_state, stored_plan};

/// In the folder of a run that takes results over: a crash does not lose that.
const MARKER: &str = "rerun-failed";

/// Runs a finished run again.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run
    pub run: String,
    /// Only what did not succeed; stages that did keep their outputs and files
    #[arg(long)]
    pub failed: bool,
    /// Secrets: their values were erased when the run ended.
    #[command(flatten)]
    pub secrets: SecretArgs,
    /// How it is shown.
    #[command(flatten)]
    pub show: ShowArgs,
}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let secrets = match args.secrets.read() {
        Ok(secrets) => secrets,
        Err((text, exit)) => {
            eprint!("{text}");
            return exit;
        }
    };
    on_runtime(async {
        let prepared = open_state().and_then(|store| Ok((prepare(&store, args, secrets)?, store)));
        let (start, store) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return store_failed(&error),
        };
        let runners: Arc<dyn Runners> = Arc::new(LocalRunners::new(store.state()));
        drive(&store, runners, start, &args.show).await
    })
}

fn prepare(store: &SqliteStore, args: &Args, secrets: Vec<(String, Secret)>) -> Result<Start, StoreError> {
    let origin = store.resolve(&args.run)?;
    let stored = store.load(&origin)?;
    if stored.row.outcome.is_none() {
        let what = match store.owner(&origin) {
            Some(owner) => format!("{owner} is at work on it"),
            None => format!("it was interrupted: `slipway resume {origin}` takes it up"),
        };
        return Err(StoreError::Held(format!("run \"{origin}\" is not over; {what}")));
    }
    let plan = stored_plan(&origin, &stored.text, stored.inputs)?;
    let given = |name: &str| secrets.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let missing: Vec<&String> = plan.inputs.secret_names.iter().filter(|name| !given(name)).collect();
    if !missing.is_empty() {
        eprintln!(
            "note: the values of {} were erased when run \"{origin}\" ended; give them again with --secret",
            missing.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
        );
    }
    let commit = &stored.row.commit;
    let (row, lock) = begin(store, stored.text, &plan, &stored.row.checkout, commit, Some(origin.clone()))?;
    let run = row.run.clone();
    if args.failed {
        let path = store.state().run(&run).join(MARKER);
        std::fs::write(&path, "").map_err(|e| StoreError::failed(format!("write \"{}\"", path.display()), e))?;
    }
    let reused = reuse_of_rerun(store, &run, Some(&origin))?;
    let plan = Arc::new(plan);
    let records = Vec::new();
    Ok(Start { row, plan, records, secrets, reused, cancel: None, lock, beside_others: false })
}

/// What run `run` takes over from `origin`, if it is a `rerun --failed`: the jobs of stages that succeeded.
pub fn reuse_of_rerun(store: &SqliteStore, run: &RunId, origin: Option<&RunId>) -> Result<Option<Reused>, StoreError> {
    let Some(origin) = origin.filter(|_| store.state().run(run).join(MARKER).exists()) else { return Ok(None) };
    let stored = store.load(origin)?;
    let plan = stored_plan(origin, &stored.text, stored.inputs)?;
    let mut state = RunState::new(Arc::new(plan));
    for record in store.records(origin, 0)? {
        state.apply(&record).map_err(|e| StoreError::Unreadable(format!("run \"{origin}\": {e}")))?;
    }
    let mut stages = HashMap::new();
    for (plan, stage) in state.plan().stages.iter().zip(&state.stages) {
        if stage.outcome() != Some(Outcome::Success) || stage.jobs.is_empty() {
            continue;
        }
        let jobs: Option<Vec<_>> = stage
            .jobs
            .iter()
            .map(|job| match &job.phase {
                JobPhase::Done { outputs, .. } => Some((job.matrix.to_json(), outputs.clone())),
                _ => None,
            })
            .collect();
        stages.extend(jobs.map(|jobs| (plan.id.clone(), (jobs, stage.facts.clone()))));
    }
    // An approval is for the run that it was given to: it is asked for again where anything behind it runs again.
    let plan = state.plan();
    for stage in plan.stages.iter().filter(|stage| kind_of(&stage.job) == Some(TaskKind::Approval)) {
        if stage.dependents.iter().any(|at| !stages.contains_key(&plan.stage(*at).id)) {
            stages.remove(&stage.id);
        }
    }
    Ok(Some(Reused { from: origin.clone(), stages }))
}
