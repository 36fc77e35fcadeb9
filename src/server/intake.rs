//! One delivery, from its row to its runs.
//!
//! A run's id is written down before the run is made, so that a crash at any point and a second try end in the same runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::client::clone::{CloneError, Mirror};
use crate::clock::{Clock, SystemClock};
use crate::forge::contract::{Forge, Permission};
use crate::forge::trust::{FileFrom, Rights, WriteAccess, must_ask};
use crate::forge::webhook::{Delivered, Happening, read};
use crate::id::RunId;
use crate::store::contract::{NewRun, Store, StoreError};
use crate::store::inbox::{Delivery, Inbox};
use crate::store::seal::RunSealer;
use crate::store::sqlite::SqliteStore;

use super::config::{Repository, ServerConfig};
use super::keeper::Keeper;
use super::launch::{Launcher, Order, Verdict};
use super::origin::{self, Origin};
use super::status::Statuses;

/// Where pipelines lie in a repository; the folders end in `/`.
const PIPELINES: [&str; 4] = ["slipway.yml", "slipway.yaml", ".slipway/", ".github/workflows/"];
/// More files than this are in no repository that means well.
const MAX_FILES: usize = 1000;
/// The checkout's name in the folder of a run, as the driver of runs knows it.
const CHECKOUT: &str = "checkout";

/// How the work on a delivery ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// All is made that is to be made; what that is.
    Done(String),
    /// It cannot be worked on; why.
    Bad(String),
    /// It may work later; why not now.
    Later(String),
}

/// Makes runs of deliveries.
pub struct Intake {
    /// The configuration.
    pub config: Arc<ServerConfig>,
    /// Deliveries.
    pub inbox: Arc<dyn Inbox>,
    /// Runs.
    pub store: SqliteStore,
    /// Plans.
    pub launcher: Arc<dyn Launcher>,
    /// Drives.
    pub keeper: Arc<Keeper>,
    /// Statuses.
    pub statuses: Arc<Statuses>,
    /// APIs of forges by repository.
    pub forges: std::collections::HashMap<String, Arc<dyn Forge>>,
    /// One fetch at a time in each repository's copy.
    pub fetching: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
}

impl From<CloneError> for Ended {
    fn from(error: CloneError) -> Self {
        match error {
            CloneError::Later { .. } => Ended::Later(error.to_string()),
            CloneError::Never { .. } => Ended::Bad(error.to_string()),
        }
    }
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Ended::Later(error.to_string())
    }
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        Ended::Later(format!("failed to write the files of a run: {error}"))
    }
}

impl Intake {
    /// Works on a delivery. Blocks; `handle` is of a runtime that goes on meanwhile.
    pub fn work(&self, delivery: &Delivery, handle: &tokio::runtime::Handle) -> Ended {
        self.try_work(delivery, handle).unwrap_or_else(|ended| ended)
    }

    fn try_work(&self, delivery: &Delivery, handle: &tokio::runtime::Handle) -> Result<Ended, Ended> {
        let new = &delivery.new;
        let Some(repository) = self.config.repositories.get(&new.repository) else {
            return Ok(Ended::Bad("the repository is not configured any more".to_owned()));
        };
        let happening = match read(repository.forge, &new.event, &new.body) {
            Ok(Delivered::Happening(happening)) => *happening,
            Ok(Delivered::Nothing(why)) => return Ok(Ended::Done(why)),
            Err(error) => return Ok(Ended::Bad(error.to_string())),
        };
        if !happening.repository.eq_ignore_ascii_case(&repository.project) {
            let message =
                format!("it is about \"{}\", and this hook is of \"{}\"", happening.repository, repository.project);
            return Ok(Ended::Done(message));
        }
        let access = self.access(repository, &happening, delivery, handle)?;
        let rights = Rights::of(&happening, access, repository.host_runner);
        let scope = self.scope(repository, &rights)?;
        let mirror = Mirror {
            url: repository.url.clone(),
            folder: self.root(repository).join("mirror.git"),
            credential: repository.clone.clone(),
            depth: repository.fetch_depth,
        };
        let files = self.fetch(repository, &mirror, &happening, &rights)?;
        let order = Order { repository, happening: &happening, rights: &rights, scope: &scope };
        let mut planned: Vec<(String, Box<NewRun>)> = Vec::new();
        let mut notes = Vec::new();
        for (path, text) in files.into_iter().filter(|(path, _)| is_pipeline(path)).take(MAX_FILES) {
            match self.launcher.plan(&order, &path, text) {
                Verdict::Run(run) => planned.push((path, run)),
                Verdict::NotMeant(_) => {}
                Verdict::Invalid(message) => {
                    let origin = self.origin(delivery, &happening, &rights, &path);
                    let first = message.lines().next().unwrap_or_default();
                    self.statuses.put_without_run(&origin, &path, first)?;
                    notes.push(format!("\"{path}\" cannot be run: {first}"));
                }
            }
        }
        let ids = self.ids(delivery, &planned)?;
        for (path, run) in planned {
            let Some(id) = ids.get(&path) else { continue };
            let origin = self.origin(delivery, &happening, &rights, &run.pipeline);
            self.make(*run, id, repository, &mirror, &happening, &origin)?;
            notes.push(format!("run {id} of \"{path}\""));
            self.keeper.add(id.clone(), origin);
        }
        if notes.is_empty() {
            notes.push(format!("no pipeline runs for {} of {}", happening.event, happening.reference));
        }
        Ok(Ended::Done(notes.join("; ")))
    }

