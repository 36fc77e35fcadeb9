//! Files kept with runs, seen from outside: `slipway artifacts` of the real binary.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const PIPELINE: &str = r#"
name: demo
stages:
  build:
    run: "mkdir -p dist/sub; printf hello > dist/app; printf note > dist/sub/notes.txt; printf x > dist/left-out"
    artifacts: ["dist", "!dist/left-out"]
  test:
    needs: build
    strategy: {matrix: {v: [1, 2]}}
    run: "cat dist/app; printf ${{ matrix.v }} > report"
    artifacts: [report]
"#;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let temp = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(temp.path().join("demo")).expect("a folder");
        std::fs::write(temp.path().join("demo/slipway.yml"), PIPELINE).expect("writes");
        Self(temp)
    }

    fn call(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command.args(args).current_dir(self.0.path().join("demo")).env("SLIPWAY_HOME", self.0.path().join("state"));
        command.stdin(Stdio::null()).output().expect("starts")
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.call(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn fails(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.call(args);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join("demo").join(path)
    }
}

#[test]
fn kept_files_are_listed_and_brought_out() {
    let place = Place::new();
    let (code, said) = place.fails(&["artifacts"]);
    assert!(code == Some(6) && said.contains("there is no run"), "{said}");
    // The second stage reads what the first one kept.
    place.ok(&["run"]);

    let list = place.ok(&["artifacts"]);
    assert!(list.contains("dist/app") && list.contains("dist/sub/notes.txt") && list.contains("4 files"), "{list}");
    assert!(!list.contains("left-out"), "{list}");
    let json: serde_json::Value =
        serde_json::from_str(&place.ok(&["artifacts", "#1", "build", "--json"])).expect("JSON");
    let file = &json["jobs"][0]["files"][0];
    assert_eq!((&json["version"], &file["path"], &file["size"]), (&1.into(), &"dist/app".into(), &5.into()));
    assert_eq!(file["sha256"], "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");

    place.ok(&["artifacts", "#1", "build", "--output", "out"]);
    assert_eq!(place.read("out/dist/app"), "hello");
    std::fs::write(place.path("out/dist/app"), "mine").expect("writes");
    let (code, said) = place.fails(&["artifacts", "#1", "build", "--output", "out"]);
    assert!(code == Some(2) && said.contains("--force"), "{said}");
    assert_eq!(place.read("out/dist/app"), "mine", "nothing is replaced unless told");
    place.ok(&["artifacts", "#1", "build", "--output", "out", "--force"]);
    assert_eq!(place.read("out/dist/app"), "hello");

    // Legs of a matrix kept the same path: one is to be named.
    let (_, said) = place.fails(&["artifacts", "#1", "test", "--output", "reports"]);
    assert!(said.contains("\"test.1\" and \"test.2\""), "{said}");
    assert!(!place.path("reports").exists());
    place.ok(&["artifacts", "#1", "test.2", "--output", "reports"]);
    assert_eq!(place.read("reports/report"), "2");

    let (code, said) = place.fails(&["artifacts", "#1", "deploy"]);
    assert!(code == Some(6) && said.contains("\"build\", \"test\" did"), "{said}");
    assert_eq!(place.fails(&["artifacts", "zzz"]).0, Some(6));
    assert_eq!(place.fails(&["artifacts", "--force"]).0, Some(2));
}
