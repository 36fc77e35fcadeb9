//! `slipway rollback`: the way back is found in the cluster, for each strategy, also when no journal and no record is left.

use super::support::{App, Ground, Load, Namespace, Project, Router, Shape};

const LOAD: Shape = Shape { kept: 4, fresh: 4, rate: 80.0 };

/// The image that a Deployment runs.
fn image(namespace: &Namespace, deployment: &str) -> String {
    let object = namespace.object("deployment", deployment).unwrap();
    object["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}

fn rollback(namespace: &Namespace, project: &Project, more: &[&str]) -> super::support::project::Ran {
    let mut args = vec!["rollback", "backend", "--namespace", &namespace.name, "--drain", "1s"];
    args.extend(more);
    project.slipway(&args)
}

/// Two releases, then back, with the journal and, at the end, the records deleted too.
#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_rb_rolling_goes_back_with_and_without_records() {
    let Some(ground) = Ground::get() else { return };
    let namespace = Namespace::new(ground, "rb-roll");
    let app = App::new(2, Router::Ingress);
    let project = Project::new(&namespace, &app, "watch: 1s");
    project.release("v1").exits(0);
    project.release("v2").exits(0);
    project.release("v3").exits(0);
    project.forget_runs();
    rollback(&namespace, &project, &["--dry-run"])
        .exits(0)
        .says("release 3 serves, deployed by rolling")
        .says("nothing was changed");
    assert!(image(&namespace, "backend").ends_with(":v3"));
    let load = Load::begin(&app.address(&namespace), LOAD);
    rollback(&namespace, &project, &[]).exits(0).says("release 2 serves");
    let answers = load.end();
    assert_eq!(answers.lost().len(), 0, "{}", answers.tell());
    assert!(image(&namespace, "backend").ends_with(":v2"));
    project.slipway(&["deploy", "history", "backend", "--namespace", &namespace.name]).exits(0).says("rolled back");
    // Without a record the template before comes back.
    namespace.kubectl(&["delete", "secrets", "-l", "slipway.dev/release-of=backend"]);
    rollback(&namespace, &project, &[]).exits(0).says("bring deployment \"backend\" back");
    assert!(!image(&namespace, "backend").ends_with(":v2"), "{}", image(&namespace, "backend"));
}

#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_rb_a_release_by_number_comes_back_and_an_unknown_one_is_named() {
    let Some(ground) = Ground::get() else { return };
    let namespace = Namespace::new(ground, "rb-to");
    let project = Project::new(&namespace, &App::new(1, Router::Service), "watch: 1s");
    for tag in ["v1", "v2", "v3"] {
        project.release(tag).exits(0);
    }
    rollback(&namespace, &project, &["--to", "9"]).exits(6).says("on record: 1, 2, 3");
    rollback(&namespace, &project, &["--to", "1"]).exits(0).says("release 1 serves");
    assert!(image(&namespace, "backend").ends_with(":v1"));
    let status = project.slipway(&["deploy", "status", "backend", "--namespace", &namespace.name, "--json"]).exits(0);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status[0]["serving"]["release"], 1, "{status}");
}

fn colours_go_back(router: Router, with_records: bool) {
    let Some(ground) = Ground::get() else { return };
    let namespace = Namespace::new(ground, &format!("rb-bg-{}", router.name()));
    let app = App::new(2, router);
    let deploy = format!("watch: 1s, strategy: {{blue-green: {{{}, keep: 30m}}}}", router.blue_green());
    let project = Project::new(&namespace, &app, &deploy);
    for tag in ["v1", "v2", "v3"] {
        project.release(tag).exits(0);
    }
    project.forget_runs();
    if !with_records {
        namespace.kubectl(&["delete", "secrets", "-l", "slipway.dev/release-of=backend"]);
    }
    let load = Load::begin(&app.address(&namespace), LOAD);
    rollback(&namespace, &project, &[]).exits(0).says("deployed by blue-green").says("in one write");
    let answers = load.end();
    assert_eq!(answers.lost().len(), 0, "{}", answers.tell());
    assert_eq!(answers.0.last().unwrap().version(), Some("v2"));
}

#[test]
#[ignore = "needs the test ground (a cluster)"]
fn t_rb_colours_of_a_service_switch_back_and_lose_nothing() {
    colours_go_back(Router::Service, true);
}

#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_rb_colours_of_an_ingress_switch_back_without_records() {
    colours_go_back(Router::Ingress, false);
}

/// A canary whose deploy was killed at its weight, so that nobody watches it any more.
#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_rb_a_canary_that_was_left_alone_goes_and_loses_nothing() {
    let Some(ground) = Ground::get() else { return };
    for router in [Router::Ingress, Router::Route] {
        let namespace = Namespace::new(ground, &format!("rb-can-{}", router.name()));
        let app = App::new(2, router);
        let traffic = match router {
            Router::Route => "gateway: {route: backend-route}",
            _ => "nginx: {ingress: backend-ingress}",
        };
        let deploy =
            format!("watch: 10m, strategy: {{canary: {{traffic: {{{traffic}}}, replicas: 1, steps: [50, 100]}}}}");
        let project = Project::new(&namespace, &app, &deploy);
        project.release("v1").exits(0);
        let image = format!("IMAGE={}", ground.image("v2"));
        let mut deploy = project.command(&["run", "slipway.yml", "--var", &image]).spawn().unwrap();
        let load = Load::begin(&app.address(&namespace), LOAD);
        namespace.until("the canary answers", || load.so_far().iter().any(|answer| answer.version() == Some("v2")));
        deploy.kill().unwrap();
        deploy.wait().unwrap();
        project.forget_runs();
        // Its lease is good for half a minute more.
        rollback(&namespace, &project, &[]).exits(30).says("is being deployed by run");
        namespace.kubectl(&["delete", "lease", "slipway-backend"]);
        rollback(&namespace, &project, &[]).exits(0).says("deployed by canary");
        let answers = load.end();
        assert_eq!(answers.lost().len(), 0, "{}", answers.tell());
        assert_eq!(answers.0.last().unwrap().version(), Some("v1"));
        let left = namespace.kubectl(&["get", "deployments,services,ingresses", "-o", "name"]);
        assert!(!left.contains("canary"), "the canary's objects are gone: {left}");
    }
}

#[test]
#[ignore = "needs the test ground (a cluster)"]
fn t_rb_what_is_not_there_is_said() {
    let Some(ground) = Ground::get() else { return };
    let namespace = Namespace::new(ground, "rb-none");
    let project = Project::new(&namespace, &App::new(1, Router::Service), "watch: 1s");
    rollback(&namespace, &project, &[]).exits(6).says("nothing of \"backend\" is deployed there");
    project
        .slipway(&["deploy", "status", "backend", "--namespace", &namespace.name])
        .exits(6)
        .says("no release of \"backend\"");
    project.slipway(&["rollback", "backend"]).exits(2).says("--namespace");
}
