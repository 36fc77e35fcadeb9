//! The server's way to plans and runs: what it asks of the command line's floor.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::mpsc;

use crate::client::git::Checkout;
use crate::clock::{Clock, SystemClock};
use crate::diagnostic::{Diagnostics, chain};
use crate::engine::ports::{Runners, Settings};
use crate::event::Outcome;
use crate::forge::contract::{Forge, Forges};
use crate::id::RunId;
use crate::model::{ReadOptions, codes, decode};
use crate::plan::compile::compile;
use crate::plan::contexts::Base;
use crate::plan::filter::{self, Happening as Filtered};
use crate::plan::inputs;
use crate::plan::ir::{Placement, Plan, PlanInputs, RunnerChoice, Selection};
use crate::report::diagnostic;
use crate::server::config::Repository;
use crate::server::launch::{Launcher, Order, Verdict};
use crate::sink::Sink;
use crate::stage;
use crate::store::contract::NewRun;
use crate::store::sqlite::SqliteStore;

use super::github::{self, Facts};
use super::notices::NoticeOptions;
use super::resume::{Taken, prepare};
use super::runners::LocalRunners;
use super::session::{Drive, drive_with};

/// Plans and drives runs of the server.
pub struct ServeLauncher {
    /// Its store.
    pub store: SqliteStore,
    /// Where people reach the server.
    pub public_url: Option<String>,
    /// The forges of all repositories.
    pub forges: Arc<dyn Forges>,
    /// Whether notices may go to private networks.
    pub private_receivers: bool,
}

/// Forges by `owner/name`.
pub struct ProjectForges(pub HashMap<String, Arc<dyn Forge>>);

impl Forges for ProjectForges {
    fn forge(&self, repository: &str) -> Option<Arc<dyn Forge>> {
        self.0.get(repository).cloned()
    }
}

impl Launcher for ServeLauncher {
    fn plan(&self, order: &Order<'_>, path: &str, text: Vec<u8>) -> Verdict {
        match plan(order, path, text) {
            Ok((plan, text)) => Verdict::Run(Box::new(NewRun {
                run: RunId::from(""),
                pipeline: plan.name.clone(),
                name: plan.run_name.clone(),
                text,
                inputs: (*plan.inputs).clone(),
                plan_json: super::plan::json_text(&plan),
                plan_hash: plan.hash.clone(),
                checkout: order.scope.to_owned(),
                commit: order.happening.sha.clone(),
                started: SystemClock.now(),
                origin: None,
            })),
            Err(verdict) => verdict,
        }
    }

    fn drive(
        &self,
        repository: &Repository,
        run: &RunId,
        sinks: Vec<Box<dyn Sink>>,
        interrupts: mpsc::Receiver<String>,
    ) -> Result<Option<Outcome>, String> {
        let start = match prepare(&self.store, run, Vec::new(), None).map_err(|e| e.to_string())? {
            Taken::Start(start) => start,
            Taken::Over(_) => return Ok(self.store_outcome(run)),
        };
        // Environments of a run that is not trusted are none; the plan knows that by itself too.
        let environments = if start.plan.inputs.untrusted { Vec::new() } else { repository.environments.clone() };
        // A script of an incident runs on this machine itself.
        let scripts = repository.host_runner && !start.plan.inputs.untrusted;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| format!("failed to start the engine: {e}"))?;
        let end = runtime.block_on(async {
            let runners: Arc<dyn Runners> = Arc::new(LocalRunners::new(self.store.state()));
            let page = self.public_url.as_ref().map(|root| format!("{root}/runs/{run}"));
            let mut notices = NoticeOptions::server(None, page, scripts, self.private_receivers);
            // All of them: one outbox holds the notices of all repositories, and whoever delivers takes what is due.
            notices.forges = Some(Arc::clone(&self.forges));
            let drive = Drive { settings: Settings::default(), environments, sinks, interrupts, notices };
            drive_with(&self.store, runners, *start, drive).await
        });
        runtime.shutdown_background();
        end.map(|end| end.outcome).map_err(|error| chain(&error))
    }
}

