//! What notices say: a title that says it all in one line, and the lines below it.

use crate::clock::{Timestamp, humanize};
use crate::event::{GateReading, Outcome};
use crate::id::StageId;

use super::card::Card;

/// Lines of an approval's summary that a notice shows.
const SUMMARY: usize = 40;

/// A title and its lines.
pub(super) type Words = (String, Vec<String>);

/// `backend in production`.
pub(super) fn place(app: &str, environment: &str) -> String {
    match environment {
        "" => app.to_owned(),
        environment => format!("{app} in {environment}"),
    }
}

/// `gate "errors" measured 31.3 %, limit 5 %, over 412 samples (99 % sure of at least 14.2 %), P0`.
pub(super) fn gate(reading: &GateReading) -> String {
    let GateReading { gate, measured, limit, samples, confidence, severity } = reading;
    let sure = if confidence.is_empty() { String::new() } else { format!(" ({confidence})") };
    format!("gate \"{gate}\" measured {measured}, limit {limit}, over {samples} samples{sure}, {severity}")
}

pub(super) fn started(card: &Card) -> Words {
    let trigger = if card.trigger.is_empty() { String::new() } else { format!(", for {}", card.trigger) };
    (format!("{} started{trigger}", card.title()), Vec::new())
}

pub(super) fn stage(card: &Card, stage: &StageId, outcome: Outcome, why: &str) -> Words {
    let title = format!("{}: stage \"{stage}\" {}", card.title(), ended(outcome));
    (title, texts([why]))
}

/// What somebody is asked.
pub(super) struct Ask<'a> {
    pub(super) stage: &'a StageId,
    pub(super) environment: Option<&'a str>,
    pub(super) approvers: &'a [String],
    pub(super) required: u32,
    pub(super) until: Timestamp,
    pub(super) summary: &'a str,
}

pub(super) fn waiting(card: &Card, ask: &Ask<'_>) -> Words {
    let place = ask.environment.map(|name| format!(" to {name}")).unwrap_or_default();
    let title = format!("{} waits for approval at \"{}\"{place}", card.title(), ask.stage);
    let mut lines: Vec<String> = ask.summary.lines().take(SUMMARY).map(str::to_owned).collect();
    let more = ask.summary.lines().count().saturating_sub(SUMMARY);
    if more > 0 {
        lines.push(format!("({more} lines more: slipway show {})", card.id));
    }
    let who = if ask.approvers.is_empty() { "anyone".to_owned() } else { ask.approvers.join(", ") };
    let many = if ask.required > 1 { format!("; {} must agree", ask.required) } else { String::new() };
    lines.push(format!("who may decide: {who}{many}; rejected by itself at {}", ask.until.rfc3339()));
    lines.push(format!("reject: slipway reject {} {}", card.id, ask.stage));
    (title, lines)
}

pub(super) fn decided(card: &Card, stage: &StageId, approved: bool, by: &str, comment: &str) -> Words {
    let how = if approved { "approved" } else { "rejected" };
    (format!("{}: \"{stage}\" was {how} by {by}", card.title()), texts([comment]))
}

/// What is known of a release that went back.
pub(super) struct Back<'a> {
    pub(super) app: &'a str,
    pub(super) environment: &'a str,
    pub(super) reason: &'a str,
    pub(super) phase: &'a str,
    pub(super) gate: Option<&'a GateReading>,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    /// None: it is not known how it ended.
    pub(super) healthy: Option<bool>,
}

pub(super) fn rollback(card: &Card, back: &Back<'_>) -> Words {
    let how = match back.healthy {
        Some(true) => "was rolled back and is healthy",
        Some(false) => "was rolled back and is not healthy",
        None => "was being rolled back, and how that ended is not known",
    };
    let title = format!("{}: {} {how}", card.title(), place(back.app, back.environment));
    let mut lines = texts([back.reason]);
    lines.extend(back.gate.map(gate));
    if !back.phase.is_empty() {
        lines.push(format!("it had come to: {}", back.phase));
    }
    if !back.from.is_empty() || !back.to.is_empty() {
        lines.push(format!("from {} to {}", or_none(back.from), or_none(back.to)));
    }
    (title, lines)
}

pub(super) fn paged(card: &Card, place: &str, severity: &str, reason: &str, fired: Option<&GateReading>) -> Words {
    let title = format!("{}: {severity} for {place}, a person must look", card.title());
    let mut lines = texts([reason]);
    lines.extend(fired.map(gate));
    (title, lines)
}

/// How the run ended, and which stages failed and why.
pub(super) fn run(card: &Card, outcome: Outcome, took: Option<Timestamp>, at: Timestamp, failed: &[Words]) -> Words {
    let took = took.map(|began| format!(" after {}", humanize(at.since(began)))).unwrap_or_default();
    let lines = failed.iter().flat_map(|(stage, why)| {
        let first = why.first().map(|why| format!(": {why}")).unwrap_or_default();
        std::iter::once(format!("stage \"{stage}\" failed{first}")).chain(why.iter().skip(1).cloned())
    });
    (format!("{} {}{took}", card.title(), ended(outcome)), lines.collect())
}

fn ended(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "succeeded",
        Outcome::Failure => "failed",
        Outcome::Cancelled => "was cancelled",
        Outcome::Skipped => "was skipped",
        Outcome::Lost => "was lost: what became of it cannot be known",
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "nothing" } else { text }
}

fn texts<'a>(list: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    list.into_iter().filter(|text| !text.is_empty()).map(str::to_owned).collect()
}
