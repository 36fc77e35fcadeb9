//! Files that are made to hurt: bombs, nesting, size, rings. Each gives a clear error or correct work; none is timed, but each
//! would hang or die if its work were not bounded.

use std::fmt::Write;

use slipway::model::decode;

use crate::{errors, read};

fn only_error(text: &str) -> String {
    let (pipeline, diagnostics) = read("hostile.yml", text);
    assert!(pipeline.is_none());
    errors(&diagnostics).join("\n")
}

#[test]
fn an_alias_bomb_is_refused_before_it_goes_off() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{aliases}]").expect("written");
    }
    let error = only_error(&text);
    assert!(error.contains("the aliases stand for more than 100000 nodes together"), "{error}");
}

#[test]
fn an_alias_cannot_stand_within_its_own_anchor() {
    assert!(only_error("stages: &a {b: *a}\n").starts_with("1: the alias stands within its own anchor"));
}

#[test]
fn ten_megabytes_of_nesting_are_one_error() {
    for open in ["[", "{", "- ", "? ", "{a: "] {
        let text = open.repeat((10 << 20) / open.len());
        let error = only_error(&text);
        assert!(error.starts_with("1: "), "{open:?}: {error}");
    }
    let mut indented = String::new();
    for depth in 0..400 {
        writeln!(indented, "{}a:", " ".repeat(depth)).expect("written");
    }
    assert!(only_error(&indented).contains("nested deeper than 50"));
}

#[test]
fn huge_scalars_are_read_and_huge_files_are_not() {
    let script = "x".repeat(9 << 20);
    let (pipeline, _) = read("huge.yml", &format!("stages:\n  a: {{run: '{script}'}}\n"));
    assert!(pipeline.is_some());
    let error = only_error(&format!("# {}\nstages:\n", "x".repeat(40 << 20)));
    assert!(error.contains("maximum file size"), "{error}");
}

#[test]
fn more_mistakes_than_help_anybody_are_counted_not_kept() {
    let mut text = String::from("stages:\n");
    for i in 0..20_000 {
        writeln!(text, "  a{i}: {{run: x, needs: nothing-{i}, unknown: 1}}").expect("written");
    }
    let (_, diagnostics) = read("many.yml", &text);
    assert_eq!(diagnostics.list.len(), slipway::diagnostic::Diagnostics::MAX);
    assert!(diagnostics.dropped > 30_000);
}

#[test]
fn a_hundred_thousand_stages_are_read() {
    let text = large(100_000);
    let (pipeline, diagnostics) = read("large.yml", &text);
    assert_eq!(errors(&diagnostics), Vec::<String>::new());
    let pipeline = pipeline.expect("valid");
    assert_eq!(pipeline.jobs.len(), 100_000);
    assert!(pipeline.jobs.iter().map(|job| job.needs.len()).sum::<usize>() > 499_000);
}

#[test]
fn a_ring_through_a_hundred_thousand_jobs_is_found() {
    let mut text = String::from("stages:\n");
    for i in 0..100_000 {
        writeln!(text, "  j{i}: {{run: x, needs: j{}}}", (i + 1) % 100_000).expect("written");
    }
    let error = only_error(&text);
    assert!(error.contains("these stages wait for each other: j0 -> j1 -> j2 ->"), "{error}");
    assert!(error.len() < 500);
}

/// `count` jobs in GitHub's form, each needing five before it.
pub fn large(count: usize) -> String {
    let mut text = String::from("on: push\njobs:\n");
    for i in 0..count {
        writeln!(text, "  job-{i}:\n    runs-on: ubuntu-latest").expect("written");
        let needs: Vec<String> =
            [1, 2, 3, 5, 8].iter().filter(|d| **d <= i).map(|d| format!("job-{}", i - d)).collect();
        if !needs.is_empty() {
            writeln!(text, "    needs: [{}]", needs.join(", ")).expect("written");
        }
        writeln!(text, "    steps:\n      - run: echo {i}").expect("written");
    }
    text
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    let diagnostics = decode("latin.yml", b"name: f\xfcr\n".to_vec()).expect_err("latin-1");
    assert_eq!(diagnostics.list.len(), 1);
    let error = &diagnostics.list[0];
    assert!(error.message.contains("byte 7 (from 0) is 0xfc"), "{}", error.message);
    assert_eq!(diagnostics.source.position(error.span.start).column, 8);
}
