//! One run from the command line: adapters are put together, the run is locked, driven, reported, and what it leaves is
//! tidied. `run`, `resume` and `rerun` end here.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::clock::{Clock, SystemClock};
use crate::diagnostic::chain;
use crate::engine::ports::{Places, Ports, Runners, Settings};
use crate::engine::run::{Reused, RunEnd, RunError, RunRequest, execute};
use crate::event::{Ending, Outcome, Record};
use crate::exit::Exit;
use crate::id::RunId;
use crate::plan::contexts::RunFacts;
use crate::plan::ir::{Plan, PlanInputs};
use crate::report::make::{ReportKind, ReportOptions, make};
use crate::report::plain::Loudness;
use crate::report::style::wants_color_here;
use crate::secret::Secret;
use crate::sink::Sink;
use crate::stage::Environment;
use crate::store::artifacts::FileArtifacts;
use crate::store::cache::FileCaches;
use crate::store::contract::{NewRun, RunRow, Store, StoreError};
use crate::store::folder::StateFolder;
use crate::store::lock::{Lock, TryLock, run_lock};
use crate::store::logs::FileLogs;
use crate::store::seal::RunSealer;
use crate::store::sqlite::{Durability, SqliteStore};
use crate::store::wake::WAKE;
use crate::store::wake::watch_requests;
use crate::workspace::copy::LocalWorkspaces;

use super::interrupt::watch_signals;
use super::load::replan;
use super::notices::{NoticeOptions, Notices, post_office};
use super::tasks::LocalTasks;

/// How a run is shown and how wide it goes: options that `run`, `resume` and `rerun` share.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ShowArgs {
    /// One event a line, as JSON
    #[arg(long, conflicts_with_all = ["quiet", "verbose"])]
    pub json: bool,
    /// Only failures and the summary
    #[arg(long, short, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Commands, names of variables and journal notes too
    #[arg(long, short)]
    pub verbose: bool,
    /// Jobs at once, by default twice the processors
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Ends with exit code 10 instead of waiting for a person
    #[arg(long)]
    pub no_wait: bool,
}

impl ShowArgs {
    fn loudness(&self) -> Loudness {
        match (self.quiet, self.verbose) {
            (true, _) => Loudness::Quiet,
            (_, true) => Loudness::Verbose,
            _ => Loudness::Normal,
        }
    }
}

/// What a run starts from.
pub struct Start {
    /// Its row, as the store made it.
    pub row: RunRow,
    /// Its plan.
    pub plan: Arc<Plan>,
    /// What the journal holds already.
    pub records: Vec<Record>,
    /// Its secrets.
    pub secrets: Vec<(String, Secret)>,
    /// Jobs that are taken over from the run that it repeats.
    pub reused: Option<Reused>,
    /// The first interrupt is there already (`cancel` of a run that nobody owns).
    pub cancel: Option<String>,
    /// The run's lock.
    pub lock: Lock,
    /// Its output is one of several: lines, not a tree.
    pub beside_others: bool,
}

/// Opens the state folder and its database.
pub fn open_state() -> Result<SqliteStore, StoreError> {
    let state = StateFolder::open()?;
    // `SLIPWAY_DURABILITY=power`: every commit reaches the disk, as on a server.
    let power = std::env::var("SLIPWAY_DURABILITY").is_ok_and(|mode| mode == "power");
    SqliteStore::open(&state, if power { Durability::Power } else { Durability::Process })
}

/// Makes a run and takes its lock: what `run` and `rerun` begin with.
pub fn begin(
    store: &SqliteStore,
    text: String,
    plan: &Plan,
    checkout: &Path,
    commit: &str,
    origin: Option<RunId>,
) -> Result<(RunRow, Lock), StoreError> {
    let run = RunId::new(SystemClock.now());
    let new = NewRun {
        run: run.clone(),
        pipeline: plan.name.clone(),
        name: plan.run_name.clone(),
        text,
        inputs: (*plan.inputs).clone(),
        plan_json: super::plan::json_text(plan),
        plan_hash: plan.hash.clone(),
        checkout: checkout.to_owned(),
        commit: commit.to_owned(),
        started: SystemClock.now(),
        origin,
    };
    Ok((store.create(&new)?, lock_run(store, &run)?))
}

/// The plan of a stored run, made again from its stored text and inputs.
pub fn stored_plan(run: &RunId, text: &str, inputs: PlanInputs) -> Result<Plan, StoreError> {
    replan(text, inputs).map_err(|diagnostics| {
        StoreError::Unreadable(format!(
            "the stored file of run \"{run}\" is not valid for this Slipway:\n{}",
            crate::report::diagnostic::text(&diagnostics, false)
        ))
    })
}

/// Who asks: the user of this machine. On one's own machine that is a courtesy, not a proof.
pub fn who() -> String {
    let named = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok().filter(|name| !name.is_empty());
    named.or_else(|| said_by_id("-un").into_iter().next()).unwrap_or_else(|| "somebody".to_owned())
}

