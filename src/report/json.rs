//! `--json`: every record as one line of JSON, exactly as the journal has it, and output between them. docs/events.md
//! documents each line and what is promised about them.

use std::io::Write;

use serde_json::json;

use crate::event::{EVENT_VERSION, Record};
use crate::id::{AttemptId, StepKey};
use crate::sink::Sink;

/// Writes JSON lines. A line is written whole and at once; when the reader has gone, the rest is let go.
pub struct JsonLines {
    out: Option<Box<dyn Write + Send>>,
}

impl JsonLines {
    /// Writes to `out`.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out: Some(out) }
    }

    fn line(&mut self, value: &impl serde::Serialize) {
        let Some(out) = &mut self.out else { return };
        let Ok(mut bytes) = serde_json::to_vec(value) else { return };
        bytes.push(b'\n');
        if out.write_all(&bytes).and_then(|()| out.flush()).is_err() {
            self.out = None;
        }
    }
}

impl Sink for JsonLines {
    fn record(&mut self, record: &Record) {
        self.line(record);
    }

    fn output(&mut self, step: &StepKey, text: &str) {
        self.line(&json!({
            "v": EVENT_VERSION,
            "output": { "job": step.job, "attempt": step.attempt, "step": step.step, "text": text },
        }));
    }

    fn job_line(&mut self, attempt: &AttemptId, text: &str) {
        self.line(&json!({
            "v": EVENT_VERSION,
            "output": { "job": attempt.job, "attempt": attempt.attempt, "text": text },
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;
    use crate::report::fixture::{FakeClock, Script, Shared};

    #[test]
    fn every_line_is_one_document() {
        let shared = Shared::default();
        let mut sink = JsonLines::new(Box::new(shared.clone()));
        Script::new()
            .starting("a", 1)
            .job_state("a", "pulling")
            .job_line("a", "pulled")
            .output("a", 0, "one\ntwo\n")
            .job_end("a", Outcome::Success)
            .play(&mut sink, &FakeClock::default());
        let text = shared.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 6, "a passing state is no line: {text}");
        let record: Record = serde_json::from_str(lines[1]).unwrap();
        assert_eq!(serde_json::to_string(&record).unwrap(), lines[1], "exactly the journal's form");
        assert_eq!(lines[2], r#"{"v":1,"output":{"job":"a","attempt":1,"text":"pulled"}}"#);
        assert_eq!(lines[3], r#"{"v":1,"output":{"job":"a","attempt":1,"step":0,"text":"one\ntwo\n"}}"#);
    }

    #[test]
    fn a_reader_that_has_gone_is_no_trouble() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut sink = JsonLines::new(Box::new(Gone));
        Script::new().starting("a", 1).play(&mut sink, &FakeClock::default());
        assert!(sink.out.is_none());
    }
}
