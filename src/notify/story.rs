//! From the journal's records to notices. The same records give the same notices, whoever reads them and when.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::event::{Event, Exit, GateReading, Outcome, Record, TaskReport};
use crate::id::StageId;
use crate::stage::NoticeEvent;

use super::card::Card;
use super::notice::Notice;
use super::words::{self, Ask, Back, Words};

/// A run's story so far.
#[derive(Debug, Clone)]
pub struct Story {
    card: Card,
    began: Option<Timestamp>,
    tales: BTreeMap<StageId, Tale>,
    failed: Vec<Words>,
    over: bool,
}

/// What is known of a stage.
#[derive(Debug, Clone, Default)]
struct Tale {
    app: String,
    environment: String,
    /// Where the deploy had come to.
    phase: String,
    /// The last gate that failed.
    gate: Option<GateReading>,
    /// Why it is being taken back; gone once that has been told.
    going_back: Option<String>,
    /// Why a step or job of it failed.
    why: String,
    /// What scanners found.
    findings: Vec<String>,
    /// Whether a person is asked; how many must agree.
    asked: Option<u32>,
    /// Who has agreed.
    agreed: BTreeSet<String>,
}

impl Story {
    /// The story of the run that `card` describes.
    pub fn new(card: Card) -> Self {
        Self { card, began: None, tales: BTreeMap::new(), failed: Vec::new(), over: false }
    }

    /// Whether the run's end was told.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Takes a record in; gives what is to be told of it.
    pub fn hear(&mut self, record: &Record) -> Vec<(NoticeEvent, Notice)> {
        let at = record.at;
        match &record.event {
            Event::RunStarted { .. } => {
                self.began = Some(at);
                vec![self.notice(NoticeEvent::Started, at, None, words::started(&self.card))]
            }
            Event::ApprovalWaiting { stage, environment, approvers, required, until, summary, .. } => {
                let tale = self.tale(stage);
                tale.asked = Some(*required);
                tale.agreed.clear();
                tale.environment = environment.clone().unwrap_or_default();
                let environment = environment.as_deref();
                let ask = Ask { stage, environment, approvers, required: *required, until: *until, summary };
                let command = format!("approve: slipway approve {} {stage}", self.card.id);
                let notice = self.notice(NoticeEvent::Waiting, at, Some(stage), words::waiting(&self.card, &ask));
                vec![with_command(notice, command)]
            }
            Event::ApprovalGiven { stage, approved, by, comment, .. } => {
                let tale = self.tale(stage);
                let event = if *approved {
                    tale.agreed.insert(by.clone());
                    let wanted = usize::try_from(tale.asked.unwrap_or(1)).unwrap_or(usize::MAX);
                    if tale.agreed.len() < wanted {
                        return Vec::new();
                    }
                    NoticeEvent::Approved
                } else {
                    NoticeEvent::Rejected
                };
                tale.asked = None;
                let by = match approved {
                    true => tale.agreed.iter().cloned().collect::<Vec<_>>().join(", "),
                    false => by.clone(),
                };
                let words = words::decided(&self.card, stage, *approved, &by, comment);
                vec![self.notice(event, at, Some(stage), words)]
            }
            Event::TaskReported { step, report } => self.report(at, &step.job.stage(), report),
            Event::StepFinished { step, outcome: Outcome::Failure, exit, reason, .. } => {
                self.tale(&step.job.stage()).why = match (reason, exit) {
                    (Some(reason), _) => reason.clone(),
                    (None, Some(Exit::Code(code))) => format!("step {} exited with {code}", step.step + 1),
                    (None, Some(Exit::Signal(signal))) => {
                        format!("step {} was ended by signal {signal}", step.step + 1)
                    }
                    (None, Some(Exit::OutOfMemory)) => format!("step {} ran out of memory", step.step + 1),
                    (None, None) => String::new(),
                };
                Vec::new()
            }
            Event::JobFinished { attempt, outcome: Outcome::Failure | Outcome::Lost, reason: Some(reason), .. } => {
                self.tale(&attempt.job.stage()).why = reason.clone();
                Vec::new()
            }
            Event::StageFinished { stage, outcome, reason, .. } => {
                self.stage_over(at, stage, *outcome, reason.as_deref())
            }
            Event::RunFinished { outcome } => vec![self.ended(at, *outcome)],
            _ => Vec::new(),
        }
    }

    /// The run is over. For one that was lost without a record of it, `at` is when that was found.
    pub fn ended(&mut self, at: Timestamp, outcome: Outcome) -> (NoticeEvent, Notice) {
        self.over = true;
        let event = match outcome {
            Outcome::Success | Outcome::Skipped => NoticeEvent::Success,
            Outcome::Failure | Outcome::Cancelled | Outcome::Lost => NoticeEvent::Failure,
        };
        let words = words::run(&self.card, outcome, self.began, at, &self.failed);
        let notice = self.notice(event, at, None, words);
        match event {
            NoticeEvent::Failure => with_command(notice, format!("see: slipway show {}", self.card.id)),
            _ => notice,
        }
    }

