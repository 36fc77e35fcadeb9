//! `verify`: whether what was deployed works and stays so, and what happens when it does not.

mod app;
mod gates;
mod preview;

use async_trait::async_trait;

use super::checks::{self, Bad, Target};
use super::drain::later;
use super::halt::Reason;
use super::orders::Orders;
use super::rollback;
use super::task::connect;
use crate::client::kube::Cluster;
use crate::clock::Timestamp;
use crate::deliver::keyed::Keyed;
use crate::event::{Ending, TaskReport};
use crate::stage::verify::VerifyOnFail;
use crate::stage::{Severity, Typed, Verify};
use crate::task::contract::{Preview, Surroundings, Task, TaskCtx, TaskEnd, TaskError, TaskSpec, remember};

use app::App;
use gates::Gates;

/// Does `verify`.
#[derive(Debug, Default, Clone, Copy)]
pub struct VerifyTask;

/// Why a verification stops before its time.
#[derive(Debug)]
enum Why {
    /// Something is bad.
    Bad(Reason),
    /// Somebody said that it is good enough.
    Promoted(String),
    /// The task cannot go on.
    Task(TaskError),
}

impl From<TaskError> for Why {
    fn from(error: TaskError) -> Self {
        Why::Task(error)
    }
}

impl From<Bad> for Why {
    fn from(bad: Bad) -> Self {
        match bad {
            Bad::Check(why) => Why::Bad(Reason::new(why)),
            Bad::Task(error) => Why::Task(error),
        }
    }
}

#[async_trait]
impl Task for VerifyTask {
    async fn preview(&self, spec: &TaskSpec, _around: &dyn Surroundings) -> Result<Preview, TaskError> {
        Ok(preview::of_verify(spec, of(spec)?))
    }

    async fn run(&self, spec: &TaskSpec, ctx: &dyn TaskCtx) -> Result<TaskEnd, TaskError> {
        let verify = of(spec)?;
        if ctx.identity().untrusted {
            return Err(TaskError::failed("outsiders can have written this run: it does not reach into clusters"));
        }
        let cluster = connect(spec).await?;
        let apps = app::find(&cluster, spec, verify).await?;
        for app in &apps {
            let names: Vec<&str> = app.workloads.iter().map(|workload| workload.name.as_str()).collect();
            let text = format!("\"{}\": {} in namespace \"{}\"", app.name, names.join(", "), app.namespace);
            ctx.log(&format!("verify {text} of {}", cluster.target())).await;
        }
        // What was decided before a crash stands.
        let known = ctx.recall(BAD).and_then(|known| known.observation);
        let bad: Option<Reason> = match known.map(serde_json::from_value) {
            Some(Ok(reason)) => Some(reason),
            _ => match verified(&cluster, spec, verify, &apps, ctx).await {
                Ok(()) => None,
                Err(Why::Promoted(by)) => {
                    ctx.log(&format!("{by} said that it is good")).await;
                    None
                }
                Err(Why::Bad(reason)) => Some(remember(ctx, BAD, || async { Ok(reason) }).await?),
                Err(Why::Task(error)) => return Err(error),
            },
        };
        match bad {
            None => Ok(TaskEnd::default()),
            Some(reason) => Err(act(&cluster, verify, &apps, ctx, &reason).await?),
        }
    }
}

/// The record of what was bad.
const BAD: &str = "bad";

fn of(spec: &TaskSpec) -> Result<&Verify, TaskError> {
    match &spec.typed {
        Typed::Verify(verify) => Ok(verify),
        _ => Err(TaskError::failed("this is no verification")),
    }
}

/// Waits until all is good, and that it stays so.
async fn verified(
    cluster: &Cluster,
    spec: &TaskSpec,
    verify: &Verify,
    apps: &[App],
    ctx: &dyn TaskCtx,
) -> Result<(), Why> {
    let target = target(cluster, spec, apps, ctx);
    let until: Timestamp = remember(ctx, "until", || async { Ok(later(ctx.now(), verify.timeout)) }).await?;
    let mut gates = Gates::begin(cluster, verify.analysis.as_ref(), apps, ctx).await?;
    let all = async {
        let orders = Orders::new(ctx);
        let good = checks::become_good(&target, &verify.checks, until);
        tokio::select! {
            good = good => good?,
            why = gates::aborted(&orders, ctx) => return Err(why),
        }
        let watch_until: Timestamp = remember(ctx, "watch-until", || async {
            if !verify.watch.is_zero() {
                ctx.log(&format!("all is good; it is watched for {}", crate::clock::humanize(verify.watch))).await;
            }
            Ok(later(ctx.now(), verify.watch))
        })
        .await?;
        // Gates without a time to watch have the time to become true.
        let (gates_until, early) = if verify.watch.is_zero() { (until, true) } else { (watch_until, false) };
        let stays = async { checks::stay_good(&target, &verify.checks, watch_until).await.map_err(Why::from) };
        tokio::try_join!(stays, gates.hold(&orders, spec, ctx, gates_until, early)).map(|_| ())
    };
    tokio::select! {
        biased;
        () = ctx.cancelled() => Err(Why::Task(TaskError::Cancelled)),
        result = all => result,
    }
}

