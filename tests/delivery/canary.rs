//! Canary releases: a good one is promoted and loses nothing, a bad one is gone within seconds.

use std::time::Duration;

use super::support::metrics::Targets;
use super::support::{App, Ground, Load, Namespace, Project, Router, Shape};

/// 40 requests a second for the canary at a weight of 20.
const LOAD: Shape = Shape { kept: 8, fresh: 8, rate: 200.0 };

fn canary(router: Router, steps: &str) -> String {
    let traffic = match router {
        Router::Service => String::new(),
        Router::Ingress => "traffic: {nginx: {ingress: backend-ingress, header: {X-Canary: \"true\"}}}, ".into(),
        Router::Route => "traffic: {gateway: {route: backend-route}}, ".into(),
    };
    format!("strategy: {{canary: {{{traffic}replicas: 2, steps: {steps}}}}}")
}

fn promoted(router: Router) {
    let Some(ground) = Ground::get() else { return };
    let namespace = Namespace::new(ground, &format!("can-{}", router.name()));
    let app = App::new(2, router);
    let deploy = format!("{}, watch: 3s, analysis: {{errors: 5%}}", canary(router, "[10, 50, 100]"));
    let project = Project::new(&namespace, &app, &deploy);
    project.release("v1").exits(0);
    let load = Load::begin(&app.address(&namespace), LOAD);
    project.release("v2").exits(0);
    let answers = load.end();
    println!("{}", answers.tell());
    assert_eq!(answers.lost().len(), 0, "{}", answers.tell());
    assert_eq!(answers.0.last().unwrap().version(), Some("v2"));
    let left = namespace.kubectl(&["get", "deployments,services,ingresses", "-o", "name"]);
    assert!(!left.contains("canary"), "the canary's objects are gone: {left}");
}

#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_can_01_a_good_canary_by_an_ingress_is_promoted_and_loses_nothing() {
    promoted(Router::Ingress);
}

#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_can_01_a_good_canary_by_a_route_is_promoted_and_loses_nothing() {
    promoted(Router::Route);
}

/// From its first to its last answer a bad canary serves for at most `limit`.
fn goes_back(tag: &str, limit: Duration, prometheus: bool) {
    let Some(ground) = Ground::get() else { return };
    let namespace = Namespace::new(ground, &format!("can-{tag}"));
    let app = App::new(2, Router::Ingress);
    let mut source = String::new();
    let mut targets = None;
    if prometheus {
        let Some((url, _)) = &ground.prometheus else {
            println!("skipped: there is no Prometheus");
            return;
        };
        source = format!("prometheus: \"{url}\", every: 1s, ");
        targets = Targets::follow(&namespace);
    }
    let deploy = format!("{}, watch: 30s, analysis: {{{source}errors: 5%}}", canary(Router::Ingress, "[20, 100]"));
    let project = Project::new(&namespace, &app, &deploy);
    project.release("v1").exits(0);
    let load = Load::begin(&app.address(&namespace), LOAD);
    project.release(tag).exits(20).says("errors");
    let answers = load.end();
    drop(targets);
    let served = answers.span(tag).unwrap();
    println!("{tag} answered for {served:?}: {}", answers.by_version().get(tag).unwrap());
    assert!(served <= limit, "{tag} answered for {served:?}, more than {limit:?}");
    let others = answers.lost().iter().filter(|answer| answer.version() != Some(tag)).count();
    assert_eq!(others, 0, "nothing but the canary's own errors was lost: {}", answers.tell());
    assert_eq!(answers.0.last().unwrap().version(), Some("v1"));
}

#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_can_03_a_dead_canary_is_gone_within_five_seconds() {
    goes_back("dead", Duration::from_secs(5), false);
}

#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_can_03_a_canary_with_20_percent_errors_is_gone_within_ten_seconds() {
    goes_back("bad20", Duration::from_secs(10), false);
}

#[test]
#[ignore = "needs the test ground (a cluster, its edge and Prometheus)"]
fn t_can_03_with_prometheus_a_bad_canary_is_gone_within_ten_seconds() {
    goes_back("bad", Duration::from_secs(10), true);
}
