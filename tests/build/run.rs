//! Scan and build in a run of the real program: from a secret's search over a pushed image to its scan by digest.

use std::path::Path;
use std::process::{Command, Output};

use crate::place::{BASE, PASSWORD, Registry, USER, docker, images};

const SECRET: &str = "s3cr3t-of-the-run-0815";

fn pipeline(registry: &str) -> String {
    format!(
        r#"
name: images
on: push
env: {{IMAGE: "{registry}/run"}}
stages:
  secrets: {{scan: gitleaks}}
  image:
    needs: secrets
    strategy: {{matrix: {{part: [good, vulnerable]}}}}
    build:
      context: app
      build-args: {{PART: "${{{{ matrix.part }}}}"}}
      secrets: {{token: "${{{{ secrets.TOKEN }}}}"}}
      tags: ["${{{{ env.IMAGE }}}}-${{{{ matrix.part }}}}:${{{{ github.sha }}}}"]
      push: true
      credentials: {{username: {USER}, password: "${{{{ secrets.REGISTRY }}}}"}}
  trivy:
    needs: image
    strategy: {{fail-fast: false, matrix: {{part: [good, vulnerable]}}}}
    scan: {{trivy: {{image: "${{{{ env.IMAGE }}}}-${{{{ matrix.part }}}}:${{{{ github.sha }}}}"}}, fail-on: high}}
  used:
    needs: image
    image: ${{{{ needs.image.outputs.ref }}}}
    env: {{OF: "${{{{ needs.image.outputs.ref }}}}"}}
    run: echo "runs $(cat /part) of $OF"
"#
    )
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

fn slipway(folder: &Path, home: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slipway"))
        .args(args)
        .current_dir(folder)
        .env("SLIPWAY_HOME", home)
        .env("TOKEN", SECRET)
        .env("REGISTRY", PASSWORD)
        .output()
        .unwrap()
}

/// Files below `folder` that hold `text`.
fn holding(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => holding(&path, text, found),
            kind if kind.is_file() => {
                let bytes = std::fs::read(&path).unwrap_or_default();
                if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                    found.push(path.display().to_string());
                }
            }
            _ => {}
        }
    }
}

#[test]
#[ignore = "needs docker (scripts/docker-up)"]
fn a_run_searches_builds_pushes_and_scans_what_it_pushed() {
    images();
    let Some(registry) = Registry::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let (folder, home) = (place.path().join("checkout"), place.path().join("home"));
    std::fs::create_dir_all(folder.join("app")).unwrap();
    let dockerfile = format!(
        "FROM {BASE}\nARG PART\nRUN --mount=type=secret,id=token test -s /run/secrets/token && echo $PART > /part && cat /run/secrets/token\n"
    );
    std::fs::write(folder.join("app/Dockerfile"), dockerfile).unwrap();
    std::fs::write(folder.join("images.yml"), pipeline(&registry.host)).unwrap();
    git(&folder, &["init", "-q"]);
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-q", "-m", "one"]);
    let plan = slipway(&folder, &home, &["plan", "images.yml"]);
    let text = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(text.contains("$ gitleaks detect --source .") && text.contains("push \""), "{text}");

    let run = slipway(&folder, &home, &["run", "images.yml", "--secret", "TOKEN", "--secret", "REGISTRY"]);
    let all = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    for name in ["good", "vulnerable"] {
        for image in docker(&["images", "-q", &format!("{}/run-{name}", registry.host)]).lines() {
            docker(&["rmi", "-f", image]);
        }
    }
    assert_eq!(run.status.code(), Some(1), "the vulnerable part fails: {all}");
    for said in [
        "gitleaks: nothing found",
        "builder: BuildKit, as \"secrets\" are given",
        "trivy: nothing found",
        "trivy has 1 finding of severity high or above (1 high, 1 medium), first CVE-2099-0001 libssl3 1.0.0",
        "@sha256:",
    ] {
        assert!(all.contains(said), "\"{said}\" is missing: {all}");
    }
    let of = all
        .lines()
        .find(|line| line.starts_with("[used]") && line.contains(" runs ") && !line.contains('▸'))
        .unwrap_or_else(|| panic!("the image runs: {all}"));
    assert!(of.contains(&format!("of {}/run-", registry.host)) && of.contains("@sha256:"), "{of}");
    assert!(!all.contains(SECRET) && !all.contains(PASSWORD), "{all}");
    let mut found = Vec::new();
    holding(&home, SECRET, &mut found);
    holding(&home, PASSWORD, &mut found);
    assert_eq!(found, Vec::<String>::new());
    let kept = slipway(&folder, &home, &["artifacts"]);
    let kept = String::from_utf8_lossy(&kept.stdout).into_owned() + &String::from_utf8_lossy(&kept.stderr);
    assert!(kept.contains("scan.sarif") && kept.contains("scan.json"), "{kept}");
}
