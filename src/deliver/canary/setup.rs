//! What is there before the canary, and making the canary's side.

use serde_json::{Value as Json, json};

use super::{Canary, Settings, TRACK};
use crate::deliver::ground::{Tracks, What};
use crate::deliver::halt::Halt;
use crate::deliver::hands::Hands;
use crate::deliver::orders::Orders;
use crate::deliver::route::Route;
use crate::deliver::traffic::gateway::Gateway;
use crate::deliver::traffic::istio::{Istio, canary_rule};
use crate::deliver::traffic::nginx::Nginx;
use crate::deliver::traffic::service::{self, UNTRACKED};
use crate::deliver::traffic::{Sides, Weighing};
use crate::deliver::{narrowing, sides, size};
use crate::stage::deploy::Traffic;
use crate::task::contract::{TaskError, effect, remember};

/// What served before, as it was found first.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Before {
    /// The Deployment that serves.
    pub deployment: String,
    /// Its track; empty when it has none.
    pub track: String,
    /// The Service that leads to it.
    pub service: String,
    /// Its size.
    pub replicas: u32,
    /// The hash of its template.
    pub hash: String,
    /// Whether an autoscaler decides its size.
    pub autoscaled: bool,
}

/// The canary's objects, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    pub(super) deployment: String,
    pub(super) service: Option<String>,
    pub(super) autoscaler: Option<String>,
    pub(super) budget: Option<String>,
    /// A selector of its pods.
    pub(super) pods: String,
    pub(super) objects: Vec<Json>,
}

/// Finds what serves, and prepares the canary without a write.
pub(super) async fn begin<'a>(hands: Hands<'a>, settings: &'a Settings) -> Result<Canary<'a>, TaskError> {
    let before: Before = remember(hands.ctx, "before", || find(&hands, settings)).await?;
    let own = own(hands.ground.side(TRACK)?, &before);
    let weighing = weighing(&hands, settings, &before, &own)?;
    let route = weighing.map(|weighing| Route::new(hands, weighing));
    Ok(Canary { orders: Orders::new(hands.ctx), hands, settings, before, own, route })
}

/// What serves now.
async fn find(hands: &Hands<'_>, settings: &Settings) -> Result<Before, TaskError> {
    let services = sides::services_of(hands).await?;
    let base = &hands.about.service;
    let service = match &settings.traffic {
        Traffic::None => base.clone(),
        Traffic::Nginx { ingress, .. } => sides::named_by(hands, What::Ingress, ingress, &services).await?,
        Traffic::Gateway { route, .. } => sides::named_by(hands, What::HttpRoute, route, &services).await?,
        Traffic::Istio { .. } => base.clone(),
    };
    let live = hands.must(What::Service, &service).await?;
    let track = service::selector(&live).get(service::TRACK).and_then(Json::as_str).unwrap_or(UNTRACKED).to_owned();
    let deployments = hands.all(What::Deployment).await?;
    let Some(deployment) = sides::deployment_of(&live, &track, &deployments) else {
        return Err(TaskError::failed(format!(
            "service \"{service}\" in namespace \"{}\" leads to no deployment, so there is nothing to compare a canary with; roll out with `strategy: rolling` first",
            hands.about.namespace
        )));
    };
    let sets = hands.all(What::ReplicaSet).await?;
    let Some(hash) = sides::template_hash(deployment, &sets) else {
        return Err(TaskError::failed(format!(
            "deployment \"{}\" has no replica set yet; wait until it has, then run the deploy again",
            sides::name(deployment)
        )));
    };
    let name = sides::name(deployment).to_owned();
    let autoscaled = size::autoscaler(hands, &name).await?.is_some();
    Ok(Before { replicas: sides::replicas(deployment), deployment: name, track, service, hash, autoscaled })
}

/// The canary's objects.
fn own(objects: Vec<Json>, before: &Before) -> Own {
    let mut own = Own::default();
    for object in objects {
        let name = sides::name(&object).to_owned();
        match object.get("kind").and_then(Json::as_str) {
            Some("Deployment") => {
                own.deployment = name;
                own.pods = sides::pod_selector(&object);
            }
            Some("Service") => own.service = Some(name),
            Some("PodDisruptionBudget") => own.budget = Some(name),
            // The selector of a Deployment without a track takes the canary's pods too, and Kubernetes lets no two
            // autoscalers look at the same pods: both would stop. The canary is then sized by its weight.
            Some("HorizontalPodAutoscaler") if before.track == UNTRACKED => continue,
            Some("HorizontalPodAutoscaler") => own.autoscaler = Some(name),
            _ => {}
        }
        own.objects.push(object);
    }
    own
}

fn weighing(
    hands: &Hands<'_>,
    settings: &Settings,
    before: &Before,
    own: &Own,
) -> Result<Option<Box<dyn Weighing>>, TaskError> {
    let sides = || -> Result<Sides, TaskError> {
        let canary = own.service.clone().ok_or_else(|| {
            TaskError::failed(format!(
                "service \"{}\" is not among the manifests; a canary needs one that is made like it",
                before.service
            ))
        })?;
        Ok(Sides { stable: before.service.clone(), canary })
    };
    Ok(Some(match &settings.traffic {
        Traffic::None => return Ok(None),
        Traffic::Nginx { ingress, marked } => {
            Box::new(Nginx::new(ingress, sides()?, marked.clone(), hands.ground.labels()))
        }
        Traffic::Gateway { route, header } => Box::new(Gateway::new(route, sides()?, header.clone())),
        Traffic::Istio { virtual_service, header, .. } => {
            Box::new(Istio::new(virtual_service, &hands.about.app, sides()?, header.clone()))
        }
    }))
}

