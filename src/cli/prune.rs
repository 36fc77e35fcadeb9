//! `slipway prune`: removes runs that are over, what crashes left of runs, and caches beyond their bound.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::cli::run::store_failed;
use crate::cli::session::{open_state, sweep};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::exit::Exit;
use crate::id::RunId;
use crate::report::diagnostic::counted;
use crate::report::summary::size;
use crate::store::cache::FileCaches;
use crate::store::contract::{RESUME_WINDOW, RunFilter, RunRow, Store, StoreError};
use crate::store::sqlite::SqliteStore;

/// Runs that ended longer ago go when nothing else is said.
const DEFAULT_AGE: &str = "30d";

/// Removes old runs and caches. Runs that go on or can be resumed stay.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Keeps the newest N runs that are over, and removes the others
    #[arg(long, value_name = "N")]
    pub keep: Option<usize>,
    /// Removes only runs that ended longer ago: 90m, 12h, 30d, 8w; 30d unless --keep is given
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older: Option<Duration>,
    /// Says what would go, and removes nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    match open_state().and_then(|store| prune(&store, args, SystemClock.now())) {
        Ok(text) => {
            print!("{text}");
            Exit::Success
        }
        Err(error) => store_failed(&error),
    }
}

fn prune(store: &SqliteStore, args: &Args, now: Timestamp) -> Result<String, StoreError> {
    if !args.dry_run {
        // Runs that nobody can resume any more are over.
        sweep(store, RESUME_WINDOW);
    }
    let rows = store.list(&RunFilter::default())?;
    let doomed = choose(&rows, args, now);
    let mut out = String::new();
    let (mut count, mut freed) = (0, 0);
    for row in doomed {
        let bytes = bytes_below(&store.state().run(&row.run));
        if !args.dry_run {
            match store.remove(&row.run) {
                Ok(()) => {}
                // Somebody has taken it up, or shows it: another time.
                Err(StoreError::Held(_)) => continue,
                Err(error) => return Err(error),
            }
        }
        let verb = if args.dry_run { "would remove" } else { "removed" };
        out.push_str(&format!("{verb} run {} of \"{}\" ({})\n", row.run, row.pipeline.escape_debug(), size(bytes)));
        count += 1;
        freed += bytes;
    }
    let (orphans, bytes) = remove_orphans(store, &rows, args.dry_run, now)?;
    freed += bytes;
    if !args.dry_run {
        let caches = FileCaches::new(store.state().cache());
        freed += caches.tidy().map_err(|e| StoreError::failed("tidy the caches", e))?;
        freed += store.compact()?;
    }
    let verb = if args.dry_run { "would free" } else { "freed" };
    let left = if orphans > 0 {
        format!(" and {} of runs that never began", counted(orphans, "folder"))
    } else {
        String::new()
    };
    out.push_str(&format!("{verb} {}: {}{left}\n", size(freed), counted(count, "run")));
    Ok(out)
}

/// The runs that are to go; `rows` are newest first.
fn choose<'a>(rows: &'a [RunRow], args: &Args, now: Timestamp) -> Vec<&'a RunRow> {
    let older = match (args.older, args.keep) {
        (Some(older), _) => older,
        (None, Some(_)) => Duration::ZERO,
        (None, None) => age(DEFAULT_AGE).unwrap_or(Duration::MAX),
    };
    rows.iter()
        .filter(|row| row.outcome.is_some())
        .skip(args.keep.unwrap_or(0))
        .filter(|row| now.since(row.finished.unwrap_or(row.started)) >= older)
        .collect()
}

/// Folders without a run: a crash came between making the one and the other. Young ones may be of runs that begin just now.
fn remove_orphans(
    store: &SqliteStore,
    rows: &[RunRow],
    dry_run: bool,
    now: Timestamp,
) -> Result<(usize, u64), StoreError> {
    let known: std::collections::HashSet<&str> = rows.iter().map(|row| row.run.as_str()).collect();
    let what = "look through the runs' folders";
    let (mut count, mut freed) = (0, 0);
    for entry in fs::read_dir(store.state().runs()).map_err(|e| StoreError::failed(what, e))? {
        let entry = entry.map_err(|e| StoreError::failed(what, e))?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !known.contains(name)) else { continue };
        let made = entry.metadata().and_then(|meta| meta.modified()).ok();
        let made = made.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok()).map(|d| d.as_millis() as i64);
        let is_old = made.is_some_and(|made| now.since(Timestamp(made)) > RESUME_WINDOW);
        if !is_old {
            continue;
        }
        let bytes = bytes_below(&entry.path());
        if !dry_run {
            match store.remove(&RunId::from(name)) {
                Ok(()) => {}
                Err(StoreError::Held(_)) => continue,
                Err(error) => return Err(error),
            }
        }
        count += 1;
        freed += bytes;
    }
    Ok((count, freed))
}

/// Bytes of the files below a folder. Links are not followed; what cannot be read counts nothing.
fn bytes_below(folder: &Path) -> u64 {
    let mut folders = vec![folder.to_owned()];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) => bytes += meta.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

/// `90m`, `12h`, `30d`, `8w`.
fn age(text: &str) -> Result<Duration, String> {
    let expected = || format!("\"{text}\" is no age; write a number and s, m, h, d or w, such as 30d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(expected)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;

    fn row(n: i64, over: bool) -> RunRow {
        RunRow {
            run: RunId::from(n.to_string()),
            number: 1,
            serial: n as u64,
            pipeline: "ci".to_owned(),
            name: String::new(),
            file: "ci.yml".to_owned(),
            checkout: "/c".into(),
            event_name: "push".to_owned(),
            commit: String::new(),
            started: Timestamp(n * 86_400_000),
            finished: over.then_some(Timestamp(n * 86_400_000)),
            outcome: over.then_some(Outcome::Success),
            origin: None,
        }
    }

    #[test]
    fn what_goes_is_old_over_and_not_kept() {
        let rows: Vec<RunRow> = [(100, true), (99, false), (80, true), (60, true), (5, true), (4, false)]
            .map(|(n, over)| row(n, over))
            .into();
        let go = |keep, older: Option<&str>| {
            let args = Args { keep, older: older.map(|text| age(text).unwrap()), dry_run: true };
            choose(&rows, &args, Timestamp(100 * 86_400_000)).iter().map(|row| row.serial).collect::<Vec<_>>()
        };
        assert_eq!(go(None, None), [60, 5], "30 days when nothing is said");
        assert_eq!(go(Some(1), None), [80, 60, 5]);
        assert_eq!(go(Some(0), None), [100, 80, 60, 5]);
        assert_eq!(go(None, Some("50d")), [5]);
        assert_eq!(go(Some(3), Some("1d")), [5]);
    }

    #[test]
    fn ages_are_read_or_refused() {
        assert_eq!(age("90m"), Ok(Duration::from_secs(5400)));
        assert_eq!(age("2w"), Ok(Duration::from_secs(1_209_600)));
        for bad in ["", "d", "5", "5y", "-1d", "1.5h", "é", "99999999999999999999d", "18446744073709551615w"] {
            assert!(age(bad).is_err(), "{bad}");
        }
    }
}
