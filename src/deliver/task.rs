//! `deploy`, from the settings to what is left for later stages.

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::hands::{About, Hands};
use super::live::Live;
use super::outcome::Outcome;
use super::release::{self, Release, Status};
use super::render::{Rendered, render};
use super::{blue_green, canary, lease::Lease, preflight, rolling, standby};
use crate::client::kube::{Cluster, DEPLOYMENT, SERVICE};
use crate::event::{Ending, TaskReport};
use crate::stage::deploy::{OnFail, StrategyName, SwitchBy, Traffic};
use crate::stage::{Deploy, Deployed, Severity, TaskKind, Typed};
use crate::task::contract::{Preview, Surroundings, Task, TaskCtx, TaskEnd, TaskError, TaskSpec, effect, remember};

/// Does `deploy`.
#[derive(Debug, Default, Clone, Copy)]
pub struct DeployTask;

/// What a deploy is of and where it goes.
pub(super) struct Goal<'s> {
    pub(super) spec: &'s Deploy,
    pub(super) app: String,
    pub(super) environment: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) built: Vec<String>,
}

/// From a specification.
pub(super) fn goal<'s>(spec: &'s TaskSpec, around: &dyn Surroundings) -> Result<Goal<'s>, TaskError> {
    let Typed::Deploy(deploy) = &spec.typed else {
        return Err(TaskError::failed("this is no deploy"));
    };
    let environment = spec.environment.as_ref();
    if around.identity().untrusted {
        return Err(TaskError::failed("outsiders can have written this run: it deploys nothing"));
    }
    let built =
        spec.left_by(TaskKind::Build).filter_map(|left| left.facts["ref"].as_str().map(str::to_owned)).collect();
    Ok(Goal {
        spec: deploy,
        app: deploy.app.clone().unwrap_or_else(|| around.identity().stage.clone()),
        environment: environment.map(|environment| environment.name.clone()),
        namespace: deploy
            .namespace
            .clone()
            .or_else(|| environment.and_then(|environment| environment.namespace.clone())),
        built,
    })
}

impl Goal<'_> {
    /// The release's objects, and the namespace of its lease and records.
    pub(super) fn rendered(&self, around: &dyn Surroundings) -> Result<(Rendered, String), TaskError> {
        let rendered = render(around, self.spec, &self.app, self.namespace.as_deref(), &self.built)?;
        let said = |object: &Json| object["metadata"]["namespace"].as_str().map(str::to_owned);
        let namespace = self.namespace.clone().or_else(|| rendered.objects.iter().find_map(said));
        Ok((rendered, namespace.unwrap_or_else(|| "default".to_owned())))
    }
}

/// Connects to the cluster of a specification.
pub(super) async fn connect(spec: &TaskSpec) -> Result<Cluster, TaskError> {
    let cluster = spec.environment.as_ref().map(|environment| environment.cluster.clone()).unwrap_or_default();
    Cluster::connect(&cluster).await.map_err(TaskError::from)
}

#[async_trait]
impl Task for DeployTask {
    async fn preview(&self, spec: &TaskSpec, around: &dyn Surroundings) -> Result<Preview, TaskError> {
        super::preview::of_deploy(spec, around).await
    }

    async fn run(&self, spec: &TaskSpec, ctx: &dyn TaskCtx) -> Result<TaskEnd, TaskError> {
        let goal = goal(spec, ctx)?;
        let (rendered, namespace) = goal.rendered(ctx)?;
        let cluster = connect(spec).await?;
        ctx.log(&format!("\"{}\" goes to namespace \"{namespace}\" of {}", goal.app, cluster.target())).await;
        let holder = format!(
            "run {} stage {}",
            ctx.identity().run.as_ref().map(ToString::to_string).unwrap_or_default(),
            ctx.identity().stage
        );
        preflight::namespace(&cluster, &namespace, &rendered).await?;
        let lease = Lease::take(&cluster, &namespace, &goal.app, &holder, goal.spec.on_busy, ctx).await?;
        let result = under_lease(&goal, spec, ctx, cluster, namespace, rendered, lease).await;
        match result {
            Ok((end, lease)) => {
                lease.release().await;
                end
            }
            Err(error) => Err(error),
        }
    }
}

type Ended = Result<(Result<TaskEnd, TaskError>, Lease), TaskError>;

