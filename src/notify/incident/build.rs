//! From a run's records to the incident of a stage.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::event::{Event, GateReading, Order, Outcome, Record, TaskReport};
use crate::id::StageId;
use crate::notify::card::Card;
use crate::notify::words;
use crate::stage::Deployed;

/// Moments of a stage that are kept; a watch of hours has more samples than anybody reads.
const MOMENTS: usize = 200;

/// An incident, as its report has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Incident {
    /// The report's form.
    pub version: u32,
    /// The run.
    pub run: Card,
    /// The stage.
    pub stage: String,
    /// The application.
    pub app: String,
    /// The environment, or the namespace where it has none.
    pub environment: String,
    /// `P0` to `P3`.
    pub severity: String,
    /// `rolled-back`, `rolling-back` (how it ended is not known), `paged` or `reported`.
    pub kind: String,
    /// How it was rolled out, where it is known.
    pub strategy: String,
    /// Where the roll-out had come to.
    pub step: String,
    /// The new side's greatest share of traffic in percent, where it is known.
    pub exposed: Option<u32>,
    /// The images that were rolled out.
    pub from: String,
    /// The images that serve now.
    pub to: String,
    /// Gates that failed, each as it was seen first and last.
    pub gates: Vec<Seen>,
    /// How it was taken back.
    pub rollback: Option<Rollback>,
    /// Why people were paged.
    pub pages: Vec<Moment>,
    /// What happened, in order.
    pub timeline: Vec<Moment>,
    /// Who approved or rejected in this run.
    pub approvals: Vec<Spoken>,
    /// How the stage ended, and why.
    pub outcome: String,
    /// Who was told.
    pub told: Vec<Told>,
}

/// A moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub at: Timestamp,
    /// What.
    pub what: String,
}

/// A gate that failed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Seen {
    /// When it was seen first.
    #[serde(serialize_with = "rfc3339")]
    pub first: Timestamp,
    /// When it was seen last.
    #[serde(serialize_with = "rfc3339")]
    pub last: Timestamp,
    /// How often.
    pub times: u32,
    /// What was seen last.
    pub reading: GateReading,
}

/// How a release was taken back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rollback {
    /// Why.
    pub reason: String,
    /// When it was decided.
    #[serde(serialize_with = "rfc3339")]
    pub began: Timestamp,
    /// When it was done; none: it is not known.
    #[serde(serialize_with = "maybe_rfc3339")]
    pub ended: Option<Timestamp>,
    /// Whether what serves now is healthy.
    pub healthy: Option<bool>,
    /// Milliseconds from the first bad sample (or the decision) to the end.
    pub took: Option<u64>,
}

/// Somebody's decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spoken {
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub at: Timestamp,
    /// At which stage.
    pub stage: String,
    /// Who.
    pub by: String,
    /// Whether they approved.
    pub approved: bool,
    /// Their comment.
    pub comment: String,
}

/// A notice of the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// What and how: `"rollback" by slack`.
    pub notice: String,
    /// `done`, `waiting` or `failed`.
    pub state: String,
    /// Why it has not arrived.
    pub reason: String,
}

fn rfc3339<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.rfc3339())
}

fn maybe_rfc3339<S: serde::Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => rfc3339(at, serializer),
        None => serializer.serialize_none(),
    }
}

/// What is known of the run so far.
#[derive(Debug, Clone)]
pub struct Chronicle {
    card: Card,
    stages: BTreeMap<StageId, Pages>,
    approvals: Vec<Spoken>,
}

/// What is known of a stage.
#[derive(Debug, Clone, Default)]
struct Pages {
    app: String,
    environment: String,
    strategy: String,
    step: String,
    exposed: Option<u32>,
    images: (String, String),
    gates: Vec<Seen>,
    rollback: Option<Rollback>,
    pages: Vec<Moment>,
    severity: Option<String>,
    timeline: Vec<Moment>,
    left_out: usize,
}

impl Chronicle {
    /// Of the run that `card` describes.
    pub fn new(card: Card) -> Self {
        Self { card, stages: BTreeMap::new(), approvals: Vec::new() }
    }

    /// Takes a record in; gives the incident of a stage that is over with it, when it had one.
    pub fn hear(&mut self, record: &Record) -> Option<Incident> {
        let at = record.at;
        match &record.event {
            Event::ApprovalGiven { stage, approved, by, comment, .. } => {
                let (stage, by, comment) = (stage.to_string(), by.clone(), comment.clone());
                self.approvals.push(Spoken { at, stage, by, approved: *approved, comment });
            }
            Event::TaskReported { step, report } => self.page(&step.job.stage()).report(at, report),
            Event::OrderGiven { stage, order, by } => {
                let what = match order {
                    Order::Promote => "to go on",
                    Order::PromoteFull => "to go straight to the end",
                    Order::Abort => "to take it back",
                };
                self.page(stage).note(at, format!("{by} gave the order {what}"));
            }
            Event::TaskEnded { step, facts, .. } => {
                if let Ok(deployed) = serde_json::from_value::<Deployed>(facts.clone()) {
                    self.page(&step.job.stage()).strategy = deployed.strategy;
                }
            }
            Event::StageFinished { stage, outcome, reason, .. } => {
                return self.over(at, stage, *outcome, reason.as_deref());
            }
            _ => {}
        }
        None
    }

