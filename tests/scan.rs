//! The scan task over scanners that are played, real reports, and the images of `scripts/test-scanners`.
//! With an engine: `cargo test --test scan -- --include-ignored`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use slipway::diagnostic::Diagnostics;
use slipway::event::TaskReport;
use slipway::model::{Limits, read_node};
use slipway::scan::ScanTask;
use slipway::span::Source;
use slipway::stage::settings::Reader;
use slipway::stage::{Incident, Scan, Typed};
use slipway::task::contract::{PreviewLine, Task, TaskCommand, TaskEnd, TaskError, TaskExit, TaskSpec};
use slipway::task::testing::TestCtx;

/// Settings as a file has them.
fn settings(text: &str) -> Result<Scan, String> {
    let (node, _) = read_node(Source::new("s.yml", text), &Limits::default());
    let mut diagnostics = Diagnostics::new(Source::new("s.yml", text));
    let scan = Scan::read(&mut Reader::of_file(&mut diagnostics), &node.unwrap());
    let said: Vec<String> = diagnostics
        .list
        .iter()
        .map(|one| format!("{}|{}", one.message, one.help.as_deref().unwrap_or_default()))
        .collect();
    if said.is_empty() { scan.ok_or_else(|| "no settings, and nothing said".to_owned()) } else { Err(said.join("\n")) }
}

fn spec(text: &str) -> TaskSpec {
    let typed = Typed::Scan(settings(text).unwrap());
    TaskSpec { typed, environment: None, incident: Incident::default(), before: Vec::new() }
}

struct Place {
    folder: tempfile::TempDir,
    ctx: TestCtx,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["w", "s"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let ctx = TestCtx::new(folder.path().join("w"), folder.path().join("s"));
        Self { folder, ctx }
    }

    fn workspace(&self) -> PathBuf {
        self.folder.path().join("w")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.workspace().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The scanner writes `report` (if any) where it is asked to, and ends with `code`.
    fn plays(mut self, report: Option<&str>, code: i32) -> Self {
        let (workspace, report) = (self.workspace(), report.map(str::to_owned));
        self.ctx.exec = Some(Arc::new(move |command: &TaskCommand| {
            if let Some(report) = &report {
                std::fs::write(workspace.join(asked_for(command)), report).unwrap();
            }
            TaskExit { code, tail: "first\nlast words\n".to_owned() }
        }));
        self
    }

    async fn run(&self, text: &str) -> Result<TaskEnd, TaskError> {
        ScanTask::new().run(&spec(text), &self.ctx).await
    }

    fn kept(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.folder.path().join("s").join(name)).unwrap()).unwrap()
    }
}

fn asked_for(command: &TaskCommand) -> String {
    let flag = |name: &str| command.argv.iter().skip_while(|word| *word != name).nth(1).cloned();
    flag("--report-path").or_else(|| flag("--output")).unwrap_or_else(|| "report.sarif".to_owned())
}

fn output<'e>(end: &'e TaskEnd, name: &str) -> &'e str {
    &end.outputs.iter().find(|(known, _)| known == name).unwrap().1
}

const LEAK: &str = r#"[{"Description": "AWS", "StartLine": 2, "Secret": "REDACTED", "Match": "REDACTED", "File": "c.txt",
    "Commit": "a318", "RuleID": "aws-access-token", "Fingerprint": "a318:c.txt:aws-access-token:2"}]"#;
const TWO: &str = r#"{"SchemaVersion": 2, "Results": [{"Target": "a", "Class": "os-pkgs", "Vulnerabilities": [
    {"VulnerabilityID": "CVE-1", "PkgName": "openssl", "InstalledVersion": "1", "FixedVersion": "2", "Severity": "HIGH", "Title": "bad"},
    {"VulnerabilityID": "CVE-2", "PkgName": "zlib", "InstalledVersion": "1", "Severity": "LOW", "Title": "not so bad"}]}]}"#;
const SARIF: &str = "{sarif: {run: scanner --all, file: report.sarif}}";
const TRIVY: &str = "{trivy: {image: reg/app@sha256:aa, severity: [high, CRITICAL]}}";

