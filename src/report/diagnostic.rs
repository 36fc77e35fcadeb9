//! Draws mistakes of files: for people as rustc does it, for tools as JSON. SARIF is in `sarif`.

use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::report::sanitize::visible;
use crate::report::snippet::{Mark, Snippets};
use crate::report::style::{Ink, Style};
use crate::span::Span;

/// The version of [`json`]'s form.
pub const JSON_VERSION: u32 = 1;

/// All mistakes in the order of the list, each with its place and a way out, and a line that counts them. Empty without
/// mistakes.
pub fn text(diagnostics: &Diagnostics, color: bool) -> String {
    let style = Style::new(color);
    let mut out = String::new();
    if diagnostics.list.is_empty() {
        return out;
    }
    let snippets = Snippets::new(&diagnostics.source);
    for diagnostic in &diagnostics.list {
        one(&mut out, diagnostics, &snippets, diagnostic, style);
        out.push('\n');
    }
    out.push_str(&closing(diagnostics, style));
    out.push('\n');
    out
}

fn one(out: &mut String, all: &Diagnostics, snippets: &Snippets<'_>, diagnostic: &Diagnostic, style: Style) {
    let (word, ink, head) = match diagnostic.severity {
        Severity::Error => ("error", Ink::Red, Ink::BoldRed),
        Severity::Warning => ("warning", Ink::Yellow, Ink::BoldYellow),
    };
    let code = if diagnostic.code.is_empty() { String::new() } else { format!("[{}]", diagnostic.code) };
    let message = indented(&diagnostic.message, 2);
    out.push_str(&format!(
        "{}{}\n",
        style.paint(head, format!("{word}{code}")),
        style.paint(Ink::Bold, format!(": {message}"))
    ));
    let spans = std::iter::once(diagnostic.span).chain(diagnostic.related.iter().map(|r| r.span));
    let last = spans.map(|span| snippets.last_line(span)).max().unwrap_or(1);
    let gutter = last.to_string().len();
    place(out, all, snippets, diagnostic.span, gutter, Mark { sign: '^', ink }, style);
    let lead = format!("{:gutter$} {}", "", style.paint(Ink::Blue, "="));
    for note in &diagnostic.notes {
        out.push_str(&format!("{lead} {}: {}\n", style.paint(Ink::Bold, "note"), indented(note, gutter + 9)));
    }
    if let Some(help) = &diagnostic.help {
        out.push_str(&format!("{lead} {}: {}\n", style.paint(Ink::Cyan, "help"), indented(help, gutter + 9)));
    }
    for related in &diagnostic.related {
        out.push_str(&format!("{}: {}\n", style.paint(Ink::Bold, "note"), indented(&related.message, 6)));
        place(out, all, snippets, related.span, gutter, Mark { sign: '-', ink: Ink::Blue }, style);
    }
}

fn place(
    out: &mut String,
    all: &Diagnostics,
    snippets: &Snippets<'_>,
    span: Span,
    gutter: usize,
    mark: Mark,
    style: Style,
) {
    let at = snippets.position(snippets.trimmed(span).start);
    let arrow = style.paint(Ink::Blue, "-->");
    out.push_str(&format!("{:gutter$}{arrow} {}:{}:{}\n", "", visible(&all.source.name), at.line, at.column));
    if !all.source.text.is_empty() {
        snippets.draw(out, span, gutter, mark, style);
    }
}

/// Foreign control characters made visible; further lines stand below the first.
fn indented(text: &str, columns: usize) -> String {
    let text = visible(text);
    let text = text.trim_end();
    if text.contains('\n') { text.replace('\n', &format!("\n{:columns$}", "")) } else { text.to_owned() }
}

