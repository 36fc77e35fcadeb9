//! One share of traffic: size, weight, watch.

use serde_json::{Value as Json, json};

use super::Canary;
use super::resume::{TakeUp, take_up};
use crate::clock::Timestamp;
use crate::deliver::halt::Halt;
use crate::deliver::route::Moved;
use crate::deliver::takeover;
use crate::deliver::watch::{self, Seen, Watch};
use crate::task::contract::{TaskError, effect, remember};

/// What comes after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The next step.
    Step,
    /// The promotion, since somebody ordered it.
    Promotion,
}

impl Canary<'_> {
    /// Gives the canary the step's share and watches it. `proven` is the share that was proven before.
    pub(super) async fn step(&self, number: usize, proven: u32) -> Result<Next, Halt> {
        let ctx = self.hands.ctx;
        let done = format!("proven-{number}");
        if let Some(Json::String(next)) = ctx.recall(&done).and_then(|known| known.observation) {
            return Ok(if next == "promotion" { Next::Promotion } else { Next::Step });
        }
        let step = &self.settings.steps[number];
        self.size_for(&number.to_string(), step.weight).await?;
        let key = self.weigh(&number.to_string(), proven, step.weight).await?;
        let watch = Watch {
            key: &key,
            tracks: self.tracks(),
            settle: self.hands.about.settle,
            watch: step.watch.unwrap_or(self.hands.about.watch),
            pause: step.pause,
            what: format!("the canary at {} % of traffic", step.weight),
            weight: Some(step.weight),
        };
        let seen = watch::watch(&self.hands, &self.orders, watch).await?;
        let next = if seen == (Seen::Promoted { full: true }) { "promotion" } else { "step" };
        remember::<Json, _>(ctx, &done, || async { Ok(Json::from(next)) }).await?;
        Ok(if next == "promotion" { Next::Promotion } else { Next::Step })
    }

    /// Sets the weight, or finds that it stands. Gives the key of the attempt, under which its counters are remembered.
    pub(super) async fn weigh(&self, step: &str, proven: u32, weight: u32) -> Result<String, Halt> {
        let ctx = self.hands.ctx;
        let prefix = format!("weight-{step}.");
        let tried = ctx.recorded().iter().filter(|key| is_attempt(key, &prefix)).count();
        let mut attempt = tried.saturating_sub(1);
        let mut from = proven;
        let last = format!("{prefix}{attempt}");
        if ctx.recall(&last).is_some_and(|known| known.observation.is_some()) {
            let live = self.live_weight(&[weight, proven]).await?;
            let blind = ctx.now().since(self.last_look(&last));
            match take_up(live, weight, proven, blind, self.hands.about.max_gap) {
                TakeUp::GoOn => return Ok(last),
                TakeUp::Redo => {}
                TakeUp::Prove => {
                    let intent = json!({"weight": proven, "because": "nobody watched for too long"});
                    let act = || self.moved(weight, proven);
                    effect(ctx, &format!("prove-{step}.{attempt}"), intent, act, || self.is_at(proven)).await?;
                }
                TakeUp::Drift => from = self.take_over(live, weight).await?,
            }
            attempt += 1;
        }
        loop {
            let key = format!("{prefix}{attempt}");
            let intent = json!({"weight": weight, "from": from, "on": self.named()});
            let act = || async {
                let moved = self.moved(from, weight).await?;
                if moved == Some(weight) {
                    let text = format!("{weight} % of traffic go to the canary");
                    self.hands.phase("weight", &text, Some(weight)).await?;
                }
                Ok(moved)
            };
            let moved = effect(ctx, &key, intent, act, || self.is_at(weight)).await?;
            if moved == Some(weight) {
                return Ok(key);
            }
            from = self.take_over(moved, weight).await?;
            attempt += 1;
        }
    }

    /// Another hand has set the weight: what `on-drift` says. Gives the weight to go on from.
    async fn take_over(&self, live: Option<u32>, wanted: u32) -> Result<u32, Halt> {
        let now = match live {
            Some(live) => format!("gives the canary {live} % of traffic"),
            None => "no longer names the canary".to_owned(),
        };
        let text = format!("{} {now}, which this deploy did not set; it was about to set {wanted} %", self.named());
        takeover::met(&self.hands, &self.orders, &text).await?;
        match live {
            Some(live) => Ok(live),
            None => {
                self.begin_route().await?;
                Ok(0)
            }
        }
    }

    /// Moves the weight. What stands then: another one when another hand had set it; none when the canary is not named.
    async fn moved(&self, from: u32, to: u32) -> Result<Option<u32>, TaskError> {
        let Some(route) = &self.route else {
            self.divide(to).await?;
            return Ok(Some(to));
        };
        match route.set(from, to).await? {
            Moved::Yes => Ok(Some(to)),
            Moved::Drift(live) => Ok(live),
        }
    }

    /// For an effect: the weight, when it stands.
    async fn is_at(&self, weight: u32) -> Result<Option<Option<u32>>, TaskError> {
        let live = self.live_weight(&[weight]).await?;
        Ok((live == Some(weight)).then_some(live))
    }

    /// When the canary was looked at last under this key.
    fn last_look(&self, key: &str) -> Timestamp {
        let ctx = self.hands.ctx;
        let looks =
            ctx.recorded().into_iter().filter(|known| known == key || known.starts_with(&format!("look-{key}-")));
        looks.filter_map(|known| ctx.recall(&known)).map(|known| known.at).max().unwrap_or_default()
    }
}

/// Whether the key is `prefix` and a number.
fn is_attempt(key: &str, prefix: &str) -> bool {
    key.strip_prefix(prefix).is_some_and(|rest| rest.parse::<usize>().is_ok())
}
