//! Watching the new version for a time, with the gates of `analysis`, and with an ear for orders.
//!
//! A failing gate counts from the first answer on; only passing waits for `settle` and `watch`. A gate of severity P0 takes
//! the release back at once; one of P1 or P2 pages a person, who decides, and pages again when nobody did in time; one of P3
//! is only noted.

use std::time::Duration;

use serde_json::Value as Json;

use super::drain::later;
use super::ground::{Gates, Tracks, Verdict};
use super::halt::{Halt, Reason};
use super::hands::Hands;
use super::orders::Orders;
use crate::clock::Timestamp;
use crate::event::{GateReading, TaskReport};
use crate::stage::Severity;
use crate::task::contract::{DeployOrder, TaskError, remember};

/// What to watch, and for how long.
pub struct Watch<'w> {
    /// Under which its beginning is on record.
    pub key: &'w str,
    /// Whose pods.
    pub tracks: Tracks,
    /// Time for the change to arrive everywhere.
    pub settle: Duration,
    /// Time to prove itself after that.
    pub watch: Duration,
    /// Whether it goes on until somebody promotes it.
    pub pause: bool,
    /// What is watched, for people.
    pub what: String,
    /// The new side's share of traffic.
    pub weight: Option<u32>,
}

/// How a watch ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It proved itself.
    Passed,
    /// Somebody promoted it.
    Promoted {
        /// Straight to the end.
        full: bool,
    },
}

/// What a verdict asks for.
#[derive(Debug, Clone, PartialEq)]
enum Ask {
    /// Back at once.
    Back(Reason),
    /// A person decides.
    Decide(Severity, Reason),
    /// Only a note.
    Note,
}

/// The gravest of what failed decides.
fn ask(readings: &[GateReading], pages: bool) -> Ask {
    let of = |severity: &str| -> Vec<GateReading> {
        readings.iter().filter(|reading| reading.severity == severity).cloned().collect()
    };
    let (p1, p2) = (of("P1"), of("P2"));
    let known = |reading: &GateReading| ["P1", "P2", "P3"].contains(&reading.severity.as_str());
    if readings.iter().any(|reading| !known(reading)) {
        let reason = Reason::gates(readings.to_vec());
        return if pages { Ask::Decide(Severity::P0, reason) } else { Ask::Back(reason) };
    }
    if !p1.is_empty() {
        return Ask::Decide(Severity::P1, Reason::gates(p1));
    }
    if !p2.is_empty() {
        return Ask::Decide(Severity::P2, Reason::gates(p2));
    }
    Ask::Note
}

/// A person was asked.
struct Asked {
    severity: Severity,
    reason: Reason,
    page_again: Timestamp,
}

/// Watches. An error says what must happen to the traffic.
pub async fn watch(hands: &Hands<'_>, orders: &Orders, watch: Watch<'_>) -> Result<Seen, Halt> {
    let ctx = hands.ctx;
    let begun = format!("t0-{}", watch.key);
    let known = ctx.recall(&begun).and_then(|known| known.observation);
    let mut gates = hands.ground.gates(&watch.tracks, known).await?;
    let snapshot = gates.snapshot();
    remember::<Json, _>(ctx, &begun, || async { Ok(snapshot) }).await?;
    let until: Timestamp = remember(ctx, &format!("until-{}", watch.key), || async {
        let time = watch.settle + watch.watch;
        let text = format!("{} is watched for {}", watch.what, crate::clock::humanize(time));
        hands.phase("watch", &text, watch.weight).await?;
        Ok(later(ctx.now(), time))
    })
    .await?;
    let mut asked: Option<Asked> = None;
    let mut noted = false;
    let mut waits = false;
    let mut looked = ctx.now();
    loop {
        let now = ctx.now();
        if asked.is_none() && now >= until {
            if !watch.pause {
                break;
            }
            if !waits {
                waits = true;
                hands
                    .phase("waiting", &format!("{} waits for `slipway deploy promote`", watch.what), watch.weight)
                    .await?;
            }
        }
        if let Some(asked) = asked.as_mut().filter(|asked| now >= asked.page_again) {
            page(hands, asked).await?;
        }
        let verdict = match next(hands, orders, &watch, gates.as_mut(), until).await? {
            Heard::Verdict(verdict) => verdict,
            Heard::Promoted { full } => return Ok(Seen::Promoted { full }),
            Heard::Nothing => continue,
        };
        match verdict {
            Verdict::Fail(readings) => match ask(&readings, hands.about.pages) {
                Ask::Back(reason) => return Err(Halt::Back(reason)),
                Ask::Decide(severity, reason) if asked.is_none() => {
                    let mut new = Asked { severity, reason, page_again: now };
                    page(hands, &mut new).await?;
                    asked = Some(new);
                }
                Ask::Note if !noted => {
                    noted = true;
                    report(hands, &readings).await?;
                }
                Ask::Decide(..) | Ask::Note => {}
            },
            Verdict::Gap(why) => return Err(Halt::Back(Reason::new(why))),
            Verdict::Hold | Verdict::Pass => {}
        }
        if ctx.now().since(looked) >= LOOK_EVERY {
            looked = ctx.now();
            remember(ctx, &format!("look-{}-{}", watch.key, looked.0), || async { Ok(()) }).await?;
        }
    }
    match gates.finish().await {
        Verdict::Fail(readings) => match ask(&readings, false) {
            Ask::Back(reason) | Ask::Decide(_, reason) => Err(Halt::Back(reason)),
            Ask::Note => Ok(Seen::Passed),
        },
        Verdict::Gap(why) => Err(Halt::Back(Reason::new(why))),
        Verdict::Hold | Verdict::Pass => Ok(Seen::Passed),
    }
}

