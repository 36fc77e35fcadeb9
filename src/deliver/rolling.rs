//! Rolling: the new version takes the place of the old one, pods a few at a time. The same way goes whatever is rolled out
//! before a colour or a canary, and the first release of an application.

use serde_json::{Value as Json, json};

use super::ground::{Ground, Tracks};
use super::halt::{Halt, Reason};
use super::hands::Hands;
use super::live::{Live, workload};
use super::orders::Orders;
use super::outcome::Outcome;
use super::release::Release;
use super::watch::{Watch, watch};
use super::{sides, traffic::service};
use crate::client::kube::{DEPLOYMENT, SERVICE};
use crate::task::contract::{TaskError, effect, remember};

/// Kinds that others need before they come.
const FIRST: &[&str] = &[
    "Namespace",
    "CustomResourceDefinition",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "Service",
];

/// Rolls everything out.
pub async fn run(live: &Live<'_>, hands: &Hands<'_>, previous: Option<&Release>) -> Result<Outcome, TaskError> {
    let track: String = remember(live.ctx, "track", || async { serving_track(live).await }).await?;
    let mut objects = live.rendered.rest();
    objects.extend(live.rendered.side(&track));
    if track != service::UNTRACKED
        && let Some(base) = live.rendered.service.as_ref()
    {
        // The Service that leads to the colour is beside the colour's own.
        let own = |object: &&Json| object["kind"] == "Service" && object["metadata"]["name"] == base.as_str();
        objects.extend(live.rendered.objects.iter().find(own).cloned());
    }
    if let Some(known) = live.ctx.recall("back") {
        let reason = serde_json::from_value(known.intent).unwrap_or_default();
        return back(live, hands, previous, reason).await;
    }
    match forward(live, hands, &objects).await {
        Ok(()) => Ok(Outcome::Deployed),
        Err(Halt::Back(reason)) => back(live, hands, previous, reason).await,
        Err(Halt::Stranded(reason)) => Ok(Outcome::Stranded(reason)),
        Err(Halt::Task(TaskError::Failed { message, ending: None, .. })) => {
            back(live, hands, previous, Reason::new(message)).await
        }
        Err(Halt::Task(error)) => Err(error),
    }
}

/// The track of what serves now: a colour where an earlier release was blue-green.
async fn serving_track(live: &Live<'_>) -> Result<String, TaskError> {
    let Some(name) = &live.rendered.service else { return Ok(String::new()) };
    let service = live.cluster.find(&SERVICE, &live.namespace, name).await?;
    let track = service.as_ref().and_then(|one| service::selector(one).get(service::TRACK).cloned());
    Ok(track.and_then(|track| track.as_str().map(str::to_owned)).unwrap_or_default())
}

async fn forward(live: &Live<'_>, hands: &Hands<'_>, objects: &[Json]) -> Result<(), Halt> {
    apply_all(live, hands, "", objects, true).await?;
    let spec = live.spec;
    let main = objects.iter().find(|object| object["kind"] == "Deployment" && is_main(live, object));
    let Some(main) = main.or_else(|| objects.iter().find(|object| workload(object).is_some())) else { return Ok(()) };
    if live.ctx.recall("watched").is_some() {
        return Ok(());
    }
    let tracks = Tracks { new: newest(live, main).await?, old: None };
    if !spec.smoke.is_empty() {
        hands.smoke("smoke", &tracks.new).await?;
    }
    // A first release serves nobody before it is healthy: there are no requests to judge it by.
    let first = live.ctx.recall("first").and_then(|known| known.observation) == Some(Json::Bool(true));
    if !spec.watch.is_zero() && !first {
        let what = Watch {
            key: "roll",
            tracks,
            settle: std::time::Duration::ZERO,
            watch: spec.watch,
            pause: false,
            what: "the new version".to_owned(),
            weight: None,
        };
        watch(hands, &Orders::new(live.ctx), what).await?;
    }
    remember(live.ctx, "watched", || async { Ok(()) }).await?;
    Ok(())
}