#[test]
fn settings_are_read_in_short_and_long_forms() {
    assert_eq!(settings("gitleaks").unwrap(), Scan::default());
    assert_eq!(settings("{gitleaks: }").unwrap(), Scan::default());
    for good in [
        "{gitleaks: {history: false}, fail_on: none}",
        "{trivy: {fs: .}, fail-on: any, ignore: known.yml}",
        SARIF,
        TRIVY,
    ] {
        settings(good).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
    settings("{trivy: {image: '${{ needs.build.outputs.ref }}'}, fail-on: '${{ inputs.gate }}'}").unwrap();
    for (bad, said) in [
        ("gitleak", "did you mean \"gitleaks\"?"),
        ("trivy", "{trivy: {image: NAME}}"),
        ("snyk", "cannot do it yet"),
        ("{snyk: {token: a}}", "cannot do yet"),
        ("{trivy: {config: k8s/}}", "\"config\", which this version reads but cannot do yet"),
        ("{trivy: {image: a, fs: .}}", "not both"),
        ("{trivy: {severity: HIGH}}", "needs \"image\" or \"fs\""),
        ("{trivy: {image: a, severity: [SEVERE]}}", "\"severity\" cannot be \"SEVERE\""),
        ("{sarif: {run: a}}", "needs the key \"file\""),
        ("{gitleaks: {histori: true}}", "did you mean \"history\"?"),
        ("{gitleaks: {}, fail-on: grave}", "\"fail-on\" cannot be \"grave\""),
        ("{fail-on: high}", "needs a scanner"),
        ("[gitleaks]", "is a"),
    ] {
        let error = settings(bad).expect_err(bad);
        assert!(error.contains(said), "{bad}: {error}");
    }
}

#[tokio::test]
async fn a_leak_fails_the_stage_and_is_told_kept_and_reported() {
    let place = Place::new().plays(Some(LEAK), 10);
    place.write(".git/HEAD", "ref: refs/heads/main\n");
    let Err(TaskError::Failed { message, end, .. }) = place.run("gitleaks").await else { panic!("it must fail") };
    assert_eq!(
        message,
        "gitleaks has 1 finding of severity high or above (1 critical), first aws-access-token c.txt:2; mend them, or list them with a reason in \".slipway/ignore.yml\""
    );
    assert_eq!(output(&end, "findings"), "1");
    assert!(place.ctx.log_text().contains("critical  aws-access-token  c.txt:2"), "{}", place.ctx.log_text());
    assert_eq!(place.kept("scan.sarif")["runs"][0]["results"][0]["level"], "error");
    assert_eq!(place.kept("scan.json")["findings"][0]["commit"], "a318");
    let journal = place.ctx.journal.lock().unwrap();
    let counts = vec![("critical".to_owned(), 1)];
    assert_eq!(journal.reports, [TaskReport::Findings { tool: "gitleaks".to_owned(), counts }]);
}

#[tokio::test]
async fn a_scanner_that_did_not_run_is_never_nothing_found() {
    let cut = &TWO[..TWO.len() / 2];
    for (settings, report, code, said) in [
        ("gitleaks", None, 0, "it wrote no report \".slipway-scan/gitleaks.json\""),
        ("gitleaks", None, 10, "it wrote no report"),
        ("gitleaks", Some("[]"), 1, "it ended with exit code 1"),
        ("gitleaks", Some("[]"), 10, "its report has no findings"),
        ("gitleaks", Some(""), 0, "it is empty"),
        ("gitleaks", Some("["), 10, "no whole JSON"),
        ("gitleaks", None, 127, "no such program"),
        ("gitleaks", Some("[]"), 137, "exit code 137"),
        (TRIVY, Some(cut), 0, "no whole JSON"),
        (TRIVY, Some(TWO), 1, "exit code 1"),
        (TRIVY, Some("{}"), 0, "no \"SchemaVersion\""),
        (SARIF, None, 0, "it wrote no report \"report.sarif\""),
        (SARIF, Some(r#"{"version": "2.1.0", "runs": []}"#), 0, "no scanner says that it ran"),
        (
            SARIF,
            Some(r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t"}}, "results": []}]}"#),
            1,
            "no findings",
        ),
        (
            SARIF,
            Some(
                r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t"}}, "results": [{"ruleId": "a"}]}]}"#,
            ),
            2,
            "exit code 2",
        ),
    ] {
        let place = Place::new().plays(report, code);
        // What an earlier run, or the commit, left is not believed.
        place.write(".slipway-scan/gitleaks.json", "[]");
        place.write(
            "report.sarif",
            r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t"}}, "results": []}]}"#,
        );
        let error = place.run(settings).await.expect_err(said).to_string();
        assert!(
            error.contains(said) && error.contains("nothing is known about findings"),
            "{settings} {code}: {error}"
        );
        assert!(error.contains("its last words: last words"), "{error}");
        assert_eq!(place.ctx.journal.lock().unwrap().reports, [], "{settings} {code}");
    }
}

#[tokio::test]
async fn the_gate_and_the_ignore_file_decide() {
    let gate = |gate: &str| format!("{{trivy: {{fs: .}}, fail-on: {gate}}}");
    for (fail_on, passes) in [("critical", true), ("high", false), ("low", false), ("any", false), ("none", true)] {
        let place = Place::new().plays(Some(TWO), 0);
        assert_eq!(place.run(&gate(fail_on)).await.is_ok(), passes, "{fail_on}");
    }
    let place = Place::new().plays(Some(TWO), 0);
    place.write(
        ".slipway/ignore.yml",
        "- {id: CVE-1, until: 2999-01-01, reason: not reachable}\n- {id: CVE-9, reason: gone}\n",
    );
    let end = place.run(&gate("high")).await.unwrap();
    assert_eq!(output(&end, "findings"), "1");
    let log = place.ctx.log_text();
    assert!(log.contains("ignored until 2999-01-01: high CVE-1 openssl 1 (not reachable)"), "{log}");
    assert!(log.contains("nothing was found that \"CVE-9\""), "{log}");
    assert_eq!(place.kept("scan.json")["ignored"][0]["finding"]["id"], "CVE-1");
    assert!(place.kept("scan.sarif").to_string().contains("\"justification\":\"not reachable\""));

    let place = Place::new().plays(Some(TWO), 0);
    place.write(".slipway/ignore.yml", "- {id: CVE-1, until: 2020-01-01, reason: not reachable}\n");
    place.run(&gate("high")).await.expect_err("the entry is expired");
    assert!(place.ctx.log_text().contains("\"CVE-1\" was ignored until 2020-01-01 and counts again (not reachable)"));

    for (list, settings, said) in [
        ("- {id: CVE-1}", gate("high"), ".slipway/ignore.yml:1:4: \"ignore\" needs the key \"reason\""),
        ("", "{gitleaks: , ignore: other.yml}".to_owned(), "there is no list of known findings \"other.yml\""),
        ("", "{gitleaks: , ignore: ../other.yml}".to_owned(), "no path within the workspace"),
    ] {
        let place = Place::new().plays(Some(TWO), 0);
        place.write(".slipway/ignore.yml", list);
        let error = place.run(&settings).await.expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
        let refused = ScanTask::new().preview(&spec(&settings), &place.ctx).await.unwrap().refused;
        assert!(refused[0].contains(said), "{refused:?}");
    }
}

#[tokio::test]
async fn a_crash_anywhere_runs_the_scanner_again_only_by_its_key_and_reports_once() {
    let records = {
        let place = Place::new().plays(Some(TWO), 0);
        place.run("{trivy: {fs: .}, fail-on: none}").await.unwrap();
        let journal = place.ctx.journal.lock().unwrap();
        journal.records
    };
    for at in 1..=records {
        for after in [false, true] {
            let mut place = Place::new();
            let (workspace, runs) = (place.workspace(), Arc::new(AtomicUsize::new(0)));
            let ran = Arc::clone(&runs);
            // As the engine does: a program that ended is found again by its key, and does not write its report again.
            place.ctx.exec = Some(Arc::new(move |command: &TaskCommand| {
                if ran.fetch_add(1, Ordering::SeqCst) == 0 {
                    std::fs::write(workspace.join(asked_for(command)), TWO).unwrap();
                }
                TaskExit { code: 0, tail: String::new() }
            }));
            place.ctx.crash_at = Some((at, after));
            assert!(
                matches!(place.run("{trivy: {fs: .}, fail-on: none}").await, Err(TaskError::Gone(_))),
                "{at} {after}"
            );
            place.ctx = place.ctx.again();
            let end = place.run("{trivy: {fs: .}, fail-on: none}").await.unwrap();
            assert_eq!(output(&end, "findings"), "2", "{at} {after}");
            assert!(!place.ctx.journal.lock().unwrap().reports.is_empty(), "{at} {after}");
        }
    }
}

#[tokio::test]
async fn the_preview_shows_the_real_command() {
    let place = Place::new();
    place.write(".git/HEAD", "ref: refs/heads/main\n");
    let of = async |text: &str| match ScanTask::new().preview(&spec(text), &place.ctx).await.unwrap().lines.remove(0) {
        PreviewLine::Command { argv, image } => (argv.join(" "), image.unwrap_or_default()),
        other => panic!("{other:?}"),
    };
    let (argv, image) = of("gitleaks").await;
    assert_eq!(
        argv,
        "gitleaks detect --source . --no-banner --redact --report-format json --report-path .slipway-scan/gitleaks.json --exit-code 10"
    );
    assert_eq!(image, "zricethezav/gitleaks");
    assert!(of("{gitleaks: {history: false}}").await.0.contains("--no-git"));
    assert_eq!(
        of(TRIVY).await.0,
        "trivy image --no-progress --format json --output .slipway-scan/trivy.json --exit-code 0 --severity HIGH,CRITICAL -- reg/app@sha256:aa"
    );
    assert_eq!(of(SARIF).await, ("scanner --all".to_owned(), String::new()));
}

/// The test ground's folder `name`; without one the test is skipped aloud.
fn ground(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SLIPWAY_TESTGROUND")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: there is no test ground at {} (set SLIPWAY_TESTGROUND)", folder.display());
    None
}

#[tokio::test]
async fn real_reports_are_read() {
    let Some(folder) = ground("corpus/scans/trivy") else { return };
    let expected = [
        ("alpine-310.json", "4"),
        ("alpine-310.sarif", "4"),
        ("alpine-distroless.json", "1"),
        ("cargo.lock.json", "0"),
        ("centos-7-medium.json", "1"),
        ("debian-buster.json", "2"),
        ("dockerfile.json", "1"),
        ("helm_testchart.json", "6"),
        ("license-cyclonedx.json", "3"),
        ("npm.json", "1"),
        ("secrets.json", "2"),
    ];
    for (name, count) in expected {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let place = Place::new().plays(Some(&text), 0);
        let settings = match name.ends_with(".sarif") {
            true => "{sarif: {run: scanner, file: report.sarif}, fail-on: none}",
            false => "{trivy: {fs: .}, fail-on: none}",
        };
        let end = place.run(settings).await;
        assert_eq!(output(&end.unwrap_or_else(|error| panic!("{name}: {error}")), "findings"), count, "{name}");
        let kept = place.kept("scan.json").to_string();
        assert!(!kept.contains("\"severity\":\"unknown\""), "{name}: {kept}");
    }
    // Forms that are no findings are refused, not read as none.
    for name in ["npm-cyclonedx.json", "alpine-310.junit"] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        Place::new().plays(Some(&text), 0).run("{trivy: {fs: .}}").await.expect_err(name);
    }
}

/// Runs programs in `image` over the workspace, as the engine does.
fn in_image(place: &mut Place, image: &'static str, env: &'static [&'static str]) {
    let workspace = place.workspace();
    place.ctx.exec = Some(Arc::new(move |command: &TaskCommand| {
        let mut docker = Command::new("docker");
        docker.args(["run", "--rm", "--network", "none", "--entrypoint", "", "-w", "/w"]);
        docker.arg("-v").arg(format!("{}:/w", workspace.display()));
        for pair in
            command.env.iter().map(|(name, value)| format!("{name}={value}")).chain(env.iter().map(|&e| e.to_owned()))
        {
            docker.args(["-e", &pair]);
        }
        docker.arg(image);
        match &command.script {
            Some(script) => docker.args(["sh", "-c", script]),
            None => docker.args(&command.argv),
        };
        let output = docker.output().unwrap();
        let tail = String::from_utf8_lossy(&output.stderr).into_owned();
        TaskExit { code: output.status.code().unwrap_or(-1), tail }
    }));
}

/// Whether the images are there; says aloud when one is not.
fn images(name: &str) -> bool {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/test-images");
    assert!(Command::new(script).status().unwrap().success(), "{script} failed");
    let there = Command::new("docker").args(["image", "inspect", name]).output().unwrap().status.success();
    if !there {
        println!("skipped: there is no image \"{name}\"");
    }
    there
}

fn git(folder: &Path, args: &[&str]) {
    let ran = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(ran.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn the_real_gitleaks_finds_a_secret_that_only_the_history_has() {
    if !images("zricethezav/gitleaks") {
        return;
    }
    let mut place = Place::new();
    // Put together here, so that this file holds no key.
    let key = format!("AKIA{}", "Q3EGRZ6QHQ5T2KLM");
    place.write("config.txt", &format!("aws = \"{key}\"\n"));
    git(&place.workspace(), &["init", "-q"]);
    git(&place.workspace(), &["add", "."]);
    git(&place.workspace(), &["commit", "-q", "-m", "one"]);
    place.write("config.txt", "aws = \"\"\n");
    git(&place.workspace(), &["commit", "-q", "-a", "-m", "two"]);
    in_image(&mut place, "zricethezav/gitleaks", &[]);
    let error = place.run("gitleaks").await.expect_err("the history has a key").to_string();
    assert!(error.contains("aws-access-token config.txt:1"), "{error}");
    let all = format!("{error}{}{}{}", place.ctx.log_text(), place.kept("scan.json"), place.kept("scan.sarif"));
    assert!(!all.contains(&key), "the key must not be kept");
    let report = std::fs::read_to_string(place.workspace().join(".slipway-scan/gitleaks.json")).unwrap();
    assert!(!report.contains(&key), "the key must not be in the report");

    place.ctx = TestCtx::new(place.workspace(), place.folder.path().join("s"));
    in_image(&mut place, "zricethezav/gitleaks", &[]);
    let end = place.run("{gitleaks: {history: false}}").await.unwrap();
    assert_eq!(output(&end, "findings"), "0");
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn trivy_and_snyk_are_asked_as_they_want_to_be() {
    if !images("aquasec/trivy") || !images("snyk/snyk:node") {
        return;
    }
    let run = async |image: &'static str, env: &'static [&'static str], files: &[(&str, &str)], settings: &str| {
        let mut place = Place::new();
        files.iter().for_each(|(name, text)| place.write(name, text));
        in_image(&mut place, image, env);
        place.run(settings).await.map(|end| output(&end, "findings").to_owned()).map_err(|error| error.to_string())
    };
    let trivy =
        async |settings: &str| run("aquasec/trivy", &[], &[("package-lock.json", "vulnerable")], settings).await;
    assert!(trivy("{trivy: {image: reg/vulnerable:1}}").await.unwrap_err().contains("CVE-2099-0001 libssl3 1.0.0"));
    assert_eq!(trivy("{trivy: {image: reg/vulnerable:1}, fail-on: critical}").await.unwrap(), "2");
    assert_eq!(trivy("{trivy: {image: reg/vulnerable:1, severity: MEDIUM}}").await.unwrap(), "1");
    assert_eq!(trivy("{trivy: {image: reg/good:1}}").await.unwrap(), "0");
    assert!(trivy("{trivy: {image: reg/missing:1}}").await.unwrap_err().contains("unable to find the specified image"));
    assert!(trivy("{trivy: {fs: .}}").await.unwrap_err().contains("CVE-2099-0001 lodash"));

    const SNYK: &str = "{sarif: {run: snyk test --sarif-file-output=snyk.sarif, file: snyk.sarif}}";
    let bad = [("package.json", r#"{"dependencies": {"lodash": "4.17.15"}}"#)];
    let good = [("package.json", "{}")];
    let token = &["SNYK_TOKEN=t"];
    assert!(
        run("snyk/snyk:node", token, &bad, SNYK).await.unwrap_err().contains("SNYK-JS-LODASH-567746 package.json:1")
    );
    assert_eq!(run("snyk/snyk:node", token, &good, SNYK).await.unwrap(), "0");
    assert!(run("snyk/snyk:node", &[], &good, SNYK).await.unwrap_err().contains("exit code 2"));
    assert!(run("snyk/snyk:node", token, &[], SNYK).await.unwrap_err().contains("exit code 3"));
}
