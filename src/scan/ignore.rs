//! `.slipway/ignore.yml`: what is known, until when, and why.

use crate::diagnostic::Diagnostics;
use crate::model::{Limits, Node, read_node};
use crate::span::Source;
use crate::stage::settings::Reader;

use super::Finding;

/// A known finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreEntry {
    /// The finding's id or fingerprint.
    pub id: String,
    /// The last day (UTC) on which it is ignored; none: for good.
    pub until: Option<chrono::NaiveDate>,
    /// Why.
    pub reason: String,
}

impl IgnoreEntry {
    /// Whether it speaks of `finding`.
    pub fn covers(&self, finding: &Finding) -> bool {
        self.id == finding.id || self.id == finding.fingerprint
    }

    /// Whether its last day is over.
    pub fn is_expired(&self, today: chrono::NaiveDate) -> bool {
        self.until.is_some_and(|until| until < today)
    }
}

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    /// Its entries in order.
    pub entries: Vec<IgnoreEntry>,
}

impl Ignore {
    /// Reads the file's text; all its mistakes as lines.
    pub fn read(name: &str, text: &str) -> Result<Self, Vec<String>> {
        let (root, mut diagnostics) = read_node(Source::new(name, text), &Limits::default());
        let mut entries = Vec::new();
        if let Some(root) = root.filter(|root| !root.is_null()) {
            let mut reader = Reader::of_values(&mut diagnostics);
            match root.items() {
                Some(items) => entries.extend(items.iter().filter_map(|item| entry(&mut reader, item))),
                None => reader.wrong_kind("ignore", &root, "a list of {id, until, reason}"),
            }
        }
        if diagnostics.has_errors() { Err(lines(&diagnostics)) } else { Ok(Self { entries }) }
    }
}

fn entry(reader: &mut Reader<'_>, node: &Node) -> Option<IgnoreEntry> {
    let settings = reader.map("ignore", node, &["id", "until", "reason"], &["id", "reason"])?;
    let id = settings.get("id").and_then(|node| reader.text("id", node));
    let reason = settings.get("reason").and_then(|node| reader.text("reason", node));
    let mut until = None;
    if let Some(node) = settings.get("until") {
        let text = reader.text("until", node)?;
        until = chrono::NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok();
        if until.is_none() {
            reader.refuse(node, format!("\"until\" is a day such as 2027-01-31, not \"{text}\""), None);
        }
    }
    let (id, reason) = (id?.trim().to_owned(), reason?.trim().to_owned());
    if id.is_empty() || reason.is_empty() {
        let (empty, help) = match id.is_empty() {
            true => ("id", "the id of a finding, such as CVE-2019-1549, or its fingerprint"),
            false => ("reason", "say why it may stay"),
        };
        reader.refuse(node, format!("\"{empty}\" is empty"), Some(help.to_owned()));
        return None;
    }
    Some(IgnoreEntry { id, until, reason })
}

fn lines(diagnostics: &Diagnostics) -> Vec<String> {
    let line = |diagnostic: &crate::diagnostic::Diagnostic| {
        let at = diagnostics.source.position(diagnostic.span.start);
        let help = diagnostic.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        format!("{}:{}:{}: {}{help}", diagnostics.source.name, at.line, at.column, diagnostic.message)
    };
    diagnostics.list.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_need_an_id_and_a_reason() {
        let text = "- {id: CVE-1, until: 2027-01-31, reason: not reachable}\n- {id: a:b:c, reason: test data}\n";
        let ignore = Ignore::read("i.yml", text).unwrap();
        assert_eq!(ignore.entries.len(), 2);
        let day = |text: &str| text.parse::<chrono::NaiveDate>().unwrap();
        assert!(!ignore.entries[0].is_expired(day("2027-01-31")));
        assert!(ignore.entries[0].is_expired(day("2027-02-01")));
        assert!(!ignore.entries[1].is_expired(day("2099-01-01")));
        for (text, said) in [
            ("- {id: CVE-1}", "i.yml:1:4: \"ignore\" needs the key \"reason\""),
            ("- {id: CVE-1, reason: ' '}", "\"reason\" is empty"),
            ("- {id: CVE-1, reason: a, until: soon}", "i.yml:1:33: \"until\" is a day such as 2027-01-31"),
            ("- {id: CVE-1, reason: a, untill: 2027-01-31}", "did you mean \"until\""),
            ("{id: CVE-1, reason: a}", "a list of {id, until, reason}"),
            ("- [", "i.yml:"),
        ] {
            let errors = Ignore::read("i.yml", text).expect_err(text).join("\n");
            assert!(errors.contains(said), "{text}: {errors}");
        }
        assert_eq!(Ignore::read("i.yml", "# nothing\n").unwrap().entries, []);
    }
}
