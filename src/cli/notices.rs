//! Notices of a run: its file's rules are evaluated, what they say goes into the outbox, and a worker delivers from there while the
//! run goes on. What is left is delivered by the next command, or by the server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::{Clock, SystemClock};
use crate::diagnostic::Diagnostics;
use crate::forge::connect;
use crate::forge::contract::{Forge, Forges};
use crate::forge::kind::ForgeKind;
use crate::id::RunId;
use crate::model::Node;
use crate::notify::incident::{IncidentSink, Runbooks, Setup};
use crate::notify::{Card, Courier, MailDefaults, Post, Reach, RuleSink, catch_up};
use crate::plan::contexts::{self, Base};
use crate::plan::ir::Plan;
use crate::plan::scope::ContextScope;
use crate::secret::Secret;
use crate::sink::Sink;
use crate::stage::settings::{Reader, evaluated};
use crate::stage::{Incident, NotifyRule};
use crate::store::contract::outbox::{LetterState, Outbox};
use crate::store::contract::{RunRow, StoreError};
use crate::store::seal::FolderSealer;
use crate::store::sqlite::SqliteStore;

use super::session::CHECKOUT;

/// How long a command waits at its end for notices of its run to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it waits for `incident.run`.
const RUNBOOK: Duration = Duration::from_secs(300);

/// How long other commands take to deliver what earlier ones left.
const LEFTOVERS: Duration = Duration::from_secs(3);

/// How notices of a run are sent, whoever drives it.
#[derive(Clone)]
pub struct NoticeOptions {
    /// Where they may go.
    pub reach: Reach,
    /// Forges, for issues.
    pub forges: Option<Arc<dyn Forges>>,
    /// The mail server and sender of channels that name none.
    pub mail: MailDefaults,
    /// The run's page, where there is one.
    pub page: Option<String>,
    /// Whether `incident.run` may run on this machine.
    pub scripts: bool,
}

impl NoticeOptions {
    /// For runs on somebody's own machine.
    pub fn local() -> Self {
        Self {
            reach: Reach::local(),
            forges: Some(Arc::new(EnvForges)),
            mail: MailDefaults::of(|name| std::env::var(name).ok()),
            page: None,
            scripts: true,
        }
    }

    /// For runs of a server, with the forge of the run's repository. `private` allows receivers in private networks.
    pub fn server(forge: Option<(String, Arc<dyn Forge>)>, page: Option<String>, scripts: bool, private: bool) -> Self {
        Self {
            reach: if private { Reach::local() } else { Reach::public() },
            forges: forge.map(|(repository, forge)| Arc::new(OneForge { repository, forge }) as Arc<dyn Forges>),
            mail: MailDefaults::of(|name| std::env::var(name).ok()),
            page,
            scripts,
        }
    }
}

/// The forge of one repository.
struct OneForge {
    repository: String,
    forge: Arc<dyn Forge>,
}

impl Forges for OneForge {
    fn forge(&self, repository: &str) -> Option<Arc<dyn Forge>> {
        (repository == self.repository).then(|| Arc::clone(&self.forge))
    }
}

/// The forge that the environment names: `SLIPWAY_FORGE` (github, gitlab, gitea), `SLIPWAY_FORGE_API`, `SLIPWAY_FORGE_TOKEN`.
struct EnvForges;

impl Forges for EnvForges {
    fn forge(&self, repository: &str) -> Option<Arc<dyn Forge>> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let kind = match set("SLIPWAY_FORGE").as_deref() {
            None | Some("github") => ForgeKind::Github,
            Some("gitlab") => ForgeKind::Gitlab,
            Some("gitea") => ForgeKind::Gitea,
            Some(_) => return None,
        };
        let token = Secret::new(set("SLIPWAY_FORGE_TOKEN")?);
        connect(kind, &set("SLIPWAY_FORGE_API")?, &token, repository).ok()
    }
}

/// The way of notices in `store`'s state folder.
pub fn post_office(store: &SqliteStore, options: &NoticeOptions) -> Arc<Post> {
    let courier = Courier::new(options.reach, options.forges.clone());
    let sealer = Arc::new(FolderSealer::new(store.state()));
    Post::new(Arc::new(store.clone()), sealer, courier, Arc::new(SystemClock))
}

/// Notices of a run under way.
pub struct Notices {
    post: Arc<Post>,
    run: RunId,
    stop: watch::Sender<bool>,
    worker: JoinHandle<()>,
    problems: Vec<Arc<Mutex<Vec<String>>>>,
    runbooks: Arc<Runbooks>,
    warnings: Vec<String>,
}

impl Notices {
    /// Begins for the run of `row`: gives its sinks too. A rule whose values are wrong (a secret that is not given) is left out with
    /// a warning: nobody's run waits for a message. An outsider's run tells nobody.
    pub fn begin(
        store: &SqliteStore,
        post: &Arc<Post>,
        plan: &Plan,
        row: &RunRow,
        secrets: &[(String, Secret)],
        options: &NoticeOptions,
    ) -> Result<(Self, Vec<Box<dyn Sink>>), StoreError> {
        let mut warnings = Vec::new();
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        let mut problems = Vec::new();
        let values = Values::of(plan, secrets);
        let rules = if plan.inputs.untrusted { Vec::new() } else { values.rules(plan, &mut warnings) };
        let card = card(plan, row, options);
        let own = MailDefaults::of(|name| plan.inputs.vars[name].as_str().map(str::to_owned));
        if let Some(sink) = RuleSink::new(card.clone(), &rules, &own.or(&options.mail), Arc::clone(post))? {
            warnings.extend(sink.warnings());
            problems.push(sink.problems());
            sinks.push(Box::new(sink));
        }
        let incident = values.incident(plan, &mut warnings);
        let folder = store.state().run(&row.run);
        let own = Some(folder.join(CHECKOUT)).filter(|own| own.is_dir());
        let setup = Setup {
            card,
            checkout: own.unwrap_or_else(|| row.checkout.clone()),
            folder,
            report: incident.report,
            run: incident.run,
            scripts: options.scripts,
        };
        // Behind the rules: a report names the notices.
        let sink = IncidentSink::new(setup, Arc::clone(post));
        let runbooks = sink.runbooks();
        problems.push(sink.problems());
        sinks.push(Box::new(sink));
        let (stop, stopped) = watch::channel(false);
        let worker = tokio::spawn({
            let (post, store) = (Arc::clone(post), store.clone());
            async move {
                // What processes that died left. What fails now is tried by the next command.
                let _ = catch_up(&store, &post);
                post.work(stopped).await;
            }
        });
        let (post, run) = (Arc::clone(post), row.run.clone());
        Ok((Self { post, run, stop, worker, problems, runbooks, warnings }, sinks))
    }