/// What came first.
enum Heard {
    Verdict(Verdict),
    Promoted {
        full: bool,
    },
    /// The end of the time.
    Nothing,
}

/// Waits for the next look, an order, or the end of the time.
async fn next(
    hands: &Hands<'_>,
    orders: &Orders,
    watch: &Watch<'_>,
    gates: &mut dyn Gates,
    until: Timestamp,
) -> Result<Heard, Halt> {
    let ctx = hands.ctx;
    let mut look = gates.next();
    loop {
        hands.ground.stopped()?;
        let now = ctx.now();
        // Where the end comes before the next look, the end is what is waited for.
        let left = if now < until { until.since(now) } else { LISTEN_EVERY };
        tokio::select! {
            biased;
            () = ctx.cancelled() => return Err(Halt::Back(Reason::cancelled())),
            order = orders.next(ctx) => match order {
                DeployOrder::Abort { by } => {
                    orders.obey(ctx, &format!("aborted while {} was watched", watch.what)).await?;
                    return Err(Halt::Back(Reason::new(format!("{by} aborted it"))));
                }
                DeployOrder::Promote { by, full } => {
                    orders.obey(ctx, &format!("promoted while {} was watched", watch.what)).await?;
                    hands.phase("promote", &format!("{by} promoted it"), watch.weight).await?;
                    return Ok(Heard::Promoted { full });
                }
            },
            verdict = &mut look => return Ok(Heard::Verdict(verdict)),
            () = tokio::time::sleep(left.min(LISTEN_EVERY)) => {}
        }
        if now < until && ctx.now() >= until {
            return Ok(Heard::Nothing);
        }
    }
}

/// How often it is asked whether the deploy should stop.
const LISTEN_EVERY: Duration = Duration::from_secs(1);

/// How often it is put on record that somebody watched: less than half of the least gap that anyone would allow.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// Reports what gates saw.
pub async fn report(hands: &Hands<'_>, readings: &[GateReading]) -> Result<(), TaskError> {
    for reading in readings {
        let (app, reading) = (hands.about.app.clone(), reading.clone());
        hands.ctx.report(TaskReport::Gate { app, verdict: "fail".to_owned(), reading }).await?;
    }
    Ok(())
}

/// Pages a person, and sets the time to do so again.
async fn page(hands: &Hands<'_>, asked: &mut Asked) -> Result<(), TaskError> {
    report(hands, &asked.reason.readings).await?;
    let reason = format!(
        "{}; `slipway deploy promote` goes on, `slipway deploy abort` takes the release back",
        asked.reason.text
    );
    hands.page(asked.severity, &reason).await?;
    asked.page_again = later(hands.ctx.now(), hands.about.incident.limit(asked.severity));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(severity: &str) -> GateReading {
        GateReading {
            gate: format!("gate of {severity}"),
            measured: "9 %".to_owned(),
            limit: "5 %".to_owned(),
            samples: 50,
            confidence: String::new(),
            severity: severity.to_owned(),
        }
    }

    #[test]
    fn the_gravest_gate_decides() {
        assert!(matches!(ask(&[reading("P3"), reading("P0")], false), Ask::Back(_)));
        assert!(matches!(ask(&[reading("P2"), reading("P1")], false), Ask::Decide(Severity::P1, _)));
        assert!(matches!(ask(&[reading("P2"), reading("P3")], false), Ask::Decide(Severity::P2, _)));
        assert_eq!(ask(&[reading("P3")], false), Ask::Note);
    }

    #[test]
    fn a_file_can_have_people_decide_even_the_gravest() {
        assert!(matches!(ask(&[reading("P0")], true), Ask::Decide(Severity::P0, _)));
    }
}
