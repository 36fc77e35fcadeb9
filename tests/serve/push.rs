//! From a push to a status: the real server, a repository on this machine, a forge of a few lines.

use rustix::process::Signal;

use crate::client::github;
use crate::ground::{Ground, SECRET, until};

const PIPELINE: &str = "
name: ci
on: [push, pull_request]
stages:
  test:
    run: |
      echo \"$GITHUB_SHA $GITHUB_REF $GITHUB_ACTOR\" >> $MARKS/ran
      cat file.txt
";

#[test]
fn a_push_runs_its_commit_and_the_forge_hears_of_it() {
    let mut ground = Ground::new(PIPELINE, "secrets = { KEY = 'the value' }");
    ground.write("file.txt", "the first text\n");
    let sha = ground.commit("first");
    ground.write("file.txt", "a later text\n");
    ground.commit("second");
    ground.start();
    let answer = ground.push("d-1", &sha);
    assert_eq!((answer.status, answer.json()["replay"].as_bool()), (202, Some(false)));
    let run = ground.over(1).remove(0);
    assert_eq!((&run["status"], &run["commit"]), (&"success".into(), &sha.as_str().into()));
    assert_eq!(ground.marked("ran"), format!("{sha} refs/heads/main ann\n"));
    until("the forge knows", || (ground.forge.statuses(&sha).last()? == "slipway/ci: success").then_some(()));
    let last = ground.forge.last();
    assert_eq!(last["target_url"], format!("https://ci.example/runs/{}", run["run"].as_str().unwrap()));
    // The same delivery again, and a ping: no run.
    assert_eq!(ground.push("d-1", &sha).json()["replay"], true);
    let ping = github(ground.at(), "shop", SECRET, "ping", "d-2", b"{\"zen\": \"a\"}");
    assert_eq!(ping.status, 202);
    ground.push("d-3", &sha);
    assert_eq!(ground.over(2).len(), 2);
    assert_eq!(ground.end(Signal::TERM), Some(0));
    // Nothing secret lies anywhere but sealed.
    for secret in ["the value", "the api token", SECRET] {
        let found = std::process::Command::new("grep").args(["-rlF", secret]).arg(ground.data()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "{secret}");
    }
}

#[test]
fn statuses_arrive_though_the_forge_is_down_for_a_while() {
    let mut ground = Ground::new(PIPELINE, "");
    ground.write("file.txt", "text\n");
    let sha = ground.commit("first");
    ground.start();
    ground.forge.fail(3);
    ground.push("d-1", &sha);
    ground.over(1);
    until("the forge knows", || (ground.forge.statuses(&sha).last()? == "slipway/ci: success").then_some(()));
}

#[test]
fn what_came_in_before_a_kill_runs_after_it_and_once() {
    let mut ground = Ground::new(PIPELINE, "");
    ground.write("file.txt", "text\n");
    let sha = ground.commit("first");
    ground.start();
    // Killed right behind the answer: the run may be anywhere between the row and its end.
    for round in 0..4 {
        assert_eq!(ground.push(&format!("d-{round}"), &sha).status, 202);
        std::thread::sleep(std::time::Duration::from_millis(round * 60));
        ground.end(Signal::KILL);
        ground.start();
    }
    let runs = ground.over(4);
    assert_eq!(runs.len(), 4, "{runs:?}");
    assert!(runs.iter().all(|run| run["status"] == "success"), "{runs:?}");
    assert_eq!(ground.marked("ran").lines().count(), 4);
}

#[test]
fn files_that_cannot_be_run_are_told_to_the_forge() {
    let mut ground = Ground::new("name: ci\non: push\nstages: {a: {run: 'true', needs: b}}\n", "");
    ground.write(".slipway/other.yml", "on: {push: {branches: [dev]}}\nstages: {a: {run: 'true'}}\n");
    ground.write(".github/workflows/title.yml", "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: echo ${{ github.event.head_commit.message }}\n");
    let sha = ground.commit("first");
    ground.start();
    ground.push("d-1", &sha);
    until("both are told", || (ground.forge.statuses(&sha).len() == 2).then_some(()));
    assert_eq!(
        ground.forge.statuses(&sha),
        ["slipway/.github/workflows/title.yml: error", "slipway/slipway.yml: error"]
    );
    assert!(ground.runs().is_empty());
}

#[test]
fn t05_a_poisonous_delivery_is_put_aside_and_others_go_on() {
    let mut ground = Ground::new(PIPELINE, "");
    ground.write("file.txt", "text\n");
    let sha = ground.commit("first");
    ground.start();
    let bad = ground.push_body("refs/heads/a\r\nb", &sha);
    assert_eq!(github(ground.at(), "shop", SECRET, "push", "d-1", &bad).status, 202);
    assert_eq!(github(ground.at(), "shop", SECRET, "push", "d-2", b"{\"ref\": [").status, 202);
    assert_eq!(ground.push("d-3", &"e".repeat(40)).status, 202);
    ground.push("d-4", &sha);
    assert_eq!(ground.over(1)[0]["status"], "success");
    until("both are put aside", || (ground.log().matches("is put aside").count() >= 2).then_some(()));
    assert!(ground.log().contains("which is no name that git allows"), "{}", ground.log());
}

#[test]
fn t26_a_pull_request_of_an_outsider_runs_the_base_file_without_secrets() {
    let mut ground = Ground::new(
        "name: ci\non: [push, pull_request]\nstages:\n  test:\n    image: slipway-test/none\n    env: {KEY: '${{ secrets.KEY }}'}\n    run: echo base\n",
        "secrets = { KEY = 'the value' }",
    );
    let base = ground.commit("base");
    let origin = ground.origin();
    crate::ground::git(&origin, &["checkout", "--quiet", "-b", "topic"]);
    ground.write("slipway.yml", "name: evil\non: pull_request\nstages: {a: {run: 'touch $MARKS/evil'}}\n");
    let head = ground.commit("evil");
    crate::ground::git(&origin, &["update-ref", "refs/pull/7/head", &head]);
    crate::ground::git(&origin, &["checkout", "--quiet", "main"]);
    crate::ground::git(&origin, &["branch", "-D", "topic"]);
    ground.start();
    // A fork; then in the repository itself, by somebody who may only read.
    ground.pull_request("d-1", &head, "ann", 2);
    ground.pull_request("d-2", &head, "guest", 1);
    let runs = ground.over(2);
    for run in &runs {
        assert_eq!((&run["pipeline"], &run["commit"]), (&"ci".into(), &head.as_str().into()), "{run}");
        assert!(run["untrusted"].is_string(), "{run}");
        // What it was planned from: no secret's name, containers only; and no value is kept for it.
        let folder = ground.data().join("runs").join(run["run"].as_str().unwrap());
        let inputs: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("inputs.json")).unwrap()).unwrap();
        assert_eq!((&inputs["untrusted"], &inputs["secret_names"]), (&true.into(), &serde_json::json!([])));
        assert_eq!(inputs["placement"]["runner"], "docker");
        assert!(!folder.join("secrets").exists());
    }
    assert_eq!(ground.marked("evil"), "");
    assert!(!ground.mark("evil").exists());
    // One who may write runs their own file, on the host where that is allowed.
    ground.pull_request("d-3", &head, "ann", 1);
    let runs = ground.over(3);
    assert_eq!((&runs[0]["pipeline"], &runs[0]["status"]), (&"evil".into(), &"success".into()), "{:?}", runs[0]);
    assert!(ground.mark("evil").exists());
    assert_ne!(base, head);
}
