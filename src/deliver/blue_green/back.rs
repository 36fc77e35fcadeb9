//! The way back: the switch first, then everything else.

use super::BlueGreen;
use crate::deliver::ground::What;
use crate::deliver::halt::Reason;
use crate::deliver::outcome::Outcome;
use crate::deliver::{drain, narrowing, sides, size, watch};
use crate::task::contract::{TaskError, effect, remember};

const KEY: &str = "back";

impl BlueGreen<'_> {
    /// Why the way back was begun that is on record.
    pub(super) fn begun_back(&self) -> Result<Option<Reason>, TaskError> {
        let Some(known) = self.hands.ctx.recall(KEY) else { return Ok(None) };
        serde_json::from_value(known.intent)
            .map(Some)
            .map_err(|e| TaskError::Lost(format!("the record of the way back cannot be read: {e}")))
    }

    /// Takes the release back. Where the old colour was not touched yet, only the new one goes.
    pub(super) async fn back(&self, reason: Reason) -> Result<Outcome, TaskError> {
        let ctx = self.hands.ctx;
        let Some(old) = &self.before.deployment else {
            self.told(&reason).await?;
            let text = format!("{}; it is the first release, so there is nothing to go back to", reason.text);
            return Ok(Outcome::Stranded(Reason { text, ..reason }));
        };
        let is_switched = ctx.recall("switch").is_some();
        let intent = serde_json::to_value(&reason).map_err(|e| TaskError::Lost(e.to_string()))?;
        let act = || async {
            if is_switched {
                let (from, to) = self.ends();
                self.turn(&to, &from, true).await?;
            }
            Ok(())
        };
        // Nothing stands before this write: until it, every request goes to a version that is known to be bad.
        effect(ctx, KEY, intent, act, || async { Ok(None) }).await?;
        self.told(&reason).await?;
        if is_switched {
            self.follow("back-follow", &self.before.colour).await?;
            drain::old_side(&self.hands, "back-drain", &self.own.deployment).await?;
        }
        size::down(&self.hands, "new-down", &self.own.deployment).await?;
        size::release(&self.hands, "back-release", &self.own.deployment).await?;
        if self.before.hash.is_some() {
            self.hands.gone(&self.own.deployment).await?;
            narrowing::widen(&self.hands, "widen", self.base()).await?;
        }
        let live = self.hands.get(What::Deployment, old).await?;
        if live.is_none_or(|live| sides::available(&live) < self.before.replicas.min(sides::replicas(&live))) {
            let text =
                format!("{}; deployment \"{old}\" serves again, but not all of its pods are available", reason.text);
            return Ok(Outcome::Stranded(Reason { text, ..reason }));
        }
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
}
