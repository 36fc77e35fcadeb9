//! A strategy's hands: reads and writes in the deploy's namespace, each write under its lease, and what people are told.

use std::time::Duration;

use serde_json::Value as Json;

use super::ground::{Ground, Refused, What};
use super::halt::Halt;
use super::traffic::RouteError;
use super::traffic::patch::{EPOCH, Patch, annotation};
use crate::event::TaskReport;
use crate::stage::deploy::OnDrift;
use crate::stage::{Incident, Severity};
use crate::task::contract::{TaskCtx, TaskError, remember};

/// Pause between two reads of an object that is waited for.
pub const READ_EVERY: Duration = Duration::from_millis(250);

/// Within which time pods must come that take over traffic.
const AVAILABLE_WITHIN: Duration = Duration::from_secs(300);

/// How often a write is made anew when another hand was quicker.
pub const TRIES: u32 = 5;

/// What a strategy knows of its deploy.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The application.
    pub app: String,
    /// The environment, or the namespace where it has none.
    pub environment: String,
    /// The namespace.
    pub namespace: String,
    /// The Service of the manifests that leads to the Deployment that is rolled out.
    pub service: String,
    /// Time for a change of traffic to arrive everywhere.
    pub settle: Duration,
    /// Time for requests under way.
    pub drain: Option<Duration>,
    /// Time for the new version to prove itself.
    pub watch: Duration,
    /// After which time without a look a weight is proven again.
    pub max_gap: Duration,
    /// What follows on another hand's change.
    pub on_drift: OnDrift,
    /// Whether gates that fail page a person, who decides, in place of taking traffic back (`on-fail: page`).
    pub pages: bool,
    /// When people are paged again.
    pub incident: Incident,
}

/// Hands in the deploy's namespace.
#[derive(Clone, Copy)]
pub struct Hands<'a> {
    /// The deploy around.
    pub ground: &'a dyn Ground,
    /// What it sees of the engine.
    pub ctx: &'a dyn TaskCtx,
    /// What it is about.
    pub about: &'a About,
}

impl From<RouteError> for TaskError {
    fn from(error: RouteError) -> Self {
        TaskError::failed(error.to_string())
    }
}

