//! How large the canary is at each weight, and without a router both sides, whose sizes are the weight.

use serde_json::{Value as Json, json};

use super::Canary;
use crate::deliver::ground::What;
use crate::deliver::halt::Halt;
use crate::deliver::hands::Hands;
use crate::deliver::traffic::patch::Patch;
use crate::deliver::traffic::replicas::{Bounds, Pods, divided, for_weight};
use crate::deliver::{sides, size};
use crate::stage::deploy::CanaryReplicas;
use crate::task::contract::{TaskError, effect};

impl Canary<'_> {
    /// Bounds of the canary's size.
    pub(super) fn bounds(&self) -> Bounds {
        match self.settings.replicas {
            CanaryReplicas::ByWeight => Bounds::default(),
            CanaryReplicas::Fixed(replicas) => Bounds { min: replicas, max: replicas },
            CanaryReplicas::Between { min, max } => Bounds { min, max },
        }
    }

    /// The canary's size at this weight.
    pub(super) fn size_at(&self, weight: u32) -> u32 {
        match self.route {
            Some(_) => for_weight(self.before.replicas, weight, self.bounds()),
            None => divided(self.before.replicas, weight).canary,
        }
    }

    /// Makes the canary large enough for a weight and waits until it is ready. It does not shrink.
    pub(super) async fn size_for(&self, step: &str, weight: u32) -> Result<(), Halt> {
        if self.route.is_none() {
            return Ok(());
        }
        let replicas = self.size_at(weight);
        let intent = json!({"size": self.own.deployment, "replicas": replicas});
        let act = || async {
            if let Some(autoscaler) = &self.own.autoscaler {
                let at_least = |live: &Json| Ok(Patch::new().change(live, "/spec/minReplicas", Json::from(replicas)));
                self.hands.change(What::Autoscaler, autoscaler, at_least).await?;
            }
            let live = self.hands.get(What::Deployment, &self.own.deployment).await?;
            if live.is_none_or(|live| sides::replicas(&live) < replicas) {
                self.hands.scale(&self.own.deployment, replicas).await?;
            }
            Ok(())
        };
        effect(self.hands.ctx, &format!("size-{step}"), intent, act, || async { Ok(None) }).await?;
        self.hands.ready(&format!("sized-{step}"), &self.own.deployment).await
    }

    /// Without a router: both sides get the sizes whose share comes nearest. First who comes, then who goes.
    pub(super) async fn divide(&self, weight: u32) -> Result<(), TaskError> {
        let pods = divided(self.before.replicas, weight);
        let live = self.pods().await?;
        if pods.canary >= live.canary {
            grow(&self.hands, &self.own.deployment, pods.canary).await?;
            self.size_stable(pods.stable.max(1)).await?;
        } else {
            self.size_stable(pods.stable).await?;
            self.hands.available(&self.before.deployment, pods.stable).await?;
            self.hands.scale(&self.own.deployment, pods.canary).await?;
        }
        Ok(())
    }

    /// The stable side's size, unless an autoscaler decides it.
    pub(super) async fn size_stable(&self, replicas: u32) -> Result<(), TaskError> {
        if self.before.autoscaled { Ok(()) } else { self.hands.scale(&self.before.deployment, replicas).await }
    }

    /// Both sides' sizes as they are asked for now.
    async fn pods(&self) -> Result<Pods, TaskError> {
        let size = |live: Option<Json>| live.as_ref().map(sides::replicas).unwrap_or(0);
        Ok(Pods {
            stable: size(self.hands.get(What::Deployment, &self.before.deployment).await?),
            canary: size(self.hands.get(What::Deployment, &self.own.deployment).await?),
        })
    }

    /// The canary's share now. Without a router the first of `candidates` that the canary's size stands for.
    pub(super) async fn live_weight(&self, candidates: &[u32]) -> Result<Option<u32>, TaskError> {
        match &self.route {
            Some(route) => route.weight().await,
            None => {
                let pods = self.pods().await?;
                let stands = |weight: &&u32| divided(self.before.replicas, **weight).canary == pods.canary;
                Ok(candidates.iter().find(stands).copied().or(pods.share()))
            }
        }
    }

    /// Gives the stable side's autoscaler, where it has one, its own least size back.
    pub(super) async fn release_stable(&self) -> Result<(), TaskError> {
        size::release(&self.hands, "release-stable", &self.before.deployment).await
    }
}

/// Makes a Deployment larger and waits until it is available so.
async fn grow(hands: &Hands<'_>, deployment: &str, replicas: u32) -> Result<(), TaskError> {
    hands.scale(deployment, replicas).await?;
    hands.available(deployment, replicas).await
}
