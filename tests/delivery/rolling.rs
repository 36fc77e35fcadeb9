//! Rolling releases.

use super::support::{App, Ground, Load, Namespace, Project, Router, Shape};

const LOAD: Shape = Shape { kept: 8, fresh: 8, rate: 200.0 };

#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_roll_01_a_rolling_release_loses_nothing_under_load() {
    let Some(ground) = Ground::get() else { return };
    let namespace = Namespace::new(ground, "roll");
    let app = App::new(3, Router::Ingress);
    let project = Project::new(&namespace, &app, "watch: 1s");
    project.release("v1").exits(0);
    let load = Load::begin(&app.address(&namespace), LOAD);
    project.release("v2").exits(0);
    let answers = load.end();
    println!("{}", answers.tell());
    assert_eq!(answers.lost().len(), 0, "{}", answers.tell());
    let last = answers.0.last().unwrap();
    assert_eq!(last.version(), Some("v2"), "the new version answers at the end");
}

#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_roll_02_a_release_that_never_becomes_ready_goes_back_and_loses_nothing() {
    let Some(ground) = Ground::get() else { return };
    let namespace = Namespace::new(ground, "roll");
    let app = App::new(2, Router::Ingress);
    let project = Project::new(&namespace, &app, "progress-deadline: 8s");
    project.release("v1").exits(0);
    let load = Load::begin(&app.address(&namespace), LOAD);
    project.release("unready").exits(20);
    let answers = load.end();
    assert_eq!(answers.lost().len(), 0, "{}", answers.tell());
    assert_eq!(answers.by_version().keys().copied().collect::<Vec<_>>(), ["v1"]);
}
