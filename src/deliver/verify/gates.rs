//! The gates of a verification, over all that it verifies.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value as Json;

use super::{App, Why, page};
use crate::client::kube::Cluster;
use crate::clock::Timestamp;
use crate::deliver::analysis;
use crate::deliver::drain::later;
use crate::deliver::ground::{self, Tracks, Verdict};
use crate::deliver::halt::Reason;
use crate::deliver::orders::Orders;
use crate::event::{GateReading, TaskReport};
use crate::stage::{Analysis, Severity};
use crate::task::contract::{DeployOrder, TaskCtx, TaskError, TaskSpec, remember};

/// The gates of each application.
pub(super) struct Gates<'a> {
    all: Vec<(&'a App, Box<dyn ground::Gates>)>,
}

/// A person was asked.
struct Asked {
    severity: Severity,
    reason: Reason,
    again: Timestamp,
}

impl<'a> Gates<'a> {
    /// Begins to look; after a crash from the counters on record.
    pub(super) async fn begin(
        cluster: &Cluster,
        analysis: Option<&Analysis>,
        apps: &'a [App],
        ctx: &dyn TaskCtx,
    ) -> Result<Self, TaskError> {
        let mut all = Vec::new();
        for app in analysis.map(|_| apps).unwrap_or_default() {
            let Some(analysis) = analysis else { break };
            let key = format!("t0-{}", app.name);
            let known = ctx.recall(&key).and_then(|known| known.observation);
            let tracks = Tracks { new: app.pods.clone(), old: None };
            let gates = analysis::begin(cluster, &app.namespace, analysis, &tracks, known).await?;
            let snapshot = gates.snapshot();
            remember::<Json, _>(ctx, &key, || async { Ok(snapshot) }).await?;
            all.push((app, gates));
        }
        Ok(Self { all })
    }

    /// Watches until the time is over, or `early` until all gates surely hold. A gate of P0 ends it at once, one of P1 or P2
    /// asks a person, one of P3 is only noted.
    pub(super) async fn hold(
        &mut self,
        orders: &Orders,
        spec: &TaskSpec,
        ctx: &dyn TaskCtx,
        until: Timestamp,
        early: bool,
    ) -> Result<(), Why> {
        if self.all.is_empty() {
            return Ok(());
        }
        let mut asked: Option<Asked> = None;
        let mut noted = false;
        loop {
            let now = ctx.now();
            if asked.is_none() && now >= until {
                break;
            }
            if let Some(asked) = asked.as_mut().filter(|asked| now >= asked.again) {
                self.page(ctx, asked).await?;
                asked.again = later(ctx.now(), spec.incident.limit(asked.severity));
            }
            let left = if asked.is_some() { Duration::from_secs(60) } else { until.since(now) };
            let verdict = tokio::select! {
                biased;
                order = orders.next(ctx) => {
                    orders.obey(ctx, "during the verification").await?;
                    return Err(obeyed(order));
                }
                verdict = self.next() => verdict,
                () = tokio::time::sleep(left) => continue,
            };
            match verdict {
                Verdict::Pass if early && asked.is_none() => return Ok(()),
                Verdict::Hold | Verdict::Pass => {}
                Verdict::Gap(why) => return Err(Why::Bad(Reason::new(why))),
                Verdict::Fail(readings) => match gravest(&readings) {
                    Severity::P0 => return Err(self.bad(ctx, readings).await?),
                    severity @ (Severity::P1 | Severity::P2) if asked.is_none() => {
                        let again = later(now, spec.incident.limit(severity));
                        let new = Asked { severity, reason: Reason::gates(readings), again };
                        self.note(ctx, &new.reason.readings).await?;
                        self.page(ctx, &new).await?;
                        asked = Some(new);
                    }
                    Severity::P3 if !noted => {
                        noted = true;
                        self.note(ctx, &readings).await?;
                    }
                    _ => {}
                },
            }
        }
        // Those who must decide are heard meanwhile.
        let last = tokio::select! {
            biased;
            order = orders.next(ctx) => {
                orders.obey(ctx, "at the end of the verification").await?;
                return Err(obeyed(order));
            }
            last = self.finish() => last,
        };
        match last {
            Verdict::Fail(readings) if gravest(&readings) == Severity::P3 => Ok(self.note(ctx, &readings).await?),
            Verdict::Fail(readings) => Err(self.bad(ctx, readings).await?),
            Verdict::Gap(why) => Err(Why::Bad(Reason::new(why))),
            Verdict::Hold | Verdict::Pass => Ok(()),
        }
    }

