//! Holds the floors of docs/ARCHITECTURE.md: every `crate::` path of every file is checked against one table.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Floors of the rooms. Within a room, a file named in `PORTS` stands on floor 5.
const FLOORS: &[(&str, u8)] = &[
    ("clock", 0),
    ("diagnostic", 0),
    ("exit", 0),
    ("id", 0),
    ("secret", 0),
    ("span", 0),
    ("expr", 1),
    ("model", 1),
    ("stage", 2),
    ("plan", 3),
    ("event", 4),
    ("journal", 4),
    ("state", 4),
    ("client", 5),
    ("sink", 5),
    ("engine", 6),
    ("report", 6),
    ("runner", 6),
    ("store", 6),
    ("workspace", 6),
    ("cli", 8),
];

/// Rooms that are adapters: they know neither the engine nor one another.
const ADAPTERS: &[&str] = &["report", "runner", "store", "workspace"];

/// Rooms of one floor that may use one another; everything else of one floor may not.
const FRIENDS: &[(&str, &str)] = &[
    // The ground is one floor of small nouns.
    ("diagnostic", "span"),
    ("id", "clock"),
    // The model holds parsed expressions.
    ("model", "expr"),
    // State is folded from events, and journals hold them.
    ("state", "event"),
    ("journal", "event"),
    // Sinks take events; the client maps the shim's protocol onto the runner's contract.
    ("client", "runner"),
];

/// Words that floors 0 to 4 may not say: they do no I/O.
const NO_IO: &[&str] = &["tokio", "std::fs", "std::process::Command", "std::net", "std::thread", "rusqlite", "bollard"];

/// Files that are longer than 400 lines, and why they stay whole.
const LONG: &[(&str, &str)] = &[
    ("shim/protocol.rs", "one protocol, included by two programs: a second file could not be"),
    ("cli/load.rs", "one way from arguments to plans, which every command goes"),
    ("engine/run.rs", "one loop and its state"),
    ("engine/step.rs", "one step from decision to record"),
    ("engine/attempt.rs", "one attempt from sandbox to clean-up"),
];
const MAX_LINES: usize = 400;
const MAX_LONG: usize = 640;

fn floor_of(room: &str, file: &str) -> Option<u8> {
    if file == "contract" {
        return Some(5);
    }
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// What stands against a path from `room`/`file` to `to` (the path behind `crate::`, as parts).
fn complaint(room: &str, file: &str, to: &[&str]) -> Option<String> {
    let target = *to.first()?;
    let target_file = to.get(1).copied().unwrap_or_default();
    if target == room {
        return None;
    }
    let Some(theirs) = floor_of(target, target_file) else {
        return Some(format!("no room is called \"{target}\": add it to the table"));
    };
    let ours = floor_of(room, file)?;
    let friends = FRIENDS.iter().any(|(a, b)| *a == room && *b == target);
    let is_contract = target_file == "contract";
    if ADAPTERS.contains(&room)
        && file != "contract"
        && (target == "engine" || ADAPTERS.contains(&target) && !is_contract)
    {
        return Some(format!("adapter \"{room}\" may not use \"{target}\""));
    }
    if room == "engine" && ADAPTERS.contains(&target) && !is_contract {
        return Some(format!("the engine may not use adapter \"{target}\""));
    }
    if theirs > ours {
        return Some(format!("floor {ours} (\"{room}\") may not use floor {theirs} (\"{target}\")"));
    }
    if theirs == ours && !friends && ours != 5 {
        return Some(format!("\"{room}\" and \"{target}\" share floor {ours} and are no friends"));
    }
    None
}

/// Text without comments and without what stands in string literals.
fn code_of(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('/', Some('/')) => while chars.next_if(|c| *c != '\n').is_some() {},
            ('"', _) => {
                out.push('"');
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => drop(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                out.push('"');
            }
            ('\'', Some('"')) => {
                // The character literal '"'.
                chars.next();
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

/// Every path that begins with `crate::`, groups opened: `crate::a::{b, c::d}` gives `a::b` and `a::c::d`.
fn paths_of(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '$') {
            open(&code[at + "crate::".len()..], &mut Vec::new(), &mut paths);
        }
    }
    paths
}

fn open<'a>(mut rest: &'a str, prefix: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> &'a str {
    let depth = prefix.len();
    loop {
        rest = rest.trim_start();
        if let Some(group) = rest.strip_prefix('{') {
            rest = group;
            loop {
                rest = open(rest, prefix, paths).trim_start();
                match rest.chars().next() {
                    Some(',') => rest = rest[1..].trim_start(),
                    Some('}') => {
                        rest = &rest[1..];
                        break;
                    }
                    _ => break,
                }
                if let Some(after) = rest.strip_prefix('}') {
                    rest = after;
                    break;
                }
            }
            break;
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end == 0 {
            break;
        }
        prefix.push(rest[..end].to_owned());
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(after) => rest = after,
            None => {
                paths.push(prefix.clone());
                break;
            }
        }
    }
    prefix.truncate(depth);
    rest
}

fn source_files() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("UTF-8");
                files.insert(path.strip_prefix(&root).expect("below src").to_owned(), text);
            }
        }
    }
    files
}