/// What the program `id` says of the user.
pub fn said_by_id(option: &str) -> Vec<String> {
    let output = std::process::Command::new("id").arg(option).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// The lock of a run, or an error with the id of the process that has it.
pub fn lock_run(store: &SqliteStore, run: &RunId) -> Result<Lock, StoreError> {
    let path = run_lock(&store.state().run(run));
    match Lock::try_at(&path, &format!("process {}", std::process::id()))? {
        TryLock::Held(lock) => Ok(lock),
        TryLock::Taken(holder) => Err(StoreError::Held(format!(
            "run \"{run}\" belongs to {holder}, which is at work on it; `slipway logs {run} --follow` shows it, `slipway cancel {run}` ends it"
        ))),
    }
}

/// Waits for the right to work in the checkout itself; says for whom it waits.
pub fn lock_checkout(state: &StateFolder, checkout: &Path, run: &RunId) -> Result<Lock, StoreError> {
    use sha2::Digest;
    let hash = crate::workspace::contract::hex(&sha2::Sha256::digest(checkout.as_os_str().as_encoded_bytes()));
    let path = state.root().join(format!("checkout-{}.lock", &hash[..16]));
    Lock::wait_at(&path, &format!("run {run} (process {})", std::process::id()), |holder| {
        eprintln!("waiting: {holder} works in \"{}\" itself", checkout.display());
    })
}

/// Drives a run to its end and gives the exit code. Messages about what went wrong go to standard error.
pub async fn drive(store: &SqliteStore, runners: Arc<dyn Runners>, start: Start, show: &ShowArgs) -> Exit {
    match drive_to_outcome(store, runners, start, show).await {
        Ok(end) => exit_of_end(end),
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            match error {
                RunError::Settings(_) => Exit::InvalidPipeline,
                RunError::Illegal(_) | RunError::Store(_) => Exit::Internal,
            }
        }
    }
}

/// The exit code of a run's end: how things stand that it worked on says more than that it failed.
pub fn exit_of_end(end: RunEnd) -> Exit {
    let Some(outcome) = end.outcome else { return Exit::Waiting };
    let standing = match end.ending {
        None => Exit::Success,
        Some(Ending::RolledBack) => Exit::RolledBack,
        Some(Ending::Preflight) => Exit::Preflight,
        Some(Ending::Locked) => Exit::Locked,
        Some(Ending::Drift) => Exit::Drift,
        Some(Ending::Unhealthy) => Exit::NotHealthy,
    };
    exit_of(outcome).worst(standing)
}

/// The exit code of an outcome.
pub fn exit_of(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Success | Outcome::Skipped => Exit::Success,
        Outcome::Failure => Exit::PipelineFailed,
        Outcome::Cancelled => Exit::Cancelled,
        Outcome::Lost => Exit::Lost,
    }
}

async fn drive_to_outcome(
    store: &SqliteStore,
    runners: Arc<dyn Runners>,
    mut start: Start,
    show: &ShowArgs,
) -> Result<RunEnd, RunError> {
    let run = start.row.run.clone();
    let (sender, interrupts) = mpsc::channel(4);
    if let Some(by) = start.cancel.take() {
        // The channel is empty: there is room.
        let _ = sender.try_send(by);
    }
    let signals = watch_signals(sender);
    let mut settings = Settings::default();
    settings.jobs = show.jobs.map_or(settings.jobs, usize::from);
    settings.no_wait = show.no_wait;
    settings.debug = std::env::var("RUNNER_DEBUG").is_ok_and(|debug| debug == "1");
    let is_terminal = std::io::stdout().is_terminal();
    let lines = show.quiet || show.verbose || start.beside_others;
    let kind = ReportKind::choose(show.json, lines, is_terminal, |name| std::env::var(name).ok());
    let shared = start.beside_others;
    let options = ReportOptions { shared, ..ReportOptions::stdout(wants_color_here(is_terminal), show.loudness()) };
    let sinks = vec![make(kind, &start.plan, &run, options)];
    let environments = super::config::environments()?;
    let notices = NoticeOptions::local();
    let outcome = drive_with(store, runners, start, Drive { settings, environments, sinks, interrupts, notices }).await;
    signals.abort();
    match &outcome {
        Ok(RunEnd { outcome: None, .. }) => {
            eprintln!("the run waits for a person; once it is approved go on with: slipway resume {run}");
        }
        Ok(_) => {}
        Err(_) => eprintln!("what was journaled is kept; take the run up with: slipway resume {run}"),
    }
    outcome
}

/// How a run is driven, whoever does so.
pub struct Drive {
    /// How it goes.
    pub settings: Settings,
    /// Environments that win over the file's.
    pub environments: Vec<Environment>,
    /// Where events go.
    pub sinks: Vec<Box<dyn Sink>>,
    /// Somebody wants the run to end.
    pub interrupts: mpsc::Receiver<String>,
    /// How people are told.
    pub notices: NoticeOptions,
}

