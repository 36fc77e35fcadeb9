//! Taking a release back after its deploy is over: `slipway rollback`, and a `verify` that fails.
//!
//! How the application was deployed is read off the cluster, never off a journal: a canary that gets traffic goes; a side that
//! still stands beside the one that serves gets all traffic in one write; else the objects of the release before are applied
//! again, or, where no release is on record either, the templates before the present ones come back.

mod act;
mod find;
#[cfg(test)]
mod find_tests;
mod seen;
mod way;

use std::time::Duration;

use serde_json::json;

use super::hands::{About, Hands};
use super::lease::Lease;
use super::live::Live;
use super::objects::Objects;
use super::release::{self, Release, Status};
use super::render::Rendered;
use crate::client::kube::Cluster;
use crate::event::{Ending, TaskReport};
use crate::stage::Deploy;
use crate::stage::deploy::OnBusy;
use crate::task::contract::{TaskCtx, TaskEnd, TaskError, effect, remember};

pub use way::{CanaryLeft, Router, SwitchBack, Undo, Way};

/// What is to be taken back.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The namespace of the application's records.
    pub namespace: &'a str,
    /// The application.
    pub app: &'a str,
    /// The environment, where it is known.
    pub environment: Option<&'a str>,
    /// The release that is to serve; none: the one before.
    pub to: Option<u64>,
    /// Time for requests under way; none: the longer of 30 s and the pods' grace.
    pub drain: Option<Duration>,
    /// Why, for people.
    pub reason: &'a str,
}

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenBack {
    /// The release that served.
    pub from: Option<u64>,
    /// The release that serves now, where it is on record.
    pub to: Option<u64>,
    /// How it had been deployed: `rolling`, `blue-green` or `canary`.
    pub strategy: String,
}

/// Chooses the way back, without a write.
pub async fn find(ask: &Ask<'_>) -> Result<Way, TaskError> {
    let seen = seen::Seen::read(ask.cluster, ask.namespace, ask.app).await?;
    find::way(&seen, ask.to).map_err(|why| {
        TaskError::failed(format!("\"{}\" in namespace \"{}\" cannot be taken back: {why}", ask.app, ask.namespace))
    })
}

/// Takes the release back, under the application's lease. An error that is no [`TaskError::Gone`] means that what serves may
/// not be healthy: the caller calls a person.
pub async fn take_back(ask: &Ask<'_>, ctx: &dyn TaskCtx) -> Result<TakenBack, TaskError> {
    let identity = ctx.identity();
    let run = identity.run.as_ref().map(ToString::to_string).unwrap_or_default();
    let holder = match run.is_empty() {
        true => format!("rollback by {}", identity.actor),
        false => format!("run {run} stage {}", identity.stage),
    };
    let lease = Lease::take(ask.cluster, ask.namespace, ask.app, &holder, OnBusy::Refuse, ctx).await?;
    let (result, lease) = under_lease(ask, ctx, lease).await;
    if !matches!(result, Err(TaskError::Gone(_) | TaskError::Paused)) {
        lease.release().await;
    }
    result
}

async fn under_lease(ask: &Ask<'_>, ctx: &dyn TaskCtx, lease: Lease) -> (Result<TakenBack, TaskError>, Lease) {
    let way: Way = match remember(ctx, "way-back", || find(ask)).await {
        Ok(way) => way,
        Err(error) => return (Err(error), lease),
    };
    let releases = match release::list(ask.cluster, ask.namespace, ask.app).await {
        Ok(releases) => releases,
        Err(error) => return (Err(error.into()), lease),
    };
    let target = way.to.and_then(|number| releases.iter().find(|release| release.number == number));
    let rendered = target.map_or_else(Rendered::default, |target| Rendered {
        objects: target.objects.clone(),
        images: target.images.clone(),
        service: target.service.clone(),
        deployment: target.deployment.clone(),
        migrate: None,
    });
    let spec = Deploy { drain: ask.drain, progress_deadline: Duration::from_secs(300), ..Deploy::default() };
    let live = Live {
        cluster: ask.cluster.clone(),
        objects: Objects::new(ask.cluster.clone(), ask.namespace),
        ctx,
        spec: &spec,
        app: ask.app.to_owned(),
        namespace: ask.namespace.to_owned(),
        release: way.to.or(way.from).unwrap_or_default(),
        rendered,
        lease,
    };
    let environment = ask.environment.or(target.and_then(|one| one.environment.as_deref())).unwrap_or(ask.namespace);
    let about = About {
        app: ask.app.to_owned(),
        environment: environment.to_owned(),
        namespace: ask.namespace.to_owned(),
        service: live.rendered.service.clone().unwrap_or_default(),
        drain: ask.drain,
        ..About::default()
    };
    let hands = Hands { ground: &live, ctx, about: &about };
    let done = async {
        remember(ctx, "told", || hands.rolling_back(ask.reason)).await?;
        act::act(&live, &hands, &way, target).await?;
        let act = || async { put_on_record(ask, &way).await };
        effect(ctx, "record", json!({"from": way.from, "to": way.to}), act, || async { Ok(None) }).await?;
        ctx.report(report(&about, &way, &releases)).await
    };
    let result = match done.await {
        Ok(()) => Ok(TakenBack { from: way.from, to: way.to, strategy: way.strategy().to_owned() }),
        Err(error @ (TaskError::Gone(_) | TaskError::Paused | TaskError::Cancelled)) => Err(error),
        Err(error) => Err(stranded(ask, &error)),
    };
    (result, live.lease)
}

/// The way back failed on its way: a person must look.
fn stranded(ask: &Ask<'_>, error: &TaskError) -> TaskError {
    let text = format!(
        "taking \"{}\" in namespace \"{}\" back failed: {error}; look at what serves, then run `slipway rollback {}` again",
        ask.app, ask.namespace, ask.app
    );
    let ending = match error {
        TaskError::Failed { ending: Some(ending), .. } => *ending,
        _ => Ending::Unhealthy,
    };
    TaskError::ended(text, ending, TaskEnd::default())
}

fn report(about: &About, way: &Way, releases: &[Release]) -> TaskReport {
    let named = |number: Option<u64>| {
        let known = releases.iter().find(|release| Some(release.number) == number);
        let images = known.map(|release| release.images.iter().map(|(_, image)| image.clone()).collect::<Vec<_>>());
        images.map_or_else(
            || number.map(|number| format!("release {number}")).unwrap_or_default(),
            |list| list.join(", "),
        )
    };
    TaskReport::RolledBack {
        app: about.app.clone(),
        environment: about.environment.clone(),
        from: named(way.from),
        to: named(way.to),
        healthy: true,
    }
}

/// Releases after the one that serves again were taken back.
async fn put_on_record(ask: &Ask<'_>, way: &Way) -> Result<(), TaskError> {
    let Some(to) = way.to else { return Ok(()) };
    let releases = release::list(ask.cluster, ask.namespace, ask.app).await?;
    for mut one in releases {
        let status = match one.number {
            number if number == to => Status::Deployed,
            number if number > to => Status::RolledBack,
            _ => continue,
        };
        if one.status != status {
            one.status = status;
            release::save(ask.cluster, &one).await?;
        }
    }
    Ok(())
}
