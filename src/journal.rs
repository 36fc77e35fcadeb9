//! The record format of the journal: one JSON text a record, versioned. Readers accept the present version and the one before
//! (there is none before version 1); `tests/golden/journal-v1.jsonl` keeps what version 1 looks like.

use crate::event::{EVENT_VERSION, Record};

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A newer Slipway wrote it.
    #[error("record {seq} has version {version}, and this Slipway reads up to {EVENT_VERSION}; use the newer one")]
    Newer {
        /// Its place.
        seq: u64,
        /// Its version.
        version: u64,
    },
    /// It is no record.
    #[error("record {seq} is damaged: {reason}")]
    Damaged {
        /// Its place.
        seq: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// A record as it is stored.
pub fn encode(record: &Record) -> String {
    serde_json::to_string(record).expect("records have text keys only")
}

/// A stored record; `seq` is the place that it stands at.
pub fn decode(seq: u64, text: &str) -> Result<Record, DecodeError> {
    match serde_json::from_str::<Record>(text) {
        Ok(Record { v: 0, .. }) => {
            Err(DecodeError::Damaged { seq, reason: "it is of version 0, which never was".to_owned() })
        }
        Ok(record) if record.v <= EVENT_VERSION && record.seq == seq => Ok(record),
        Ok(record) if record.v <= EVENT_VERSION => {
            Err(DecodeError::Damaged { seq, reason: format!("it says that it is record {}", record.seq) })
        }
        Ok(record) => Err(DecodeError::Newer { seq, version: u64::from(record.v) }),
        Err(error) => {
            let version = serde_json::from_str::<serde_json::Value>(text).ok().and_then(|json| json["v"].as_u64());
            match version.filter(|version| *version > u64::from(EVENT_VERSION)) {
                Some(version) => Err(DecodeError::Newer { seq, version }),
                None => Err(DecodeError::Damaged { seq, reason: error.to_string() }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::{Event, Outcome};

    #[test]
    fn records_survive_the_way_to_the_disk() {
        let record = Record { v: 1, seq: 3, at: Timestamp(5), event: Event::RunFinished { outcome: Outcome::Lost } };
        let text = encode(&record);
        assert_eq!(text, r#"{"v":1,"seq":3,"at":5,"event":"run-finished","outcome":"lost"}"#);
        assert_eq!(decode(3, &text), Ok(record));
        assert!(matches!(decode(4, &text), Err(DecodeError::Damaged { .. })));
    }

    #[test]
    fn newer_and_damaged_records_are_told_apart() {
        assert!(matches!(decode(1, r#"{"v":9,"seq":1,"event":"unheard-of"}"#), Err(DecodeError::Newer { .. })));
        for bad in ["", "{", "null", r#"{"v":1}"#, r#"{"v":0,"seq":1,"at":5,"event":"run-resumed","pid":7}"#] {
            assert!(matches!(decode(1, bad), Err(DecodeError::Damaged { .. })), "{bad}");
        }
        let more = r#"{"v":1,"seq":1,"at":5,"event":"run-resumed","pid":7,"host":"what a later version adds"}"#;
        assert_eq!(decode(1, more).map(|record| record.event), Ok(Event::RunResumed { pid: 7 }));
    }

    /// The name of each event. An event without an arm does not compile; it needs a line in the golden file too.
    fn kind(event: &Event) -> &'static str {
        match event {
            Event::RunStarted { .. } => "run-started",
            Event::RunResumed { .. } => "run-resumed",
            Event::CancelRequested { .. } => "cancel-requested",
            Event::JobsExpanded { .. } => "jobs-expanded",
            Event::StageSkipped { .. } => "stage-skipped",
            Event::StageFinished { .. } => "stage-finished",
            Event::JobQueued { .. } => "job-queued",
            Event::JobReused { .. } => "job-reused",
            Event::JobStarting { .. } => "job-starting",
            Event::JobStarted { .. } => "job-started",
            Event::StepSkipped { .. } => "step-skipped",
            Event::StepStarting { .. } => "step-starting",
            Event::LogAcknowledged { .. } => "log-acknowledged",
            Event::MaskAdded { .. } => "mask-added",
            Event::Annotated { .. } => "annotated",
            Event::StepFinished { .. } => "step-finished",
            Event::SummaryWritten { .. } => "summary-written",
            Event::TestsReported { .. } => "tests-reported",
            Event::ArtifactsKept { .. } => "artifacts-kept",
            Event::JobClosing { .. } => "job-closing",
            Event::JobFinished { .. } => "job-finished",
            Event::JobDropped { .. } => "job-dropped",
            Event::RunFinished { .. } => "run-finished",
            Event::RunPaused {} => "run-paused",
            Event::EffectIntended { .. } => "effect-intended",
            Event::EffectObserved { .. } => "effect-observed",
            Event::TaskReported { .. } => "task-reported",
            Event::TaskEnded { .. } => "task-ended",
            Event::ApprovalWaiting { .. } => "approval-waiting",
            Event::ApprovalGiven { .. } => "approval-given",
            Event::RequestRefused { .. } => "request-refused",
            Event::OrderGiven { .. } => "order-given",
        }
    }

    #[test]
    fn every_event_of_version_1_is_read_and_written_the_same() {
        let mut kinds = std::collections::BTreeSet::new();
        for (line, seq) in include_str!("../tests/golden/journal-v1.jsonl").lines().zip(1..) {
            let record = decode(seq, line).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(encode(&record), line);
            let name = kind(&record.event);
            assert!(line.contains(&format!(r#""event":"{name}""#)), "{line}");
            kinds.insert(name);
        }
        assert_eq!(kinds.len(), 32, "an event has no line in the golden file: {kinds:?}");
    }
}
