//! `slipway graph` on files, through the real binary.
#![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

use std::path::Path;
use std::process::{Command, Output};

const PIPELINE: &str = r#"
stages:
  lint: {run: "true"}
  test:
    strategy: {matrix: {node: [18, 20, 22]}}
    run: "true"
  package: {needs: [lint, test], run: "true"}
  late:
    needs: package
    strategy: {matrix: {part: "${{ fromJSON(needs.package.outputs.parts) }}"}}
    run: "true"
"#;

fn graph(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slipway")).arg("graph").args(args).current_dir(folder).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_file_is_drawn_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("slipway.yml"), PIPELINE).unwrap();
    insta::assert_snapshot!(text(&graph(folder.path(), &[])), @r##"
      ┌──────┐  ┌────────┐
      │ lint │  │ test   │
      └───┬──┘  │ 3 jobs │
          │     └────┬───┘
          ╰────┬─────╯
          ┌────▼────┐
          │ package │
          └────┬────┘
               │
    ┌──────────▼─────────┐
    │ late               │
    │ matrix known later │
    └────────────────────┘
    "##);
    let mermaid = text(&graph(folder.path(), &["slipway.yml", "--format", "mermaid"]));
    assert!(mermaid.contains("n1[\"test<br/>3 jobs\"]") && mermaid.contains("n0 --> n2"), "{mermaid}");
    assert!(text(&graph(folder.path(), &["--format", "dot"])).starts_with("digraph pipeline {"));
    assert!(text(&graph(folder.path(), &["--format", "svg"])).ends_with("</svg>\n"));
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let missing = graph(folder.path(), &["missing.yml"]);
    assert_eq!((missing.status.code(), missing.stdout.len()), (Some(6), 0));
    std::fs::create_dir(folder.path().join(".slipway")).unwrap();
    for name in ["a", "b"] {
        std::fs::write(folder.path().join(format!(".slipway/{name}.yml")), format!("on: push\n{PIPELINE}")).unwrap();
    }
    assert_eq!(text(&graph(folder.path(), &[])).matches("package").count(), 2);
    let several = graph(folder.path(), &["--format", "svg"]);
    assert_eq!(several.status.code(), Some(2));
    assert!(String::from_utf8(several.stderr).unwrap().contains("name one"));
}
