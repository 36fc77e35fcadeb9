//! `slipway logs`: what a run's steps said, from its files; with `--follow` as it comes.
//!
//! Logs hold what jobs wrote. On its way to a screen all that could steer a terminal is taken out, but for colours; `--raw` gives
//! the bytes as they are.

use std::collections::HashMap;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::Duration;

use crate::cli::run::store_failed;
use crate::cli::session::open_state;
use crate::cli::state::{Status, find, view};
use crate::event::{Event, Record};
use crate::exit::Exit;
use crate::id::{AttemptId, JobId, RunId};
use crate::report::run_view::RunView;
use crate::report::sanitize::{self, visible};
use crate::report::style::{Ink, Style, wants_color_here};
use crate::store::contract::{Store, StoreError};
use crate::store::logs::{FileLogs, LogName};
use crate::store::sqlite::SqliteStore;

/// How often `--follow` looks for more.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes read at once.
const CHUNK: usize = 256 << 10;
/// A line that goes on and on is shown in parts.
const MAX_LINE: usize = 64 << 10;

/// Prints the logs of a run.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// The run: its id, the beginning of that, or #NUMBER; without it the newest of this checkout
    pub run: Option<String>,
    /// Only this stage, or one of its jobs
    pub stage: Option<String>,
    /// Only step N of each job; they count from 1, as `runs show` has them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub step: Option<u32>,
    /// Goes on until the run is over
    #[arg(long, short)]
    pub follow: bool,
    /// Only the last N lines of what there is
    #[arg(long, value_name = "N")]
    pub tail: Option<u64>,
    /// The bytes as they were written: no names before lines, control sequences and all
    #[arg(long)]
    pub raw: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let style = Style::new(wants_color_here(io::stdout().is_terminal()));
    let printed = || -> Result<(), Stop> {
        let store = open_state()?;
        let run = find(&store, args.run.as_deref())?;
        let mut out = BufWriter::new(io::stdout().lock());
        print(&store, &run, args, style, &mut out)
    };
    match printed() {
        Ok(()) | Err(Stop::Reader) => Exit::Success,
        Err(Stop::Store(error)) => store_failed(&error),
    }
}

/// Why printing ended early.
enum Stop {
    /// Whoever reads has gone.
    Reader,
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Stop::Store(error)
    }
}

