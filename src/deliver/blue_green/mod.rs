//! Blue-green: the new version comes up beside the old one at full size, then all traffic switches in one write.
//!
//! Which colour serves is read from the live router, never assumed. Until the switch the active colour is not touched, and
//! after it the old colour stays at full size, so that the way back is one write too.

mod back;
mod setup;
mod turn;

use super::halt::{Halt, Reason};
use super::hands::Hands;
use super::orders::Orders;
use super::outcome::Outcome;
use super::watch::{self, Watch};
use super::{converge, drain, size, standby};
use crate::stage::deploy::BlueGreen as Settings;
use crate::task::contract::TaskError;

pub use setup::Before;

/// A blue-green roll-out under way.
pub struct BlueGreen<'a> {
    hands: Hands<'a>,
    orders: Orders,
    settings: &'a Settings,
    before: Before,
    own: setup::Own,
}

/// Rolls out by a second colour.
pub async fn run(hands: Hands<'_>, settings: &Settings) -> Result<Outcome, TaskError> {
    let roll = setup::begin(hands, settings).await?;
    // A way back that was begun is gone to its end.
    if let Some(reason) = roll.begun_back()? {
        return roll.back(reason).await;
    }
    match roll.forward().await {
        Ok(()) => Ok(Outcome::Deployed),
        Err(Halt::Back(reason)) => roll.back(reason).await,
        Err(Halt::Task(TaskError::Failed { message, ending: None, .. })) => roll.back(Reason::new(message)).await,
        Err(Halt::Stranded(reason)) => Ok(Outcome::Stranded(reason)),
        Err(Halt::Task(error)) => Err(error),
    }
}

impl BlueGreen<'_> {
    async fn forward(&self) -> Result<(), Halt> {
        self.make().await?;
        self.hands.migrate().await?;
        self.hands.ready("made", &self.own.deployment).await?;
        self.hands.smoke("smoke", &self.own.pods).await?;
        if self.hands.ctx.recall("switch").is_none() {
            converge::reachable(&self.hands, &self.own.service, &self.own.deployment).await?;
        }
        self.switch().await?;
        self.follow("follow", &self.before.next).await?;
        self.watch().await?;
        size::release(&self.hands, "release", &self.own.deployment).await?;
        self.keep_old().await?;
        Ok(())
    }

    async fn watch(&self) -> Result<(), Halt> {
        let ctx = self.hands.ctx;
        if ctx.recall("keep").is_some() || ctx.recall("drain").is_some() {
            return Ok(());
        }
        let watch = Watch {
            key: "switch",
            tracks: self.tracks(),
            settle: self.hands.about.settle,
            watch: self.hands.about.watch,
            pause: false,
            what: format!("\"{}\" with all traffic", self.own.deployment),
            weight: Some(100),
        };
        watch::watch(&self.hands, &self.orders, watch).await.map(|_| ())
    }

    /// Leaves the old colour as `keep` says.
    async fn keep_old(&self) -> Result<(), TaskError> {
        let Some(old) = &self.before.deployment else { return Ok(()) };
        if self.settings.keep.is_zero() {
            drain::old_side(&self.hands, "drain", old).await?;
            return size::down(&self.hands, "old-down", old).await;
        }
        standby::keep(&self.hands, "keep", old, &self.settings.keep).await
    }
}
