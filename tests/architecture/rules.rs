//! The floors of docs/ARCHITECTURE.md as a table, and the rules. A rule takes a file's path and text and says what is wrong.

use std::path::Path;

use crate::code::{code_of, paths_of, supers, without_tests};

/// Floors of the rooms. A file called `contract` is a port and stands on floor 5, whatever its room.
pub const FLOORS: &[(&str, u8)] = &[
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
    ("backup", 6),
    ("client", 5),
    ("deliver", 6),
    ("sink", 5),
    ("engine", 6),
    ("forge", 6),
    ("image", 6),
    ("notify", 6),
    ("report", 6),
    ("runner", 6),
    ("scan", 6),
    ("server", 7),
    ("store", 6),
    ("task", 6),
    ("workspace", 6),
    ("cli", 8),
    ("main", 8),
];

/// Rooms that are adapters: they know neither the engine nor one another.
const ADAPTERS: &[&str] =
    &["backup", "deliver", "forge", "image", "notify", "report", "runner", "scan", "store", "workspace"];

/// Rooms of one floor of which the first may use the second; nothing else of one floor may.
const FRIENDS: &[(&str, &str)] = &[
    // Messages point at places; ids hold the time.
    ("diagnostic", "span"),
    ("id", "clock"),
    // The model holds parsed expressions.
    ("model", "expr"),
    // State is folded from events, and journals hold them.
    ("state", "event"),
    ("journal", "event"),
    // Ports speak of one another's types, and the client maps the shim's protocol onto the runner's contract.
    ("client", "runner"),
    // The binary is one call of the command line.
    ("main", "cli"),
];

/// What floors 0 to 4 may not name, since they do no I/O.
const NO_IO: &[&str] = &["tokio", "bollard", "rusqlite", "std::fs", "std::process", "std::net", "std::thread"];

/// Files that are longer than 400 lines, and why they stay whole.
pub const LONG: &[(&str, &str)] = &[
    ("shim/protocol.rs", "one protocol, included by two programs: a second file could not be"),
    ("event.rs", "one enum of what happens"),
    ("deliver/fake.rs", "one cluster in memory"),
    ("deliver/strategy_tests.rs", "the scenarios of two strategies, over one fixture"),
    ("report/run_view.rs", "one view, folded from every event"),
    ("stage/deploy.rs", "one typed key with its three strategies"),
    ("stage/settings.rs", "one reader of settings"),
    ("state/fold.rs", "one fold, with every transition in sight"),
    ("task/contract.rs", "one port"),
    ("cli/load.rs", "one way from arguments to plans, which every command goes"),
    ("engine/run.rs", "one loop and its state"),
    ("engine/step.rs", "one step from decision to record"),
    ("engine/attempt.rs", "one attempt from sandbox to clean-up"),
];
const MAX_LINES: usize = 400;
const MAX_LONG: usize = 600;
const MAX_MAIN: usize = 39;

/// Everything that is wrong with the file `path` (below `src`) of this text.
pub fn complaints(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    wrong.extend(length(path, text));
    let stem = Path::new(path).file_stem().unwrap_or_default().to_string_lossy();
    // Unit tests may reach up: they put floors together.
    if stem != "tests" && !stem.ends_with("_tests") {
        let code = without_tests(&code_of(text));
        wrong.extend(floors(path, &code));
        wrong.extend(no_io(path, &code));
        wrong.extend(yaml_crate(path, &code));
    }
    wrong.into_iter().map(|complaint| format!("src/{path}: {complaint}")).collect()
}

/// Room and file of a path below `src`.
fn place_of(path: &str) -> (&str, &str) {
    let mut parts = path.split('/').map(|part| part.trim_end_matches(".rs"));
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

fn floor_of(room: &str, file: &str) -> Option<u8> {
    if file == "contract" {
        return Some(5);
    }
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

fn floors(path: &str, code: &str) -> Vec<String> {
    let (room, file) = place_of(path);
    let mut paths = paths_of(code, "crate");
    paths.extend(paths_of(code, "slipway"));
    if room == "shim" {
        // Its own modules are `crate::` too: it is a program of its own.
        paths.retain(|to| FLOORS.iter().any(|(name, _)| *name == to[0]));
        return paths.iter().map(|to| format!("the shim reaches into the library: \"{}\"", to.join("::"))).collect();
    }
    if room == "lib" {
        return Vec::new();
    }
    if floor_of(room, file).is_none() {
        return vec![format!("no room is called \"{room}\": add it to the table")];
    }
    let mut wrong: Vec<String> = paths
        .iter()
        .filter_map(|to| complaint(room, file, to).map(|why| format!("crate::{}: {why}", to.join("::"))))
        .collect();
    // A chain of `super` as long as the module is deep would leave the room without saying `crate`.
    let depth = path.split('/').count() - usize::from(path.ends_with("/mod.rs"));
    if supers(code) >= depth && room != "main" {
        wrong.push("leaves its room by \"super\": write \"crate::\"".to_owned());
    }
    wrong
}

/// What stands against a path from `room`/`file` to `to` (the path behind `crate::`).
fn complaint(room: &str, file: &str, to: &[String]) -> Option<String> {
    let target = to.first()?.as_str();
    let target_file = to.get(1).map(String::as_str).unwrap_or_default();
    if target == "*" {
        return Some("names everything: write imports out".to_owned());
    }
    let Some(theirs) = floor_of(target, target_file) else {
        return Some(format!("no room is called \"{target}\": add it to the table"));
    };
    let ours = floor_of(room, file)?;
    let port = target_file == "contract";
    if target == room {
        // Ports stand below their own room's adapters.
        return (theirs > ours).then(|| format!("the port may not use its adapter \"{target}::{target_file}\""));
    }
    if ours == 6 && !port && (target == "engine" || ADAPTERS.contains(&target)) {
        return Some(match room {
            "engine" => format!("the engine may not use adapter \"{target}\""),
            _ => format!("adapter \"{room}\" may not use \"{target}\""),
        });
    }
    if theirs > ours {
        return Some(format!("floor {ours} (\"{room}\") may not use floor {theirs} (\"{target}\")"));
    }
    if theirs == ours && !FRIENDS.contains(&(room, target)) {
        return Some(format!("\"{room}\" and \"{target}\" share floor {ours} and are no friends"));
    }
    None
}

fn no_io(path: &str, code: &str) -> Vec<String> {
    let (room, file) = place_of(path);
    if floor_of(room, file).is_none_or(|floor| floor > 4) {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    for word in NO_IO {
        let (root, module) = word.split_once("::").unwrap_or((word, ""));
        if paths_of(code, root).iter().any(|to| module.is_empty() || to[0] == module) {
            wrong.push(format!("names \"{word}\", but its floor does no I/O"));
        }
    }
    wrong
}

fn yaml_crate(path: &str, code: &str) -> Option<String> {
    (code.contains("granit_parser") && path != "model/yaml.rs")
        .then(|| "names the YAML crate, which only model/yaml.rs may".to_owned())
}

fn length(path: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    let most = match path {
        "main.rs" => MAX_MAIN,
        _ if LONG.iter().any(|(name, _)| *name == path) => MAX_LONG,
        _ => MAX_LINES,
    };
    (lines > most).then(|| format!("{lines} lines, {most} are allowed: split it by noun"))
}
