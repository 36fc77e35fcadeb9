//! Going a way back: each change once on record, traffic before everything that can wait.

use serde_json::{Value as Json, json};

use super::way::{CanaryLeft, SwitchBack, Undo, Way};
use crate::client::kube::{DEPLOYMENT, REPLICA_SET};
use crate::deliver::ground::What;
use crate::deliver::halt::Halt;
use crate::deliver::hands::Hands;
use crate::deliver::live::Live;
use crate::deliver::release::Release;
use crate::deliver::route::Route;
use crate::deliver::traffic::gateway::{Gateway, RouteSwitch};
use crate::deliver::traffic::ingress::IngressSwitch;
use crate::deliver::traffic::istio::Istio;
use crate::deliver::traffic::nginx::Nginx;
use crate::deliver::traffic::patch::Patch;
use crate::deliver::traffic::service::{ServiceSwitch, TEMPLATE_HASH};
use crate::deliver::traffic::{Marked, Sides, Switch, Weighing};
use crate::deliver::{converge, drain, narrowing, rolling, sides, size, standby};
use crate::task::contract::{TaskError, effect};

/// Goes it.
pub(super) async fn act(
    live: &Live<'_>,
    hands: &Hands<'_>,
    way: &Way,
    target: Option<&Release>,
) -> Result<(), TaskError> {
    if way.applies {
        match target {
            Some(target) => plain(rolling::restore(live, hands, target).await)?,
            None => {
                for undo in &way.undo {
                    bring_back(live, hands, undo).await?;
                }
            }
        }
    }
    if let Some(canary) = &way.canary {
        remove(live, hands, canary).await?;
    }
    if let Some(switch) = &way.switch {
        switch_back(hands, switch).await?;
    }
    // What stands beside a side was rolled out before it, and goes back with it.
    match target {
        Some(target) if !way.applies => plain(rolling::restore_rest(live, hands, target).await),
        _ => Ok(()),
    }
}

fn plain(result: Result<(), Halt>) -> Result<(), TaskError> {
    match result {
        Ok(()) => Ok(()),
        Err(Halt::Back(reason) | Halt::Stranded(reason)) => Err(TaskError::failed(reason.text)),
        Err(Halt::Task(error)) => Err(error),
    }
}

/// All traffic to the side that still stands, in one write.
async fn switch_back(hands: &Hands<'_>, way: &SwitchBack) -> Result<(), TaskError> {
    let ctx = hands.ctx;
    let shared = ServiceSwitch::new(&way.base).with_hash(way.hash.clone());
    let (what, router): (What, Box<dyn Switch>) = match way.what.as_str() {
        "ingress" => (What::Ingress, Box::new(IngressSwitch::new(&way.object, vec![way.from.clone(), way.to.clone()]))),
        "http route" => {
            (What::HttpRoute, Box::new(RouteSwitch::new(&way.object, vec![way.from.clone(), way.to.clone()])))
        }
        _ => (What::Service, Box::new(shared.clone())),
    };
    let turn = |live: &Json| -> Result<Patch, TaskError> { Ok(router.switch(live, &way.from, &way.to)?) };
    let act = || async {
        // The side must not be taken down while it gets traffic.
        standby::forget(hands, &way.old).await?;
        let turned = hands.change(what, &way.object, turn).await?;
        if turned.is_none() {
            return Err(TaskError::failed(format!("there is no {} \"{}\" any more", what.noun(), way.object)));
        }
        let text = format!("{} \"{}\" sends all traffic to \"{}\" again", what.noun(), way.object, way.old);
        hands.phase("switch", &text, Some(0)).await
    };
    let intent = json!({"switch": way.object, "from": way.from, "to": way.to});
    effect(ctx, "switch-back", intent, act, || async { Ok(None) }).await?;
    if what != What::Service {
        let follow = |live: &Json| -> Result<Patch, TaskError> {
            let active = shared.active(live)?;
            Ok(shared.switch(live, &active, &way.track)?)
        };
        let act = || async { hands.change(What::Service, &way.base, follow).await.map(|_| ()) };
        effect(ctx, "follow-back", json!({"select": way.base}), act, || async { Ok(None) }).await?;
    }
    converge::only(hands, &way.base, &way.old).await?;
    drain::old_side(hands, "drain-back", &way.new).await?;
    size::down(hands, "down-back", &way.new).await?;
    size::release(hands, "release-back", &way.new).await?;
    if way.hash.is_some() {
        hands.gone(&way.new).await?;
        narrowing::widen(hands, "widen-back", &way.base).await?;
    }
    Ok(())
}

