//! Canary: the new version gets a growing share of traffic, and each share is proven before the next.
//!
//! The version that serves stays at full size throughout, and its autoscaler is held there, so that traffic can go back in
//! one write at any time. Traffic never goes to pods that are not ready: at the end the canary, which is the last good copy,
//! keeps all of it until the stable Deployment runs the new version and is available.
//!
//! After a crash the same way is walked again. What is on record is not done again; a weight is compared with the live one
//! first ([`resume`]).

mod back;
mod promote;
pub mod resume;
mod setup;
mod sizes;
mod step;

use super::halt::{Halt, Reason};
use super::hands::Hands;
use super::orders::Orders;
use super::outcome::Outcome;
use super::route::Route;
use crate::stage::deploy::Canary as Settings;
use crate::task::contract::TaskError;

pub use setup::Before;

/// The track of a canary's objects.
pub const TRACK: &str = "canary";

/// A canary under way.
pub struct Canary<'a> {
    hands: Hands<'a>,
    orders: Orders,
    settings: &'a Settings,
    before: Before,
    own: setup::Own,
    route: Option<Route<'a>>,
}

/// Rolls out by a canary.
pub async fn run(hands: Hands<'_>, settings: &Settings) -> Result<Outcome, TaskError> {
    let canary = setup::begin(hands, settings).await?;
    // A way back that was begun is gone to its end.
    if let Some(begun) = canary.begun_back()? {
        return canary.back(begun.reason, begun.to).await;
    }
    let mut rest = 0;
    match canary.forward(&mut rest).await {
        Ok(()) => Ok(Outcome::Deployed),
        Err(Halt::Back(reason)) => canary.back(reason, rest).await,
        Err(Halt::Task(TaskError::Failed { message, ending: None, .. })) => canary.back(Reason::new(message), 0).await,
        Err(Halt::Stranded(reason)) => Ok(Outcome::Stranded(reason)),
        Err(Halt::Task(error)) => Err(error),
    }
}

impl Canary<'_> {
    /// All the way. `rest` is the weight that traffic goes back to if it fails now.
    async fn forward(&self, rest: &mut u32) -> Result<(), Halt> {
        self.make().await?;
        let mut proven = 0;
        for (number, step) in self.settings.steps.iter().enumerate() {
            *rest = step.on_fail.min(proven);
            let is_last = step.weight >= 100;
            if is_last {
                break;
            }
            let goes_on = self.step(number, proven).await?;
            proven = step.weight;
            if goes_on == step::Next::Promotion {
                break;
            }
        }
        *rest = 0;
        self.promote(proven).await
    }
}
