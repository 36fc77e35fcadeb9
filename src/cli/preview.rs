//! What the tasks of typed stages would do: `slipway plan` asks them.

use std::path::{Path, PathBuf};

use crate::cli::load::Loaded;
use crate::cli::tasks::LocalTasks;
use crate::diagnostic::Diagnostics;
use crate::engine::context::merged;
use crate::expr::{Template, Value};
use crate::plan::contexts::{Base, env, env_entries, secrets};
use crate::plan::ir::{Leg, Legs, StagePlan};
use crate::plan::scope::ContextScope;
use crate::plan::view::{ActionView, PlanView};
use crate::secret::Masker;
use crate::stage::settings::{Reader, replaced};
use crate::stage::{Environment, Incident, Typed, kind_of};
use crate::task::contract::{Preview, Surroundings, TaskIdentity, TaskSpec, Tasks};

/// Fills the previews of `view`. What cannot be looked at is said there.
pub fn fill(view: &mut PlanView, loaded: &Loaded, masker: &Masker, offline: bool) {
    if loaded.plan.stages.iter().all(|stage| kind_of(&stage.job).is_none()) {
        return;
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let ahead = Ahead::new(loaded, masker, offline);
    for stage in &mut view.stages {
        let Some(plan) = loaded.plan.find(&stage.stage).map(|index| loaded.plan.stage(index)) else { continue };
        let fixed = match &plan.legs {
            Legs::Fixed(legs) => legs.as_slice(),
            Legs::Late => &[],
        };
        let jobs = stage.jobs.iter_mut().flatten().chain(stage.each_job.as_deref_mut());
        for (at, job) in jobs.enumerate() {
            for step in &mut job.steps {
                if let ActionView::Task { preview, .. } = &mut step.action {
                    let made = runtime.block_on(ahead.preview(plan, fixed.get(at)));
                    *preview = serde_json::to_value(made).ok();
                }
            }
        }
    }
}

/// What is known of a run before it.
struct Ahead<'a> {
    loaded: &'a Loaded,
    masker: &'a Masker,
    offline: bool,
    scope: ContextScope<'static>,
    environments: Vec<Environment>,
    env: Vec<(String, String)>,
}

impl<'a> Ahead<'a> {
    fn new(loaded: &'a Loaded, masker: &'a Masker, offline: bool) -> Self {
        let mut scope = Base::new(&loaded.plan.inputs).scope();
        scope.set("secrets", secrets(&loaded.secrets));
        let mut all = env_entries(&loaded.plan.pipeline.env, &scope).unwrap_or_default();
        all.extend(loaded.plan.inputs.env.iter().cloned());
        scope.set("env", env(&all));
        let over = super::config::environments().unwrap_or_default();
        let environments = merged(&loaded.plan, &scope, &over).unwrap_or(over);
        Self { loaded, masker, offline, scope, environments, env: all }
    }

    async fn preview(&self, stage: &StagePlan, leg: Option<&Leg>) -> Preview {
        let mut scope = ContextScope { contexts: self.scope.contexts.clone(), ..ContextScope::default() };
        if let Some(leg) = leg {
            scope.set("matrix", leg.matrix.clone());
        }
        let named = crate::engine::lend::name_of(&stage.job, &scope).ok().flatten();
        let environment = named.map(|name| {
            let found = self.environments.iter().find(|environment| environment.name == name);
            found.cloned().unwrap_or_else(|| Environment { name, ..Environment::default() })
        });
        if let Some(environment) = &environment {
            scope.set("environment", crate::engine::lend::context(environment));
            let vars = crate::engine::lend::vars(&Base::new(&self.loaded.plan.inputs).vars, environment);
            scope.set("vars", vars);
        }
        let mut all = self.env.clone();
        all.extend(env_entries(&stage.job.env, &scope).unwrap_or_default());
        scope.set("env", env(&all));
        let here = Here {
            identity: self.identity(stage),
            workspace: self.loaded.checkout.root.clone(),
            env: all,
            scope,
            masker: self.masker,
            offline: self.offline,
        };
        match self.look(stage, environment, &here).await {
            Ok(preview) => masked(preview, self.masker),
            Err(error) => Preview { unknown: vec![self.masker.mask(&error)], ..Preview::default() },
        }
    }

