use std::sync::Mutex;

use super::*;
use crate::id::JobId;
use crate::report::fixture::{Beat, FakeClock, Script, Shared, attempt, view};
use crate::report::width;

/// A terminal without a bottom: what scrolled away stays at the top.
#[derive(Default)]
struct Vt {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    cursor_hidden: bool,
    synchronized: bool,
}

impl Vt {
    fn feed(&mut self, text: &str) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(sequence) = rest.strip_prefix("\x1b[") {
                let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                let (parameters, last) = (&sequence[..end], &sequence[end..=end]);
                match (last, parameters) {
                    ("A", n) => self.row = self.row.checked_sub(n.parse().unwrap()).expect("went above the first row"),
                    ("K", "") => self.erase(),
                    ("J", "") => {
                        self.erase();
                        self.rows.truncate(self.row + 1);
                    }
                    ("h" | "l", "?25") => self.cursor_hidden = last == "l",
                    ("h" | "l", "?2026") => self.synchronized = last == "h",
                    ("m", _) => {}
                    other => panic!("unknown sequence {other:?}"),
                }
                rest = &sequence[end + 1..];
                continue;
            }
            match c {
                '\n' => (self.row, self.column) = (self.row + 1, 0),
                '\r' => self.column = 0,
                c => {
                    let at = self.column;
                    let line = self.line();
                    line.truncate(at.max(line.len()));
                    if at < line.len() {
                        line[at] = c
                    } else {
                        line.push(c)
                    }
                    self.column += 1;
                }
            }
            rest = &rest[c.len_utf8()..];
        }
    }

    fn erase(&mut self) {
        let column = self.column;
        self.line().truncate(column);
    }

    fn line(&mut self) -> &mut Vec<char> {
        while self.rows.len() <= self.row {
            self.rows.push(Vec::new());
        }
        &mut self.rows[self.row]
    }

    fn text(&self) -> String {
        let lines: Vec<String> = self.rows.iter().map(|r| r.iter().collect::<String>().trim_end().to_owned()).collect();
        lines.join("\n").trim_end().to_owned()
    }
}

struct Stage {
    sink: Terminal,
    shared: Shared,
    clock: FakeClock,
    vt: Vt,
    size: Arc<Mutex<Size>>,
}

impl Stage {
    fn new(view: RunView, rows: usize, columns: usize) -> Self {
        let (shared, clock) = (Shared::default(), FakeClock::default());
        let size = Arc::new(Mutex::new(Size { rows, columns }));
        let asked = size.clone();
        let sink = Terminal::new(
            view,
            Screen::new(Box::new(shared.clone())),
            Box::new(move || *asked.lock().unwrap()),
            Arc::new(clock.clone()),
            Style::default(),
        );
        Self { sink, shared, clock, vt: Vt::default(), size }
    }

    /// Plays, and gives what the screen shows after each tick and at the end.
    fn play(&mut self, script: Script) -> String {
        for beat in script.beats {
            let one = Script::of(vec![beat.clone()]);
            one.play(&mut self.sink, &self.clock);
            let written = self.shared.take();
            assert!(written.is_empty() || written.matches("\x1b[?2026h").count() == 1, "one frame a beat");
            self.vt.feed(&written);
            assert!(!self.vt.synchronized);
            if matches!(beat, Beat::Tick(_)) {
                let columns = self.size.lock().unwrap().columns;
                assert!(self.vt.text().lines().all(|l| width::of(l) < columns), "{}", self.vt.text());
            }
        }
        self.vt.text()
    }

    fn finish(&mut self) -> String {
        self.sink.finish();
        self.vt.feed(&self.shared.take());
        assert!(!self.vt.cursor_hidden);
        self.vt.text()
    }
}

fn stages() -> RunView {
    view(&[
        ("lint", &[], &[]),
        ("test", &["lint"], &["test (18)", "test (20)"]),
        ("db", &[], &[]),
        ("deploy", &["test", "db"], &[]),
    ])
}