/// Room and file of a path below `src`.
fn place_of(path: &Path) -> (String, String) {
    let mut parts = path.iter().map(|part| part.to_string_lossy().trim_end_matches(".rs").to_owned());
    let room = parts.next().unwrap_or_default();
    (room, parts.next().unwrap_or_default())
}

#[test]
fn every_path_goes_to_its_own_floor_or_below() {
    let mut wrong = Vec::new();
    for (path, text) in source_files() {
        let (room, file) = place_of(&path);
        if matches!(room.as_str(), "lib" | "main" | "shim") {
            continue;
        }
        // Unit tests may reach up: they put floors together.
        let tests = path.file_stem().is_some_and(|name| name.to_string_lossy().ends_with("tests"));
        let code = code_of(&text);
        let code = if tests { "" } else { code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default() };
        for to in paths_of(code) {
            let to: Vec<&str> = to.iter().map(String::as_str).collect();
            if let Some(complaint) = complaint(&room, &file, &to) {
                wrong.push(format!("src/{}: crate::{}: {complaint}", path.display(), to.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} paths leave their floor:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn floors_0_to_4_do_no_io_and_one_file_knows_the_yaml_crate() {
    let mut wrong = Vec::new();
    for (path, text) in source_files() {
        let (room, file) = place_of(&path);
        let code = code_of(&text);
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        if floor_of(&room, &file).is_some_and(|floor| floor <= 4) {
            wrong.extend(NO_IO.iter().filter(|word| code.contains(**word)).map(|word| format!("{path:?} says {word}")));
        }
        if code.contains("granit_parser") && path != Path::new("model/yaml.rs") && !path.starts_with("model/yaml") {
            wrong.push(format!("{path:?} names the YAML crate"));
        }
        if room == "shim" && code.contains("crate::") && !code.contains("mod sys") {
            let only_own = paths_of(code).iter().all(|to| FLOORS.iter().all(|(name, _)| to[0] != *name));
            if !only_own {
                wrong.push(format!("{path:?} reaches into the library"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_short() {
    let mut wrong = Vec::new();
    for (path, text) in source_files() {
        let lines = text.lines().count();
        let long = LONG.iter().any(|(name, _)| Path::new(name) == path);
        if lines > if long { MAX_LONG } else { MAX_LINES } {
            wrong.push(format!("src/{} has {lines} lines", path.display()));
        }
        if path == Path::new("main.rs") && lines >= 40 {
            wrong.push(format!("main.rs has {lines} lines; 39 are enough"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_refuses_what_it_should() {
    assert!(complaint("expr", "parser", &["plan", "ir"]).is_some(), "a floor above");
    assert!(complaint("store", "logs", &["runner", "host"]).is_some(), "another room's adapter");
    assert!(complaint("store", "logs", &["engine", "run"]).is_some(), "the engine");
    assert!(complaint("engine", "run", &["store", "sqlite"]).is_some(), "an adapter");
    assert!(complaint("engine", "run", &["cli", "run"]).is_some(), "the edge");
    assert!(complaint("plan", "ir", &["nowhere"]).is_some(), "an unknown room");
    assert!(complaint("engine", "run", &["store", "contract"]).is_none(), "a port");
    assert!(complaint("cli", "run", &["store", "sqlite"]).is_none(), "the edge puts adapters together");
    assert!(complaint("plan", "ir", &["model", "Job"]).is_none(), "a floor below");
}

#[test]
fn paths_are_found_in_groups_and_not_in_comments() {
    let code = code_of("use crate::a::{b, c::{d, e}};\n// use crate::x::y;\nlet s = \"crate::z\"; crate::f::g();");
    let paths: Vec<String> = paths_of(&code).iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["a::b", "a::c::d", "a::c::e", "f::g"]);
}