impl Hands<'_> {
    /// An object; none when there is none.
    pub async fn get(&self, what: What, name: &str) -> Result<Option<Json>, TaskError> {
        self.ground.get(what, name).await
    }

    /// An object that must be there.
    pub async fn must(&self, what: What, name: &str) -> Result<Json, TaskError> {
        self.get(what, name).await?.ok_or_else(|| {
            TaskError::failed(format!(
                "there is no {} \"{name}\" in namespace \"{}\"",
                what.noun(),
                self.about.namespace
            ))
        })
    }

    /// All objects of a kind.
    pub async fn all(&self, what: What) -> Result<Vec<Json>, TaskError> {
        self.ground.list(what, "").await
    }

    /// One patch of an object that was seen as `live`.
    pub async fn try_patch(&self, what: What, name: &str, live: &Json, patch: Patch) -> Result<Json, Refused> {
        let epoch = self.ground.epoch()?;
        // An object of a later epoch belongs to a later deploy: this one is a ghost, and must not write.
        let theirs = annotation(live, EPOCH).and_then(|text| text.parse::<u64>().ok());
        if theirs.is_some_and(|theirs| theirs > epoch) {
            return Err(Refused::Task(TaskError::ended(
                format!(
                    "{} \"{name}\" was written by a later deploy of \"{}\"; this one stops",
                    what.noun(),
                    self.about.app
                ),
                crate::event::Ending::Locked,
                crate::task::contract::TaskEnd::default(),
            )));
        }
        self.ground.patch(what, name, patch.annotate(live, EPOCH, Some(&epoch.to_string()))).await
    }

    /// Changes an object by a patch that `make` gives from what is live; made anew when another hand was quicker.
    pub async fn change<F>(&self, what: What, name: &str, make: F) -> Result<Option<Json>, TaskError>
    where
        F: Fn(&Json) -> Result<Patch, TaskError> + Send + Sync,
    {
        let mut last = String::new();
        for _ in 0..TRIES {
            let Some(live) = self.get(what, name).await? else { return Ok(None) };
            let patch = make(&live)?;
            if patch.is_empty() {
                return Ok(Some(live));
            }
            match self.try_patch(what, name, &live, patch).await {
                Ok(object) => return Ok(Some(object)),
                Err(Refused::Stale(why)) => last = why,
                Err(Refused::Task(error)) => return Err(error),
            }
        }
        Err(self.contended(what, name, &last))
    }

    /// The error when another hand is always quicker.
    pub fn contended(&self, what: What, name: &str, last: &str) -> TaskError {
        TaskError::failed(format!(
            "failed to change {} \"{name}\" in namespace \"{}\": another hand changed it {TRIES} times meanwhile ({last}); find out who, then run the deploy again",
            what.noun(),
            self.about.namespace
        ))
    }

    /// Applies an object as its owner.
    pub async fn apply(&self, object: &Json) -> Result<Json, TaskError> {
        self.ground.epoch()?;
        self.ground.apply(object).await
    }

    /// Sets a Deployment's size.
    pub async fn scale(&self, deployment: &str, replicas: u32) -> Result<(), TaskError> {
        self.ground.epoch()?;
        self.ground.scale(deployment, replicas).await
    }

    /// Deletes an object; done when there is none.
    pub async fn delete(&self, what: What, name: &str) -> Result<(), TaskError> {
        self.ground.epoch()?;
        self.ground.delete(what, name).await
    }

    /// Waits until a Deployment is out and available; its deadline is on record under `key`.
    pub async fn ready(&self, key: &str, deployment: &str) -> Result<(), Halt> {
        self.ground.ready(key, deployment).await
    }

    /// Runs the migration, once a release.
    pub async fn migrate(&self) -> Result<(), Halt> {
        self.ground.migrate().await
    }

    /// Runs the smoke checks on pods of this selector, once.
    pub async fn smoke(&self, key: &str, pods: &str) -> Result<(), Halt> {
        if self.ctx.recall(key).is_some_and(|known| known.observation.is_some()) {
            return Ok(());
        }
        self.ground.smoke(key, pods).await?;
        remember(self.ctx, key, || async { Ok(()) }).await.map_err(Halt::Task)
    }

    /// Waits until at least so many pods of a Deployment are available, or `ready` says that they will not be.
    pub async fn available(&self, deployment: &str, replicas: u32) -> Result<(), TaskError> {
        let until = super::drain::later(self.ctx.now(), AVAILABLE_WITHIN);
        while self.ctx.now() < until {
            let live = self.get(What::Deployment, deployment).await?;
            if live.is_some_and(|live| super::sides::available(&live) >= replicas) {
                return Ok(());
            }
            tokio::time::sleep(READ_EVERY).await;
        }
        Err(TaskError::failed(format!(
            "deployment \"{deployment}\" in namespace \"{}\" does not come to {replicas} available pods; look at its pods",
            self.about.namespace
        )))
    }

    /// Waits until a Deployment is out and available, also when the run is cancelled: for the way back.
    pub async fn out_again(&self, deployment: &str) -> Result<(), TaskError> {
        let until = super::drain::later(self.ctx.now(), AVAILABLE_WITHIN);
        while self.ctx.now() < until {
            if self.get(What::Deployment, deployment).await?.is_some_and(|live| super::sides::is_out(&live)) {
                return Ok(());
            }
            tokio::time::sleep(READ_EVERY).await;
        }
        Err(TaskError::failed(format!(
            "deployment \"{deployment}\" in namespace \"{}\" is not available; look at its pods",
            self.about.namespace
        )))
    }

    /// Waits until a Deployment that was taken down has no pod that gets requests.
    pub async fn gone(&self, deployment: &str) -> Result<(), TaskError> {
        let until = super::drain::later(self.ctx.now(), AVAILABLE_WITHIN);
        while self.ctx.now() < until {
            let live = self.get(What::Deployment, deployment).await?;
            let pods = |live: &Json| live.pointer("/status/replicas").and_then(Json::as_u64).unwrap_or(0);
            if live.is_none_or(|live| super::sides::replicas(&live) == 0 && pods(&live) == 0) {
                return Ok(());
            }
            tokio::time::sleep(READ_EVERY).await;
        }
        Err(TaskError::failed(format!(
            "pods of deployment \"{deployment}\" in namespace \"{}\" do not go away; look at their finalizers",
            self.about.namespace
        )))
    }

    /// Says that the deploy came to a phase.
    pub async fn phase(&self, phase: &str, text: &str, weight: Option<u32>) -> Result<(), TaskError> {
        self.ctx.log(&format!("{phase}: {text}")).await;
        self.ctx
            .report(TaskReport::Phase {
                app: self.about.app.clone(),
                environment: self.about.environment.clone(),
                phase: phase.to_owned(),
                text: text.to_owned(),
                weight,
            })
            .await
    }

    /// Says that the release is taken back.
    pub async fn rolling_back(&self, reason: &str) -> Result<(), TaskError> {
        self.ctx.log(&format!("rollback: {reason}")).await;
        self.ctx
            .report(TaskReport::RollingBack {
                app: self.about.app.clone(),
                environment: self.about.environment.clone(),
                reason: reason.to_owned(),
            })
            .await
    }

    /// Calls a person.
    pub async fn page(&self, severity: Severity, reason: &str) -> Result<(), TaskError> {
        self.ctx.log(&format!("paged ({severity:?}): {reason}")).await;
        self.ctx
            .report(TaskReport::Paged {
                app: self.about.app.clone(),
                environment: self.about.environment.clone(),
                severity: format!("{severity:?}"),
                reason: reason.to_owned(),
            })
            .await
    }
}
