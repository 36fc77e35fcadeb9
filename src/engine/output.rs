//! The way of a step's output: raw bytes ─▶ workflow commands ─▶ masker ─▶ log, and the text for whoever watches.
//!
//! A value that `::add-mask::` names is masked in everything behind it. A checkpoint is a place where nothing is held back:
//! so much raw output is in so much log, and an engine that takes the step up later goes on from there.

use std::io;

use crate::event::Annotation;
use crate::secret::{MaskStream, Masker};
use crate::store::contract::LogWriter;

use super::commands::{CommandParser, LineAction, WorkflowCommand};

/// What the output asked for beside being shown.
#[derive(Debug, Default)]
pub struct Asked {
    /// Values to mask from now on.
    pub masks: Vec<String>,
    /// Annotations, masked.
    pub annotations: Vec<Annotation>,
    /// The first so many annotations are on record already: the output is read again after a crash.
    pub known: u32,
    /// `set-output`.
    pub outputs: Vec<(String, String)>,
    /// The step fails: a refused command, with the reason.
    pub failure: Option<String>,
}

/// One step's output.
pub struct OutputPipe {
    parser: CommandParser,
    stream: MaskStream,
    masker: Masker,
    log: Box<dyn LogWriter>,
    /// Raw bytes taken in.
    raw: u64,
    /// Masked bytes not shown yet.
    shown: Vec<u8>,
}

impl OutputPipe {
    /// From raw offset `raw` on; `log` stands at the length that goes with it.
    pub fn new(masker: &Masker, debug: bool, workspace: &str, log: Box<dyn LogWriter>, raw: u64) -> Self {
        Self {
            parser: CommandParser::new(debug, workspace),
            stream: masker.stream(),
            masker: masker.clone(),
            log,
            raw,
            shown: Vec::new(),
        }
    }

    /// Takes raw bytes in.
    pub fn feed(&mut self, bytes: &[u8], asked: &mut Asked) -> io::Result<()> {
        self.raw += bytes.len() as u64;
        let (stream, masker) = (&mut self.stream, &self.masker);
        let mut masked = Vec::with_capacity(bytes.len());
        self.parser.feed(bytes, &mut |action| obey(action, stream, masker, &mut masked, asked));
        self.write(&masked)
    }

    /// The step is quiet: lets go of what waits for the end of its line.
    pub fn idle(&mut self, asked: &mut Asked) -> io::Result<()> {
        let (stream, masker) = (&mut self.stream, &self.masker);
        let mut masked = Vec::new();
        self.parser.idle(&mut |action| obey(action, stream, masker, &mut masked, asked));
        self.write(&masked)?;
        self.log.flush()
    }

    /// Nothing more comes: everything that was held back goes to the log.
    pub fn finish(&mut self, asked: &mut Asked) -> io::Result<()> {
        let (stream, masker) = (&mut self.stream, &self.masker);
        let mut masked = Vec::new();
        self.parser.finish(&mut |action| obey(action, stream, masker, &mut masked, asked));
        self.stream.finish(&mut masked);
        self.write(&masked)?;
        self.log.flush()
    }

    /// A line of Slipway's own in the step's log (why it failed).
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        let text = format!("{}\n", self.masker.mask(text));
        self.write(text.as_bytes())?;
        self.log.flush()
    }

    /// Where raw output and log agree, when nothing is held back. The log is flushed first.
    pub fn checkpoint(&mut self) -> io::Result<Option<(u64, u64)>> {
        if self.stream.held() > 0 || !self.parser.is_at_line_start() {
            return Ok(None);
        }
        self.log.flush()?;
        Ok(Some((self.raw, self.log.len())))
    }

    /// Masked text that has not been shown yet: whole lines, or what there is when it is long.
    pub fn take_shown(&mut self, all: bool) -> Option<String> {
        const LONG: usize = 64 * 1024;
        let end = match self.shown.iter().rposition(|byte| *byte == b'\n') {
            _ if all || self.shown.len() >= LONG => self.shown.len(),
            Some(newline) => newline + 1,
            None => 0,
        };
        if end == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&self.shown[..end]).into_owned();
        self.shown.drain(..end);
        Some(text)
    }

    fn write(&mut self, masked: &[u8]) -> io::Result<()> {
        if masked.is_empty() {
            return Ok(());
        }
        self.shown.extend_from_slice(masked);
        self.log.append(masked)
    }
}

fn obey(action: LineAction<'_>, stream: &mut MaskStream, masker: &Masker, out: &mut Vec<u8>, asked: &mut Asked) {
    let command = match action {
        LineAction::Print(bytes) => return stream.write(bytes, out),
        LineAction::Command(command) => command,
        LineAction::PrintAndCommand(text, command) => {
            stream.write(text.as_bytes(), out);
            command
        }
    };
    match command {
        WorkflowCommand::AddMask(value) => {
            masker.add(&value);
            asked.masks.push(value);
        }
        WorkflowCommand::StopCommands { mask: Some(token) } => {
            masker.add(&token);
            asked.masks.push(token);
        }
        WorkflowCommand::Annotate(mut annotation) => {
            annotation.message = masker.mask(&annotation.message);
            annotation.title = annotation.title.map(|title| masker.mask(&title));
            annotation.file = annotation.file.map(|file| masker.mask(&file));
            asked.annotations.push(annotation);
        }
        WorkflowCommand::SetOutput { name, value } => asked.outputs.push((name, value)),
        WorkflowCommand::Failed(message) => {
            asked.failure.get_or_insert(masker.mask(&message));
        }
        WorkflowCommand::Debug(_)
        | WorkflowCommand::Group { .. }
        | WorkflowCommand::EndGroup
        | WorkflowCommand::SaveState { .. }
        | WorkflowCommand::Echo(_)
        | WorkflowCommand::StopCommands { mask: None }
        | WorkflowCommand::ResumeCommands
        | WorkflowCommand::Ignored
        | WorkflowCommand::Warned(_) => {}
    }
}