/// `2 errors, 1 warning in ci.yml`.
fn closing(diagnostics: &Diagnostics, style: Style) -> String {
    let (errors, warnings) = counts(diagnostics);
    let mut parts = Vec::new();
    if errors > 0 {
        parts.push(style.paint(Ink::BoldRed, counted(errors, "error")));
    }
    if warnings > 0 {
        parts.push(style.paint(Ink::BoldYellow, counted(warnings, "warning")));
    }
    let more = match diagnostics.dropped {
        0 => String::new(),
        n => format!(" (and {n} more, not shown)"),
    };
    format!("{} in {}{more}", parts.join(", "), visible(&diagnostics.source.name))
}

/// Errors and warnings in the list.
pub fn counts(diagnostics: &Diagnostics) -> (usize, usize) {
    let errors = diagnostics.list.iter().filter(|d| d.severity == Severity::Error).count();
    (errors, diagnostics.list.len() - errors)
}

/// `1 error`, `2 errors`.
pub fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// `{"v":1,"files":[{"file","errors","warnings","dropped","diagnostics":[...]}]}`. Lines and columns count from 1, columns in
/// characters; `start` and `end` are byte offsets; ends are exclusive.
pub fn json(files: &[Diagnostics]) -> Value {
    let files: Vec<Value> = files
        .iter()
        .map(|file| {
            let snippets = Snippets::new(&file.source);
            let (errors, warnings) = counts(file);
            let list: Vec<Value> = file.list.iter().map(|d| diagnostic_json(&snippets, d)).collect();
            json!({
                "file": &*file.source.name,
                "errors": errors,
                "warnings": warnings,
                "dropped": file.dropped,
                "diagnostics": list,
            })
        })
        .collect();
    json!({ "v": JSON_VERSION, "files": files })
}

fn diagnostic_json(snippets: &Snippets<'_>, diagnostic: &Diagnostic) -> Value {
    let related: Vec<Value> = diagnostic
        .related
        .iter()
        .map(|r| {
            let mut place = place_json(snippets, r.span);
            place["message"] = json!(r.message);
            place
        })
        .collect();
    json!({
        "severity": match diagnostic.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "code": diagnostic.code,
        "message": diagnostic.message,
        "place": place_json(snippets, diagnostic.span),
        "notes": diagnostic.notes,
        "help": diagnostic.help,
        "related": related,
    })
}

