//! The seed's pipeline as it stands, by each of the three strategies, with a good release and a bad one.

use std::path::PathBuf;

use super::support::metrics::Targets;
use super::support::moodify::Moodify;
use super::support::{Ground, Load, Shape};

const LOAD: Shape = Shape { kept: 4, fresh: 4, rate: 120.0 };

/// The pipeline of the seed, from the folder that is shared.
fn pipeline() -> Option<String> {
    let ground = std::env::var_os("SLIPWAY_TESTGROUND")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    match std::fs::read_to_string(ground.join("language/00-moodify.yml")) {
        Ok(text) => Some(text),
        Err(why) => {
            println!("skipped: the seed's pipeline cannot be read: {why}");
            None
        }
    }
}

fn good_and_bad(strategy: &str) {
    let Some(ground) = Ground::get() else { return };
    let Some(text) = pipeline() else { return };
    if ground.s3.is_none() || ground.mail.is_none() || ground.prometheus.is_none() {
        println!("skipped: the test ground lacks S3, a mail sink or Prometheus");
        return;
    }
    let moodify = Moodify::new(ground, strategy, &text);
    let _targets = Targets::follow(&moodify.production);
    let first = moodify.push("Begin");
    let begun = moodify.release(strategy).exits(0);
    println!("{}", begun.stdout);
    assert_eq!(moodify.git(&["ls-remote", "--tags", "origin"]).lines().filter(|line| line.ends_with("^{}")).count(), 1);

    let load = Load::begin(&moodify.address(&moodify.production), LOAD);
    moodify.behave("a better one", "ERRORS=0");
    let second = moodify.push("Improve");
    moodify.release(strategy).exits(0);
    moodify.behave("a bad one", "ERRORS=40");
    let third = moodify.push("Break");
    let back = moodify.release(strategy).exits(20);
    println!("{}", back.stdout);
    let answers = load.end();
    println!("{}", answers.tell());

    let others = answers.lost().iter().filter(|answer| answer.version() != Some(&third)).count();
    assert_eq!(others, 0, "nothing but the bad version's own errors was lost: {}", answers.tell());
    let versions = answers.by_version();
    assert!(versions.contains_key(first.as_str()) && versions.contains_key(second.as_str()), "{versions:?}");
    assert_eq!(answers.0.last().unwrap().version(), Some(second.as_str()), "the version before answers again");
    let told = moodify.slack.bodies();
    assert!(told.iter().any(|body| body.contains("waits") || body.contains("waiting")), "{told:#?}");
    assert!(told.iter().any(|body| body.contains("taken back") || body.contains("rolled back")), "{told:#?}");
    let incidents = std::fs::read_dir(moodify.path("incidents")).unwrap().flatten().map(|entry| entry.file_name());
    let incidents: Vec<_> = incidents.collect();
    assert!(incidents.iter().any(|name| name.to_string_lossy().ends_with(".md")), "{incidents:?}");
}

#[test]
#[ignore = "needs the test ground (all of it)"]
fn t_moodify_rolling_is_released_and_a_bad_one_goes_back() {
    good_and_bad("rolling");
}

#[test]
#[ignore = "needs the test ground (all of it)"]
fn t_moodify_blue_green_is_released_and_a_bad_one_goes_back() {
    good_and_bad("blue-green");
}

#[test]
#[ignore = "needs the test ground (all of it)"]
fn t_moodify_canary_is_released_and_a_bad_one_goes_back() {
    good_and_bad("canary");
}

#[test]
#[ignore = "needs the test ground (all of it)"]
fn the_plan_shows_what_a_release_would_change_and_no_secret() {
    let Some(ground) = Ground::get() else { return };
    let Some(text) = pipeline() else { return };
    let moodify = Moodify::new(ground, "plan", &text);
    moodify.push("Begin");
    let plan = moodify.plan("canary").exits(0);
    for wanted in ["backend-ingress", "pg_dump", "gitleaks", "10", "approval"] {
        assert!(plan.stdout.contains(wanted), "no {wanted:?} in: {}", plan.stdout);
    }
    assert!(!plan.stdout.contains("moodify:moodify@"), "the database's password is shown: {}", plan.stdout);
}