/// Drives a run to its end, or until all that is left waits for a person; what it leaves is tidied.
pub async fn drive_with(
    store: &SqliteStore,
    runners: Arc<dyn Runners>,
    start: Start,
    drive: Drive,
) -> Result<RunEnd, RunError> {
    let run = start.row.run.clone();
    let state = store.state();
    let folder = state.run(&run);
    let sealer = Arc::new(RunSealer::new(state, &run));
    if start.records.is_empty() {
        sealer.save_secrets(&start.secrets)?;
    }
    let _checkout = match start.plan.inputs.placement.in_place {
        true => Some(lock_checkout(state, &start.row.checkout, &run)?),
        false => None,
    };
    let post = post_office(store, &drive.notices);
    let (notices, told) = Notices::begin(store, &post, &start.plan, &start.row, &start.secrets, &drive.notices)?;
    notices.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
    let ports = Ports {
        runners,
        store: Arc::new(store.clone()),
        logs: Arc::new(FileLogs::new(state)),
        artifacts: Arc::new(FileArtifacts::new(state.runs())),
        caches: Arc::new(FileCaches::new(state.cache())),
        groups: Arc::new(store.clone()),
        sealer: sealer.clone(),
        workspaces: Arc::new(LocalWorkspaces),
        tasks: Arc::new(LocalTasks::with_post(Arc::clone(&post), drive.notices.mail.clone())),
        clock: Arc::new(SystemClock),
    };
    let request = RunRequest {
        run: run.clone(),
        journal: store.journal(&run)?,
        records: start.records,
        ports,
        places: places(state, &folder, &start.row)?,
        settings: drive.settings,
        secrets: start.secrets,
        numbers: RunFacts { run_id: start.row.serial.to_string(), run_number: start.row.number, run_attempt: 1 },
        reused: start.reused,
        environments: drive.environments,
        origin: start.row.origin.clone(),
        sinks: drive.sinks.into_iter().chain(told).collect(),
        interrupts: drive.interrupts,
        wake: watch_requests(&folder),
        plan: start.plan,
    };
    let outcome = execute(request).await;
    notices.end().await.iter().for_each(|said| eprintln!("warning: {said}"));
    match outcome {
        Ok(RunEnd { outcome: Some(_), .. }) => tidy(store, &run)?,
        _ => drop(std::fs::remove_file(folder.join(WAKE))),
    }
    drop(start.lock);
    outcome
}

/// Folders of a run's own that go when it ends.
const PASSING: [&str; 3] = ["attempts", "work", CHECKOUT];
/// A run of the server has files of its own: the commit that it is about.
pub const CHECKOUT: &str = "checkout";
/// So many of the newest runs are looked at for what a process left that died at the very end.
const SWEPT: usize = 16;

/// A run that is over can no longer be resumed: nothing of it needs to be readable, and nothing is left of its files. The caller
/// holds its lock.
pub fn tidy(store: &SqliteStore, run: &RunId) -> Result<(), StoreError> {
    let folder = store.state().run(run);
    let _ = std::fs::remove_file(folder.join(WAKE));
    let erased = RunSealer::new(store.state(), run).erase();
    for name in PASSING {
        let _ = crate::workspace::contract::Workspaces::remove(&LocalWorkspaces, &folder.join(name));
    }
    erased
}

fn is_untidy(store: &SqliteStore, run: &RunId) -> bool {
    let folder = store.state().run(run);
    PASSING.iter().chain(&["key"]).any(|name| folder.join(name).exists())
}

fn places(state: &StateFolder, folder: &Path, row: &RunRow) -> Result<Places, StoreError> {
    Ok(Places {
        run_folder: folder.to_owned(),
        attempts: folder.join("attempts"),
        workspaces: folder.join("work"),
        tool_cache: state.tools(),
        checkout: Some(folder.join(CHECKOUT)).filter(|own| own.is_dir()).unwrap_or_else(|| row.checkout.clone()),
        state_label: state.label()?,
        cache_scope: row.checkout.to_string_lossy().into_owned(),
    })
}

/// Runs without owner or end whose resume window is over end as lost; their files go.
pub fn sweep(store: &SqliteStore, window: std::time::Duration) {
    let filter = crate::store::contract::RunFilter { unfinished: true, ..Default::default() };
    let Ok(rows) = store.list(&filter) else { return };
    let now = SystemClock.now();
    for row in rows.into_iter().filter(|row| now.since(row.started) > window) {
        // Whoever gets the lock may clean; a run with an owner keeps it.
        let Ok(lock) = lock_run(store, &row.run) else { continue };
        let records = store.records(&row.run, 0).unwrap_or_default();
        let newest = records.last().map(|record| record.at);
        // One that waits for a person waits as long as it said.
        if super::state::asked_until(&records).is_some_and(|until| until > now) {
            continue;
        }
        if now.since(newest.unwrap_or(row.started)) > window && store.abandon(&row.run, now).is_ok() {
            let _ = tidy(store, &row.run);
        }
        drop(lock);
    }
    // A process can die between the end on record and what it would have removed then.
    let newest = crate::store::contract::RunFilter { limit: SWEPT, ..Default::default() };
    for row in store.list(&newest).into_iter().flatten().filter(|row| row.outcome.is_some()) {
        if let Some(_lock) = is_untidy(store, &row.run).then(|| lock_run(store, &row.run).ok()).flatten() {
            let _ = tidy(store, &row.run);
        }
    }
}
