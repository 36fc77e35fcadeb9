//! `slipway run`: plans what the arguments name, and runs it.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use futures_util::future::join_all;

use crate::diagnostic::chain;
use crate::engine::ports::Runners;
use crate::exit::Exit;
use crate::plan::contexts::Base;
use crate::plan::ir::{Legs, Plan, RunnerKind};
use crate::plan::placement::place;
use crate::report::diagnostic;
use crate::report::style::wants_color_here;
use crate::store::contract::{RESUME_WINDOW, StoreError};
use crate::store::sqlite::SqliteStore;

use super::load::{LoadArgs, Loaded, load_all};
use super::runners::LocalRunners;
use super::session::{ShowArgs, Start, begin, drive, open_state, sweep};

/// Runs pipelines.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to run.
    #[command(flatten)]
    pub load: LoadArgs,
    /// How it is shown.
    #[command(flatten)]
    pub show: ShowArgs,
    /// Shows what would be done (as `slipway plan`), and does nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    if args.dry_run {
        return super::plan::dry_run(&args.load, args.show.json);
    }
    let color = wants_color_here(io::stderr().is_terminal());
    let loaded = match load_all(&args.load, color) {
        Ok(loaded) => loaded,
        Err((text, exit)) => {
            let _ = io::stderr().write_all(text.as_bytes());
            return exit;
        }
    };
    if !args.show.json {
        for one in &loaded {
            let _ = io::stderr().write_all(diagnostic::text(&one.diagnostics, color).as_bytes());
        }
    }
    on_runtime(async {
        let store = match open_state() {
            Ok(store) => store,
            Err(error) => return store_failed(&error),
        };
        let runners = Arc::new(LocalRunners::new(store.state()));
        let notes = match check_runners(&loaded, &runners).await {
            Ok(notes) => notes,
            Err((message, exit)) => {
                eprintln!("error: {message}");
                return exit;
            }
        };
        if !args.show.json && !args.show.quiet {
            notes.said.iter().for_each(|note| eprintln!("note: {note}"));
        }
        sweep(&store, RESUME_WINDOW);
        if notes.in_docker {
            runners.sweep(&store).await;
        }
        let several = loaded.len() > 1;
        let runs = loaded.into_iter().map(|one| run_one(&store, &runners, one, &args.show, several));
        join_all(runs).await.into_iter().fold(Exit::Success, Exit::worst)
    })
}

/// Runs a future on a runtime of this thread: the engine is one loop, and a hop between threads would cost more than it does.
pub fn on_runtime(future: impl Future<Output = Exit>) -> Exit {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let exit = runtime.block_on(future);
            // What still blocks a thread (a copy that nobody waits for) does not hold up the end.
            runtime.shutdown_background();
            exit
        }
        Err(error) => {
            eprintln!("error: failed to start the engine: {error}");
            Exit::Internal
        }
    }
}

/// Prints what is wrong with the state folder.
pub fn store_failed(error: &StoreError) -> Exit {
    eprintln!("error: {error}");
    match error {
        StoreError::NotFound(_) => Exit::NotFound,
        StoreError::Held(_) => Exit::Usage,
        StoreError::Unreadable(_) | StoreError::Failed { .. } => Exit::Internal,
    }
}

async fn run_one(
    store: &SqliteStore,
    runners: &Arc<LocalRunners>,
    loaded: Loaded,
    show: &ShowArgs,
    beside_others: bool,
) -> Exit {
    let plan = Arc::new(loaded.plan);
    let checkout = &loaded.checkout;
    let made = begin(store, loaded.source.text.to_string(), &plan, &checkout.root, &checkout.sha, None);
    let (row, lock) = match made {
        Ok(made) => made,
        Err(error) => return store_failed(&error),
    };
    let start = Start {
        row,
        plan,
        records: Vec::new(),
        secrets: loaded.secrets,
        reused: None,
        cancel: None,
        lock,
        beside_others,
    };
    let runners: Arc<dyn Runners> = Arc::clone(runners) as Arc<dyn Runners>;
    drive(store, runners, start, show).await
}

/// Whether every runner that the plans need is there, before anything starts; gives what is worth saying about where jobs run.
async fn check_runners(loaded: &[Loaded], runners: &LocalRunners) -> Result<Notes, (String, Exit)> {
    let mut notes = BTreeSet::new();
    let mut first_in_docker = None;
    for one in loaded {
        for (stage, kind, why) in placements(&one.plan).map_err(|message| (message, Exit::NoRunner))? {
            match kind {
                RunnerKind::Docker => first_in_docker = first_in_docker.or(Some(stage)),
                RunnerKind::Host if why.contains("runs-on") => drop(notes.insert(why)),
                RunnerKind::Host | RunnerKind::Scripted | RunnerKind::Engine => {}
            }
        }
    }
    if let Some(stage) = &first_in_docker
        && let Err(error) = runners.docker_answers().await
    {
        let message = format!(
            "no runner for stage \"{stage}\", which has an image: {}\n  --runner host runs it on this machine and ignores images",
            chain(&error)
        );
        return Err((message, Exit::NoRunner));
    }
    Ok(Notes { said: notes.into_iter().collect(), in_docker: first_in_docker.is_some() })
}

/// What is known of where jobs will run.
struct Notes {
    said: Vec<String>,
    /// Some stage needs a container.
    in_docker: bool,
}

/// Where the stages that are known would run: id, runner, why.
fn placements(plan: &Plan) -> Result<Vec<(String, RunnerKind, String)>, String> {
    let base = Base::new(&plan.inputs);
    let mut list = Vec::new();
    for stage in plan.stages.iter().filter(|stage| stage.selected) {
        let Legs::Fixed(legs) = &stage.legs else { continue };
        for leg in legs {
            let mut scope = base.scope();
            scope.set("matrix", leg.matrix.clone());
            // What is not known yet (an image from `needs`) is decided when it is; what is wrong then fails that stage.
            match place(&stage.job, &plan.inputs.placement, &scope) {
                Ok(placed) => list.push((stage.id.to_string(), placed.kind, placed.why)),
                Err(error) if plan.inputs.placement.runner == crate::plan::ir::RunnerChoice::Docker => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
    }
    Ok(list)
}
