//! Whether `on:` lets an event start a pipeline. What is not known (no payload, no list of changed files) never stops one.

use serde_json::Value;

use crate::model::{EventFilter, Patterns, Triggers};
use crate::span::Spanned;

use super::glob::{chosen, compile};

/// An event as far as filters ask of it.
#[derive(Debug, Clone, Copy)]
pub struct Happening<'a> {
    /// Its name, such as `push`.
    pub event: &'a str,
    /// `refs/heads/...` or `refs/tags/...`; empty when unknown.
    pub reference: &'a str,
    /// The payload; null when unknown.
    pub payload: &'a Value,
    /// Paths that changed; `None` when unknown.
    pub changed: Option<&'a [String]>,
}

/// Activities that count where a file names none (the others: all).
const DEFAULT_TYPES: &[(&str, &[&str])] = &[
    ("pull_request", &["opened", "synchronize", "reopened"]),
    ("pull_request_target", &["opened", "synchronize", "reopened"]),
    ("merge_group", &["checks_requested"]),
];

/// Whether one of the triggers lets the event through; if not, why, for people.
pub fn check(on: Option<&Triggers>, happening: Happening<'_>) -> Result<(), String> {
    let Some(on) = on else {
        return Err("it has no \"on\" and runs only when it is named".to_owned());
    };
    let mut why = None;
    for filter in on.events.iter().filter(|filter| filter.name.value == happening.event) {
        match one(filter, happening) {
            Ok(()) => return Ok(()),
            Err(reason) => why = Some(reason),
        }
    }
    Err(why.unwrap_or_else(|| match events(on).as_str() {
        "" => "it runs for no event".to_owned(),
        names => format!("it runs for {names}"),
    }))
}

/// The events of `on`, for messages.
pub fn events(on: &Triggers) -> String {
    on.events.iter().map(|event| event.name.value.as_str()).collect::<Vec<_>>().join(", ")
}