impl ServeLauncher {
    fn store_outcome(&self, run: &RunId) -> Option<Outcome> {
        use crate::store::contract::Store as _;
        self.store.load(run).ok().and_then(|stored| stored.row.outcome)
    }
}

/// The plan and the text that it was made from; else what is to be said in place of a run.
fn plan(order: &Order<'_>, path: &str, text: Vec<u8>) -> Result<(Plan, String), Verdict> {
    let invalid = |diagnostics: &Diagnostics| Verdict::Invalid(diagnostic::text(diagnostics, false));
    let source = decode(path, text).map_err(|diagnostics| invalid(&diagnostics))?;
    let text = source.text.to_string();
    let (pipeline, diagnostics) = stage::load(source.clone(), &ReadOptions::default());
    let Some(pipeline) = pipeline else { return Err(invalid(&diagnostics)) };
    let happening = order.happening;
    let name = pipeline.name.as_ref().map_or(path, |name| name.value.as_str()).to_owned();
    let mut inputs = PlanInputs {
        untrusted: order.rights.untrusted.is_some(),
        file: path.to_owned(),
        path: path.to_owned(),
        event_name: happening.event.to_owned(),
        github: context(order, path, &name),
        inputs: Value::Object(Map::new()),
        vars: order.repository.vars.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect(),
        env: Vec::new(),
        secret_names: match order.rights.secrets {
            true => order.repository.secrets.iter().map(|(name, _)| name.clone()).collect(),
            false => Vec::new(),
        },
        selection: Selection::default(),
        placement: Placement {
            runner: if order.rights.host_runner { RunnerChoice::Auto } else { RunnerChoice::Docker },
            platforms: order.repository.platforms.clone(),
            allow_privileged: false,
            in_place: false,
        },
    };
    let filtered = Filtered {
        event: happening.event,
        reference: inputs.github["ref"].as_str().unwrap_or_default(),
        payload: &happening.payload,
        changed: happening.changed.as_deref(),
    };
    filter::check(pipeline.on.as_ref(), filtered).map_err(Verdict::NotMeant)?;
    let mut wrong = Diagnostics::new(source);
    let typed = inputs::read(&pipeline, happening.event, &[], &Base::new(&inputs).scope(), &mut wrong);
    if wrong.has_errors() {
        return Err(invalid(&wrong));
    }
    inputs.inputs = Value::Object(typed.typed);
    let (plan, mut warnings) =
        compile(Arc::new(pipeline), Arc::new(inputs)).map_err(|diagnostics| invalid(&diagnostics))?;
    // On one's own machine it is a warning in a workflow; here an outsider may have written the text.
    warnings.list.retain(|warning| warning.code == codes::UNTRUSTED_RUN);
    if warnings.list.is_empty() { Ok((plan, text)) } else { Err(invalid(&warnings)) }
}

/// The `github` context: the payload speaks, and the commit that was fetched.
fn context(order: &Order<'_>, path: &str, name: &str) -> Value {
    let (happening, repository) = (order.happening, order.repository);
    let payload = &happening.payload;
    let head = &payload["head_commit"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let checkout = Checkout {
        root: Path::new("").to_owned(),
        is_git: true,
        sha: happening.sha.clone(),
        reference: happening.reference.clone(),
        author_name: text(&head["author"]["name"]),
        author_email: text(&head["author"]["email"]),
        committer_name: text(&head["committer"]["name"]),
        committed_at: text(&head["timestamp"]),
        message: text(&head["message"]),
        remote: repository.url.clone(),
        ..Checkout::default()
    };
    let facts = Facts { event_name: happening.event, name, path, checkout: &checkout, payload: Some(payload) };
    let mut context = github::context(facts, &Map::new());
    if let Ok(url) = url::Url::parse(&repository.url)
        && let Some(host) = url.host_str()
    {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        context["server_url"] =
            format!("{}://{host}{port}", if url.scheme() == "http" { "http" } else { "https" }).into();
    }
    if let Some(api) = &repository.api {
        context["api_url"] = api.url.as_str().into();
    }
    context
}
