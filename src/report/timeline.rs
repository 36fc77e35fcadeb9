//! A run as bars over time.

use std::time::Duration;

use crate::clock::{Timestamp, humanize};
use crate::report::glyph;
use crate::report::job_view::{JobView, Phase};
use crate::report::run_view::RunView;
use crate::report::sanitize::visible;
use crate::report::style::{Ink, Style};
use crate::report::width;

/// Jobs drawn; of more, the longest.
const MAX_ROWS: usize = 30;
/// Columns of names.
const MAX_NAME: usize = 28;
/// Columns of durations and outcome sign.
const END: usize = 9;

/// One line a job in the order of their starts: sign, name, bar, duration; `░` while the sandbox was made, `█` while steps ran.
/// Lines are at most `columns` wide. `now` ends bars of jobs that go on. Empty when nothing has begun.
pub fn draw(view: &RunView, columns: usize, now: Timestamp, style: Style) -> String {
    let begin = view.started.unwrap_or(now);
    let mut rows: Vec<(&JobView, Timestamp, Timestamp)> =
        view.jobs.iter().filter_map(|job| Some((job, job.attempts.first()?.starting, end_of(job, now)))).collect();
    if rows.is_empty() {
        return String::new();
    }
    let left_out = rows.len().saturating_sub(MAX_ROWS);
    if left_out > 0 {
        rows.sort_by_key(|(_, start, end)| std::cmp::Reverse(end.since(*start)));
        rows.truncate(MAX_ROWS);
    }
    rows.sort_by_key(|(_, start, end)| (*start, *end));
    let end = rows.iter().map(|r| r.2).max().unwrap_or(now).max(view.finished.unwrap_or(begin));
    let total = end.since(begin).max(Duration::from_millis(1));
    let longest = rows.iter().map(|(job, ..)| width::of(&visible(&job.name))).max().unwrap_or(0);
    let name_columns = longest.min(MAX_NAME).min(columns / 3);
    let bar_columns = columns.saturating_sub(name_columns + END + 5).max(4);
    let mut out = String::new();
    for (job, start, end) in rows {
        let (sign, ink) = match job.phase {
            Phase::Done(_) => glyph::job(job, 0),
            _ => ("▸", Ink::Cyan),
        };
        let bar = bar(job, begin, (start, end), total, bar_columns, (ink, style));
        out.push_str(&format!(
            "{} {} {bar} {:>END$}\n",
            style.paint(ink, sign),
            width::fit(&visible(&job.name), name_columns),
            humanize(end.since(start)),
        ));
    }
    if left_out > 0 {
        out.push_str(&style.paint(Ink::Dim, format!("… {left_out} shorter ones")));
        out.push('\n');
    }
    out
}

fn end_of(job: &JobView, now: Timestamp) -> Timestamp {
    match job.phase {
        Phase::Done(_) => job.current().and_then(|a| a.finished).unwrap_or(now),
        _ => now,
    }
}

fn bar(
    job: &JobView,
    begin: Timestamp,
    (start, end): (Timestamp, Timestamp),
    total: Duration,
    columns: usize,
    (ink, style): (Ink, Style),
) -> String {
    let column = |at: Timestamp| (at.since(begin).as_millis() * columns as u128 / total.as_millis()) as usize;
    let from = column(start).min(columns - 1);
    // Every job is seen, however short it was.
    let to = column(end).clamp(from + 1, columns);
    let ready = job.current().and_then(|a| a.started).map_or(to, column).clamp(from, to);
    let ready = if ready == to && to == from + 1 { from } else { ready };
    let lead: String = std::iter::repeat_n(' ', from).collect();
    let making: String = std::iter::repeat_n('░', ready - from).collect();
    let running: String = std::iter::repeat_n('█', to - ready).collect();
    let rest: String = std::iter::repeat_n(' ', columns - to).collect();
    format!("{lead}{}{}{rest}", style.paint(Ink::Dim, making), style.paint(ink, running))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;
    use crate::report::fixture::{START, Script, view};

    #[test]
    fn bars_stand_where_the_time_was() {
        let stages = view(&[("lint", &[], &[]), ("test", &["lint"], &["test (20)", "テスト"]), ("zip", &[], &[])]);
        let run = Script::new()
            .starting("lint", 1)
            .wait(1000)
            .started("lint")
            .wait(3000)
            .job_end("lint", Outcome::Success)
            .named("test.1", "test (20)", 1)
            .started("test.1")
            .wait(2000)
            .named("test.2", "テスト", 1)
            .started("test.2")
            .wait(4000)
            .job_end("test.1", Outcome::Failure)
            .fold(stages);
        insta::assert_snapshot!(draw(&run, 50, Timestamp(START + 12_000), Style::default()), @"
        ✓ lint      ░░███████                        4.0s
        ✗ test (20)          █████████████           6.0s
        ▸ テスト                 ██████████████      6.0s
        ");
        assert_eq!(draw(&view(&[]), 50, Timestamp(START), Style::default()), "");
    }

    #[test]
    fn many_jobs_leave_the_longest() {
        let names: Vec<String> = (0..100).map(|i| format!("job{i}")).collect();
        let script = names.iter().fold(Script::new(), |s, name| s.starting(name, 1).started(name));
        let script = names.iter().fold(script, |s, name| s.wait(10).job_end(name, Outcome::Success));
        let drawn = draw(&script.fold(RunView::default()), 60, Timestamp(START), Style::default());
        assert_eq!(drawn.lines().count(), MAX_ROWS + 1);
        assert!(drawn.contains("job99") && drawn.contains("… 70 shorter ones"), "{drawn}");
        assert!(drawn.lines().all(|l| width::of(l) <= 60), "{drawn}");
    }
}
