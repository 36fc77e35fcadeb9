//! SARIF 2.1.0 of mistakes in files, for code-scanning pages.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::report::snippet::Snippets;
use crate::span::Span;

/// One run of one tool. Rules come from the codes that occur; `explain` gives a code's title and explanation where it has
/// them.
pub fn sarif(files: &[Diagnostics], explain: impl Fn(&str) -> Option<(&'static str, &'static str)>) -> Value {
    let codes: BTreeSet<&str> =
        files.iter().flat_map(|f| f.list.iter().map(|d| d.code)).filter(|c| !c.is_empty()).collect();
    let codes: Vec<&str> = codes.into_iter().collect();
    let rules: Vec<Value> = codes
        .iter()
        .map(|code| match explain(code) {
            Some((title, explanation)) => json!({
                "id": code,
                "shortDescription": { "text": title },
                "fullDescription": { "text": if explanation.is_empty() { title } else { explanation } },
            }),
            None => json!({ "id": code }),
        })
        .collect();
    let results: Vec<Value> = files
        .iter()
        .flat_map(|file| {
            let snippets = Snippets::new(&file.source);
            let uri = uri(&file.source.name);
            file.list.iter().map(|d| result(&snippets, &uri, d, &codes)).collect::<Vec<_>>()
        })
        .collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "slipway",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(snippets: &Snippets<'_>, uri: &str, diagnostic: &Diagnostic, codes: &[&str]) -> Value {
    let mut text = diagnostic.message.clone();
    for note in &diagnostic.notes {
        text.push_str("\nnote: ");
        text.push_str(note);
    }
    if let Some(help) = &diagnostic.help {
        text.push_str("\nhelp: ");
        text.push_str(help);
    }
    let mut result = json!({
        "level": match diagnostic.severity { Severity::Error => "error", Severity::Warning => "warning" },
        "message": { "text": text },
        "locations": [{ "physicalLocation": location(snippets, uri, diagnostic.span) }],
    });
    if let Ok(index) = codes.binary_search(&diagnostic.code) {
        result["ruleId"] = json!(diagnostic.code);
        result["ruleIndex"] = json!(index);
    }
    if !diagnostic.related.is_empty() {
        let related = diagnostic.related.iter().enumerate().map(|(i, r)| {
            json!({
                "id": i + 1,
                "message": { "text": r.message },
                "physicalLocation": location(snippets, uri, r.span),
            })
        });
        result["relatedLocations"] = related.collect();
    }
    result
}

fn location(snippets: &Snippets<'_>, uri: &str, span: Span) -> Value {
    let (from, to) = (snippets.position(span.start), snippets.position(span.end));
    json!({
        "artifactLocation": { "uri": uri },
        "region": {
            "startLine": from.line, "startColumn": from.column, "endLine": to.line, "endColumn": to.column,
        },
    })
}

/// A path as a URI: percent-encoded; an absolute one gets `file://`.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 8);
    if path.starts_with('/') {
        out.push_str("file://");
    }
    let path = path.strip_prefix("./").unwrap_or(path);
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' | b'@' | b'+' | b',' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Source;

    #[test]
    fn results_name_their_rules_and_regions() {
        let mut file = Diagnostics::new(Source::new("./my ci.yml", "jobs:\n  ü: 1\n"));
        file.push(
            Diagnostic::error("E012", Span::new(8, 10), "wrong").help("do right").related(Span::new(0, 4), "in here"),
        );
        file.push(Diagnostic::warning("W001", Span::new(12, 13), "odd"));
        let value = sarif(&[file], |code| (code == "E012").then_some(("undefined need", "a longer text")));
        let run = &value["runs"][0];
        assert_eq!(value["version"], "2.1.0");
        assert_eq!(run["tool"]["driver"]["rules"][0]["shortDescription"]["text"], "undefined need");
        assert_eq!(run["tool"]["driver"]["rules"][1], json!({"id": "W001"}));
        let first = &run["results"][0];
        assert_eq!(
            (&first["ruleId"], &first["ruleIndex"], &first["level"]),
            (&json!("E012"), &json!(0), &json!("error"))
        );
        assert_eq!(first["message"]["text"], "wrong\nhelp: do right");
        assert_eq!(
            first["locations"][0]["physicalLocation"],
            json!({"artifactLocation": {"uri": "my%20ci.yml"},
                "region": {"startLine": 2, "startColumn": 3, "endLine": 2, "endColumn": 4}})
        );
        assert_eq!(first["relatedLocations"][0]["message"]["text"], "in here");
        assert_eq!(run["results"][1]["ruleIndex"], 1);
    }

    #[test]
    fn absolute_paths_are_file_uris() {
        assert_eq!(uri("/a b/c.yml"), "file:///a%20b/c.yml");
        assert_eq!(uri(".github/workflows/ü.yml"), ".github/workflows/%C3%BC.yml");
    }
}
