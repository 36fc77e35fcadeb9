//! Ways back are found in what stands.

use serde_json::{Value as Json, json};

use super::find::way;
use super::seen::Seen;
use crate::clock::Timestamp;
use crate::deliver::release::{Release, Status};
use crate::deliver::render::APP;
use crate::deliver::traffic::service::{TEMPLATE_HASH, TRACK};

const RELEASE: &str = "slipway.dev/release";
const REVISION: &str = "deployment.kubernetes.io/revision";

fn deployment(name: &str, track: &str, image: &str, replicas: u32, release: u64) -> Json {
    let mut object = json!({"kind": "Deployment", "metadata": {"name": name, "uid": format!("uid-{name}"),
            "labels": {APP: "shop"}, "annotations": {RELEASE: release.to_string(), REVISION: "2"}},
        "spec": {"replicas": replicas, "template": {"metadata": {"labels": {"app": "backend"}},
            "spec": {"containers": [{"name": "web", "image": image}]}}},
        "status": {"availableReplicas": replicas}});
    if !track.is_empty() {
        object["metadata"]["labels"][TRACK] = json!(track);
        object["spec"]["template"]["metadata"]["labels"][TRACK] = json!(track);
    }
    object
}

fn service(name: &str, side: &str, selects: &str) -> Json {
    let mut object =
        json!({"metadata": {"name": name, "labels": {APP: "shop"}}, "spec": {"selector": {"app": "backend"}}});
    if !side.is_empty() {
        object["metadata"]["labels"][TRACK] = json!(side);
    }
    if !selects.is_empty() {
        object["spec"]["selector"][TRACK] = json!(selects);
    }
    object
}

fn ingress(name: &str, service: &str, canary: bool) -> Json {
    let mut object = json!({"metadata": {"name": name, "annotations": {}}, "spec": {"rules": [{"http": {"paths": [
        {"backend": {"service": {"name": service}}}]}}]}});
    if canary {
        object["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary"] = json!("true");
    }
    object
}