async fn under_lease(
    goal: &Goal<'_>,
    spec: &TaskSpec,
    ctx: &dyn TaskCtx,
    cluster: Cluster,
    namespace: String,
    rendered: Rendered,
    lease: Lease,
) -> Ended {
    let (app, deploy) = (&goal.app, goal.spec);
    let before = release::list(&cluster, &namespace, app).await?;
    let begun: (u64, Option<u64>) = remember(ctx, "number", || async {
        let last = before.last().map_or(0, |release| release.number);
        Ok((last + 1, release::serving(&before).map(|release| release.number)))
    })
    .await?;
    let (number, previous) = begun;
    let previous = previous.and_then(|number| before.iter().find(|release| release.number == number)).cloned();
    let live = Live {
        objects: super::objects::Objects::new(cluster.clone(), &namespace),
        cluster,
        ctx,
        spec: deploy,
        app: app.clone(),
        namespace: namespace.clone(),
        release: number,
        rendered,
        lease,
    };
    let about = About {
        app: app.clone(),
        environment: goal.environment.clone().unwrap_or_else(|| namespace.clone()),
        namespace: namespace.clone(),
        service: live.rendered.service.clone().unwrap_or_default(),
        settle: deploy.settle,
        drain: deploy.drain,
        watch: deploy.watch,
        max_gap: deploy.analysis.max_gap,
        on_drift: deploy.on_drift,
        pages: !goes_back(deploy),
        incident: spec.incident.clone(),
    };
    let hands = Hands { ground: &live, ctx, about: &about };
    let first: bool = remember(ctx, "first", || async { Ok(!serves(&live).await?) }).await?;
    let strategy = if first { StrategyName::Rolling } else { deploy.strategy };
    let named = if first { "first" } else { strategy.word() };
    // What the last release left standing by has had its time, or this release takes its place.
    if ctx.recall("preflight").is_none() {
        standby::sweep(&live, ctx.now(), app).await?;
    }
    let checked = effect(ctx, "preflight", Json::Null, || preflight::run(&live, strategy), || async { Ok(None) }).await;
    if let Err(error) = checked {
        return Ok((Err(error), live.lease));
    }
    hands.phase("begin", &format!("release {number} of \"{app}\", {named}"), None).await?;
    let outcome = match strategy {
        StrategyName::Rolling => rolling::run(&live, &hands, previous.as_ref()).await,
        StrategyName::BlueGreen | StrategyName::Canary => beside(&live, &hands, strategy, previous.as_ref()).await,
    };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error @ (TaskError::Gone(_) | TaskError::Paused)) => return Err(error),
        Err(error) => return Ok((Err(error), live.lease)),
    };
    let ended = ended(goal, &live, &hands, named, previous.as_ref(), outcome).await;
    match ended {
        Err(error @ (TaskError::Gone(_) | TaskError::Paused)) => Err(error),
        ended => Ok((ended, live.lease)),
    }
}

/// Whether a version of the application serves already.
async fn serves(live: &Live<'_>) -> Result<bool, TaskError> {
    let Some(name) = &live.rendered.service else {
        let all = live
            .rendered
            .objects
            .iter()
            .filter_map(|object| Some((super::live::workload(object)?, super::sides::name(object))));
        for (kind, name) in all {
            if live.cluster.find(&kind, &live.namespace, name).await?.is_some() {
                return Ok(true);
            }
        }
        return Ok(false);
    };
    let Some(service) = live.cluster.find(&SERVICE, &live.namespace, name).await? else {
        return Ok(false);
    };
    let selector = super::traffic::service::selector(&service);
    let track = selector.get(super::traffic::service::TRACK).and_then(Json::as_str).unwrap_or_default().to_owned();
    let deployments = live.cluster.list(&DEPLOYMENT, &live.namespace, "").await?;
    Ok(super::sides::deployment_of(&service, &track, &deployments).is_some())
}

/// A colour or a canary: all else is rolled out before, and goes back with it.
async fn beside(
    live: &Live<'_>,
    hands: &Hands<'_>,
    strategy: StrategyName,
    previous: Option<&Release>,
) -> Result<Outcome, TaskError> {
    use super::halt::{Halt, Reason};
    let rest = live.rendered.rest();
    let outcome = match rolling::apply_all(live, hands, "rest-", &rest, false).await {
        Ok(()) => match (strategy, &live.spec.blue_green, &live.spec.canary) {
            (StrategyName::BlueGreen, Some(settings), _) => blue_green::run(*hands, settings).await?,
            (_, _, Some(settings)) => canary::run(*hands, settings).await?,
            _ => return Err(TaskError::failed("the strategy has no settings")),
        },
        Err(Halt::Back(reason)) => Outcome::Back(reason),
        Err(Halt::Stranded(reason)) => Outcome::Stranded(reason),
        Err(Halt::Task(TaskError::Failed { message, ending: None, .. })) => Outcome::Back(Reason::new(message)),
        Err(Halt::Task(error)) => return Err(error),
    };
    if let (Outcome::Back(reason), Some(previous)) = (&outcome, previous)
        && let Err(halt) = rolling::restore_rest(live, hands, previous).await
    {
        if let Halt::Task(error @ (TaskError::Gone(_) | TaskError::Paused)) = halt {
            return Err(error);
        }
        let text = format!("{}; and what is beside it did not come back", reason.text);
        return Ok(Outcome::Stranded(Reason { text, ..reason.clone() }));
    }
    Ok(outcome)
}

