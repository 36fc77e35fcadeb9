//! The one place where the command line gets its sink.

use std::io::Write;
use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::id::RunId;
use crate::plan::ir::Plan;
use crate::report::commands::Commands;
use crate::report::json::JsonLines;
use crate::report::plain::{Loudness, Plain};
use crate::report::run_view::RunView;
use crate::report::style::Style;
use crate::report::terminal::{Screen, Size, SizeOf, Terminal};
use crate::sink::Sink;

/// Which sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportKind {
    /// A live tree.
    Terminal,
    /// Lines with the job's name before them.
    Plain,
    /// JSON lines.
    Json,
}

impl ReportKind {
    /// `--json` wins; a terminal that can move its cursor gets the tree, unless lines were asked for (`--quiet`,
    /// `--verbose`) or several runs share it.
    pub fn choose(json: bool, lines: bool, is_terminal: bool, env: impl Fn(&str) -> Option<String>) -> Self {
        let dumb = matches!(env("TERM").as_deref(), None | Some("dumb" | ""));
        // CI systems that hand out a pseudo-terminal keep what is written as lines.
        let ci = env("CI").is_some_and(|v| !v.is_empty() && v != "false" && v != "0");
        match (json, lines || dumb || ci || !is_terminal) {
            (true, _) => ReportKind::Json,
            (false, true) => ReportKind::Plain,
            (false, false) => ReportKind::Terminal,
        }
    }
}

/// How a sink reports.
pub struct ReportOptions {
    /// Where it writes.
    pub out: Box<dyn Write + Send>,
    /// Rows and columns of that.
    pub size: SizeOf,
    /// Colour; see [`wants_color`](crate::report::style::wants_color).
    pub color: bool,
    /// How much; for plain lines.
    pub loudness: Loudness,
    /// Several runs share the output: lines name the pipeline.
    pub shared: bool,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl ReportOptions {
    /// Standard output, with its real size and the machine's clock.
    pub fn stdout(color: bool, loudness: Loudness) -> Self {
        Self {
            out: Box::new(std::io::stdout()),
            size: Box::new(stdout_size),
            color,
            loudness,
            shared: false,
            clock: Arc::new(SystemClock),
        }
    }
}

/// The size of the terminal behind standard output; 24 rows of 100 columns where there is none.
pub fn stdout_size() -> Size {
    match console::Term::stdout().size_checked() {
        Some((rows, columns)) if columns > 0 => Size { rows: rows.into(), columns: columns.into() },
        _ => Size { rows: 24, columns: 100 },
    }
}

/// A sink for run `run` of `plan`.
pub fn make(kind: ReportKind, plan: &Plan, run: &RunId, options: ReportOptions) -> Box<dyn Sink> {
    let ReportOptions { out, size, color, loudness, shared, clock } = options;
    let style = Style::new(color);
    let view = || {
        let mut view = RunView::of_plan(plan);
        view.run = Some(run.clone());
        view
    };
    match kind {
        ReportKind::Json => Box::new(JsonLines::new(out)),
        ReportKind::Terminal => Box::new(Terminal::new(view(), Screen::new(out), size, clock, style)),
        ReportKind::Plain => {
            let commands = match loudness {
                Loudness::Verbose => Commands::of_plan(plan),
                Loudness::Quiet | Loudness::Normal => Commands::default(),
            };
            let columns = size().columns;
            let plain = Plain::new(view(), out, clock, style, loudness, columns, commands);
            Box::new(if shared { plain.labelled(&plan.name) } else { plain })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_for_terminals_that_can() {
        let env = |pairs: &'static [(&'static str, &'static str)]| {
            move |name: &str| pairs.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned())
        };
        let xterm = env(&[("TERM", "xterm-256color")]);
        assert_eq!(ReportKind::choose(false, false, true, xterm), ReportKind::Terminal);
        assert_eq!(ReportKind::choose(true, false, true, xterm), ReportKind::Json);
        assert_eq!(ReportKind::choose(false, true, true, xterm), ReportKind::Plain);
        assert_eq!(ReportKind::choose(false, false, false, xterm), ReportKind::Plain);
        assert_eq!(ReportKind::choose(false, false, true, env(&[("TERM", "dumb")])), ReportKind::Plain);
        assert_eq!(
            ReportKind::choose(false, false, true, env(&[("TERM", "xterm"), ("CI", "true")])),
            ReportKind::Plain
        );
    }
}
