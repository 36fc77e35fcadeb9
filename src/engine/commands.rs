//! Workflow commands on standard output and standard error (`::error::`, `::add-mask::`): runners.md 3.7.
//!
//! Pure and lossless: whatever is not a command goes out byte for byte, in as few pieces as possible. Memory is bounded: a
//! line longer than [`MAX_LINE`] is plain output. The parser stands before the masker, so that a value is registered before
//! the bytes behind it are looked at; whatever it gives out must still be masked.

use crate::engine::command_line::{CommandLine, parse};
use crate::event::{Annotation, AnnotationLevel};

/// A longer line is plain output and passes in pieces.
pub const MAX_LINE: usize = 64 * 1024;
/// A stop token longer than this is itself masked, as GitHub does it.
const MASKED_TOKEN: usize = 6;

/// What a workflow command asks for. Texts are unescaped and not masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkflowCommand {
    /// `error`, `warning`, `notice`.
    Annotate(Annotation),
    /// `debug`.
    Debug(String),
    /// `group`; `depth` counts the groups around it.
    Group {
        /// Its title.
        title: String,
        /// From 0.
        depth: usize,
    },
    /// `endgroup`.
    EndGroup,
    /// `add-mask`: never blank.
    AddMask(String),
    /// `set-output` (deprecated in favour of `GITHUB_OUTPUT`, and it works).
    SetOutput {
        /// The output.
        name: String,
        /// Its value.
        value: String,
    },
    /// `save-state`.
    SaveState {
        /// The name.
        name: String,
        /// Its value.
        value: String,
    },
    /// `echo on|off`, taken into account by the parser.
    Echo(bool),
    /// `stop-commands`, taken into account by the parser; the token is to be masked when it is given here.
    StopCommands {
        /// A token long enough to be masked.
        mask: Option<String>,
    },
    /// The stop token came: commands count again.
    ResumeCommands,
    /// `add-matcher`, `remove-matcher`: they change nothing here.
    Ignored,
    /// The command is refused or wrong: the step fails with this message.
    Failed(String),
    /// The command means nothing as it stands; the step goes on.
    Warned(String),
}

/// What to do about a piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineAction<'a> {
    /// Show these bytes as they are: whole lines, or pieces of very long ones.
    Print(&'a [u8]),
    /// Obey, and show nothing.
    Command(WorkflowCommand),
    /// Show this text (it ends with a newline), and obey.
    PrintAndCommand(String, WorkflowCommand),
}

/// Finds commands in one stream of output.
#[derive(Debug, Default)]
pub struct CommandParser {
    /// Whether `debug` is shown (`RUNNER_DEBUG`).
    debug: bool,
    /// The workspace as the step sees it, for `file=` properties.
    workspace: String,
    echo: bool,
    stopped: Option<String>,
    depth: usize,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// Pieces of this line have gone out, so the rest is plain too.
    passed: bool,
    /// A command ended with `\r`: a `\n` right behind it belongs to it.
    swallow_newline: bool,
}

impl CommandParser {
    /// A parser for a step. `debug`: show `debug` commands. `workspace`: the path as the step sees it; annotations name
    /// files relative to it.
    pub fn new(debug: bool, workspace: &str) -> Self {
        Self { debug, workspace: workspace.trim_end_matches('/').to_owned(), ..Self::default() }
    }