fn target<'t>(cluster: &'t Cluster, spec: &TaskSpec, apps: &[App], ctx: &'t dyn TaskCtx) -> Target<'t> {
    // Where nothing says a URL, the pods of what was deployed last are asked.
    let last = apps.last();
    let release = last.and_then(|app| app.release);
    let run = ctx.identity().run.as_ref().map(|run| run.to_string().to_ascii_lowercase()).unwrap_or_default();
    let suffix = match release {
        // A stage that verifies the same release again in another run checks it anew.
        Some(release) if run.is_empty() => format!("verify-{release}"),
        _ => run.chars().filter(char::is_ascii_alphanumeric).collect(),
    };
    Target {
        cluster,
        ctx,
        namespace: last.map(|app| app.namespace.clone()).unwrap_or_default(),
        url: spec.environment.as_ref().and_then(|environment| environment.url.clone()),
        pods: last.map(|app| app.pods.clone()).unwrap_or_default(),
        workloads: apps.iter().flat_map(|app| app.workloads.clone()).collect(),
        key: "verify".to_owned(),
        suffix,
    }
}

/// Does what `on-fail` says; the error that the stage ends with.
async fn act(
    cluster: &Cluster,
    verify: &Verify,
    apps: &[App],
    ctx: &dyn TaskCtx,
    reason: &Reason,
) -> Result<TaskError, TaskError> {
    let names: Vec<&str> = apps.iter().map(|app| app.name.as_str()).collect();
    let message = format!("verification of {} failed: {}", names.join(", "), reason.text);
    let ours: Vec<&App> = apps.iter().filter(|app| app.is_ours).collect();
    match verify.on_fail {
        VerifyOnFail::Fail => Ok(TaskError::failed(message)),
        VerifyOnFail::Rollback if !ours.is_empty() => {
            for app in ours.iter().rev() {
                if let Err(error) = back(cluster, app, ctx, &message).await {
                    if matches!(error, TaskError::Gone(_) | TaskError::Paused) {
                        return Err(error);
                    }
                    let text = format!("{message}; \"{}\" could not be taken back: {error}", app.name);
                    page(ctx, app, Severity::P0, &text).await?;
                    return Ok(TaskError::ended(text, Ending::Unhealthy, TaskEnd::default()));
                }
            }
            let text = format!("{message}; what was deployed before serves again");
            Ok(TaskError::ended(text, Ending::RolledBack, TaskEnd::default()))
        }
        VerifyOnFail::Rollback | VerifyOnFail::Page => {
            for app in apps {
                page(ctx, app, Severity::P0, &message).await?;
            }
            let text = format!("{message}; `slipway rollback {}` takes it back", names.last().unwrap_or(&"APP"));
            Ok(TaskError::ended(text, Ending::Unhealthy, TaskEnd::default()))
        }
    }
}

/// Takes an application back to the release before. The way is chosen once: after a crash the same one is gone on with.
async fn back(cluster: &Cluster, app: &App, ctx: &dyn TaskCtx, reason: &str) -> Result<(), TaskError> {
    let ask = rollback::Ask {
        cluster,
        namespace: &app.namespace,
        app: &app.name,
        environment: Some(&app.environment),
        to: None,
        drain: None,
        reason,
    };
    let keyed = Keyed::new(ctx, format!("back-{}-", app.name));
    rollback::take_back(&ask, &keyed).await.map(|_| ())
}

/// Calls a person.
async fn page(ctx: &dyn TaskCtx, app: &App, severity: Severity, reason: &str) -> Result<(), TaskError> {
    ctx.log(&format!("paged ({severity:?}): {reason}")).await;
    ctx.report(TaskReport::Paged {
        app: app.name.clone(),
        environment: app.environment.clone(),
        severity: format!("{severity:?}"),
        reason: reason.to_owned(),
    })
    .await
}
