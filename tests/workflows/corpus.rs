//! GitHub's parser cases: each file holds options, the workflow, and what is expected of it.

use serde_json::Value;
use slipway::diagnostic::Severity;
use slipway::model::{Limits, ReadOptions};
use slipway::span::Source;
use slipway::stage;

use crate::{errors, expected, files, ground};

/// Cases that are left out, each with its reason.
const LEFT_OUT: &[(&str, &str)] =
    &[("errors-anchor-tag.yml", "anchors are supported since 2025 (runners.md 3.11); this case is older")];

struct Case {
    name: String,
    options: String,
    workflow: String,
    /// Called workflows, for cases that span several files.
    called: Vec<String>,
    expected: Value,
}

fn cases() -> Option<Vec<Case>> {
    let folder = ground("corpus/workflows")?;
    let cases = files(folder).into_iter().map(|(name, text)| {
        let parts: Vec<String> = split(&text);
        let expected = serde_json::from_str(parts.last().expect("parts")).unwrap_or_else(|e| panic!("{name}: {e}"));
        // Behind the workflow: name and text of each called one in turn.
        let called = parts[2..parts.len() - 1].iter().skip(1).step_by(2).cloned().collect();
        Case { options: parts[0].clone(), workflow: parts[1].clone(), called, expected, name }
    });
    Some(cases.collect())
}

fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" {
            // The line end before a separator belongs to the separator.
            if let Some(part) = parts.last_mut() {
                part.truncate(part.trim_end_matches('\n').len().max(part.len().saturating_sub(1)));
            }
            parts.push(String::new());
        } else {
            parts.last_mut().expect("a part").push_str(line);
        }
    }
    parts
}

fn option(options: &str, name: &str) -> Option<usize> {
    options.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
}

fn options(case: &Case) -> ReadOptions {
    let mut limits = Limits::default();
    if let Some(bytes) = option(&case.options, "max-file-size") {
        limits.bytes = bytes;
    }
    if let Some(depth) = option(&case.options, "max-depth") {
        limits.depth = depth;
    }
    // GitHub counts bytes of its own objects; we count nodes, about 64 of its bytes each.
    if let Some(bytes) = option(&case.options, "max-result-size") {
        limits.nodes = bytes / 64;
    }
    ReadOptions { limits, ..ReadOptions::default() }
}

#[test]
fn every_valid_case_is_read_and_means_what_github_says() {
    let Some(cases) = cases() else { return };
    let mut read = 0;
    for case in cases.iter().filter(|case| case.expected.get("errors").is_none()) {
        let (pipeline, diagnostics) =
            stage::load(Source::new(case.name.as_str(), case.workflow.as_str()), &options(case));
        assert_eq!(errors(&diagnostics), Vec::<String>::new(), "{}", case.name);
        let pipeline = pipeline.unwrap_or_else(|| panic!("{}: no pipeline", case.name));
        expected::compare(&case.name, &pipeline, &case.expected);
        for called in &case.called {
            let (_, diagnostics) = stage::load(Source::new("called.yml", called.as_str()), &options(case));
            assert_eq!(errors(&diagnostics), Vec::<String>::new(), "{}: a called workflow", case.name);
        }
        read += 1;
    }
    println!("{read} valid cases");
    assert!(read >= 70, "only {read} valid cases");
}

#[test]
fn every_error_case_fails_on_githubs_line() {
    let Some(cases) = cases() else { return };
    let (mut checked, mut left_out) = (0, 0);
    for case in &cases {
        let Some(wanted) = case.expected["errors"].as_array() else { continue };
        let reason = LEFT_OUT.iter().find(|(name, _)| *name == case.name).map(|(_, reason)| *reason);
        // What is wrong between two files shows when the called one is loaded, which is not done yet.
        let across = (!case.called.is_empty() && case.name != "errors-reusable-workflow-job-secrets.yml")
            .then_some("speaks of a reusable workflow's file");
        if let Some(reason) = reason.or(across) {
            println!("left out: {}: {reason}", case.name);
            left_out += 1;
            continue;
        }
        let (pipeline, diagnostics) =
            stage::load(Source::new(case.name.as_str(), case.workflow.as_str()), &options(case));
        assert!(pipeline.is_none(), "{} is read as valid", case.name);
        let lines: Vec<usize> = diagnostics
            .list
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .map(|d| diagnostics.source.position(d.span.start).line)
            .collect();
        for error in wanted {
            let message = error["Message"].as_str().expect("a message");
            if let Some(line) = line_of(message) {
                assert!(
                    lines.contains(&line),
                    "{}: nothing on line {line}: {:?}\n{message}",
                    case.name,
                    errors(&diagnostics)
                );
            }
        }
        assert!(!lines.is_empty(), "{}: no error", case.name);
        checked += 1;
    }
    println!("{checked} error cases, {left_out} left out");
    assert!(checked >= 30, "only {checked} error cases");
}

/// The line in `... (Line: 5, Col: 18): ...` or `... on line 5 and column 29 ...`.
fn line_of(message: &str) -> Option<usize> {
    let rest = message.split("(Line: ").nth(1).or_else(|| message.split("on line ").nth(1))?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