impl Canary<'_> {
    /// Makes the canary's side: its objects, ready and smoke-tested, at weight 0.
    pub(super) async fn make(&self) -> Result<(), Halt> {
        let ctx = self.hands.ctx;
        if self.is_promoted() {
            return Ok(());
        }
        size::hold(&self.hands, "hold-stable", &self.before.deployment, self.before.replicas).await?;
        self.narrow("narrow").await?;
        // What an earlier canary left in the router, at rest at a weight, would get pods that are not ready yet.
        if let Some(route) = &self.route {
            effect(ctx, "clear", json!({"end": route.named()}), || route.end(), || async { Ok(None) }).await?;
        }
        let replicas = match self.route {
            Some(_) => self.size_at(self.settings.steps.first().map_or(0, |step| step.weight)),
            None => 1,
        };
        let act = || async {
            self.hands.phase("apply", &format!("deployment \"{}\"", self.own.deployment), Some(0)).await?;
            for object in &self.own.objects {
                let sized = self.sized(object, replicas);
                self.hands.apply(&sides::unsized_where_autoscaled(&sized, &self.own.objects)).await?;
            }
            self.hands.scale(&self.own.deployment, replicas).await
        };
        let what = json!({"apply": self.own.deployment, "replicas": replicas});
        effect(ctx, "make", what, act, || async { Ok(None) }).await?;
        self.begin_route().await?;
        self.hands.ready("made", &self.own.deployment).await?;
        self.hands.migrate().await?;
        self.hands.smoke("smoke", &self.own.pods).await
    }

    /// Brings the canary into the router at weight 0.
    pub(super) async fn begin_route(&self) -> Result<(), TaskError> {
        let Some(route) = &self.route else { return Ok(()) };
        let act = || async {
            self.make_rule().await?;
            route.begin().await
        };
        effect(self.hands.ctx, "route", json!({"begin": route.named()}), act, || async { Ok(None) }).await
    }

    /// The object with the canary's first size.
    fn sized(&self, object: &Json, replicas: u32) -> Json {
        let mut object = object.clone();
        match object.get("kind").and_then(Json::as_str) {
            Some("Deployment") => object["spec"]["replicas"] = Json::from(replicas),
            Some("HorizontalPodAutoscaler") => {
                let bounds = self.bounds();
                object["spec"]["minReplicas"] = Json::from(bounds.min.max(1));
                if bounds.max < u32::MAX {
                    object["spec"]["maxReplicas"] = Json::from(bounds.max);
                }
            }
            _ => {}
        }
        object
    }

    /// Keeps the canary's pods out of the stable Service, where it would select them for want of a track.
    pub(super) async fn narrow(&self, key: &str) -> Result<(), TaskError> {
        if self.before.track != UNTRACKED || self.route.is_none() {
            return Ok(());
        }
        narrowing::narrow(&self.hands, key, &self.before.service, &self.before.hash).await
    }

    /// Takes that back.
    pub(super) async fn widen(&self, key: &str) -> Result<(), TaskError> {
        if self.before.track != UNTRACKED || self.route.is_none() {
            return Ok(());
        }
        narrowing::widen(&self.hands, key, &self.before.service).await
    }

    /// Says of the canary's host what a DestinationRule says of the stable one.
    async fn make_rule(&self) -> Result<(), TaskError> {
        let (Some(name), Some(canary)) = (self.rule(), &self.own.service) else { return Ok(()) };
        let rule = self.hands.must(What::DestinationRule, name).await?;
        let made = canary_rule(&rule, &self.hands.about.app, canary, self.hands.ground.labels());
        self.hands.apply(&made).await.map(|_| ())
    }

    /// Takes that rule away.
    pub(super) async fn remove_rule(&self) -> Result<(), TaskError> {
        match self.rule() {
            Some(_) => {
                let name = format!("slipway-{}", self.hands.about.app);
                self.hands.delete(What::DestinationRule, &name).await
            }
            None => Ok(()),
        }
    }

    fn rule(&self) -> Option<&str> {
        match &self.settings.traffic {
            Traffic::Istio { destination_rule, .. } => destination_rule.as_deref(),
            _ => None,
        }
    }

    /// The router, for people.
    pub(super) fn named(&self) -> String {
        match &self.route {
            Some(route) => route.named(),
            None => format!("deployments \"{}\" and \"{}\"", self.before.deployment, self.own.deployment),
        }
    }

    /// Whose pods are watched.
    pub(super) fn tracks(&self) -> Tracks {
        Tracks { new: self.own.pods.clone(), old: Some(self.old_pods()) }
    }

    fn old_pods(&self) -> String {
        match self.before.track.as_str() {
            UNTRACKED => format!("{}={}", service::TEMPLATE_HASH, self.before.hash),
            track => {
                let own = format!("{}={TRACK}", service::TRACK);
                self.own.pods.replace(&own, &format!("{}={track}", service::TRACK))
            }
        }
    }

    /// Whether traffic has left the canary for good, the new version being stable.
    pub(super) fn is_promoted(&self) -> bool {
        self.hands.ctx.recall("promoted").is_some()
    }
}