/// All traffic from a canary, then its objects.
async fn remove(live: &Live<'_>, hands: &Hands<'_>, way: &CanaryLeft) -> Result<(), TaskError> {
    let ctx = hands.ctx;
    if way.router.is_none() {
        let act = || hands.scale(&way.stable, way.replicas);
        let intent = json!({"scale": way.stable, "replicas": way.replicas});
        effect(ctx, "grow-back", intent, act, || async { Ok(None) }).await?;
    }
    hands.available(&way.stable, way.replicas).await?;
    let route = weighing(hands, way).map(|weighing| Route::new(*hands, weighing));
    if let Some(route) = &route {
        let act = || async {
            route.back(0).await?;
            hands.phase("weight", &format!("{} sends no traffic to the canary", route.named()), Some(0)).await
        };
        effect(ctx, "weight-back", json!({"weight": 0, "of": route.named()}), act, || async { Ok(None) }).await?;
        drain::old_side(hands, "drain-back", &way.deployment).await?;
        effect(ctx, "route-back", json!({"end": route.named()}), || route.end(), || async { Ok(None) }).await?;
    }
    let scaler = size::autoscaler(hands, &way.deployment).await?.map(|hpa| sides::name(&hpa).to_owned());
    if let Some(scaler) = scaler {
        hands.delete(What::Autoscaler, &scaler).await?;
    }
    size::down(hands, "down-back", &way.deployment).await?;
    hands.gone(&way.deployment).await?;
    let act = || async {
        let labels = format!(
            "{}={},{}={}",
            crate::deliver::render::APP,
            live.app,
            crate::deliver::traffic::service::TRACK,
            crate::deliver::canary::TRACK
        );
        for budget in hands.ground.list(What::Budget, &labels).await? {
            hands.delete(What::Budget, sides::name(&budget)).await?;
        }
        hands.delete(What::Deployment, &way.deployment).await?;
        if let Some(service) = &way.service {
            hands.delete(What::Service, service).await?;
        }
        if way.router.as_ref().is_some_and(|router| router.what == "virtual service") {
            hands.delete(What::DestinationRule, &format!("slipway-{}", live.app)).await?;
        }
        Ok(())
    };
    effect(ctx, "delete-back", json!({"delete": way.deployment}), act, || async { Ok(None) }).await?;
    if way.is_untracked {
        narrowing::widen(hands, "widen-back", &way.base).await?;
    }
    size::release(hands, "release-back", &way.stable).await
}

fn weighing(hands: &Hands<'_>, way: &CanaryLeft) -> Option<Box<dyn Weighing>> {
    let router = way.router.as_ref()?;
    let sides = Sides { stable: router.stable.clone(), canary: way.service.clone()? };
    Some(match router.what.as_str() {
        "ingress" => Box::new(Nginx::new(&router.name, sides, Marked::default(), hands.ground.labels())),
        "route" => Box::new(Gateway::new(&router.name, sides, None)),
        _ => Box::new(Istio::new(&router.name, &hands.about.app, sides, None)),
    })
}

/// A Deployment gets an earlier template again.
async fn bring_back(live: &Live<'_>, hands: &Hands<'_>, undo: &Undo) -> Result<(), TaskError> {
    let set = live.cluster.get(&REPLICA_SET, &live.namespace, &undo.replica_set).await?;
    let mut template = set["spec"]["template"].clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Json::as_object_mut) {
        labels.shift_remove(TEMPLATE_HASH);
    }
    let act = || async {
        let change = |live: &Json| Ok(Patch::new().change(live, "/spec/template", template.clone()));
        hands.change(What::Deployment, &undo.deployment, change).await?;
        let text = format!("deployment \"{}\" has the template of revision {} again", undo.deployment, undo.revision);
        hands.phase("rollback", &text, None).await
    };
    let intent = json!({"deployment": undo.deployment, "revision": undo.revision});
    effect(live.ctx, &format!("undo-{}", undo.deployment), intent, act, || async { Ok(None) }).await?;
    plain(rolling::wait_back(live, &DEPLOYMENT, &undo.deployment).await)
}