    /// Whether the author of a pull request may write, where that counts.
    fn access(
        &self,
        repository: &Repository,
        happening: &Happening,
        delivery: &Delivery,
        handle: &tokio::runtime::Handle,
    ) -> Result<WriteAccess, Ended> {
        let (true, Some(forge), Some(request)) =
            (must_ask(happening), self.forges.get(&repository.name), happening.request.as_ref())
        else {
            return Ok(WriteAccess::Unknown);
        };
        let user = match (request.author.login.as_str(), request.author.id) {
            ("", Some(id)) => id.to_string(),
            ("", None) => return Ok(WriteAccess::Unknown),
            (login, _) => login.to_owned(),
        };
        match handle.block_on(forge.permission(&user)) {
            Ok(Permission::Write | Permission::Admin) => Ok(WriteAccess::Yes),
            Ok(Permission::Read | Permission::None) => Ok(WriteAccess::No),
            // A forge that cannot be reached is asked again; one that does not say is not trusted on its word.
            Err(error) if !error.is_final() && delivery.delays < 3 => Err(Ended::Later(error.to_string())),
            Err(_) => Ok(WriteAccess::Unknown),
        }
    }

    fn root(&self, repository: &Repository) -> PathBuf {
        self.store.state().root().join("repositories").join(&repository.name)
    }

    /// Runs that are not trusted count, wait and cache among themselves.
    fn scope(&self, repository: &Repository, rights: &Rights) -> Result<PathBuf, Ended> {
        let name = if rights.untrusted.is_some() { "untrusted" } else { "trusted" };
        let scope = self.root(repository).join(name);
        crate::store::folder::make_private(&scope)?;
        Ok(scope)
    }

    /// Fetches the commit, and gives the pipeline files that count.
    fn fetch(
        &self,
        repository: &Repository,
        mirror: &Mirror,
        happening: &Happening,
        rights: &Rights,
    ) -> Result<Vec<(String, Vec<u8>)>, Ended> {
        let lock = {
            let mut all = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(repository.name.clone()).or_default())
        };
        let _guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let reference = match &happening.request {
            Some(request) => repository.forge.head_ref(request.number),
            None => happening.reference.clone(),
        };
        mirror.fetch(&reference, Some(&happening.sha))?;
        let from = match (&rights.file, &happening.request) {
            (FileFrom::Base, Some(request)) => mirror.fetch(&format!("refs/heads/{}", request.base), None)?,
            _ => happening.sha.clone(),
        };
        Ok(mirror.files(&from, &PIPELINES)?)
    }

    /// Ids of runs by file, the same in every try.
    fn ids(&self, delivery: &Delivery, planned: &[(String, Box<NewRun>)]) -> Result<BTreeMap<String, RunId>, Ended> {
        if let Ok(known) = serde_json::from_value::<BTreeMap<String, RunId>>(delivery.runs.clone()) {
            return Ok(known);
        }
        let new = |(path, _): &(String, Box<NewRun>)| (path.clone(), RunId::new(SystemClock.now()));
        let ids: BTreeMap<String, RunId> = planned.iter().map(new).collect();
        self.inbox.plan(delivery.seq, &serde_json::json!(ids))?;
        Ok(ids)
    }

    fn origin(&self, delivery: &Delivery, happening: &Happening, rights: &Rights, name: &str) -> Origin {
        Origin {
            v: origin::VERSION,
            repository: delivery.new.repository.clone(),
            delivery: delivery.new.delivery.clone(),
            sha: happening.sha.clone(),
            reference: happening.reference.clone(),
            context: format!("slipway/{name}"),
            actor: happening.payload["sender"]["login"].as_str().unwrap_or_default().to_owned(),
            untrusted: rights.untrusted.clone(),
        }
    }

    /// Makes a run with all that it needs; what an earlier try made is kept.
    fn make(
        &self,
        mut new: NewRun,
        id: &RunId,
        repository: &Repository,
        mirror: &Mirror,
        happening: &Happening,
        origin: &Origin,
    ) -> Result<(), Ended> {
        let folder = self.store.state().run(id);
        if Origin::read(&folder).is_some() {
            return Ok(());
        }
        new.run = id.clone();
        if self.store.load(id).is_err() {
            self.store.create(&new)?;
        }
        if !folder.join(CHECKOUT).is_dir() {
            let part = folder.join(".checkout");
            let _ = fs::remove_dir_all(&part);
            mirror.check_out(&happening.sha, &happening.reference, &part)?;
            fs::rename(&part, folder.join(CHECKOUT))?;
        }
        if origin.untrusted.is_none() {
            RunSealer::new(self.store.state(), id).save_secrets(&repository.secrets)?;
        }
        origin.write(&folder)?;
        Ok(())
    }
}

fn is_pipeline(path: &str) -> bool {
    path.ends_with(".yml") || path.ends_with(".yaml")
}
