//! The last lines of steps' output, in bounded memory: for the live line, the log of a failed step, and the summary.

use std::collections::{HashMap, VecDeque};

use crate::id::StepKey;

/// Lines kept of a running step.
pub const MAX_LINES: usize = 500;
/// Bytes kept of a running step.
pub const MAX_BYTES: usize = 128 * 1024;
/// Bytes kept of one line; nobody reads more of one on a screen.
pub const MAX_LINE_BYTES: usize = 4096;
/// Lines kept of a step that failed, for the summary.
pub const SUMMARY_LINES: usize = 5;
/// Steps that failed whose lines are kept.
const MAX_FAILED: usize = 50;

/// The end of one step's output. Lines are as they came, not sanitised.
#[derive(Debug, Default)]
pub struct Tail {
    /// The newest lines, without line ends.
    pub lines: VecDeque<String>,
    /// Lines that were let go.
    pub dropped: u64,
    bytes: usize,
    open: bool,
}

impl Tail {
    /// Takes text in: whole lines, or a part of one that goes on with the next call.
    pub fn push(&mut self, text: &str) {
        for piece in text.split_inclusive('\n') {
            let ended = piece.ends_with('\n');
            let piece = piece.strip_suffix('\n').unwrap_or(piece);
            match self.lines.back_mut() {
                Some(last) if self.open => {
                    let before = last.len();
                    last.push_str(cut_bytes(piece, MAX_LINE_BYTES.saturating_sub(before)));
                    self.bytes += last.len() - before;
                }
                _ => {
                    let line = cut_bytes(piece, MAX_LINE_BYTES);
                    self.bytes += line.len();
                    self.lines.push_back(line.to_owned());
                }
            }
            self.open = !ended;
        }
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            self.drop_first();
        }
    }

    /// The newest line that is not blank.
    pub fn last_line(&self) -> Option<&str> {
        self.lines.iter().rev().map(String::as_str).find(|l| !l.trim().is_empty())
    }

    /// Lets all but the newest `lines` go.
    pub fn shrink(&mut self, lines: usize) {
        while self.lines.len() > lines {
            self.drop_first();
        }
        self.lines.shrink_to_fit();
    }

    fn drop_first(&mut self) {
        if let Some(line) = self.lines.pop_front() {
            self.bytes -= line.len();
            self.dropped += 1;
        }
    }
}

/// Tails by step.
#[derive(Debug, Default)]
pub struct Tails {
    by_step: HashMap<StepKey, Tail>,
    failed: usize,
}

impl Tails {
    /// Takes output of a step in.
    pub fn push(&mut self, step: &StepKey, text: &str) {
        match self.by_step.get_mut(step) {
            Some(tail) => tail.push(text),
            None => self.by_step.entry(step.clone()).or_default().push(text),
        }
    }

    /// A step's tail.
    pub fn get(&self, step: &StepKey) -> Option<&Tail> {
        self.by_step.get(step)
    }

    /// The step is over: a failed one keeps a few lines, others keep nothing.
    pub fn close(&mut self, step: &StepKey, failed: bool) {
        if failed && self.failed < MAX_FAILED {
            if let Some(tail) = self.by_step.get_mut(step) {
                self.failed += 1;
                tail.shrink(SUMMARY_LINES);
            }
        } else {
            self.by_step.remove(step);
        }
    }
}

/// At most `max` bytes of `text`, whole characters.
fn cut_bytes(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::JobId;

    #[test]
    fn lines_are_joined_and_bounded() {
        let mut tail = Tail::default();
        tail.push("one\ntw");
        tail.push("o\nthree");
        tail.push("\n\n");
        assert_eq!(tail.lines, ["one", "two", "three", ""]);
        assert_eq!(tail.last_line(), Some("three"));
        for i in 0..2 * MAX_LINES {
            tail.push(&format!("{i}\n"));
        }
        assert_eq!((tail.lines.len(), tail.dropped), (MAX_LINES, 504));
        tail.push(&"é".repeat(MAX_LINE_BYTES * 20));
        assert_eq!(tail.lines.back().unwrap().len(), MAX_LINE_BYTES);
        tail.push("more\n");
        assert_eq!(tail.lines.back().unwrap().len(), MAX_LINE_BYTES);
        let line = "x".repeat(MAX_LINE_BYTES) + "\n";
        (0..100).for_each(|_| tail.push(&line));
        assert!(tail.lines.len() * MAX_LINE_BYTES <= MAX_BYTES);
    }

    #[test]
    fn only_failed_steps_keep_lines() {
        let mut tails = Tails::default();
        let key = |step| StepKey { job: JobId::from("a"), attempt: 1, step };
        for step in 0..2 {
            (0..9).for_each(|i| tails.push(&key(step), &format!("{i}\n")));
        }
        tails.close(&key(0), false);
        tails.close(&key(1), true);
        assert!(tails.get(&key(0)).is_none());
        assert_eq!(tails.get(&key(1)).unwrap().lines, ["4", "5", "6", "7", "8"]);
    }
}