    fn page(&mut self, stage: &StageId) -> &mut Pages {
        self.stages.entry(stage.clone()).or_default()
    }

    fn over(&mut self, at: Timestamp, stage: &StageId, outcome: Outcome, reason: Option<&str>) -> Option<Incident> {
        let pages = self.stages.get_mut(stage)?;
        if pages.gates.is_empty() && pages.rollback.is_none() && pages.pages.is_empty() {
            return None;
        }
        let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let outcome = format!("{}{why}", outcome.github());
        let mut timeline = std::mem::take(&mut pages.timeline);
        if pages.left_out > 0 {
            timeline.push(Moment { at, what: format!("({} moments between are left out)", pages.left_out) });
        }
        timeline.push(Moment { at, what: format!("the stage is over: {outcome}") });
        let pages = std::mem::take(pages);
        let kind = match &pages.rollback {
            Some(Rollback { ended: Some(_), .. }) => "rolled-back",
            Some(_) => "rolling-back",
            None if !pages.pages.is_empty() => "paged",
            None => "reported",
        };
        let gravest = pages.gates.iter().map(|seen| seen.reading.severity.clone()).filter(|one| !one.is_empty()).min();
        Some(Incident {
            version: 1,
            run: self.card.clone(),
            stage: stage.to_string(),
            app: pages.app,
            environment: pages.environment,
            severity: pages.severity.or(gravest).unwrap_or_else(|| "P0".to_owned()),
            kind: kind.to_owned(),
            strategy: pages.strategy,
            step: pages.step,
            exposed: pages.exposed,
            from: pages.images.0,
            to: pages.images.1,
            gates: pages.gates,
            rollback: pages.rollback,
            pages: pages.pages,
            timeline,
            approvals: self.approvals.clone(),
            outcome,
            told: Vec::new(),
        })
    }
}

impl Pages {
    fn note(&mut self, at: Timestamp, what: String) {
        match self.timeline.len() < MOMENTS {
            true => self.timeline.push(Moment { at, what }),
            false => self.left_out += 1,
        }
    }

    fn is_about(&mut self, app: &str, environment: &str) {
        app.clone_into(&mut self.app);
        environment.clone_into(&mut self.environment);
    }

    fn report(&mut self, at: Timestamp, report: &TaskReport) {
        match report {
            TaskReport::Phase { app, environment, phase, text, weight } => {
                self.is_about(app, environment);
                if self.rollback.is_none() {
                    self.exposed = (*weight).max(self.exposed);
                    self.step = format!("{phase}, {text}");
                }
                self.note(at, format!("{phase}: {text}"));
            }
            TaskReport::Gate { verdict, reading, .. } if verdict == "fail" => self.failed(at, reading),
            TaskReport::RollingBack { app, environment, reason } => {
                self.is_about(app, environment);
                let (reason, began) = (reason.clone(), at);
                self.note(at, format!("verdict: it is taken back, {reason}"));
                self.rollback = Some(Rollback { reason, began, ended: None, healthy: None, took: None });
            }
            TaskReport::RolledBack { app, environment, from, to, healthy } => {
                self.is_about(app, environment);
                self.images = (from.clone(), to.clone());
                let bad = self.gates.iter().map(|seen| seen.first).min();
                let known = self.rollback.take();
                let began = known.as_ref().map_or(at, |rollback| rollback.began);
                let took = at.since(bad.unwrap_or(began)).as_millis();
                self.rollback = Some(Rollback {
                    reason: known.map(|rollback| rollback.reason).unwrap_or_default(),
                    began,
                    ended: Some(at),
                    healthy: Some(*healthy),
                    took: u64::try_from(took).ok(),
                });
                let state = if *healthy { "healthy" } else { "not healthy" };
                self.note(at, format!("what served before serves again, {state}"));
            }
            TaskReport::Paged { app, environment, severity, reason } => {
                self.is_about(app, environment);
                self.severity = Some(severity.clone());
                self.pages.push(Moment { at, what: reason.clone() });
                self.note(at, format!("a person was paged, {severity}: {reason}"));
            }
            TaskReport::Drifted { app, text } => {
                app.clone_into(&mut self.app);
                self.note(at, format!("another hand has changed what was set: {text}"));
            }
            TaskReport::Note { text } => self.note(at, text.clone()),
            TaskReport::Gate { .. } | TaskReport::Findings { .. } | TaskReport::Incident { .. } => {}
        }
    }

    fn failed(&mut self, at: Timestamp, reading: &GateReading) {
        match self.gates.iter_mut().find(|seen| seen.reading.gate == reading.gate) {
            Some(seen) => {
                seen.last = at;
                seen.times += 1;
                seen.reading = reading.clone();
            }
            None => {
                self.gates.push(Seen { first: at, last: at, times: 1, reading: reading.clone() });
                self.note(at, format!("first bad sample: {}", words::gate(reading)));
            }
        }
    }
}