fn print(store: &SqliteStore, run: &RunId, args: &Args, style: Style, out: &mut dyn Write) -> Result<(), Stop> {
    let (_, view) = view(store, run)?;
    check(&view, args)?;
    let mut printer = Printer {
        logs: FileLogs::new(store.state()),
        run: run.clone(),
        // One job needs no name before its lines.
        prefixed: !args.raw && chosen(&view, args).take(2).count() > 1,
        raw: args.raw,
        style,
        last: None,
        out,
    };
    let mut sources = Sources::new(args);
    for record in store.records(run, 0)? {
        sources.take_in(&record);
    }
    sources.by_job();
    if let Some(lines) = args.tail {
        tail(&printer, &mut sources.list, lines)?;
    }
    loop {
        let status = Status::of(store, &store.load(run)?.row);
        if args.follow {
            for record in store.records(run, sources.seq)? {
                sources.take_in(&record);
            }
        }
        let ended = !args.follow || !matches!(status, Status::Running(_));
        for source in &mut sources.list {
            printer.show(source, ended)?;
        }
        sources.list.retain(|source| !source.done);
        printer.out.flush().map_err(|_| Stop::Reader)?;
        if ended {
            if args.follow && status == Status::Interrupted {
                eprintln!("run {run} is interrupted: nobody works on it; slipway resume {run} takes it up");
            }
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
}

/// The jobs that are asked for.
fn chosen<'a>(view: &'a RunView, args: &'a Args) -> impl Iterator<Item = &'a JobId> {
    let begun = |started: bool| started || args.follow;
    view.jobs
        .iter()
        .filter(move |job| begun(!job.attempts.is_empty()) && is_meant(args, &job.id, &job.name))
        .map(|job| &job.id)
}

fn is_meant(args: &Args, job: &JobId, name: &str) -> bool {
    args.stage.as_deref().is_none_or(|stage| {
        job.stage().as_str().eq_ignore_ascii_case(stage) || job.as_str().eq_ignore_ascii_case(stage) || name == stage
    })
}

/// A stage that the run does not have, or that has not run, is an error that says what there is.
fn check(view: &RunView, args: &Args) -> Result<(), StoreError> {
    let Some(name) = args.stage.as_deref() else { return Ok(()) };
    if chosen(view, args).next().is_some() {
        return Ok(());
    }
    let message = match view.stages.iter().find(|stage| stage.id.as_str().eq_ignore_ascii_case(name)) {
        Some(stage) => match &stage.skip_reason {
            Some(why) => format!("stage \"{name}\" did not run: {}", visible(why)),
            None => format!("stage \"{name}\" has not begun"),
        },
        None => {
            let names: Vec<String> =
                view.stages.iter().take(20).map(|s| format!("\"{}\"", visible(s.id.as_str()))).collect();
            let more = if view.stages.len() > 20 { ", and more" } else { "" };
            format!("the run has no stage \"{name}\"; it has {}{more}", names.join(", "))
        }
    };
    Err(StoreError::NotFound(message))
}

/// A log that is printed.
struct Source {
    name: LogName,
    /// What people call its job, with the attempt when there are several.
    job: String,
    /// What people call the step.
    step: Option<String>,
    /// Printed up to here.
    offset: u64,
    /// The beginning of a line whose end has not come.
    held: Vec<u8>,
    /// Nothing more will be written.
    ended: bool,
    /// All of it is printed.
    done: bool,
}

/// Logs in the order in which they began.
struct Sources<'a> {
    args: &'a Args,
    list: Vec<Source>,
    /// Names of jobs, in the order in which they began.
    names: HashMap<JobId, (usize, String)>,
    /// The newest record that was taken in.
    seq: u64,
}

impl<'a> Sources<'a> {
    fn new(args: &'a Args) -> Self {
        Self { args, list: Vec::new(), names: HashMap::new(), seq: 0 }
    }

    fn take_in(&mut self, record: &Record) {
        self.seq = record.seq;
        match &record.event {
            Event::JobStarting { attempt, name, .. } => {
                let at = self.names.len();
                self.names.entry(attempt.job.clone()).or_insert((at, name.clone()));
                if self.args.step.is_none() {
                    self.add(attempt, LogName::Job(attempt.clone()), None);
                }
            }
            Event::StepStarting { step, name } if self.args.step.is_none_or(|n| n == step.step + 1) => {
                self.add(&step.attempt_id(), LogName::Step(step.clone()), Some(name));
            }
            Event::StepFinished { step, .. } => self.end(&LogName::Step(step.clone())),
            Event::JobFinished { attempt, .. } => self.end(&LogName::Job(attempt.clone())),
            _ => {}
        }
    }

    fn add(&mut self, attempt: &AttemptId, name: LogName, step: Option<&str>) {
        let job = self.names.get(&attempt.job).map_or_else(|| attempt.job.to_string(), |(_, name)| name.clone());
        if is_meant(self.args, &attempt.job, &job) {
            let job = if attempt.attempt > 1 { format!("{job} #{}", attempt.attempt) } else { job };
            let step = step.map(str::to_owned);
            self.list.push(Source { name, job, step, offset: 0, held: Vec::new(), ended: false, done: false });
        }
    }

    /// What is looked for was added last, or not long before.
    fn end(&mut self, name: &LogName) {
        if let Some(source) = self.list.iter_mut().rev().find(|source| source.name == *name) {
            source.ended = true;
        }
    }

    /// What is there already is printed job by job: so it can be read.
    fn by_job(&mut self) {
        let names = &self.names;
        self.list.sort_by_key(|source| {
            let (job, attempt) = match &source.name {
                LogName::Job(attempt) => (&attempt.job, attempt.attempt),
                LogName::Step(step) => (&step.job, step.attempt),
            };
            (names.get(job).map(|(at, _)| *at), attempt)
        });
    }
}

/// Moves the sources on, so that only the last `lines` lines of all of them are left.
fn tail(printer: &Printer<'_>, list: &mut [Source], lines: u64) -> Result<(), Stop> {
    let mut left = lines;
    for source in list.iter_mut().rev() {
        let there = printer.logs.lines(&printer.run, &source.name).map_err(unreadable)?;
        source.offset = printer.logs.tail(&printer.run, &source.name, left).map_err(unreadable)?;
        left -= there.min(left);
    }
    Ok(())
}

fn unreadable(error: io::Error) -> Stop {
    Stop::Store(StoreError::failed("read the logs", error))
}

struct Printer<'a> {
    logs: FileLogs,
    run: RunId,
    prefixed: bool,
    raw: bool,
    style: Style,
    /// The log whose lines were printed last.
    last: Option<LogName>,
    out: &'a mut dyn Write,
}

impl Printer<'_> {
    /// Prints what is new of a log; a line without an end only when none will come.
    fn show(&mut self, source: &mut Source, run_ended: bool) -> Result<(), Stop> {
        // Asked before reading: what ended by then is read to its end.
        let ended = source.ended || run_ended;
        loop {
            let bytes = self.logs.bytes(&self.run, &source.name, source.offset, CHUNK).map_err(unreadable)?;
            if bytes.is_empty() {
                break;
            }
            source.offset += bytes.len() as u64;
            if self.raw {
                self.out.write_all(&bytes).map_err(|_| Stop::Reader)?;
                continue;
            }
            self.lines(source, &bytes)?;
        }
        if ended {
            let held = std::mem::take(&mut source.held);
            if !held.is_empty() {
                self.line(source, &held)?;
            }
            source.done = true;
        }
        Ok(())
    }

    fn lines(&mut self, source: &mut Source, bytes: &[u8]) -> Result<(), Stop> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !piece.ends_with(b"\n") && source.held.len() + piece.len() < MAX_LINE {
                source.held.extend_from_slice(piece);
            } else if source.held.is_empty() {
                self.line(source, piece)?;
            } else {
                let mut whole = std::mem::take(&mut source.held);
                whole.extend_from_slice(piece);
                self.line(source, &whole)?;
            }
        }
        Ok(())
    }

    fn line(&mut self, source: &Source, bytes: &[u8]) -> Result<(), Stop> {
        let prefix = match self.prefixed {
            true => self.style.paint(Ink::Cyan, format!("[{}] ", visible(&source.job))),
            false => String::new(),
        };
        let mut text = String::new();
        if self.last.as_ref() != Some(&source.name) {
            if let Some(step) = &source.step {
                let step = visible(step.lines().next().unwrap_or_default());
                text.push_str(&format!("{prefix}{}\n", self.style.paint(Ink::Bold, format!("▸ {step}"))));
            }
            self.last = Some(source.name.clone());
        }
        let line = sanitize::line(&String::from_utf8_lossy(bytes), self.style.color);
        text.push_str(&format!("{prefix}{line}\n"));
        self.out.write_all(text.as_bytes()).map_err(|_| Stop::Reader)
    }
}
