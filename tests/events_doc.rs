//! docs/events.md speaks of every event, and its examples are what the code reads and writes.

use std::collections::BTreeSet;

use slipway::event::{EVENT_VERSION, Record};

const DOC: &str = include_str!("../docs/events.md");
const SOURCE: &str = include_str!("../src/event.rs");

/// Names of the variants of `Event` in `kebab-case`, read from the source: an event that is added is asked for at once.
fn kinds() -> BTreeSet<String> {
    let body = SOURCE.split("pub enum Event {").nth(1).expect("event.rs has the enum");
    let body = body.split("\n}").next().expect("it ends");
    let variants = body.lines().filter_map(|line| {
        let name = line.strip_prefix("    ")?;
        name.starts_with(|c: char| c.is_ascii_uppercase()).then(|| name.trim_end_matches([' ', '{', ',', '}']))
    });
    variants
        .map(|name| {
            let mut kebab = String::new();
            for c in name.chars() {
                if c.is_ascii_uppercase() && !kebab.is_empty() {
                    kebab.push('-');
                }
                kebab.push(c.to_ascii_lowercase());
            }
            kebab
        })
        .collect()
}

#[test]
fn every_event_has_a_section_and_every_section_an_event() {
    let sections: BTreeSet<String> =
        DOC.lines().filter_map(|line| Some(line.strip_prefix("### `")?.strip_suffix('`')?.to_owned())).collect();
    assert!(kinds().len() > 20, "{:?}", kinds());
    assert_eq!(kinds(), sections);
}

#[test]
fn examples_are_exactly_what_is_written() {
    let mut seen = BTreeSet::new();
    for line in DOC.lines().filter(|line| line.starts_with("{\"v\":") && line.contains("\"seq\"")) {
        let record: Record = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(record.v, EVENT_VERSION);
        assert_eq!(serde_json::to_string(&record).unwrap(), line);
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        seen.insert(value["event"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen, kinds(), "each event has an example");
}