fn place_json(snippets: &Snippets<'_>, span: Span) -> Value {
    let (from, to) = (snippets.position(span.start), snippets.position(span.end));
    json!({
        "line": from.line, "column": from.column, "end_line": to.line, "end_column": to.column,
        "start": span.start, "end": span.end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Source;

    fn at(source: &str, place: &str) -> Span {
        let start = source.find(place).unwrap();
        Span::new(start, start + place.len())
    }

    fn draw(source: &str, list: impl IntoIterator<Item = Diagnostic>) -> String {
        let mut all = Diagnostics::new(Source::new("ci.yml", source));
        list.into_iter().for_each(|d| all.push(d));
        text(&all, false)
    }

    #[test]
    fn draws_place_notes_help_and_related() {
        let source = "jobs:\n  build:\n    run: make\n  deploy:\n    needs: biuld\n";
        let wrong =
            Diagnostic::error("E012", at(source, "biuld"), "job \"deploy\" needs \"biuld\", which is not defined")
                .note("jobs of this file: \"build\", \"deploy\"")
                .help("did you mean \"build\"?")
                .related(at(source, "deploy"), "in this job");
        let doubt = Diagnostic::warning("W003", at(source, "make"), "odd");
        insta::assert_snapshot!(draw(source, [wrong, doubt]), @r#"
        error[E012]: job "deploy" needs "biuld", which is not defined
         --> ci.yml:5:12
          |
        5 |     needs: biuld
          |            ^^^^^
          = note: jobs of this file: "build", "deploy"
          = help: did you mean "build"?
        note: in this job
         --> ci.yml:4:3
          |
        4 |   deploy:
          |   ------

        warning[W003]: odd
         --> ci.yml:3:10
          |
        3 |     run: make
          |          ^^^^

        1 error, 1 warning in ci.yml
        "#);
    }

    #[test]
    fn marks_stand_under_wide_combining_and_tabbed_text() {
        let source = "a:\t日本 e\u{301}e\u{301} x: y\u{1b}[31m\n";
        insta::assert_snapshot!(draw(source, [
            Diagnostic::error("E1", at(source, "日本"), "wide"),
            Diagnostic::error("E1", at(source, "x"), "after them"),
        ]), @r"
        error[E1]: wide
         --> ci.yml:1:4
          |
        1 | a:    日本 éé x: y␛[31m
          |       ^^^^

        error[E1]: after them
         --> ci.yml:1:12
          |
        1 | a:    日本 éé x: y␛[31m
          |               ^

        2 errors in ci.yml
        ");
    }

    #[test]
    fn spans_over_lines_show_both_ends() {
        let source = "a: |\n  one\n  two\n  three\n\nb: 1\n";
        let span = Span::new(3, source.find("b:").unwrap());
        insta::assert_snapshot!(draw(source, [Diagnostic::error("E2", span, "first line\nsecond line")]), @r"
        error[E2]: first line
          second line
         --> ci.yml:1:4
          |
        1 | a: |
          |    ^
        ...
        4 |   three
          |   ^^^^^

        1 error in ci.yml
        ");
    }

    #[test]
    fn long_lines_are_windowed_around_the_place() {
        let source = format!("{}HERE{}\n", "ab ".repeat(100_000), " cd".repeat(100_000));
        insta::assert_snapshot!(draw(&source, [Diagnostic::error("E3", at(&source, "HERE"), "far out")]), @r"
        error[E3]: far out
         --> ci.yml:1:300001
          |
        1 | …ab ab ab ab ab ab ab ab ab ab HERE cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd c…
          |                                ^^^^

        1 error in ci.yml
        ");
    }

    #[test]
    fn ends_of_files_and_empty_files_have_a_place() {
        insta::assert_snapshot!(draw("a: [\r\n", [Diagnostic::error("E4", Span::new(6, 6), "the list never ends")]), @r"
        error[E4]: the list never ends
         --> ci.yml:2:1
          |
        2 |
          | ^

        1 error in ci.yml
        ");
        insta::assert_snapshot!(draw("", [Diagnostic::error("E4", Span::new(0, 9), "empty file")]), @r"
        error[E4]: empty file
         --> ci.yml:1:1

        1 error in ci.yml
        ");
    }

    #[test]
    fn no_span_panics() {
        let source = "ä: 日\r\n\tx\u{301}: \"\u{202e}\"\n\n  z";
        for start in 0..source.len() + 3 {
            for end in start..source.len() + 3 {
                let drawn = draw(source, [Diagnostic::error("E", Span::new(start, end), "m")]);
                assert!(drawn.contains('^') && !drawn.contains('\u{202e}'), "{drawn}");
            }
        }
    }

    #[test]
    fn what_was_dropped_is_said_and_json_has_places() {
        let mut all = Diagnostics::new(Source::new("ci.yml", "ü: 1\n"));
        for _ in 0..Diagnostics::MAX + 3 {
            all.push(Diagnostic::error("E9", Span::new(4, 5), "again").help("stop"));
        }
        assert!(text(&all, false).ends_with("200 errors in ci.yml (and 3 more, not shown)\n"));
        assert!(text(&all, true).contains("\x1b[1;31merror[E9]\x1b[0m"));
        let value = json(&[all]);
        assert_eq!(value["v"], 1);
        assert_eq!(value["files"][0]["dropped"], 3);
        assert_eq!(
            value["files"][0]["diagnostics"][0],
            serde_json::json!({"severity": "error", "code": "E9", "message": "again",
                "place": {"line": 1, "column": 4, "end_line": 1, "end_column": 5, "start": 4, "end": 5},
                "notes": [], "help": "stop", "related": []})
        );
    }
}