    async fn look(
        &self,
        stage: &StagePlan,
        environment: Option<Environment>,
        here: &Here<'_>,
    ) -> Result<Preview, String> {
        let (Some(typed), Some(kind)) = (&stage.job.typed, kind_of(&stage.job)) else { return Ok(Preview::default()) };
        let mut waits = Vec::new();
        let node = replaced(&typed.node, &mut |template: &Template| match template.evaluate(&here.scope) {
            Ok(value) if known(template, &here.scope) => Ok(Some(value)),
            _ => {
                waits.push(template.source());
                Ok(None)
            }
        })?;
        let mut diagnostics = Diagnostics::new(self.loaded.plan.pipeline.source.clone());
        let read = Typed::read(&mut Reader::of_file(&mut diagnostics), kind, &node);
        let wrong = diagnostics.list.first().map(|one| one.message.clone());
        let typed = match (read, wrong) {
            (Some(typed), None) => typed,
            (_, wrong) => return Err(wrong.unwrap_or_else(|| "its settings cannot be read".to_owned())),
        };
        let mut preview = match &typed {
            Typed::Approval(settings) => approval(settings, environment.as_ref()),
            _ => {
                let spec = TaskSpec { typed, environment, incident: Incident::default(), before: Vec::new() };
                let task = LocalTasks::new().get(kind).map_err(|e| e.to_string())?;
                task.preview(&spec, here).await.map_err(|e| e.to_string())?
            }
        };
        preview.unknown.extend(waits);
        Ok(preview)
    }

    fn identity(&self, stage: &StagePlan) -> TaskIdentity {
        let (plan, github) = (&self.loaded.plan, &self.loaded.plan.inputs.github);
        let text = |key: &str| github[key].as_str().unwrap_or_default().to_owned();
        TaskIdentity {
            stage: stage.id.to_string(),
            pipeline: plan.name.clone(),
            commit: text("sha"),
            plan_hash: plan.hash.clone(),
            repository: text("repository"),
            actor: text("actor"),
            untrusted: plan.inputs.untrusted,
            ..TaskIdentity::default()
        }
    }
}

/// Whether every context that `template` reads is known before the run.
fn known(template: &Template, scope: &ContextScope<'_>) -> bool {
    template
        .expressions()
        .iter()
        .flat_map(|expr| expr.paths())
        .all(|path| path.first().is_none_or(|head| scope.contexts.contains_key(head.to_ascii_lowercase().as_str())))
}

fn approval(settings: &crate::stage::Approval, environment: Option<&Environment>) -> Preview {
    let approvers = match settings.approvers.is_empty() {
        true => environment.map(|environment| environment.approvers.clone()).unwrap_or_default(),
        false => settings.approvers.clone(),
    };
    let who = if approvers.is_empty() { "anyone".to_owned() } else { approvers.join(" or ") };
    let many = if settings.required > 1 { format!("{} of ", settings.required) } else { String::new() };
    let timeout = crate::clock::humanize(settings.timeout);
    Preview::default().effect(format!("waits until {many}{who} approves, at most {timeout}"))
}

fn masked(mut preview: Preview, masker: &Masker) -> Preview {
    // Diffs of secrets are stars already; what else holds a secret's value is masked here.
    preview.unknown.iter_mut().chain(&mut preview.refused).for_each(|text| *text = masker.mask(text));
    preview
}

/// The surroundings of one stage.
struct Here<'a> {
    identity: TaskIdentity,
    workspace: PathBuf,
    env: Vec<(String, String)>,
    scope: ContextScope<'static>,
    masker: &'a Masker,
    offline: bool,
}

impl Surroundings for Here<'_> {
    fn identity(&self) -> &TaskIdentity {
        &self.identity
    }

    fn workspace(&self) -> &Path {
        &self.workspace
    }

    fn env(&self) -> &[(String, String)] {
        &self.env
    }

    fn evaluate(&self, text: &str) -> Result<String, String> {
        let template = Template::parse(text).map_err(|error| error.message)?;
        template.evaluate_text(&self.scope).map_err(|error| error.message)
    }

    fn secret(&self, name: &str) -> Option<String> {
        let value = match self.scope.contexts.get("secrets") {
            Some(secrets) => secrets.get(name),
            None => Value::Null,
        };
        value.as_str().map(str::to_owned)
    }

    fn mask(&self, text: &str) -> String {
        self.masker.mask(text)
    }

    fn is_offline(&self) -> bool {
        self.offline
    }
}
