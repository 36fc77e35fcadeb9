//! `slipway serve`: takes webhooks of forges and runs pipelines for them. Put together here: store, forges, launcher, server.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

use crate::exit::Exit;
use crate::forge::contract::Forge;
use crate::server::app::{App, router};
use crate::server::config::ServerConfig;
use crate::server::hooks::Budget;
use crate::server::intake::Intake;
use crate::server::keeper::Keeper;
use crate::server::launch::Launcher;
use crate::server::listen;
use crate::server::status::Statuses;
use crate::server::worker;
use crate::store::contract::StoreError;
use crate::store::folder::StateFolder;
use crate::store::inbox::Inbox;
use crate::store::lock::{Lock, TryLock};
use crate::store::sqlite::{Durability, SqliteInbox, SqliteStore};

use super::launch::{ProjectForges, ServeLauncher};

/// Where the server listens when nobody says: on this machine only, behind a proxy that speaks TLS.
const LISTEN: &str = "127.0.0.1:8080";

/// Takes webhooks of forges and runs pipelines for them.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its configuration
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Where it listens, by default 127.0.0.1:8080; port 0 takes one that is free
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// Its data folder, by default the state folder's "server"
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Why it does not start.
struct Failed(String, Exit);

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: failed to start the server: {error}");
            return Exit::Internal;
        }
    };
    let exit = runtime.block_on(async {
        match serve(args).await {
            Ok(()) => Exit::Success,
            Err(Failed(message, exit)) => {
                eprintln!("error: {message}");
                exit
            }
        }
    });
    // Runs that are under way are left as they are: the next start takes them up.
    runtime.shutdown_background();
    exit
}

async fn serve(args: &Args) -> Result<(), Failed> {
    let usage = |message: String| Failed(message, Exit::Usage);
    let config = ServerConfig::load(&args.config, &|name| std::env::var(name).ok()).map_err(usage)?;
    let config = Arc::new(config);
    let data = match args.data.clone().or_else(|| config.data.clone()) {
        Some(data) => data,
        None => StateFolder::locate(|name| std::env::var(name).ok()).map_err(of_store)?.join("server"),
    };
    let state = StateFolder::open_at(data).map_err(of_store)?;
    let _lock = match Lock::try_at(&state.root().join("serve.lock"), &format!("process {}", std::process::id())) {
        Ok(TryLock::Held(lock)) => lock,
        Ok(TryLock::Taken(holder)) => {
            let message = format!("\"{}\" belongs to {holder}, which serves from it", state.root().display());
            return Err(Failed(message, Exit::Usage));
        }
        Err(error) => return Err(of_store(error)),
    };
    let store = SqliteStore::open(&state, Durability::Power).map_err(of_store)?;
    let inbox: Arc<dyn Inbox> = Arc::new(SqliteInbox::open(&state.root().join("inbox.db")).map_err(of_store)?);
    let forges = forges(&config)?;
    let voice: Arc<dyn Fn(&str) + Send + Sync> =
        Arc::new(|text| eprintln!("{}", crate::report::sanitize::visible(text).replace('\n', " ")));
    let of_projects =
        forges.iter().map(|(name, forge)| (config.repositories[name].project.clone(), Arc::clone(forge))).collect();
    let launcher: Arc<dyn Launcher> = Arc::new(ServeLauncher {
        store: store.clone(),
        public_url: config.public_url.clone(),
        forges: Arc::new(ProjectForges(of_projects)),
        private_receivers: config.private_receivers,
    });
    let statuses = Arc::new(Statuses::new(store.clone(), forges.clone(), config.public_url.clone()));
    let keeper = Arc::new(Keeper::new(
        Arc::clone(&config),
        store.clone(),
        Arc::clone(&launcher),
        Arc::clone(&statuses),
        Arc::clone(&voice),
    ));
    let intake = Arc::new(Intake {
        config: Arc::clone(&config),
        inbox: Arc::clone(&inbox),
        store: store.clone(),
        launcher,
        keeper: Arc::clone(&keeper),
        statuses: Arc::clone(&statuses),
        forges,
        fetching: Mutex::default(),
    });
    let address = args.listen.clone().or_else(|| config.listen.clone()).unwrap_or_else(|| LISTEN.to_owned());
    let cannot = |e: std::io::Error| Failed(format!("failed to listen on \"{address}\": {e}"), Exit::Usage);
    let listener = TcpListener::bind(&address).await.map_err(cannot)?;
    let bound = listener.local_addr().map_err(cannot)?;
    if !bound.ip().is_loopback() && config.read_token.is_none() {
        voice("warning: anybody who reaches this server can read its runs and logs; set \"read-token\"");
    }
    let app = Arc::new(App {
        config: Arc::clone(&config),
        inbox,
        store,
        fresh: Notify::new(),
        budget: Budget::default(),
        voice: Arc::clone(&voice),
    });
    let (stop, stopped) = watch::channel(false);
    keeper.take_up();
    let delivering = {
        let (statuses, voice) = (Arc::clone(&statuses), Arc::clone(&voice));
        tokio::spawn(async move { statuses.deliver(&*voice).await })
    };
    let working = tokio::spawn(worker::work(Arc::clone(&app), intake, stopped.clone()));
    let listening = tokio::spawn(listen::serve(listener, router(app), stopped));
    println!("slipway serves {} on http://{bound}", names(&config));
    wait_for_signal().await;
    let _ = stop.send(true);
    voice("stopping: what came in is kept; another signal ends it at once");
    tokio::select! {
        () = async {
            let _ = listening.await;
            let _ = working.await;
        } => {}
        () = wait_for_signal() => {}
    }
    delivering.abort();
    match keeper.active() {
        0 => {}
        left => voice(&format!("{left} runs are left as they are; the next start takes them up")),
    }
    Ok(())
}

fn of_store(error: StoreError) -> Failed {
    let exit = if matches!(error, StoreError::NotFound(_)) { Exit::NotFound } else { Exit::Internal };
    Failed(error.to_string(), exit)
}

fn forges(config: &ServerConfig) -> Result<HashMap<String, Arc<dyn Forge>>, Failed> {
    let mut forges = HashMap::new();
    for (name, repository) in &config.repositories {
        if let Some(api) = &repository.api {
            let forge = crate::forge::connect(repository.forge, &api.url, &api.token, &repository.project)
                .map_err(|error| Failed(format!("repository \"{name}\": {error}"), Exit::Usage))?;
            forges.insert(name.clone(), forge);
        }
    }
    Ok(forges)
}

fn names(config: &ServerConfig) -> String {
    config.repositories.keys().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

async fn wait_for_signal() {
    let streams = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = streams else { return std::future::pending().await };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
