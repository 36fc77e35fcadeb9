//! From a proven canary to the new version as the one that serves.
//!
//! The canary keeps all traffic while the stable Deployment is given the new version, for it is the last copy that is known
//! to be good. Only when the stable side is available does traffic go back to it, and then the canary goes.

use serde_json::{Value as Json, json};

use super::Canary;
use crate::deliver::ground::What;
use crate::deliver::halt::{Halt, Reason};
use crate::deliver::traffic::patch::Patch;
use crate::deliver::traffic::service::TEMPLATE_HASH;
use crate::deliver::watch::{self, Watch};
use crate::deliver::{converge, drain, sides};
use crate::task::contract::{TaskError, effect};

impl Canary<'_> {
    /// All traffic to the canary, the new version to the stable side, traffic to the stable side, the canary away.
    pub(super) async fn promote(&self, proven: u32) -> Result<(), Halt> {
        let ctx = self.hands.ctx;
        // On record, traffic has left the canary already, and its weight is no longer 100.
        let is_over = ctx.recall("promoted").is_some();
        if !is_over {
            self.all_traffic(proven).await?;
            self.widen("promote-widen").await?;
            self.renew_stable().await?;
            converge::reachable(&self.hands, &self.before.service, &self.before.deployment).await?;
        }
        let act = || async {
            self.hands.phase("promote", "traffic goes to the stable side, which runs the new version", Some(0)).await?;
            match &self.route {
                Some(route) => route.back(0).await,
                None if self.is_sized_by_manifest()? => Ok(()),
                None => self.size_stable(self.before.replicas).await,
            }
        };
        effect(ctx, "promoted", json!({"weight": 0, "on": self.named()}), act, || async { Ok(None) }).await?;
        drain::old_side(&self.hands, "promote-drain", &self.own.deployment).await?;
        self.remove().await?;
        // Its Service, autoscaler and disruption budget are of the new release too; only now, since until here the
        // autoscaler was held at the size that all traffic needs.
        let act = || async {
            for object in self.hands.ground.side(&self.before.track)?.iter().filter(|object| !is_deployment(object)) {
                self.hands.apply(object).await?;
            }
            Ok(())
        };
        effect(ctx, "renew-rest", json!({"apply": self.before.service}), act, || async { Ok(None) }).await?;
        self.release_stable().await?;
        Ok(())
    }

    /// Gives the canary all traffic. Without a router both sides serve until the stable one is renewed.
    async fn all_traffic(&self, proven: u32) -> Result<(), Halt> {
        if self.route.is_none() || self.hands.ctx.recall("renew").is_some() {
            return Ok(());
        }
        self.size_for("all", 100).await?;
        let key = self.weigh("all", proven, 100).await?;
        let watch = Watch {
            key: &key,
            tracks: self.tracks(),
            settle: self.hands.about.settle,
            watch: std::time::Duration::ZERO,
            pause: false,
            what: "the canary with all traffic".to_owned(),
            weight: Some(100),
        };
        watch::watch(&self.hands, &self.orders, watch).await?;
        Ok(())
    }

    /// Whether the manifest says how large the stable side is; then it is so already.
    fn is_sized_by_manifest(&self) -> Result<bool, TaskError> {
        let side = self.hands.ground.side(&self.before.track)?;
        Ok(side.iter().any(|object| is_deployment(object) && object.pointer("/spec/replicas").is_some()))
    }

    /// Gives the stable Deployment the new version. If it does not come up, it gets the old one back first.
    async fn renew_stable(&self) -> Result<(), Halt> {
        let ctx = self.hands.ctx;
        if ctx.recall("restore").is_some() {
            return self.restore_stable(&Reason::default()).await;
        }
        let act = || async {
            let text = format!("deployment \"{}\" gets the new version", self.before.deployment);
            self.hands.phase("promote", &text, Some(100)).await?;
            let side = self.hands.ground.side(&self.before.track)?;
            for object in side.iter().filter(|object| is_deployment(object)) {
                self.hands.apply(&sides::unsized_where_autoscaled(object, &side)).await?;
            }
            Ok(())
        };
        effect(ctx, "renew", json!({"apply": self.before.deployment}), act, || async { Ok(None) }).await?;
        match self.hands.ready("renewed", &self.before.deployment).await {
            Err(Halt::Back(reason)) => self.restore_stable(&reason).await,
            other => other,
        }
    }

    /// Gives the stable Deployment its old version back and waits until it is available. Meanwhile the canary serves.
    async fn restore_stable(&self, reason: &Reason) -> Result<(), Halt> {
        let ctx = self.hands.ctx;
        let act = || async {
            let text = format!("deployment \"{}\" gets the old version back", self.before.deployment);
            self.hands.phase("rollback", &text, Some(100)).await?;
            let template = self.old_template().await?;
            let change = |live: &Json| Ok(Patch::new().change(live, "/spec/template", template.clone()));
            self.hands.change(What::Deployment, &self.before.deployment, change).await.map(|_| ())
        };
        let intent = json!({"restore": self.before.deployment, "because": reason.text});
        effect(ctx, "restore", intent, act, || async { Ok(None) }).await?;
        let because = ctx.recall("restore").and_then(|known| Some(known.intent.get("because")?.as_str()?.to_owned()));
        let because = because.unwrap_or_default();
        if let Err(again) = self.hands.out_again(&self.before.deployment).await {
            return Err(match again {
                TaskError::Failed { message, .. } => Halt::Stranded(Reason::new(format!(
                    "deployment \"{}\" came up neither with the new version ({because}) nor with the old one again ({message}); the canary keeps all traffic",
                    self.before.deployment
                ))),
                other => Halt::Task(other),
            });
        }
        self.narrow("restore-narrowing").await?;
        converge::reachable(&self.hands, &self.before.service, &self.before.deployment).await?;
        Err(Halt::Back(Reason::new(format!(
            "the canary was proven, but deployment \"{}\" does not come up with the new version: {because}",
            self.before.deployment
        ))))
    }

    /// The template that the stable Deployment had, from its ReplicaSet.
    async fn old_template(&self) -> Result<Json, TaskError> {
        let set = self.hands.all(What::ReplicaSet).await?.into_iter().find(|set| {
            set.pointer("/metadata/labels").and_then(|labels| labels.get(TEMPLATE_HASH))
                == Some(&Json::from(self.before.hash.clone()))
        });
        let template = set.as_ref().and_then(|set| set.pointer("/spec/template")).cloned();
        let Some(mut template) = template else {
            return Err(TaskError::failed(format!(
                "replica set \"{}-{}\" of the old version is gone, so deployment \"{}\" cannot be given it back; the canary still serves",
                self.before.deployment, self.before.hash, self.before.deployment
            )));
        };
        if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Json::as_object_mut) {
            labels.shift_remove(TEMPLATE_HASH);
        }
        Ok(template)
    }
}

fn is_deployment(object: &Json) -> bool {
    object.get("kind").and_then(Json::as_str) == Some("Deployment")
}