fn is_main(live: &Live<'_>, object: &Json) -> bool {
    let name = sides::name(object);
    live.rendered.deployment.as_deref().is_some_and(|main| name == main || name.starts_with(&format!("{main}-")))
}

/// A selector of the newest pods of a workload.
async fn newest(live: &Live<'_>, object: &Json) -> Result<String, TaskError> {
    let selector = sides::pod_selector(object);
    if object["kind"] != "Deployment" {
        return Ok(selector);
    }
    let now = live.cluster.get(&DEPLOYMENT, &live.namespace, sides::name(object)).await?;
    let sets = live.cluster.list(&crate::client::kube::REPLICA_SET, &live.namespace, &selector).await?;
    Ok(match sides::template_hash(&now, &sets) {
        Some(hash) => format!("{selector},{}={hash}", service::TEMPLATE_HASH),
        None => selector,
    })
}

/// Applies objects in an order in which each finds what it needs, runs the migration before the first workload, and waits for
/// every workload. `way` tells the way forward from the way back on record.
pub async fn apply_all(
    live: &Live<'_>,
    hands: &Hands<'_>,
    way: &str,
    objects: &[Json],
    migrates: bool,
) -> Result<(), Halt> {
    let is_first = |object: &&Json| FIRST.contains(&object["kind"].as_str().unwrap_or_default());
    let first: Vec<&Json> = objects.iter().filter(is_first).collect();
    let workloads: Vec<&Json> = objects.iter().filter(|object| workload(object).is_some()).collect();
    let others: Vec<&Json> = objects.iter().filter(|object| !is_first(object) && workload(object).is_none()).collect();
    group(live, hands, &format!("{way}apply-first"), &first).await?;
    if migrates {
        live.migrate().await?;
    }
    group(live, hands, &format!("{way}apply-workloads"), &workloads).await?;
    group(live, hands, &format!("{way}apply-others"), &others).await?;
    for object in workloads {
        let Some(kind) = workload(object) else { continue };
        live.out(&format!("{way}{}", sides::name(object)), &kind, sides::name(object)).await?;
    }
    Ok(())
}

async fn group(live: &Live<'_>, hands: &Hands<'_>, key: &str, objects: &[&Json]) -> Result<(), Halt> {
    if objects.is_empty() {
        return Ok(());
    }
    live.stopped()?;
    let names: Vec<String> = objects
        .iter()
        .map(|object| format!("{}/{}", object["kind"].as_str().unwrap_or_default(), sides::name(object)))
        .collect();
    let act = || async {
        hands.phase("apply", &names.join(", "), None).await?;
        for object in objects {
            live.apply(&prepared(live, object).await?).await?;
        }
        Ok(())
    };
    effect(live.ctx, key, json!({"apply": names}), act, || async { Ok(None) }).await?;
    Ok(())
}

/// The object as it is applied: traffic where it is, and its size left to an autoscaler.
async fn prepared(live: &Live<'_>, object: &Json) -> Result<Json, TaskError> {
    let mut object = live.routed_as_live(object).await?;
    let rolling = &live.spec.rolling;
    if object["kind"] == "Deployment" {
        for (key, value) in [("maxSurge", &rolling.max_surge), ("maxUnavailable", &rolling.max_unavailable)] {
            if let Some(value) = value {
                let number = value.parse::<u64>().map_or_else(|_| Json::from(value.as_str()), Json::from);
                object["spec"]["strategy"]["rollingUpdate"][key] = number;
            }
        }
    }
    if workload(&object).is_some()
        && live.rendered.is_autoscaled(&untracked(live, &object))
        && let Some(spec) = object["spec"].as_object_mut()
    {
        spec.shift_remove("replicas");
    }
    Ok(object)
}

/// A side's Deployment as its manifest is called.
fn untracked(live: &Live<'_>, object: &Json) -> Json {
    let mut object = object.clone();
    if let (true, Some(name)) = (is_main(live, &object), &live.rendered.deployment) {
        object["metadata"]["name"] = Json::from(name.as_str());
    }
    object
}

