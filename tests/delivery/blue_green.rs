//! Blue-green releases: switches that lose nothing, and the proof that a loss would be seen.

use super::support::{App, Ground, Load, Namespace, Project, Router, Shape};

const SWITCHES: usize = 20;
const LOAD: Shape = Shape { kept: 8, fresh: 8, rate: 150.0 };

/// Releases v1 and v2 by turns, each a switch to the other colour, under one load.
fn switches(router: Router) {
    let Some(ground) = Ground::get() else { return };
    let namespace = Namespace::new(ground, &format!("bg-{}", router.name()));
    let app = App::new(3, router);
    let deploy = format!("strategy: {{blue-green: {{{}, keep: 30m}}}}", router.blue_green());
    let project = Project::new(&namespace, &app, &deploy);
    project.release("v1").exits(0);
    let load = Load::begin(&app.address(&namespace), LOAD);
    for switch in 0..SWITCHES {
        let tag = ["v2", "v1"][switch % 2];
        project.release(tag).exits(0);
        let after = load.so_far();
        let latest = after.iter().rev().take(20).filter_map(|answer| answer.version().map(str::to_owned));
        assert!(
            latest.into_iter().all(|version| version == tag),
            "after switch {switch} to {tag} all answers are its own"
        );
    }
    let answers = load.end();
    println!("{} switches by {}: {}", SWITCHES, router.name(), answers.tell());
    assert_eq!(answers.lost().len(), 0, "{}", answers.tell());
    assert_eq!(answers.by_version().keys().copied().collect::<Vec<_>>(), ["v1", "v2"]);
}

#[test]
#[ignore = "needs the test ground (a cluster)"]
fn t_bg_01_twenty_switches_of_a_service_lose_nothing() {
    switches(Router::Service);
}

#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_bg_01_twenty_switches_of_an_ingress_lose_nothing() {
    switches(Router::Ingress);
}

#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_bg_01_twenty_switches_of_a_route_lose_nothing() {
    switches(Router::Route);
}

/// The same ground and load, switched as one should not: nothing is waited for, and the old side ends at once.
#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_bg_02_a_careless_switch_is_seen_to_lose() {
    let Some(ground) = Ground::get() else { return };
    let namespace = Namespace::new(ground, "bg-careless");
    let app = App { pre_stop: 0, ..App::new(3, Router::Ingress) };
    let side = |name: &str| {
        let text = app.manifests(&namespace).replace("${{ vars.IMAGE }}", &ground.image("abrupt"));
        let deployment =
            text.split("---").next().unwrap().replace("app: backend}", &format!("app: backend, side: {name}}}"));
        deployment.replace("name: backend,", &format!("name: backend-{name},"))
    };
    let rest = app.manifests(&namespace).split("---").skip(1).collect::<Vec<_>>().join("---");
    namespace.apply(&rest.replace("selector: {app: backend}", "selector: {app: backend, side: a}"));
    let mut lost = 0;
    for (new, old) in [("a", "none"), ("b", "a"), ("a", "b"), ("b", "a")] {
        namespace.apply(&side(new));
        namespace.kubectl(&["rollout", "status", &format!("deployment/backend-{new}"), "--timeout=60s"]);
        if old == "none" {
            continue;
        }
        // So that requests are under way when the old side ends.
        App::set(&namespace, &format!("side={old}"), "latency=300");
        let load = Load::begin(&app.address(&namespace), LOAD);
        std::thread::sleep(std::time::Duration::from_secs(1));
        let selector = format!(r#"{{"spec":{{"selector":{{"side":"{new}"}}}}}}"#);
        namespace.kubectl(&["patch", "service", "backend-service", "-p", &selector]);
        namespace.kubectl(&["delete", "deployment", &format!("backend-{old}")]);
        std::thread::sleep(std::time::Duration::from_secs(3));
        let answers = load.end();
        println!("{}", answers.tell());
        lost += answers.lost().len();
        if lost > 0 {
            break;
        }
    }
    assert!(lost > 0, "the ground cannot see a loss, so that none elsewhere says nothing");
}
