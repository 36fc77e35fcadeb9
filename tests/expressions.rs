//! Every case of GitHub's expression corpus, through the library, and some of them through the binary.

#![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value as Json;
use slipway::expr::{EvalError, Expr, Object, ParseErrorKind, Scope, StatusFunction, Value};

fn corpus() -> Option<PathBuf> {
    let ground = std::env::var_os("SLIPWAY_TESTGROUND")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let folder = ground.join("corpus/expressions");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no test ground at {}", folder.display());
    None
}

struct Contexts(Object);

impl Scope for Contexts {
    fn context(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }

    fn status(&self, function: StatusFunction, _args: &[Value]) -> Result<bool, EvalError> {
        Ok(matches!(function, StatusFunction::Success | StatusFunction::Always))
    }
}

/// A case: where it stands, and the JSON.
fn cases(folder: &PathBuf) -> Vec<(String, Json)> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "json")) {
        let groups: Json = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        for (group, list) in groups.as_object().unwrap() {
            for (i, case) in list.as_array().unwrap().iter().enumerate() {
                let name = format!("{}:{group}:{i}", file.file_name().unwrap().to_string_lossy());
                cases.push((name, case.clone()));
            }
        }
    }
    cases
}

fn contexts(case: &Json) -> Object {
    case["contexts"].as_object().into_iter().flatten().map(|(k, v)| (k.as_str(), Value::from_json(v))).collect()
}

/// The value, or the kind of the error and its message.
fn run(case: &Json) -> Result<Value, (&'static str, String)> {
    let scope = Contexts(contexts(case));
    let source = case["expr"].as_str().unwrap();
    let expr = Expr::parse_with(source, &|name| scope.0.get(name).is_some()).map_err(|error| {
        let kind = match error.kind {
            ParseErrorKind::Lexing => "lexing",
            ParseErrorKind::Parsing => "parsing",
        };
        (kind, error.message)
    })?;
    expr.evaluate(&scope).map_err(|error| ("evaluation", error.message))
}

fn agrees(case: &Json, got: &Result<Value, (&'static str, String)>) -> bool {
    match got {
        Err((kind, message)) => {
            let wanted = &case["err"];
            // Some cases have only the beginning of the message.
            wanted["kind"] == *kind && message.starts_with(wanted["value"].as_str().unwrap_or("?"))
        }
        Ok(value) => {
            let wanted = &case["result"];
            if wanted["kind"] != value.kind() {
                return false;
            }
            match value {
                Value::Number(number) => {
                    wanted["value"].as_f64().is_some_and(|wanted| wanted == *number)
                        || wanted["value"].as_str() == Some(value.to_text().as_str())
                }
                _ => value.to_json() == Value::from_json(&wanted["value"]).to_json(),
            }
        }
    }
}

#[test]
fn every_case_of_the_corpus_has_its_value_or_its_error() {
    let Some(folder) = corpus() else { return };
    let cases = cases(&folder);
    let mut wrong = Vec::new();
    for (name, case) in &cases {
        let got = run(case);
        if !agrees(case, &got) {
            wrong.push(format!("{name}: {} gives {got:?}", case["expr"]));
        }
    }
    println!("{} cases, {} wrong", cases.len(), wrong.len());
    assert!(cases.len() >= 686, "the corpus has only {} cases", cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_binary_gives_what_the_library_gives() {
    let Some(folder) = corpus() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("context.json");
    // A spread over all files.
    for (name, case) in cases(&folder).iter().step_by(17) {
        let empty = serde_json::json!({});
        std::fs::write(&file, case.get("contexts").unwrap_or(&empty).to_string()).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_slipway"))
            .args(["eval", "--context", file.to_str().unwrap(), "--", case["expr"].as_str().unwrap()])
            .output()
            .unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        match run(case) {
            Ok(value) => {
                assert_eq!(output.status.code(), Some(0), "{name}: {stderr}");
                assert_eq!(stdout, format!("{}\n", value.to_json_line().unwrap()), "{name}");
            }
            Err((kind, message)) => {
                assert_eq!(output.status.code(), Some(3), "{name}");
                let first = format!("{kind} error: {message}");
                assert!(stderr.contains(first.lines().next().unwrap()), "{name}: {stderr}");
            }
        }
    }
}