/// Puts what was there before in its place: the release before, as it is on record.
async fn back(
    live: &Live<'_>,
    hands: &Hands<'_>,
    previous: Option<&Release>,
    reason: Reason,
) -> Result<Outcome, TaskError> {
    let intent = serde_json::to_value(&reason).unwrap_or_default();
    effect(live.ctx, "back", intent, || hands.rolling_back(&reason.text), || async { Ok(None) }).await?;
    let Some(previous) = previous else {
        let text = format!("{}; there is no release before this one to go back to", reason.text);
        return Ok(Outcome::Stranded(Reason { text, ..reason }));
    };
    match restore(live, hands, previous).await {
        Ok(()) => Ok(Outcome::Back(reason)),
        Err(Halt::Task(error @ (TaskError::Gone(_) | TaskError::Paused))) => Err(error),
        Err(Halt::Back(worse) | Halt::Stranded(worse)) => {
            let text = format!("{}; and the release before did not come back: {}", reason.text, worse.text);
            Ok(Outcome::Stranded(Reason { text, ..reason }))
        }
        Err(Halt::Task(error)) => {
            let text = format!("{}; and the release before did not come back: {error}", reason.text);
            Ok(Outcome::Stranded(Reason { text, ..reason }))
        }
    }
}

/// Applies the objects of an earlier release again, sides as they are named now, and waits for them.
pub async fn restore(live: &Live<'_>, hands: &Hands<'_>, previous: &Release) -> Result<(), Halt> {
    let track = serving_track(live).await?;
    let old = super::render::Rendered {
        objects: previous.objects.clone(),
        images: previous.images.clone(),
        service: previous.service.clone(),
        deployment: previous.deployment.clone(),
        migrate: None,
    };
    let mut objects = old.rest();
    objects.extend(old.side(&track));
    // What the new release brought and the old one had not stays: nothing leads to it.
    let is_first = |object: &&Json| FIRST.contains(&object["kind"].as_str().unwrap_or_default());
    let (first, rest): (Vec<&Json>, Vec<&Json>) = objects.iter().partition(|object| is_first(object));
    for (key, part) in [("back-first", first), ("back-rest", rest)] {
        let act = || async {
            for object in &part {
                live.apply(&prepared(live, object).await?).await?;
            }
            Ok(())
        };
        effect(live.ctx, key, json!({"release": previous.number}), act, || async { Ok(None) }).await?;
    }
    hands.phase("rollback", &format!("release {} is applied again", previous.number), None).await?;
    for object in objects.iter().filter(|object| workload(object).is_some()) {
        let Some(kind) = workload(object) else { continue };
        wait_back(live, &kind, sides::name(object)).await?;
    }
    Ok(())
}

/// What stands beside a colour or a canary goes back with it.
pub async fn restore_rest(live: &Live<'_>, hands: &Hands<'_>, previous: &Release) -> Result<(), Halt> {
    let old = super::render::Rendered {
        objects: previous.objects.clone(),
        service: live.rendered.service.clone(),
        deployment: live.rendered.deployment.clone(),
        ..super::render::Rendered::default()
    };
    let rest = old.rest();
    let act = || async {
        for object in &rest {
            live.apply(&prepared(live, object).await?).await?;
        }
        Ok(())
    };
    effect(live.ctx, "back-rest-of-it", json!({"release": previous.number}), act, || async { Ok(None) }).await?;
    for object in &rest {
        let Some(kind) = workload(object) else { continue };
        wait_back(live, &kind, sides::name(object)).await?;
    }
    hands
        .phase("rollback", &format!("what is beside \"{}\" is as in release {}", live.app, previous.number), None)
        .await?;
    Ok(())
}

/// Waits for a workload on the way back: a cancelled run still puts things right.
pub(super) async fn wait_back(live: &Live<'_>, kind: &crate::client::kube::Kind, name: &str) -> Result<(), Halt> {
    let until = super::drain::later(live.ctx.now(), live.spec.progress_deadline);
    loop {
        let now = live.cluster.get(kind, &live.namespace, name).await?;
        if super::live::is_out(&now) {
            return Ok(());
        }
        if live.ctx.now() >= until {
            return Err(Halt::Stranded(Reason::new(format!("{} is not available again", kind.named(name)))));
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
}
