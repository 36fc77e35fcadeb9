//! `slipway runs`: lists runs, newest first. `slipway runs show` is in [`show`](crate::cli::show).

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

use crate::cli::run::store_failed;
use crate::cli::session::open_state;
use crate::cli::show::{self, ShowRunArgs};
use crate::cli::state::{Status, ago, checkout_here, duration};
use crate::clock::{Clock, SystemClock, Timestamp, humanize};
use crate::exit::Exit;
use crate::report::make::stdout_size;
use crate::report::sanitize::visible;
use crate::report::style::{Ink, Style, wants_color_here};
use crate::report::width;
use crate::store::contract::{RunFilter, RunRow, Store, StoreError};
use crate::store::sqlite::SqliteStore;

/// The version of what `--json` prints.
pub const VERSION: u32 = 1;

/// Lists runs, newest first, or shows one.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Shows one run.
    #[command(subcommand)]
    pub command: Option<RunsCommand>,
    /// Those of all checkouts, not of this one only
    #[arg(long)]
    pub all: bool,
    /// At most so many; 0 is no limit
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
}

/// Subcommands of `runs`.
#[derive(Debug, clap::Subcommand)]
pub enum RunsCommand {
    /// Shows a run: its stages, jobs and steps, what they said about files, tests, kept files, and a timeline
    Show(ShowRunArgs),
}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let result = open_state().and_then(|store| match &args.command {
        Some(RunsCommand::Show(args)) => show::run(&store, args),
        None => list(&store, args),
    });
    match result {
        Ok(text) => {
            // Whoever reads may stop to.
            let _ = io::stdout().write_all(text.as_bytes());
            Exit::Success
        }
        Err(error) => store_failed(&error),
    }
}

fn list(store: &SqliteStore, args: &Args) -> Result<String, StoreError> {
    let checkout = if args.all { None } else { Some(checkout_here()?) };
    let rows = store.list(&RunFilter { checkout: checkout.clone(), limit: args.limit, unfinished: false })?;
    let rows: Vec<(RunRow, Status)> = rows
        .into_iter()
        .map(|row| {
            let status = Status::of(store, &row);
            (row, status)
        })
        .collect();
    if args.json {
        let runs: Vec<Value> = rows.iter().map(|(row, status)| row_json(row, status)).collect();
        return Ok(format!("{:#}\n", json!({ "version": VERSION, "runs": runs })));
    }
    if rows.is_empty() {
        let others = store.list(&RunFilter { limit: 1, ..RunFilter::default() })?;
        let hint = if others.is_empty() { "`slipway run` makes one" } else { "`slipway runs --all` lists all" };
        let of = checkout.map(|checkout| format!(" of \"{}\"", checkout.display())).unwrap_or_default();
        eprintln!("no runs{of}; {hint}");
        return Ok(String::new());
    }
    let style = Style::new(wants_color_here(io::stdout().is_terminal()));
    Ok(table(&rows, args.all, SystemClock.now(), stdout_size().columns, style))
}

/// A run for programs; times in milliseconds since 1970, UTC.
pub fn row_json(row: &RunRow, status: &Status) -> Value {
    let owner = match status {
        Status::Running(owner) => Some(owner),
        _ => None,
    };
    json!({
        "run": row.run,
        "number": row.number,
        "serial": row.serial,
        "pipeline": row.pipeline,
        "name": row.name,
        "file": row.file,
        "checkout": row.checkout.to_string_lossy(),
        "event": row.event_name,
        "commit": row.commit,
        "status": status.word(),
        "owner": owner,
        "started": row.started,
        "finished": row.finished,
        "duration_ms": row.finished.map(|end| end.since(row.started).as_millis() as u64),
        "origin": row.origin,
    })
}