fn one(filter: &EventFilter, happening: Happening<'_>) -> Result<(), String> {
    types(filter, happening)?;
    match happening.event {
        "push" => push(filter, happening),
        "pull_request" | "pull_request_target" => {
            branch(filter, happening.payload["pull_request"]["base"]["ref"].as_str())?;
            paths(&filter.paths, happening.changed)
        }
        "merge_group" => {
            let base = happening.payload["merge_group"]["base_ref"].as_str();
            branch(filter, base.map(|base| base.strip_prefix("refs/heads/").unwrap_or(base)))
        }
        "workflow_run" => {
            let run = &happening.payload["workflow_run"];
            if let (Some(name), false) = (run["name"].as_str(), filter.workflows.is_empty())
                && !filter.workflows.iter().any(|wanted| wanted.value.eq_ignore_ascii_case(name))
            {
                return Err(format!("\"workflow_run\" does not watch \"{name}\""));
            }
            branch(filter, run["head_branch"].as_str())
        }
        "schedule" => match happening.payload["schedule"].as_str() {
            Some(line) if !filter.cron.iter().any(|cron| cron.value.trim() == line.trim()) => {
                Err(format!("\"schedule\" has no line \"{line}\""))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn types(filter: &EventFilter, happening: Happening<'_>) -> Result<(), String> {
    let Some(action) = happening.payload["action"].as_str() else { return Ok(()) };
    let given: Vec<&str> = filter.types.iter().map(|name| name.value.as_str()).collect();
    let default = DEFAULT_TYPES.iter().find(|(name, _)| *name == happening.event).map(|(_, types)| *types);
    let wanted = if given.is_empty() { default.unwrap_or_default() } else { &given };
    if wanted.is_empty() || wanted.contains(&action) {
        return Ok(());
    }
    Err(format!("\"{}\" with \"types\" {} does not include \"{action}\"", happening.event, wanted.join(", ")))
}

fn push(filter: &EventFilter, happening: Happening<'_>) -> Result<(), String> {
    let (branches, tags) = (given(&filter.branches), given(&filter.tags));
    if let Some(tag) = happening.reference.strip_prefix("refs/tags/") {
        // Paths are not looked at for tags. A filter of branches alone means no tags.
        return match (tags, branches) {
            (true, _) => name("tags", &filter.tags, tag),
            (false, true) => Err(format!("its filters name branches only, and \"{tag}\" is a tag")),
            (false, false) => Ok(()),
        };
    }
    if let Some(branch) = happening.reference.strip_prefix("refs/heads/") {
        match (branches, tags) {
            (true, _) => name("branches", &filter.branches, branch)?,
            (false, true) => return Err(format!("its filters name tags only, and \"{branch}\" is a branch")),
            (false, false) => {}
        }
    }
    paths(&filter.paths, happening.changed)
}

fn branch(filter: &EventFilter, branch: Option<&str>) -> Result<(), String> {
    match branch {
        Some(branch) if given(&filter.branches) => name("branches", &filter.branches, branch),
        _ => Ok(()),
    }
}

fn given(patterns: &Patterns) -> bool {
    !patterns.include.is_empty() || !patterns.ignore.is_empty()
}

fn name(what: &str, patterns: &Patterns, name: &str) -> Result<(), String> {
    if !patterns.include.is_empty() && !chosen(compile(texts(&patterns.include)).iter(), name) {
        return Err(format!("\"{name}\" is none of \"{what}\" {}", listed(&patterns.include)));
    }
    if chosen(compile(texts(&patterns.ignore)).iter(), name) {
        return Err(format!("\"{name}\" is one of \"{what}-ignore\" {}", listed(&patterns.ignore)));
    }
    Ok(())
}

/// One changed path that is wanted is enough, as is one that is not ignored.
fn paths(patterns: &Patterns, changed: Option<&[String]>) -> Result<(), String> {
    let Some(changed) = changed else { return Ok(()) };
    if !patterns.include.is_empty() {
        let globs = compile(texts(&patterns.include));
        if !changed.iter().any(|path| chosen(globs.iter(), path)) {
            return Err(format!("no changed file is one of \"paths\" {}", listed(&patterns.include)));
        }
    }
    if !patterns.ignore.is_empty() {
        let globs = compile(texts(&patterns.ignore));
        if !changed.is_empty() && changed.iter().all(|path| chosen(globs.iter(), path)) {
            return Err(format!("every changed file is one of \"paths-ignore\" {}", listed(&patterns.ignore)));
        }
    }
    Ok(())
}

fn texts(patterns: &[Spanned<String>]) -> impl Iterator<Item = &str> {
    patterns.iter().map(|pattern| pattern.value.as_str())
}

fn listed(patterns: &[Spanned<String>]) -> String {
    let mut shown: Vec<&str> = texts(patterns).take(10).collect();
    if patterns.len() > 10 {
        shown.push("...");
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::testing::pipeline;

    fn with(on: &str, event: &str, reference: &str, payload: Value, changed: Option<&[&str]>) -> String {
        let pipeline = pipeline(&format!("on: {on}\nstages: {{a: {{run: 'true'}}}}"));
        let changed: Option<Vec<String>> = changed.map(|list| list.iter().map(|path| (*path).to_owned()).collect());
        let happening = Happening { event, reference, payload: &payload, changed: changed.as_deref() };
        check(pipeline.on.as_ref(), happening).err().unwrap_or_default()
    }

    fn push(on: &str, reference: &str, changed: Option<&[&str]>) -> String {
        with(&format!("{{push: {on}}}"), "push", reference, Value::Null, changed)
    }

    #[test]
    fn branches_tags_and_paths() {
        let (main, tag) = ("refs/heads/main", "refs/tags/v1");
        for (on, reference, changed) in [
            ("", main, None),
            ("{branches: [main]}", main, None),
            ("{branches: [dev]}", "", None),
            ("{branches-ignore: [dev]}", main, None),
            ("{tags: ['v*']}", tag, Some(&[][..])),
            ("{branches: [dev], tags: ['v*']}", tag, None),
            ("{paths: ['src/**']}", main, None),
            ("{paths: ['src/**', '!src/x']}", main, Some(&["src/x", "src/y"])),
            ("{paths-ignore: ['docs/**']}", main, Some(&["docs/a", "src/y"])),
            ("{paths: ['src/**']}", tag, Some(&["docs/a"])),
        ] {
            assert_eq!(push(on, reference, changed), "", "{on} {reference}");
        }
        for (on, reference, changed, why) in [
            ("{branches: [dev]}", main, None, "\"main\" is none of \"branches\" dev"),
            ("{branches: ['**', '!main']}", main, None, "\"main\" is none of \"branches\" **, !main"),
            ("{branches-ignore: [main]}", main, None, "\"main\" is one of \"branches-ignore\" main"),
            ("{tags: ['v*']}", main, None, "its filters name tags only, and \"main\" is a branch"),
            ("{branches: [main]}", tag, None, "its filters name branches only, and \"v1\" is a tag"),
            (
                "{paths: ['src/**', '!src/x']}",
                main,
                Some(&["src/x"][..]),
                "no changed file is one of \"paths\" src/**, !src/x",
            ),
            (
                "{paths-ignore: ['docs/**']}",
                main,
                Some(&["docs/a"]),
                "every changed file is one of \"paths-ignore\" docs/**",
            ),
        ] {
            assert_eq!(push(on, reference, changed), why, "{on} {reference}");
        }
        assert_eq!(with("[push, pull_request]", "release", "", Value::Null, None), "it runs for push, pull_request");
    }

    #[test]
    fn pull_requests_have_githubs_default_types() {
        let request = |on: &str, action: &str| {
            let payload = json!({"action": action, "pull_request": {"base": {"ref": "main"}}});
            with(&format!("{{pull_request: {on}}}"), "pull_request", "refs/pull/1/merge", payload, None)
        };
        assert_eq!(request("", "opened"), "");
        assert!(request("", "labeled").contains("does not include \"labeled\""));
        assert_eq!(request("{types: [labeled]}", "labeled"), "");
        assert!(request("{branches: [dev]}", "opened").contains("none of \"branches\""));
        assert_eq!(with("pull_request", "pull_request", "", Value::Null, None), "");
        let run = |on: &str| {
            let payload = json!({"action": "completed", "workflow_run": {"name": "CI", "head_branch": "main"}});
            with(&format!("{{workflow_run: {on}}}"), "workflow_run", "", payload, None)
        };
        assert_eq!(run("{workflows: [ci], branches: [main]}"), "");
        assert!(run("{workflows: [other]}").contains("does not watch"));
    }
}