fn beginning() -> Script {
    Script::new()
        .starting("lint", 1)
        .job_state("lint", "pulling node:20 12.0/40.1 MiB")
        .starting("db", 1)
        .started("db")
        .step("db", 0, "migrate")
        .output("db", 0, "applying 1\r applying 2 \x1b[31mred\x1b[0m\ttab\n\n")
        .wait(1500)
        .tick()
}

fn middle(script: Script) -> Script {
    script
        .started("lint")
        .step("lint", 0, "npm run lint")
        .wait(500)
        .step_ok("lint", 0)
        .job_end("lint", Outcome::Success)
        .named("test.1", "test (18)", 2)
        .started("test.1")
        .step("test.1", 0, "npm ci")
        .output("test.1", 0, "added 312 packages")
        .named("test.2", "test (20)", 2)
        .wait(250)
        .tick()
}

#[test]
fn shows_what_runs_and_what_waits() {
    let mut stage = Stage::new(stages(), 24, 80);
    insta::assert_snapshot!(stage.play(beginning()), @"
    ⠙ lint       1s  pulling node:20 12.0/40.1 MiB
    ○ test           waits for lint
    ⠙ db         1s  migrate │ applying 2 red tab
    ○ deploy         waits for test, db
    ⠙ ci ──────────────────── 0/5  1s  2 running
    ");
    assert!(stage.vt.cursor_hidden);
}

#[test]
fn finished_stages_are_one_line_and_legs_stand_below() {
    insta::assert_snapshot!(Stage::new(stages(), 24, 80).play(middle(beginning())), @"
    ✓ lint          2.0s
    ⠹ test            0s  0/2
      ⠹ test (18)     0s  npm ci (1/2) │ added 312 packages
      ⠹ test (20)     0s  preparing
    ⠹ db              2s  migrate │ applying 2 red tab
    ○ deploy              waits for test, db
    ⠹ ci ━━━━──────────────── 1/5  2s  3 running
    ");
}

#[test]
fn fits_forty_columns_and_few_rows() {
    insta::assert_snapshot!(Stage::new(stages(), 24, 40).play(middle(beginning())), @"
    ✓ lint          2.0s
    ⠹ test            0s  0/2
      ⠹ test (18)     0s  npm ci (1/2) │ a…
      ⠹ test (20)     0s  preparing
    ⠹ db              2s  migrate │ applyi…
    ○ deploy              waits for test, …
    ⠹ ci 1/5  2s  3 running
    ");
    insta::assert_snapshot!(Stage::new(stages(), 6, 40).play(middle(beginning())), @"
    ⠹ test (18)     0s  npm ci (1/2) │ add…
    ⠹ test (20)     0s  preparing
    ⠹ db            2s  migrate │ applying…
    … 1 more waiting, 1 done
    ⠹ ci 1/5  2s  3 running
    ");
    for (rows, columns) in [(0, 0), (1, 1), (2, 5), (3, 10)] {
        let mut sink = Stage::new(stages(), rows, columns).sink;
        middle(beginning()).play(&mut sink, &FakeClock::default());
    }
}

#[test]
fn logs_of_failed_steps_stand_above_and_the_summary_ends() {
    let mut stage = Stage::new(stages(), 24, 80);
    let script = middle(beginning())
        .output("test.1", 0, "\nnpm ERR! \x1b]0;owned\x07missing\n")
        .step_failed("test.1", 0, 7)
        .job_end("test.1", Outcome::Failure)
        .tick();
    insta::assert_snapshot!(stage.play(script), @"
    ✗ test (18) › npm ci failed: exit code 7 (250ms)
      │ added 312 packages
      │ npm ERR! missing
    ✓ lint          2.0s
    ⠸ test            0s  1/2
      ✗ test (18)  250ms  npm ci: exit code 7
      ⠸ test (20)     0s  preparing
    ⠸ db              2s  migrate │ applying 2 red tab
    ○ deploy              waits for test, db
    ⠸ ci ━━━━━━━━──────────── 2/5  2s  2 running, 1 failed
    ");
    let end = stage.finish();
    assert!(end.contains("‖ ci is not finished") && !end.contains("⠋"), "{end}");
}

#[test]
fn a_long_log_says_where_the_rest_is() {
    let mut stage = Stage::new(stages(), 24, 80);
    let lines: String = (0..600).map(|i| format!("line {i}\n")).collect();
    let text =
        stage.play(Script::new().starting("db", 1).step("db", 0, "m").output("db", 0, &lines).step_failed("db", 0, 1));
    assert!(text.contains("  │ … 100 lines before these: slipway logs 0abc12345678 db\n  │ line 100\n"), "{text}");
}

#[test]
fn a_job_that_cannot_begin_says_why() {
    let mut stage = Stage::new(stages(), 24, 80);
    let script = Script::new().starting("db", 1).job_line("db", "pull denied").event(Event::JobFinished {
        attempt: attempt("db"),
        outcome: Outcome::Failure,
        conclusion: Outcome::Failure,
        reason: Some("failed to pull \"pg:17\"".into()),
        outputs: Vec::new(),
        retry: false,
    });
    let text = stage.play(script);
    assert!(text.starts_with("✗ db failed: failed to pull \"pg:17\"\n  │ pull denied\n"), "{text}");
}

#[test]
fn a_narrower_terminal_leaves_no_remains() {
    let mut stage = Stage::new(stages(), 24, 80);
    stage.play(beginning());
    let old = stage.vt.rows.len();
    stage.size.lock().unwrap().columns = 30;
    // What a terminal does when it becomes narrower: long lines take more rows.
    let wrapped: Vec<Vec<char>> = stage
        .vt
        .rows
        .iter()
        .flat_map(|r| if r.is_empty() { vec![Vec::new()] } else { r.chunks(30).map(<[char]>::to_vec).collect() })
        .collect();
    stage.vt.row += wrapped.len() - old;
    stage.vt.rows = wrapped;
    stage.sink.tick();
    stage.vt.feed(&stage.shared.take());
    assert_eq!(stage.vt.text().matches("migrate").count(), 1, "{}", stage.vt.text());
    assert!(stage.vt.text().starts_with("⠹ lint") || stage.vt.text().contains(" lint "), "{}", stage.vt.text());
}

#[test]
fn a_hundred_thousand_jobs_cost_what_the_screen_holds() {
    let mut view = RunView::default();
    for i in 0..100_000 {
        let id = format!("job{i}");
        let needs = if i == 0 { Vec::new() } else { vec![(i - 1) / 2] };
        view.declare(&crate::id::StageId::from(id.as_str()), needs, Some([(JobId::from(id.as_str()), id.clone())]));
    }
    let mut stage = Stage::new(view, 10, 60);
    let script = Script::new().starting("job0", 1).job_end("job0", Outcome::Success).starting("job1", 1).tick();
    insta::assert_snapshot!(stage.play(script), @"
    ⠙ job1     0s  preparing
    ○ job2         waits for a free place
    ○ job3         waits for job1
    ○ job4         waits for job1
    ○ job5         waits for job2
    ○ job6         waits for job2
    ○ job7         waits for job3
    … 99992 more waiting, 1 done
    ⠙ ci 1/100000  0s  1 running
    ");
}

#[test]
fn a_frame_that_says_nothing_new_is_not_written() {
    let mut stage = Stage::new(stages(), 24, 80);
    stage.play(beginning());
    stage.sink.draw("");
    assert_eq!(stage.shared.text(), "");
}

#[test]
fn the_cursor_comes_back_without_a_finish() {
    let Stage { sink, shared, .. } = {
        let mut stage = Stage::new(stages(), 24, 80);
        stage.play(beginning());
        stage
    };
    drop(sink);
    assert_eq!(shared.text(), RESTORE);
}