fn set(name: &str, owner: &str, revision: u64, image: &str, release: u64) -> Json {
    json!({"metadata": {"name": name, "labels": {TEMPLATE_HASH: name}, "ownerReferences": [{"uid": format!("uid-{owner}")}],
            "annotations": {REVISION: revision.to_string(), RELEASE: release.to_string()}},
        "spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}})
}

fn release(number: u64, image: &str, status: Status) -> Release {
    Release {
        number,
        app: "shop".into(),
        namespace: "n".into(),
        environment: None,
        strategy: "any".into(),
        status,
        images: vec![("web".into(), image.into())],
        commit: String::new(),
        run: String::new(),
        at: Timestamp(0),
        service: Some("backend-service".into()),
        deployment: Some("backend".into()),
        router: None,
        objects: vec![deployment("backend", "", image, 2, 0)],
    }
}

fn rolling() -> Seen {
    Seen {
        app: "shop".into(),
        deployments: vec![deployment("backend", "", "b", 2, 2)],
        services: vec![service("backend-service", "", "")],
        replica_sets: vec![set("old", "backend", 1, "a", 1), set("new", "backend", 2, "b", 2)],
        releases: vec![release(1, "a", Status::Deployed), release(2, "b", Status::Deployed)],
        ..Seen::default()
    }
}

fn colours() -> Seen {
    Seen {
        app: "shop".into(),
        deployments: vec![
            deployment("backend", "", "0", 0, 1),
            deployment("backend-blue", "blue", "a", 2, 1),
            deployment("backend-green", "green", "b", 2, 2),
        ],
        services: vec![
            service("backend-service", "", "green"),
            service("backend-blue-service", "blue", "blue"),
            service("backend-green-service", "green", "green"),
        ],
        releases: vec![release(1, "a", Status::Deployed), release(2, "b", Status::Deployed)],
        ..Seen::default()
    }
}

fn canary() -> Seen {
    Seen {
        app: "shop".into(),
        deployments: vec![deployment("backend", "", "a", 3, 1), deployment("backend-canary", "canary", "b", 1, 2)],
        services: vec![service("backend-service", "", ""), service("backend-canary-service", "canary", "canary")],
        ingresses: vec![
            ingress("shop", "backend-service", false),
            ingress("shop-canary", "backend-canary-service", true),
        ],
        releases: vec![release(1, "a", Status::Deployed), release(2, "b", Status::Failed)],
        ..Seen::default()
    }
}

#[test]
fn a_rolling_release_goes_back_to_the_one_before_on_record() {
    let way = way(&rolling(), None).expect("a way");
    assert_eq!((way.strategy(), way.from, way.to, way.applies), ("rolling", Some(2), Some(1), true));
}

#[test]
fn without_a_record_the_template_before_comes_back() {
    let seen = Seen { releases: Vec::new(), ..rolling() };
    let way = way(&seen, None).expect("a way");
    assert_eq!((way.to, way.undo.len()), (None, 1));
    assert_eq!((way.undo[0].replica_set.as_str(), way.undo[0].revision), ("old", 1));
}

#[test]
fn without_a_record_only_what_the_last_release_changed_comes_back() {
    let mut seen = Seen { releases: Vec::new(), ..rolling() };
    // The front end changed in release 2 of 3, the back end in release 3.
    seen.deployments.push(deployment("frontend", "", "y", 1, 3));
    seen.replica_sets = vec![
        set("old", "backend", 1, "a", 2),
        set("new", "backend", 2, "b", 3),
        set("front-old", "frontend", 1, "x", 1),
        set("front-new", "frontend", 2, "y", 3),
    ];
    let way = way(&seen, None).expect("a way");
    assert_eq!(way.undo.iter().map(|one| one.deployment.as_str()).collect::<Vec<_>>(), ["backend"]);
}

#[test]
fn a_deploy_that_died_on_the_way_goes_back_to_what_is_on_record() {
    let mut seen = rolling();
    seen.deployments = vec![deployment("backend", "", "c", 2, 3)];
    let way = way(&seen, None).expect("a way");
    assert_eq!((way.from, way.to), (Some(3), Some(2)));
}

#[test]
fn a_colour_that_still_stands_gets_all_traffic_back() {
    for releases in [colours().releases, Vec::new()] {
        let seen = Seen { releases, ..colours() };
        let way = way(&seen, None).expect("a way");
        let switch = way.switch.clone().expect("a switch");
        assert_eq!(way.strategy(), "blue-green");
        assert_eq!((switch.what.as_str(), switch.from.as_str(), switch.to.as_str()), ("service", "green", "blue"));
        assert_eq!((switch.old.as_str(), switch.new.as_str()), ("backend-blue", "backend-green"));
        assert!(!way.applies);
    }
}

#[test]
fn a_colour_is_switched_by_the_ingress_that_names_its_service() {
    let mut seen = colours();
    seen.ingresses = vec![ingress("shop", "backend-green-service", false)];
    let switch = way(&seen, None).expect("a way").switch.expect("a switch");
    assert_eq!((switch.what.as_str(), switch.object.as_str()), ("ingress", "shop"));
    assert_eq!((switch.from.as_str(), switch.to.as_str()), ("backend-green-service", "backend-blue-service"));
}

#[test]
fn a_colour_that_is_gone_or_runs_something_else_is_not_switched_to() {
    let mut gone = colours();
    gone.deployments[1] = deployment("backend-blue", "blue", "a", 0, 1);
    let mut other = colours();
    other.deployments[1] = deployment("backend-blue", "blue", "z", 2, 1);
    for seen in [gone, other] {
        let way = way(&seen, None).expect("a way");
        assert_eq!((way.switch, way.to, way.applies), (None, Some(1), true));
    }
}

#[test]
fn a_canary_that_rests_goes_and_the_stable_side_stays_as_it_is() {
    let way = way(&canary(), None).expect("a way");
    let left = way.canary.clone().expect("a canary");
    assert_eq!((way.strategy(), way.applies, way.to), ("canary", false, Some(1)));
    assert_eq!(left.router.map(|router| (router.what, router.name)), Some(("ingress".into(), "shop".into())));
    assert_eq!((left.stable.as_str(), left.replicas), ("backend", 3));
}

#[test]
fn a_canary_on_its_way_to_stable_keeps_the_traffic_until_the_old_version_is_back() {
    let mut seen = canary();
    seen.deployments[0] = deployment("backend", "", "b", 3, 2);
    seen.releases.pop();
    let way = way(&seen, None).expect("a way");
    assert!(way.canary.is_some() && way.applies);
    assert_eq!(way.to, Some(1));
}

#[test]
fn where_pods_are_the_weight_the_stable_side_grows_first() {
    let seen = Seen { ingresses: Vec::new(), ..canary() };
    let left = way(&seen, None).expect("a way").canary.expect("a canary");
    assert_eq!((left.router, left.replicas), (None, 4));
}

#[test]
fn what_cannot_be_said_is_not_guessed() {
    let empty = Seen { app: "shop".into(), ..Seen::default() };
    assert!(way(&empty, None).is_err_and(|why| why.contains("nothing of \"shop\"")));
    assert!(way(&rolling(), Some(7)).is_err_and(|why| why.contains("on record: 1, 2")));
    let first = Seen { releases: Vec::new(), replica_sets: Vec::new(), ..rolling() };
    assert!(way(&first, None).is_err_and(|why| why.contains("nothing before")));
}
