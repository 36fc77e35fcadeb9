//! The documentation says what the code does: examples are valid pipelines, tables are in step with the code.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::path::Path;

use slipway::exit::Exit;
use slipway::model::{ReadOptions, codes};
use slipway::span::Source;
use slipway::stage;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn yaml_blocks(text: &str) -> Vec<String> {
    text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn examples_in_the_docs_are_valid_pipelines() {
    let mut count = 0;
    for path in ["README.md", "docs/pipeline.md"] {
        for block in yaml_blocks(&read(path)) {
            let (pipeline, diagnostics) = stage::load(Source::new(path, block.as_str()), &ReadOptions::default());
            let said = slipway::report::diagnostic::text(&diagnostics, false);
            assert!(pipeline.is_some() && diagnostics.list.is_empty(), "{path}: {block}\n{said}");
            count += 1;
        }
    }
    assert!(count >= 6, "only {count} examples were found");
}

#[test]
fn every_exit_code_is_documented() {
    let text = read("docs/exit-codes.md");
    let all = [
        Exit::Success,
        Exit::PipelineFailed,
        Exit::Usage,
        Exit::InvalidPipeline,
        Exit::NoRunner,
        Exit::Cancelled,
        Exit::NotFound,
        Exit::Lost,
        Exit::Waiting,
        Exit::RolledBack,
        Exit::NotHealthy,
        Exit::Locked,
        Exit::Drift,
        Exit::Preflight,
        Exit::Internal,
    ];
    for exit in all {
        assert!(text.contains(&format!("| {} | {exit:?} |", exit.code())), "{exit:?}");
    }
}

#[test]
fn every_diagnostic_is_documented() {
    let text = read("docs/diagnostics.md");
    for code in codes::ALL {
        assert!(text.contains(&format!("| {} | {} |", code.code, code.title)), "{}", code.code);
    }
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = read("Cargo.toml");
    let text = read("docs/dependencies.md");
    let section = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    for name in section.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name) {
        assert!(text.contains(name), "docs/dependencies.md does not say what \"{name}\" is for");
    }
}

#[test]
fn the_examples_are_valid_and_the_readmes_first_command_names_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("pipelines/slipway.yml")];
    for name in ["python", "node", "rust"] {
        files.push(root.join(format!("examples/{name}/slipway.yml")));
        files.push(root.join(format!("examples/{name}/.github/workflows/ci.yml")));
    }
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.display().to_string();
        let (pipeline, diagnostics) = stage::load(Source::new(name.as_str(), text), &ReadOptions::default());
        assert!(pipeline.is_some(), "{}", slipway::report::diagnostic::text(&diagnostics, false));
    }
    assert!(read("README.md").contains("cargo run --release -- run examples/python"));
}

#[test]
fn the_readmes_example_runs() {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: the Python example needs python3");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_slipway"))
        .args(["run", "examples/python"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("SLIPWAY_HOME", home.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("4 run, 0 failed"), "{text}");
    assert!(text.contains("dist/slug.pyz"), "{text}");
}
