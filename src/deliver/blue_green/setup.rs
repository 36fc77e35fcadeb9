//! What serves, and making the other colour.

use serde_json::{Value as Json, json};

use super::{BlueGreen, Settings};
use crate::deliver::ground::{Tracks, What};
use crate::deliver::hands::Hands;
use crate::deliver::orders::Orders;
use crate::deliver::traffic::service::{self, UNTRACKED};
use crate::deliver::{narrowing, sides, size, standby};
use crate::stage::deploy::SwitchBy;
use crate::task::contract::{TaskError, effect, remember};

/// What served before, as it was found first.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Before {
    /// The colour that serves; empty when what serves has no track, or nothing serves.
    pub colour: String,
    /// The colour that comes.
    pub next: String,
    /// The Service that the router names, where a Service is not the router.
    pub service: Option<String>,
    /// The Deployment that serves; none when there is none.
    pub deployment: Option<String>,
    /// Its size.
    pub replicas: u32,
    /// The hash of its template, where it has no track and is told from the other side by it.
    pub hash: Option<String>,
}

/// The new colour's objects, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    pub(super) deployment: String,
    pub(super) service: String,
    /// A selector of its pods.
    pub(super) pods: String,
    pub(super) objects: Vec<Json>,
}

/// Finds what serves, and prepares the other colour without a write.
pub(super) async fn begin<'a>(hands: Hands<'a>, settings: &'a Settings) -> Result<BlueGreen<'a>, TaskError> {
    let before: Before = remember(hands.ctx, "before", || find(&hands, settings)).await?;
    let mut own = Own::default();
    for object in hands.ground.side(&before.next)? {
        match object.get("kind").and_then(Json::as_str) {
            Some("Deployment") => {
                own.deployment = sides::name(&object).to_owned();
                own.pods = sides::pod_selector(&object);
            }
            Some("Service") => own.service = sides::name(&object).to_owned(),
            _ => {}
        }
        own.objects.push(object);
    }
    if own.service.is_empty() {
        return Err(TaskError::failed(format!(
            "service \"{}\" is not among the manifests; each colour needs one that is made like it",
            hands.about.service
        )));
    }
    Ok(BlueGreen { orders: Orders::new(hands.ctx), hands, settings, before, own })
}

/// What serves now, from the live router.
async fn find(hands: &Hands<'_>, settings: &Settings) -> Result<Before, TaskError> {
    let (router, name) = object(&settings.by);
    let named = match router {
        What::Service => name.to_owned(),
        // The manifests' Service may be of this release, like the Ingress that names it.
        _ if hands.get(What::Service, &hands.about.service).await?.is_none() => return Ok(first(settings)),
        _ => {
            let services = sides::services_of(hands).await?;
            sides::named_by(hands, router, name, &services).await?
        }
    };
    let Some(live) = hands.get(What::Service, &named).await? else { return Ok(first(settings)) };
    let colour = service::selector(&live).get(service::TRACK).and_then(Json::as_str).unwrap_or(UNTRACKED).to_owned();
    let deployments = hands.all(What::Deployment).await?;
    let Some(deployment) = sides::deployment_of(&live, &colour, &deployments) else {
        return Ok(Before { service: (router != What::Service).then_some(named), colour, ..first(settings) });
    };
    let hash = match colour.as_str() {
        UNTRACKED => sides::template_hash(deployment, &hands.all(What::ReplicaSet).await?),
        _ => None,
    };
    Ok(Before {
        next: sides::inactive(&settings.colours, &colour).to_owned(),
        colour,
        service: (router != What::Service).then_some(named),
        deployment: Some(sides::name(deployment).to_owned()),
        replicas: sides::replicas(deployment),
        hash,
    })
}

/// Where nothing serves yet.
fn first(settings: &Settings) -> Before {
    Before { next: settings.colours.0.clone(), ..Before::default() }
}

/// The router's object.
pub(super) fn object(by: &SwitchBy) -> (What, &str) {
    match by {
        SwitchBy::Service(name) => (What::Service, name),
        SwitchBy::Ingress(name) => (What::Ingress, name),
        SwitchBy::Route(name) => (What::HttpRoute, name),
    }
}

impl BlueGreen<'_> {
    /// The Service whose selector says which colour serves inside the cluster.
    pub(super) fn base(&self) -> &str {
        match &self.settings.by {
            SwitchBy::Service(name) => name,
            SwitchBy::Ingress(_) | SwitchBy::Route(_) => &self.hands.about.service,
        }
    }

    /// Makes the new colour, as large as the one that serves.
    pub(super) async fn make(&self) -> Result<(), TaskError> {
        if let Some(hash) = &self.before.hash {
            narrowing::narrow(&self.hands, "narrow", self.base(), hash).await?;
        }
        self.renew_base().await?;
        let act = || async {
            self.hands.phase("apply", &format!("deployment \"{}\"", self.own.deployment), Some(0)).await?;
            let mut replicas = 1;
            for object in &self.own.objects {
                replicas = replicas.max(self.size_of(object));
                let sized = self.sized(object);
                self.hands.apply(&sides::unsized_where_autoscaled(&sized, &self.own.objects)).await?;
            }
            // A colour that was taken down has no pods, and an autoscaler gives it none.
            self.hands.scale(&self.own.deployment, replicas).await?;
            standby::forget(&self.hands, &self.own.deployment).await
        };
        let what = json!({"apply": self.own.deployment, "replicas": self.before.replicas});
        effect(self.hands.ctx, "make", what, act, || async { Ok(None) }).await?;
        size::hold(&self.hands, "hold", &self.own.deployment, self.before.replicas).await
    }

    /// Applies the Service inside the cluster, which leads where it led.
    async fn renew_base(&self) -> Result<(), TaskError> {
        let act = || async {
            let Some(live) = self.hands.get(What::Service, self.base()).await? else { return Ok(()) };
            let side = self.hands.ground.side(UNTRACKED)?;
            for object in side.iter().filter(|object| sides::name(object) == self.base()) {
                let mut object = object.clone();
                object["spec"]["selector"] = Json::Object(service::selector(&live));
                self.hands.apply(&object).await?;
            }
            Ok(())
        };
        effect(self.hands.ctx, "base", json!({"apply": self.base()}), act, || async { Ok(None) }).await
    }

    /// The object, as large as the side that serves: it takes all of its traffic at once.
    fn sized(&self, object: &Json) -> Json {
        let mut object = object.clone();
        if object.get("kind").and_then(Json::as_str) == Some("Deployment") {
            object["spec"]["replicas"] = Json::from(self.size_of(&object));
        }
        object
    }

    /// How many pods an object of the new colour asks for; not fewer than serve now.
    fn size_of(&self, object: &Json) -> u32 {
        let given =
            ["/spec/replicas", "/spec/minReplicas"].iter().find_map(|pointer| object.pointer(pointer)?.as_u64());
        u32::try_from(given.unwrap_or(1)).unwrap_or(u32::MAX).max(self.before.replicas)
    }

    /// Whose pods are watched.
    pub(super) fn tracks(&self) -> Tracks {
        let old = match (&self.before.deployment, &self.before.hash) {
            (None, _) => None,
            (Some(_), Some(hash)) => Some(format!("{}={hash}", service::TEMPLATE_HASH)),
            (Some(_), None) => {
                let track = |track: &str| format!("{}={track}", service::TRACK);
                Some(self.own.pods.replace(&track(&self.before.next), &track(&self.before.colour)))
            }
        };
        Tracks { new: self.own.pods.clone(), old }
    }
}