    /// What is to be said before the run.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Delivers what still waits, for a while; gives what is to be said of notices that did not arrive.
    pub async fn end(self) -> Vec<String> {
        self.stop.send_replace(true);
        let mut said = Vec::new();
        if let Err(error) = self.worker.await {
            said.push(format!("notices were not delivered while the run went on: {error}"));
        }
        if let Err(error) = self.post.finish(&self.run, PATIENCE).await {
            said.push(error.to_string());
        }
        said.extend(self.runbooks.wait(RUNBOOK).await);
        for problems in self.problems {
            said.append(&mut problems.lock().unwrap_or_else(PoisonError::into_inner));
        }
        for letter in self.post.outbox().letters_of(&self.run).unwrap_or_default() {
            let reason = if letter.reason.is_empty() { "no answer yet" } else { &letter.reason };
            match letter.state {
                LetterState::Failed => said.push(format!("the notice {} was given up: {reason}", letter.about)),
                LetterState::Waiting if letter.kind == "notice" => said.push(format!(
                    "the notice {} has not arrived yet: {reason}; the next slipway command tries again",
                    letter.about
                )),
                _ => {}
            }
        }
        said
    }
}

fn card(plan: &Plan, row: &RunRow, options: &NoticeOptions) -> Card {
    let text = |key: &str| plan.inputs.github[key].as_str().unwrap_or_default().to_owned();
    Card {
        id: row.run.to_string(),
        pipeline: row.pipeline.clone(),
        number: row.number,
        commit: row.commit.clone(),
        branch: text("ref_name"),
        actor: text("actor"),
        trigger: row.event_name.clone(),
        repository: text("repository"),
        url: options.page.clone(),
    }
}

/// What expressions outside of stages see.
struct Values(ContextScope<'static>);

impl Values {
    fn of(plan: &Plan, secrets: &[(String, Secret)]) -> Self {
        let mut scope = Base::new(&plan.inputs).scope();
        scope.set("secrets", contexts::secrets(secrets));
        let mut env = contexts::env_entries(&plan.pipeline.env, &scope).unwrap_or_default();
        env.extend(plan.inputs.env.iter().cloned());
        scope.set("env", contexts::env(&env));
        Self(scope)
    }

    /// What `read` makes of a node with its values; what is wrong with it is said as a warning.
    fn read<T>(
        &self,
        plan: &Plan,
        name: &str,
        node: &Node,
        warnings: &mut Vec<String>,
        read: impl FnOnce(&mut Reader<'_>, &Node) -> T,
    ) -> Option<T> {
        let node = match evaluated(node, &mut |template| template.evaluate(&self.0).map_err(|e| e.message)) {
            Ok(node) => node,
            Err(error) => {
                warnings.push(format!("{name}: {error}; it is left out"));
                return None;
            }
        };
        let mut diagnostics = Diagnostics::new(plan.pipeline.source.clone());
        let found = read(&mut Reader::of_values(&mut diagnostics), &node);
        for wrong in diagnostics.list {
            let help = wrong.help.map(|help| format!(" ({help})")).unwrap_or_default();
            warnings.push(format!("{name}: {}{help}; it is left out", wrong.message));
        }
        Some(found)
    }

    /// The file's rules.
    fn rules(&self, plan: &Plan, warnings: &mut Vec<String>) -> Vec<NotifyRule> {
        let Some(node) = &plan.pipeline.notify else { return Vec::new() };
        self.read(plan, "notify", node, warnings, NotifyRule::read_all).unwrap_or_default()
    }

    /// What the file says of incidents.
    fn incident(&self, plan: &Plan, warnings: &mut Vec<String>) -> Incident {
        let Some(node) = &plan.pipeline.incident else { return Incident::default() };
        self.read(plan, "incident", node, warnings, Incident::read).flatten().unwrap_or_default()
    }
}

/// Delivers what earlier commands left, for a short while, when there is anything. Says nothing: whoever waits for it asked another
/// command.
pub fn leftovers() {
    let due = |store: &SqliteStore, kind: &str| {
        store.next_due(kind).ok().flatten().is_some_and(|due| due <= SystemClock.now())
    };
    // Without a state folder there is nothing, and none is made.
    let exists = crate::store::folder::StateFolder::locate(|name| std::env::var(name).ok())
        .is_ok_and(|root| root.join("slipway.db").exists());
    let Some(store) = exists.then(|| super::session::open_state().ok()).flatten() else { return };
    if !due(&store, "notice") && !due(&store, "rules") {
        return;
    }
    let post = post_office(&store, &NoticeOptions::local());
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let _ = catch_up(&store, &post);
        let _ = tokio::time::timeout(LEFTOVERS, post.deliver_due(usize::MAX)).await;
    });
    runtime.shutdown_background();
}
