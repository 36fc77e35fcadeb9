//! Holds the house together: every file of `src` is checked against the floors and rules of docs/ARCHITECTURE.md, and every rule
//! against texts that break it.

mod code;
mod rules;

use std::fs;
use std::path::Path;

use code::{code_of, paths_of, without_tests};
use rules::{FLOORS, LONG, complaints};

fn source_files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("UTF-8");
                let name = path.strip_prefix(&root).expect("below src");
                files.push((name.to_string_lossy().into_owned(), text));
            }
        }
    }
    files
}

#[test]
fn every_file_keeps_the_rules() {
    let files = source_files();
    assert!(files.len() > 100, "only {} files were found", files.len());
    let wrong: Vec<String> = files.iter().flat_map(|(path, text)| complaints(path, text)).collect();
    assert!(wrong.is_empty(), "{} violations:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_tables_name_what_exists() {
    let files = source_files();
    for (name, _) in LONG {
        let text = files.iter().find(|(path, _)| path == name).map(|(_, text)| text);
        assert!(text.is_some_and(|text| text.lines().count() > 400), "{name} is not long: strike it from the list");
    }
    let architecture = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ARCHITECTURE.md"));
    let architecture = architecture.expect("docs/ARCHITECTURE.md");
    for (room, floor) in FLOORS {
        let room_path = format!("{room}/");
        let file = format!("{room}.rs");
        assert!(files.iter().any(|(path, _)| *path == file || path.starts_with(&room_path)), "no room \"{room}\"");
        let row = architecture.lines().filter(|line| line.starts_with(&format!("| {floor} ")));
        assert!(row.clone().any(|line| says(line, room)), "docs/ARCHITECTURE.md: floor {floor} lacks \"{room}\"");
    }
}

fn says(line: &str, room: &str) -> bool {
    line.split('`').skip(1).step_by(2).any(|word| word.split(['/', ':']).next() == Some(room))
}

/// Asserts that `path` with this text is complained of in these words.
fn refused(path: &str, text: &str, words: &str) {
    let wrong = complaints(path, text);
    assert!(wrong.iter().any(|complaint| complaint.contains(words)), "{path}: {text}\ngives {wrong:?}");
}

fn accepted(path: &str, text: &str) {
    let wrong = complaints(path, text);
    assert!(wrong.is_empty(), "{path}: {text}\ngives {wrong:?}");
}

#[test]
fn floors_above_are_refused() {
    refused("expr/parser.rs", "use crate::plan::ir::Plan;", "floor 1 (\"expr\") may not use floor 3 (\"plan\")");
    refused("plan/ir.rs", "fn f() { crate::engine::run() }", "floor 3");
    refused("engine/run.rs", "use crate::cli::load;", "floor 6");
    refused("runner/contract.rs", "use crate::store::sqlite::Db;", "floor 5");
    refused("plan/ir.rs", "use crate::{span::Span, store::contract::Store};", "floor 5 (\"store\")");
    refused("plan/ir.rs", "use slipway::report::plain::Plain;", "floor 6");
    accepted("plan/ir.rs", "use crate::{span::Span, model::{Job, step::Step as S}, expr::value::Value};");
}

#[test]
fn a_port_stands_below_its_own_room() {
    refused("store/contract.rs", "use crate::store::sqlite::Db;", "the port may not use its adapter");
    accepted("store/sqlite.rs", "use crate::store::contract::Store;");
}

#[test]
fn adapters_know_neither_the_engine_nor_one_another() {
    refused("store/logs.rs", "use crate::runner::host::Host;", "adapter \"store\" may not use \"runner\"");
    refused("report/plain.rs", "use crate::engine::run::Run;", "adapter \"report\" may not use \"engine\"");
    refused("engine/run.rs", "use crate::store::sqlite::Db;", "the engine may not use adapter \"store\"");
    accepted("engine/run.rs", "use crate::store::contract::Store; use crate::runner::contract::Runner;");
    accepted("runner/docker/mod.rs", "use crate::runner::host::Host;");
    accepted("cli/run.rs", "use crate::store::sqlite::Db; use crate::engine::run::Run;");
}

#[test]
fn one_floor_has_named_friends_only() {
    refused("expr/value.rs", "use crate::model::Job;", "are no friends");
    refused("span.rs", "use crate::diagnostic::Diagnostic;", "are no friends");
    refused("event.rs", "use crate::state::fold;", "are no friends");
    accepted("model/job.rs", "use crate::expr::ast::Ast;");
    accepted("state/fold.rs", "use crate::event::Event;");
}

#[test]
fn unknown_rooms_globs_and_ways_around_are_refused() {
    refused("plan/ir.rs", "use crate::nowhere::X;", "no room is called \"nowhere\"");
    refused("kitchen/sink.rs", "", "no room is called \"kitchen\"");
    refused("plan/ir.rs", "use crate::*;", "write imports out");
    refused("plan/ir.rs", "use super::super::engine::run;", "leaves its room by \"super\"");
    accepted("plan/lint/cost.rs", "use super::super::ir::Plan;");
}

#[test]
fn floors_0_to_4_do_no_io() {
    for text in [
        "use std::fs;",
        "use std::{fmt, net::TcpStream};",
        "fn f() { ::std::process::exit(1) }",
        "use tokio::sync::mpsc;",
        "fn f() -> rusqlite::Result<()> { Ok(()) }",
        "#[cfg(test)]\nuse a::{b, c};\nuse std::fs;",
    ] {
        refused("plan/ir.rs", text, "its floor does no I/O");
        accepted("engine/run.rs", text);
    }
    accepted("runner/contract.rs", "use tokio::sync::mpsc;");
    accepted("plan/ir.rs", "use std::fmt; use crate::span::Span; // not std::fs");
}

#[test]
fn one_file_names_the_yaml_crate() {
    refused("model/node.rs", "use granit_parser::Event;", "only model/yaml.rs may");
    refused("cli/load.rs", "fn f(e: granit_parser::Event) {}", "only model/yaml.rs may");
    accepted("model/yaml.rs", "use granit_parser::Event;");
}

#[test]
fn the_shim_stands_alone() {
    refused("shim/serve.rs", "use crate::id::RunId;", "the shim reaches into the library");
    refused("shim/main.rs", "use slipway::id::RunId;", "the shim reaches into the library");
    accepted("shim/serve.rs", "use crate::protocol::Frame;");
}

#[test]
fn files_are_short() {
    refused("plan/ir.rs", &"\n".repeat(401), "401 lines, 400 are allowed");
    refused("engine/step.rs", &"\n".repeat(601), "601 lines, 600 are allowed");
    refused("main.rs", &"\n".repeat(40), "40 lines, 39 are allowed");
    accepted("engine/step.rs", &"\n".repeat(600));
    accepted("plan/ir.rs", &"\n".repeat(400));
}

#[test]
fn tests_may_reach_up_and_nothing_else_hides_behind_them() {
    accepted("plan/ir.rs", "#[cfg(test)]\nmod tests {\n fn f() { crate::cli::run() } }");
    accepted("plan/ir_tests.rs", "use crate::cli::run;");
    refused("plan/ir.rs", "#[cfg(test)]\nmod tests;\nuse crate::cli::run;", "floor 8");
    refused("plan/ir.rs", "#[cfg(test)]\nfn f() { {} }\nfn g() { crate::cli::run() }", "floor 8");
    let code = without_tests("a\n#[cfg(test)]\nuse b::{c, d};\ne\nstruct F { #[cfg(test)] g: u8, h: u8 }");
    assert_eq!(code, "a\n\ne\nstruct F {  h: u8 }");
}

#[test]
fn paths_are_found_in_groups_and_not_in_comments_or_literals() {
    let text = r####"use crate::a::{b, c::{d, e as x},
        f}; // use crate::x::y;
        /* crate::x /* crate::y */ crate::z */
        let s = "crate::z \" crate::z"; let r = r#"crate::" crate::z"#; let b = br"crate::z";
        let c = '"'; let l: &'static str = "crate::z"; let q = '\''; crate::g::h::<crate::i::J>();
        my_crate::no::way(); "####;
    let code = code_of(text);
    let paths: Vec<String> = paths_of(&code, "crate").iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["a::b", "a::c::d", "a::c::e", "a::f", "g::h", "i::J"]);
}
