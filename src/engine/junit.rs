//! JUnit XML, read for its totals. Pure; no entities but XML's own are expanded, and depth and size are bounded.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::event::TestTotals;

/// A report larger than this is refused.
const MAX_SIZE: usize = 32 * 1024 * 1024;
/// Elements within elements.
const MAX_DEPTH: usize = 64;
/// Failed cases whose names are kept.
const MAX_FAILURES: usize = 50;
/// Characters of a failure's message that are kept.
const MAX_MESSAGE: usize = 300;

/// Reads one report. Cases are counted one by one: what the suites' attributes claim differs from tool to tool.
pub fn read(bytes: &[u8]) -> Result<TestTotals, String> {
    if bytes.len() > MAX_SIZE {
        return Err(format!("it has {} MiB; at most {} are read", bytes.len() >> 20, MAX_SIZE >> 20));
    }
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader::from_str(&text);
    let mut totals = TestTotals::default();
    let (mut depth, mut suites, mut case) = (0usize, false, None::<Case>);
    loop {
        let event = reader.read_event().map_err(|e| broken(&reader, &e))?;
        match event {
            Event::Start(start) => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(format!("its elements are nested deeper than {MAX_DEPTH}"));
                }
                suites |= is_suite(&start);
                open(&start, &mut case);
            }
            Event::Empty(start) => {
                suites |= is_suite(&start);
                open(&start, &mut case);
                if start.local_name().as_ref() == "testcase" {
                    close(case.take(), &mut totals);
                }
            }
            Event::Text(text) => {
                if let Some(case) = &mut case
                    && case.wants_text
                {
                    let text = text.trim().to_owned();
                    case.message.get_or_insert(text);
                    case.wants_text = false;
                }
            }
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                if end.local_name().as_ref() == "testcase" {
                    close(case.take(), &mut totals);
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if depth > 0 {
        return Err("it ends in the middle of an element".to_owned());
    }
    if !suites {
        return Err("it has no \"testsuite\" element; is it a JUnit report?".to_owned());
    }
    Ok(totals)
}

/// The sum of several reports.
pub fn merge(list: Vec<TestTotals>) -> TestTotals {
    let mut sum = TestTotals::default();
    for one in list {
        sum.total += one.total;
        sum.failed += one.failed;
        sum.skipped += one.skipped;
        sum.failures.extend(one.failures);
    }
    sum.failures.truncate(MAX_FAILURES);
    sum
}

/// A case that is being read.
struct Case {
    name: String,
    failed: bool,
    skipped: bool,
    message: Option<String>,
    /// A failure without a `message` attribute: its text is the message.
    wants_text: bool,
}

fn is_suite(start: &BytesStart<'_>) -> bool {
    matches!(start.local_name().as_ref(), "testsuite" | "testsuites")
}

fn open(start: &BytesStart<'_>, case: &mut Option<Case>) {
    match (start.local_name().as_ref(), case) {
        ("testcase", case) => {
            let name = attribute(start, "name").unwrap_or_default();
            let name = match attribute(start, "classname").filter(|class| !class.is_empty() && *class != name) {
                Some(class) => format!("{class} › {name}"),
                None => name,
            };
            *case = Some(Case { name, failed: false, skipped: false, message: None, wants_text: false });
        }
        ("failure" | "error", Some(case)) => {
            case.failed = true;
            let message = attribute(start, "message").filter(|message| !message.trim().is_empty());
            case.wants_text = message.is_none() && case.message.is_none();
            case.message = case.message.take().or(message);
        }
        ("skipped" | "disabled", Some(case)) => case.skipped = true,
        _ => {}
    }
}

fn close(case: Option<Case>, totals: &mut TestTotals) {
    let Some(case) = case else { return };
    totals.total += 1;
    if case.failed {
        totals.failed += 1;
        if totals.failures.len() < MAX_FAILURES {
            let message = case.message.unwrap_or_default();
            let line: String = message.lines().next().unwrap_or_default().chars().take(MAX_MESSAGE).collect();
            totals.failures.push((case.name, line));
        }
    } else if case.skipped {
        totals.skipped += 1;
    }
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = start.try_get_attribute(name).ok().flatten()?;
    let raw = attribute.value.into_owned();
    Some(quick_xml::escape::unescape(&raw).map(std::borrow::Cow::into_owned).unwrap_or(raw))
}

fn broken(reader: &Reader<&[u8]>, error: &quick_xml::Error) -> String {
    format!("it is not valid XML near byte {}: {error}", reader.error_position())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_counted_whatever_the_suites_claim() {
        let xml = br#"<?xml version="1.0"?><testsuites tests="99"><testsuite name="s" tests="4">
            <testcase classname="a.B" name="ok"/><testcase name="bad"><failure message="1 &lt; 2&#10;more"/></testcase>
            <testcase name="err"><error>boom
            at x</error></testcase><testcase name="later"><skipped/></testcase></testsuite></testsuites>"#;
        let totals = read(xml).expect("a report");
        assert_eq!((totals.total, totals.failed, totals.skipped), (4, 2, 1));
        let expected = [("bad".to_owned(), "1 < 2".to_owned()), ("err".to_owned(), "boom".to_owned())];
        assert_eq!(totals.failures, expected);
    }

    #[test]
    fn what_is_no_report_is_said() {
        assert!(read(b"<html><body></body></html>").expect_err("no suite").contains("testsuite"));
        assert!(read(b"<testsuite><testcase").is_err());
        assert!(read(b"<testsuite><testcase>").expect_err("cut off").contains("middle"));
        assert!(read(&b"<a>".repeat(1000)).expect_err("deep").contains("nested"));
    }

    #[test]
    fn reports_add_up() {
        let one = read(b"<testsuite><testcase name='a'><failure/></testcase></testsuite>").expect("a report");
        let sum = merge(vec![one.clone(), one]);
        assert_eq!((sum.total, sum.failed, sum.failures.len()), (2, 2, 2));
    }
}