/// One line a run: sign, id, status, pipeline, name, event, commit, age, duration. What is wide gives way.
fn table(rows: &[(RunRow, Status)], all: bool, now: Timestamp, columns: usize, style: Style) -> String {
    let mut cells: Vec<Vec<String>> =
        vec![["", "RUN", "STATUS", "PIPELINE", "NAME", "EVENT", "COMMIT", "STARTED", "TOOK"].map(str::to_owned).into()];
    for (row, status) in rows {
        let zeros = row.commit.bytes().all(|b| b == b'0');
        let commit = if zeros { "-" } else { row.commit.get(..8).unwrap_or(&row.commit) };
        let took = duration(row, status, now).map_or_else(|| "-".to_owned(), humanize);
        cells.push(vec![
            status.sign().0.to_owned(),
            row.run.to_string(),
            status.word().to_owned(),
            one_line(&row.pipeline),
            one_line(&row.name),
            one_line(&row.event_name),
            one_line(commit),
            ago(now.since(row.started)),
            took,
        ]);
    }
    if all {
        let folders = rows.iter().map(|(row, _)| one_line(&row.checkout.to_string_lossy()));
        for (line, folder) in cells.iter_mut().zip(std::iter::once("CHECKOUT".to_owned()).chain(folders)) {
            line.push(folder);
        }
    }
    let mut widths: Vec<usize> = (0..cells[0].len())
        .map(|column| cells.iter().map(|line| width::of(&line[column])).max().unwrap_or(0))
        .collect();
    // Names give way first, then pipelines.
    let total: usize = widths.iter().map(|w| w + 2).sum();
    let mut over = total.saturating_sub(columns + 2);
    for (column, least) in [(4, 12), (3, 10)] {
        let give = over.min(widths[column].saturating_sub(least));
        widths[column] -= give;
        over -= give;
    }
    let mut out = String::new();
    for (at, line) in cells.iter().enumerate() {
        let ink = if at == 0 { Ink::Dim } else { rows[at - 1].1.sign().1 };
        let last = line.len() - 1;
        for (column, cell) in line.iter().enumerate() {
            // The last one needs no blanks behind it, and a path is of use only when it is whole.
            let fitted = if column == last { cell.clone() } else { width::fit(cell, widths[column]) };
            let painted = match (at, column) {
                (0, _) | (_, 0 | 2) => style.paint(ink, &fitted),
                (_, 1) => style.paint(Ink::Cyan, &fitted),
                _ => fitted,
            };
            out.push_str(&painted);
            out.push_str(if column == last { "\n" } else { "  " });
        }
    }
    out
}

/// Foreign words on one line.
fn one_line(text: &str) -> String {
    visible(text.lines().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;
    use crate::id::RunId;

    fn row(id: &str, name: &str, outcome: Option<Outcome>) -> RunRow {
        RunRow {
            run: RunId::from(id),
            number: 1,
            serial: 1,
            pipeline: "ci".to_owned(),
            name: name.to_owned(),
            file: "slipway.yml".to_owned(),
            checkout: "/home/me/demo".into(),
            event_name: "push".to_owned(),
            commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            started: Timestamp(1_000_000),
            finished: outcome.map(|_| Timestamp(1_012_300)),
            outcome,
            origin: None,
        }
    }

    #[test]
    fn runs_stand_in_columns_and_names_give_way() {
        let long = "a name that is much longer than anybody wants to read in a list of runs";
        let rows = [
            (row("6av6qwqhtvj6", "fix\x1b[2J it", None), Status::Running("process 7".to_owned())),
            (row("6av6qwqhtvj5", long, None), Status::Interrupted),
            (row("6av6qwqhtvj4", "first", Some(Outcome::Failure)), Status::Over(Outcome::Failure)),
        ];
        let drawn = table(&rows, false, Timestamp(1_300_000), 100, Style::default());
        insta::assert_snapshot!(drawn, @"
           RUN           STATUS       PIPELINE  NAME                         EVENT  COMMIT    STARTED  TOOK
        ▸  6av6qwqhtvj6  running      ci        fix␛[2J it                   push   01234567  5m ago   5m00s
        ‖  6av6qwqhtvj5  interrupted  ci        a name that is much longer…  push   01234567  5m ago   -
        ✗  6av6qwqhtvj4  failure      ci        first                        push   01234567  5m ago   12.3s
        ");
        assert!(drawn.lines().all(|line| width::of(line) <= 100), "{drawn}");
        assert!(table(&rows, true, Timestamp(1_300_000), 100, Style::default()).contains("/home/me/demo\n"));
    }

    #[test]
    fn programs_get_all_of_a_run() {
        let status = Status::Over(Outcome::Success);
        let value = row_json(&row("6av6qwqhtvj4", "first", Some(Outcome::Success)), &status);
        assert_eq!(value["status"], "success");
        assert_eq!(value["duration_ms"], 12_300);
        assert_eq!(value["owner"], Value::Null);
    }
}