    async fn next(&mut self) -> Verdict {
        merge(join_all(self.all.iter_mut().map(|(_, gates)| gates.next())).await)
    }

    async fn finish(&mut self) -> Verdict {
        merge(join_all(self.all.iter_mut().map(|(_, gates)| gates.finish())).await)
    }

    async fn bad(&mut self, ctx: &dyn TaskCtx, readings: Vec<GateReading>) -> Result<Why, TaskError> {
        self.note(ctx, &readings).await?;
        Ok(Why::Bad(Reason::gates(readings)))
    }

    async fn note(&mut self, ctx: &dyn TaskCtx, readings: &[GateReading]) -> Result<(), TaskError> {
        let app: Vec<&str> = self.all.iter().map(|(app, _)| app.name.as_str()).collect();
        for reading in readings {
            let report = TaskReport::Gate { app: app.join(", "), verdict: "fail".to_owned(), reading: reading.clone() };
            ctx.report(report).await?;
        }
        Ok(())
    }

    async fn page(&mut self, ctx: &dyn TaskCtx, asked: &Asked) -> Result<(), TaskError> {
        let text = format!(
            "{}; `slipway deploy promote` goes on, `slipway deploy abort` does what \"on-fail\" says",
            asked.reason.text
        );
        match self.all.last() {
            Some((app, _)) => page(ctx, app, asked.severity, &text).await,
            None => Ok(()),
        }
    }
}

/// Waits until somebody aborts. That it goes on, nobody needs to say while checks become good.
pub(super) async fn aborted(orders: &Orders, ctx: &dyn TaskCtx) -> Why {
    loop {
        let order = orders.next(ctx).await;
        if let Err(error) = orders.obey(ctx, "while checks became good").await {
            return Why::Task(error);
        }
        if let why @ Why::Bad(_) = obeyed(order) {
            return why;
        }
    }
}

fn obeyed(order: DeployOrder) -> Why {
    match order {
        DeployOrder::Abort { by } => Why::Bad(Reason::new(format!("{by} aborted it"))),
        DeployOrder::Promote { by, .. } => Why::Promoted(by),
    }
}

/// The gravest of several: what is not known counts as the gravest.
fn gravest(readings: &[GateReading]) -> Severity {
    let of = |reading: &GateReading| match reading.severity.as_str() {
        "P1" => Severity::P1,
        "P2" => Severity::P2,
        "P3" => Severity::P3,
        _ => Severity::P0,
    };
    readings.iter().map(of).min().unwrap_or_default()
}

/// The verdict over several: one that fails fails all, all must pass to pass.
fn merge(verdicts: Vec<Verdict>) -> Verdict {
    let mut failed = Vec::new();
    let mut held = false;
    let mut gap = None;
    for verdict in verdicts {
        match verdict {
            Verdict::Fail(readings) => failed.extend(readings),
            Verdict::Gap(why) => gap = Some(why),
            Verdict::Hold => held = true,
            Verdict::Pass => {}
        }
    }
    match gap {
        _ if !failed.is_empty() => Verdict::Fail(failed),
        Some(why) => Verdict::Gap(why),
        None if held => Verdict::Hold,
        None => Verdict::Pass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(severity: &str) -> GateReading {
        GateReading {
            gate: "errors".into(),
            measured: "9 %".into(),
            limit: "5 %".into(),
            samples: 100,
            confidence: String::new(),
            severity: severity.into(),
        }
    }

    #[test]
    fn one_that_fails_fails_all_and_the_gravest_decides() {
        assert_eq!(merge(vec![Verdict::Pass, Verdict::Hold]), Verdict::Hold);
        assert_eq!(merge(vec![Verdict::Pass, Verdict::Pass]), Verdict::Pass);
        let fails = Verdict::Fail(vec![reading("P1")]);
        assert_eq!(merge(vec![Verdict::Gap("away".into()), fails.clone()]), fails);
        assert_eq!(merge(vec![Verdict::Gap("away".into()), Verdict::Pass]), Verdict::Gap("away".into()));
        assert_eq!(gravest(&[reading("P3"), reading("P1")]), Severity::P1);
        assert_eq!(gravest(&[reading("P3"), reading("")]), Severity::P0);
    }
}