    /// Takes bytes in, and gives out what is to be done, in order.
    pub fn feed(&mut self, bytes: &[u8], act: &mut impl FnMut(LineAction<'_>)) {
        let mut bytes = bytes;
        if self.swallow_newline && !bytes.is_empty() {
            self.swallow_newline = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        // `plain` is where what has not gone out begins; `line` is where the present line begins.
        let (mut plain, mut line) = (0, 0);
        while let Some(length) = bytes[line..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let mut end = line + length + 1;
            // A line that began in an earlier piece is put together; there is at most one in a call.
            let began = std::mem::take(&mut self.partial);
            let passed = std::mem::take(&mut self.passed);
            let command = if passed || began.len() + length > MAX_LINE {
                None
            } else if began.is_empty() {
                self.command(&bytes[line..line + length])
            } else {
                self.command(&[&began, &bytes[line..line + length]].concat())
            };
            match command {
                Some(action) => {
                    if plain < line {
                        act(LineAction::Print(&bytes[plain..line]));
                    }
                    if bytes[end - 1] == b'\r' {
                        match bytes.get(end) {
                            Some(b'\n') => end += 1,
                            Some(_) => {}
                            None => self.swallow_newline = true,
                        }
                    }
                    act(action);
                    plain = end;
                }
                None if !began.is_empty() => {
                    act(LineAction::Print(&[&began, &bytes[line..end]].concat()));
                    plain = end;
                }
                None => {}
            }
            line = end;
        }
        if plain < line {
            act(LineAction::Print(&bytes[plain..line]));
        }
        let rest = &bytes[line..];
        if self.passed {
            if !rest.is_empty() {
                act(LineAction::Print(rest));
            }
        } else if self.partial.len() + rest.len() > MAX_LINE {
            self.pass(act);
            act(LineAction::Print(rest));
            self.passed = true;
        } else {
            self.partial.extend_from_slice(rest);
        }
    }

    /// The stream is quiet: gives out a line without an end (a prompt), unless it may still become a command.
    pub fn idle(&mut self, act: &mut impl FnMut(LineAction<'_>)) {
        let text = self.partial.trim_ascii_start();
        let open = text.is_empty() || text.starts_with(b":") || text.contains(&b'#');
        if !open {
            self.pass(act);
        }
    }

    /// Nothing more comes: the last line may lack its end.
    pub fn finish(&mut self, act: &mut impl FnMut(LineAction<'_>)) {
        let line = std::mem::take(&mut self.partial);
        if !line.is_empty() {
            match self.command(&line) {
                Some(action) => act(action),
                None => act(LineAction::Print(&line)),
            }
        }
        self.passed = false;
    }

    /// Whether nothing is held back and the next byte begins a line: a new parser would go on the same way.
    pub fn is_at_line_start(&self) -> bool {
        self.partial.is_empty() && !self.passed && !self.swallow_newline && self.stopped.is_none()
    }

    fn pass(&mut self, act: &mut impl FnMut(LineAction<'_>)) {
        if !self.partial.is_empty() {
            act(LineAction::Print(&self.partial));
            self.partial.clear();
            self.passed = true;
        }
    }

    /// What a line without its end asks for; `None` is plain output.
    fn command(&mut self, line: &[u8]) -> Option<LineAction<'static>> {
        let command = parse(line, self.stopped.as_deref())?;
        if let Some(token) = &self.stopped {
            if !command.name.eq_ignore_ascii_case(token) {
                return None;
            }
            self.stopped = None;
            let shown = format!("{}\n", String::from_utf8_lossy(line));
            return Some(LineAction::PrintAndCommand(shown, WorkflowCommand::ResumeCommands));
        }
        let (shown, result) = self.obey(command);
        let line = || format!("{}\n", String::from_utf8_lossy(line));
        Some(match shown {
            Shown::Nothing => LineAction::Command(result),
            Shown::Echo(true) => LineAction::PrintAndCommand(line(), result),
            Shown::Echo(false) => LineAction::Command(result),
            Shown::Text(text) => LineAction::PrintAndCommand(format!("{text}\n"), result),
        })
    }

    fn obey(&mut self, command: CommandLine) -> (Shown, WorkflowCommand) {
        let echo = Shown::Echo(self.echo);
        let failed = |message: String| (Shown::Text(format!("error: {message}")), WorkflowCommand::Failed(message));
        match command.name.as_str() {
            "error" => self.annotate(AnnotationLevel::Error, "error", command),
            "warning" => self.annotate(AnnotationLevel::Warning, "warning", command),
            "notice" => self.annotate(AnnotationLevel::Notice, "notice", command),
            "debug" => {
                let shown = if self.debug { Shown::Text(format!("debug: {}", command.data)) } else { Shown::Nothing };
                (shown, WorkflowCommand::Debug(command.data))
            }
            "group" => {
                let depth = self.depth;
                self.depth = depth.saturating_add(1);
                (Shown::Text(format!("▸ {}", command.data)), WorkflowCommand::Group { title: command.data, depth })
            }
            "endgroup" => {
                self.depth = self.depth.saturating_sub(1);
                (Shown::Nothing, WorkflowCommand::EndGroup)
            }
            "add-mask" if command.data.trim().is_empty() => {
                let message = "an empty value cannot be masked by \"add-mask\"".to_owned();
                (Shown::Text(format!("warning: {message}")), WorkflowCommand::Warned(message))
            }
            "add-mask" => (Shown::Nothing, WorkflowCommand::AddMask(command.data)),
            "set-output" | "save-state" => match command.property("name") {
                None => failed(format!("the command \"{}\" lacks its property \"name\"", command.name)),
                Some(name) => {
                    let (name, value) = (name.to_owned(), command.data);
                    let output = command.name == "set-output";
                    let set = if output {
                        WorkflowCommand::SetOutput { name, value }
                    } else {
                        WorkflowCommand::SaveState { name, value }
                    };
                    (echo, set)
                }
            },
            "set-env" => failed(refused("set-env", "NAME=VALUE", "GITHUB_ENV")),
            "add-path" => failed(refused("add-path", "the folder", "GITHUB_PATH")),
            "echo" => match command.data.trim().to_ascii_lowercase().as_str() {
                "on" => self.echo(true),
                "off" => self.echo(false),
                _ => failed(format!("the command \"echo\" takes \"on\" or \"off\", not \"{}\"", command.data)),
            },
            "stop-commands" => {
                let token = command.data;
                if token.is_empty() || token.eq_ignore_ascii_case("pause-logging") || CommandLine::known(&token) {
                    return failed(format!(
                        "the command \"stop-commands\" needs a token of its own, not \"{token}\"; use a random text"
                    ));
                }
                self.stopped = Some(token.clone());
                let mask = (token.chars().count() > MASKED_TOKEN).then_some(token);
                (echo, WorkflowCommand::StopCommands { mask })
            }
            _ => (echo, WorkflowCommand::Ignored),
        }
    }

    fn echo(&mut self, on: bool) -> (Shown, WorkflowCommand) {
        let before = std::mem::replace(&mut self.echo, on);
        (Shown::Echo(before), WorkflowCommand::Echo(on))
    }

    fn annotate(&self, level: AnnotationLevel, word: &str, command: CommandLine) -> (Shown, WorkflowCommand) {
        let number = |name: &str| command.property(name).and_then(|text| text.trim().parse::<u32>().ok());
        let text = |name: &str| command.property(name).map(str::to_owned);
        let (mut line, mut end_line) = (number("line").or(number("endLine")), number("endLine"));
        if end_line.is_some_and(|end| Some(end) < line) {
            (line, end_line) = (None, None);
        }
        let (mut column, mut end_column) = (number("col").or(number("endColumn")), number("endColumn"));
        // Columns mean something within one line only.
        if line.is_none()
            || end_line.is_some_and(|end| Some(end) != line)
            || end_column.is_some_and(|e| Some(e) < column)
        {
            (column, end_column) = (None, None);
        }
        let file = text("file").map(|file| self.relative(&file));
        let shown = Shown::Text(format!("{word}: {}", command.data));
        let title = text("title");
        let message = command.data;
        let annotation = Annotation { level, message, title, file, line, end_line, column, end_column };
        (shown, WorkflowCommand::Annotate(annotation))
    }

    fn relative(&self, file: &str) -> String {
        let file = file.replace('\\', "/");
        let inner = file.strip_prefix(&self.workspace).and_then(|rest| rest.strip_prefix('/'));
        inner.filter(|_| !self.workspace.is_empty()).unwrap_or(&file).trim_start_matches("./").to_owned()
    }
}

/// What the log shows of a command.
enum Shown {
    Nothing,
    /// The line itself, if this is true.
    Echo(bool),
    Text(String),
}

fn refused(command: &str, what: &str, file: &str) -> String {
    format!(
        "the command \"{command}\" is disabled, as any output could use it; write {what} to the file ${file} instead"
    )
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;