    fn report(&mut self, at: Timestamp, stage: &StageId, report: &TaskReport) -> Vec<(NoticeEvent, Notice)> {
        match report {
            TaskReport::Phase { app, environment, phase, text, .. } => {
                let place = words::place(app, environment);
                let tale = self.tale(stage);
                (tale.app, tale.environment) = (app.clone(), environment.clone());
                if phase == "waiting" {
                    let title = format!("{}: the deploy of {place} waits for a person", self.card.title());
                    let notice = self.notice(NoticeEvent::Waiting, at, Some(stage), (title, vec![text.clone()]));
                    let (id, name) = (&self.card.id, stage);
                    let command = format!(
                        "go on: slipway deploy promote {id} {name}; take back: slipway deploy abort {id} {name}"
                    );
                    return vec![with_command(notice, command)];
                }
                if phase != "rollback" {
                    tale.phase = format!("{phase}, {text}");
                }
                Vec::new()
            }
            TaskReport::Gate { verdict, reading, .. } => {
                if verdict == "fail" {
                    self.tale(stage).gate = Some(reading.clone());
                }
                Vec::new()
            }
            TaskReport::RollingBack { app, environment, reason } => {
                let tale = self.tale(stage);
                (tale.app, tale.environment) = (app.clone(), environment.clone());
                tale.going_back = Some(reason.clone());
                Vec::new()
            }
            TaskReport::RolledBack { app, environment, from, to, healthy } => {
                let tale = self.tale(stage);
                (tale.app, tale.environment) = (app.clone(), environment.clone());
                let reason = tale.going_back.take().unwrap_or_default();
                vec![self.went_back(at, stage, &reason, (from, to), Some(*healthy))]
            }
            TaskReport::Paged { app, environment, severity, reason } => {
                let tale = self.tale(stage);
                (tale.app, tale.environment) = (app.clone(), environment.clone());
                let gate = tale.gate.clone();
                let place = words::place(app, environment);
                let words = words::paged(&self.card, &place, severity, reason, gate.as_ref());
                let (event, notice) = self.notice(NoticeEvent::Paged, at, Some(stage), words);
                vec![(event, Notice { gate, ..notice })]
            }
            TaskReport::Drifted { app, text } => {
                let tale = self.tale(stage);
                tale.app.clone_from(app);
                let place = words::place(app, &tale.environment);
                let title = format!("{}: another hand has changed {place}, a person must look", self.card.title());
                vec![self.notice(NoticeEvent::Paged, at, Some(stage), (title, vec![text.clone()]))]
            }
            TaskReport::Findings { tool, counts } => {
                let counts: Vec<String> =
                    counts.iter().map(|(severity, count)| format!("{count} {severity}")).collect();
                self.tale(stage).findings.push(format!("{tool} found {}", counts.join(", ")));
                Vec::new()
            }
            TaskReport::Incident { .. } | TaskReport::Note { .. } => Vec::new(),
        }
    }

    fn went_back(
        &self,
        at: Timestamp,
        stage: &StageId,
        reason: &str,
        (from, to): (&str, &str),
        healthy: Option<bool>,
    ) -> (NoticeEvent, Notice) {
        let tale = self.tales.get(stage).cloned().unwrap_or_default();
        let Tale { app, environment, phase, gate, .. } = &tale;
        let back = Back { app, environment, reason, phase, gate: gate.as_ref(), from, to, healthy };
        let (event, notice) = self.notice(NoticeEvent::Rollback, at, Some(stage), words::rollback(&self.card, &back));
        (event, Notice { gate: tale.gate, ..notice })
    }

    fn stage_over(
        &mut self,
        at: Timestamp,
        stage: &StageId,
        outcome: Outcome,
        reason: Option<&str>,
    ) -> Vec<(NoticeEvent, Notice)> {
        let mut told = Vec::new();
        let tale = self.tale(stage);
        let why = reason.map_or_else(|| tale.why.clone(), str::to_owned);
        let findings = std::mem::take(&mut tale.findings);
        // The release went back and nobody said how that ended.
        let going_back = tale.going_back.take();
        let asked = tale.asked.take();
        if let Some(reason) = going_back {
            told.push(self.went_back(at, stage, &reason, ("", ""), None));
        }
        // Nobody decided in time: no record of a decision, but an end.
        if asked.is_some() && matches!(outcome, Outcome::Failure | Outcome::Skipped) {
            let words = words::decided(&self.card, stage, false, "nobody in time", "");
            told.push(self.notice(NoticeEvent::Rejected, at, Some(stage), words));
        }
        let (title, mut lines) = words::stage(&self.card, stage, outcome, &why);
        lines.extend(findings);
        if matches!(outcome, Outcome::Failure | Outcome::Lost) {
            self.failed.push((stage.to_string(), lines.clone()));
        }
        told.push(self.notice(NoticeEvent::Stage, at, Some(stage), (title, lines)));
        told
    }

    fn tale(&mut self, stage: &StageId) -> &mut Tale {
        self.tales.entry(stage.clone()).or_default()
    }

    fn notice(
        &self,
        event: NoticeEvent,
        at: Timestamp,
        stage: Option<&StageId>,
        (title, lines): Words,
    ) -> (NoticeEvent, Notice) {
        let tale = stage.and_then(|stage| self.tales.get(stage));
        let of = |text: fn(&Tale) -> &String| tale.map(text).filter(|text| !text.is_empty()).cloned();
        let notice = Notice {
            event: event.name().to_owned(),
            at,
            card: self.card.clone(),
            stage: stage.map(ToString::to_string),
            app: of(|tale| &tale.app),
            environment: of(|tale| &tale.environment),
            title,
            lines,
            gate: None,
            command: None,
        };
        (event, notice)
    }
}

fn with_command((event, notice): (NoticeEvent, Notice), command: String) -> (NoticeEvent, Notice) {
    (event, Notice { command: Some(command), ..notice })
}
