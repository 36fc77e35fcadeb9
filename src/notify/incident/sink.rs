//! Hears a run's records and writes the reports of its incidents.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::Record;
use crate::id::RunId;
use crate::notify::card::Card;
use crate::notify::post::{NOTICE, Post};
use crate::sink::Sink;

use super::build::{Chronicle, Incident, Told};
use super::markdown::markdown;
use super::runbook::Runbooks;

/// Where reports go, and what is done with them.
pub struct Setup {
    /// The run.
    pub card: Card,
    /// The run's folder; reports lie in its folder `incidents`.
    pub folder: PathBuf,
    /// The checkout, and the folder in it that gets copies (`incident.report`).
    pub checkout: PathBuf,
    /// The folder in the checkout.
    pub report: Option<String>,
    /// The script (`incident.run`).
    pub run: Option<String>,
    /// Whether scripts may run on this machine.
    pub scripts: bool,
}

/// The sink.
pub struct IncidentSink {
    setup: Setup,
    chronicle: Chronicle,
    post: Arc<Post>,
    written: Vec<Incident>,
    runbooks: Arc<Runbooks>,
    problems: Arc<Mutex<Vec<String>>>,
}

impl IncidentSink {
    /// With this setup. `post` knows who was told.
    pub fn new(setup: Setup, post: Arc<Post>) -> Self {
        let chronicle = Chronicle::new(setup.card.clone());
        Self { setup, chronicle, post, written: Vec::new(), runbooks: Arc::default(), problems: Arc::default() }
    }

    /// Its scripts.
    pub fn runbooks(&self) -> Arc<Runbooks> {
        Arc::clone(&self.runbooks)
    }

    /// What could not be written, or run.
    pub fn problems(&self) -> Arc<Mutex<Vec<String>>> {
        Arc::clone(&self.problems)
    }

    fn say(&self, problem: String) {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).push(problem);
    }

    fn told(&self) -> Vec<Told> {
        let letters = self.post.outbox().letters_of(&RunId::from(self.setup.card.id.as_str()));
        letters
            .unwrap_or_default()
            .into_iter()
            .filter(|letter| letter.kind == NOTICE)
            .map(|letter| Told { notice: letter.about, state: letter.state.name().to_owned(), reason: letter.reason })
            .collect()
    }

    /// Writes both forms to the run's folder and to the checkout's; gives the Markdown's path in the run's folder.
    fn write(&self, incident: &Incident) -> io::Result<PathBuf> {
        let json = serde_json::to_string_pretty(incident).map_err(io::Error::other)?;
        let (text, json) = (markdown(incident), json + "\n");
        let folder = self.setup.folder.join("incidents");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let path = folder.join(format!("{}.md", incident.stage));
        replace(&path, text.as_bytes(), 0o600)?;
        replace(&path.with_extension("json"), json.as_bytes(), 0o600)?;
        if let Some(report) = &self.setup.report {
            let folder = within(&self.setup.checkout, report)?;
            let name = format!("{}-{}", incident.run.id, incident.stage);
            replace(&folder.join(format!("{name}.md")), text.as_bytes(), 0o644)?;
            replace(&folder.join(format!("{name}.json")), json.as_bytes(), 0o644)?;
        }
        Ok(path)
    }

    fn keep(&mut self, mut incident: Incident) {
        incident.told = self.told();
        match self.write(&incident) {
            Ok(path) => {
                if let Some(script) = &self.setup.run {
                    let started = match self.setup.scripts {
                        true => self.runbooks.start(script, &path, &self.setup.checkout),
                        false => {
                            Err("incident.run was not run: runs of this server may not use its machine".to_owned())
                        }
                    };
                    if let Err(problem) = started {
                        self.say(problem);
                    }
                }
            }
            Err(error) => self.say(format!("failed to write the incident report of \"{}\": {error}", incident.stage)),
        }
        self.written.retain(|known| known.stage != incident.stage);
        self.written.push(incident);
    }
}

impl Sink for IncidentSink {
    fn record(&mut self, record: &Record) {
        if let Some(incident) = self.chronicle.hear(record) {
            self.keep(incident);
        }
    }

    fn finish(&mut self) {
        // Once more: by now it is known who was told.
        for mut incident in std::mem::take(&mut self.written) {
            incident.told = self.told();
            if let Err(error) = self.write(&incident) {
                self.say(format!("failed to write the incident report of \"{}\": {error}", incident.stage));
            }
        }
    }
}

/// The folder `name` in `root`, made where it is missing; never outside of it, whatever links lie there.
fn within(root: &Path, name: &str) -> io::Result<PathBuf> {
    let outside = || io::Error::other(format!("\"{name}\" is not in the checkout"));
    let mut folder = root.canonicalize()?;
    let inside = folder.clone();
    for part in Path::new(name).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => {
                folder.push(part);
                match fs::create_dir(&folder) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => folder = folder.canonicalize()?,
                }
                if !folder.starts_with(&inside) {
                    return Err(outside());
                }
            }
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    Ok(folder)
}

/// Whole or not at all, for whoever reads meanwhile. A link of that name is replaced, not followed.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let _ = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(bytes)?;
    fs::rename(&temporary, path)
}