/// Puts the release on record and says how it ended.
async fn ended(
    goal: &Goal<'_>,
    live: &Live<'_>,
    hands: &Hands<'_>,
    named: &str,
    previous: Option<&Release>,
    outcome: Outcome,
) -> Result<TaskEnd, TaskError> {
    let ctx = live.ctx;
    let status = match outcome {
        Outcome::Deployed => Status::Deployed,
        Outcome::Back(_) => Status::RolledBack,
        Outcome::Rests { .. } | Outcome::Stranded(_) => Status::Failed,
    };
    let record = Release {
        number: live.release,
        app: live.app.clone(),
        namespace: live.namespace.clone(),
        environment: goal.environment.clone(),
        strategy: named.to_owned(),
        status,
        images: live.rendered.images.clone(),
        commit: ctx.identity().commit.clone(),
        run: ctx.identity().run.as_ref().map(ToString::to_string).unwrap_or_default(),
        at: ctx.now(),
        service: live.rendered.service.clone(),
        deployment: live.rendered.deployment.clone(),
        router: router(live.spec),
        objects: live.rendered.objects.clone(),
    };
    let act = || async { release::save(&live.cluster, &record).await.map_err(TaskError::from) };
    effect(ctx, "record", json!({"release": live.release, "status": status}), act, || async { Ok(None) }).await?;
    let images = |list: &[(String, String)]| list.iter().map(|(_, image)| image.clone()).collect::<Vec<_>>().join(", ");
    let (new, old) = (images(&live.rendered.images), previous.map(|one| images(&one.images)).unwrap_or_default());
    let environment = hands.about.environment.clone();
    let result = match &outcome {
        Outcome::Deployed => "deployed",
        Outcome::Back(_) => "rolled-back",
        Outcome::Rests { .. } | Outcome::Stranded(_) => "paged",
    };
    let end = end_of(goal, live, named, previous, result);
    match outcome {
        Outcome::Deployed => {
            hands.phase("done", &format!("release {} of \"{}\" serves", live.release, live.app), Some(100)).await?;
            Ok(end)
        }
        Outcome::Back(reason) => {
            let report =
                TaskReport::RolledBack { app: live.app.clone(), environment, from: new, to: old, healthy: true };
            ctx.report(report).await?;
            if reason.cancelled {
                return Err(TaskError::Cancelled);
            }
            let message = format!("release {} of \"{}\" was taken back: {}", live.release, live.app, reason.text);
            Err(TaskError::ended(message, Ending::RolledBack, end))
        }
        Outcome::Rests { reason, weight } => {
            let text =
                format!("{}; traffic rests at {weight} %: `slipway rollback {}` takes it back", reason.text, live.app);
            hands.page(Severity::P0, &text).await?;
            Err(TaskError::ended(text, Ending::Unhealthy, end))
        }
        Outcome::Stranded(reason) => {
            hands.page(Severity::P0, &reason.text).await?;
            let message = format!("release {} of \"{}\": {}; a person must look", live.release, live.app, reason.text);
            Err(TaskError::ended(message, Ending::Unhealthy, end))
        }
    }
}

/// The object by which traffic moves.
pub(super) fn router(spec: &Deploy) -> Option<(String, String)> {
    let named = |kind: &str, name: &str| Some((kind.to_owned(), name.to_owned()));
    match (spec.strategy, &spec.blue_green, &spec.canary) {
        (StrategyName::BlueGreen, Some(settings), _) => match &settings.by {
            SwitchBy::Service(name) => named("Service", name),
            SwitchBy::Ingress(name) => named("Ingress", name),
            SwitchBy::Route(name) => named("HTTPRoute", name),
        },
        (StrategyName::Canary, _, Some(settings)) => match &settings.traffic {
            Traffic::None => None,
            Traffic::Nginx { ingress, .. } => named("Ingress", ingress),
            Traffic::Gateway { route, .. } => named("HTTPRoute", route),
            Traffic::Istio { virtual_service, .. } => named("VirtualService", virtual_service),
        },
        _ => None,
    }
}

fn end_of(goal: &Goal<'_>, live: &Live<'_>, named: &str, previous: Option<&Release>, result: &str) -> TaskEnd {
    let digest = |list: &[(String, String)]| {
        list.iter()
            .find_map(|(_, image)| image.split_once('@').map(|(_, digest)| digest.to_owned()))
            .unwrap_or_default()
    };
    let deployed = Deployed {
        app: live.app.clone(),
        environment: goal.environment.clone(),
        namespace: live.namespace.clone(),
        strategy: named.to_owned(),
        release: live.release,
        previous: previous.map(|one| one.number),
        images: live.rendered.images.clone(),
        result: result.to_owned(),
    };
    let output = |name: &str, value: String| (name.to_owned(), value);
    TaskEnd {
        outputs: vec![
            output("app", live.app.clone()),
            output("strategy", named.to_owned()),
            output("digest", digest(&live.rendered.images)),
            output("previous", previous.map(|one| digest(&one.images)).unwrap_or_default()),
            output("result", result.to_owned()),
        ],
        facts: serde_json::to_value(deployed).unwrap_or_default(),
    }
}

/// Whether a failed deploy goes back by itself.
pub(super) fn goes_back(spec: &Deploy) -> bool {
    spec.on_fail != OnFail::Page
}
