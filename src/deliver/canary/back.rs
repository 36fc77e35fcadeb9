//! Taking a canary back: traffic in one write first, then everything else.

use serde_json::json;

use super::Canary;
use crate::deliver::ground::What;
use crate::deliver::halt::Reason;
use crate::deliver::outcome::Outcome;
use crate::deliver::{drain, size, watch};
use crate::task::contract::{TaskError, effect, remember};

const KEY: &str = "back";

/// A way back that was begun.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Begun {
    /// Why.
    pub(super) reason: Reason,
    /// The weight that traffic goes back to.
    pub(super) to: u32,
}

impl Canary<'_> {
    /// The way back that is on record.
    pub(super) fn begun_back(&self) -> Result<Option<Begun>, TaskError> {
        let Some(known) = self.hands.ctx.recall(KEY) else { return Ok(None) };
        serde_json::from_value(known.intent)
            .map(Some)
            .map_err(|e| TaskError::Lost(format!("the record of the way back cannot be read: {e}")))
    }

    /// Takes traffic back to `to`. At 0 the canary goes; above, it stays there and a person is paged.
    pub(super) async fn back(&self, reason: Reason, to: u32) -> Result<Outcome, TaskError> {
        let ctx = self.hands.ctx;
        let begun = Begun { reason: reason.clone(), to };
        let intent = serde_json::to_value(&begun).map_err(|e| TaskError::Lost(e.to_string()))?;
        // Nothing stands before this write: every request until then goes to a version that is known to be bad.
        effect(ctx, KEY, intent, || self.take_back(to), || async { Ok(None) }).await?;
        self.told(&reason).await?;
        if to > 0 {
            return Ok(Outcome::Rests { reason, weight: to });
        }
        drain::old_side(&self.hands, "back-drain", &self.own.deployment).await?;
        self.remove().await?;
        self.release_stable().await?;
        Ok(Outcome::Back(reason))
    }

    /// Says why, once.
    async fn told(&self, reason: &Reason) -> Result<(), TaskError> {
        let tell = || async {
            watch::report(&self.hands, &reason.readings).await?;
            self.hands.rolling_back(&reason.text).await
        };
        remember(self.hands.ctx, "back-told", tell).await
    }

    async fn take_back(&self, to: u32) -> Result<(), TaskError> {
        match &self.route {
            Some(route) => route.back(to).await,
            None if to == 0 => {
                // Where pods are the weight, the bad ones go at once; the others grow meanwhile.
                self.size_stable(self.before.replicas).await?;
                self.hands.scale(&self.own.deployment, 0).await
            }
            None => self.divide(to).await,
        }
    }

    /// Takes away what was made for the canary: pods, then its place in the router, then its objects.
    pub(super) async fn remove(&self) -> Result<(), TaskError> {
        let ctx = self.hands.ctx;
        if let Some(autoscaler) = &self.own.autoscaler {
            let act = || self.hands.delete(What::Autoscaler, autoscaler);
            effect(ctx, "remove-autoscaler", json!({"delete": autoscaler}), act, || async { Ok(None) }).await?;
        }
        if let Some(route) = &self.route {
            effect(ctx, "remove-route", json!({"end": route.named()}), || route.end(), || async { Ok(None) }).await?;
        }
        size::down(&self.hands, "remove-pods", &self.own.deployment).await?;
        self.hands.gone(&self.own.deployment).await?;
        let act = || async {
            self.hands.delete(What::Deployment, &self.own.deployment).await?;
            if let Some(budget) = &self.own.budget {
                self.hands.delete(What::Budget, budget).await?;
            }
            if let Some(service) = &self.own.service {
                self.hands.delete(What::Service, service).await?;
            }
            self.remove_rule().await
        };
        effect(ctx, "remove-objects", json!({"delete": self.own.deployment}), act, || async { Ok(None) }).await?;
        self.widen("remove-narrowing").await
    }
}
