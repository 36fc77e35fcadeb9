//! What keeps a deploy from doing harm: the checks before its first write, its lease, and eyes for other hands' changes.

use std::process::Stdio;

use super::support::{App, Ground, Namespace, Project, Router};

const BLUE_GREEN: &str = "watch: 1s, strategy: {blue-green: {service: backend-service, keep: 30m}}";

/// What a refused deploy must not have touched.
fn versions(namespace: &Namespace) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for kind in ["deployments", "services", "configmaps", "ingresses"] {
        for object in namespace.objects(kind, "") {
            let text = |pointer: &str| object.pointer(pointer).map(ToString::to_string).unwrap_or_default();
            all.push((format!("{kind}/{}", text("/metadata/name")), text("/metadata/generation") + &text("/spec")));
        }
    }
    all
}

#[test]
#[ignore = "needs the test ground (a cluster)"]
fn t_pre_01_an_immutable_selector_is_refused_before_the_first_write() {
    let Some(ground) = Ground::get() else { return };
    let namespace = Namespace::new(ground, "pre-sel");
    let app = App::new(1, Router::Service);
    let project = Project::new(&namespace, &app, "watch: 1s");
    project.release("v1").exits(0);
    let before = versions(&namespace);
    let changed =
        app.manifests(&namespace).replace("matchLabels: {app: backend}", "matchLabels: {app: backend, tier: api}");
    project.file(
        "app.yaml",
        &changed.replace(
            "metadata: {labels: {app: backend}}\n    spec",
            "metadata: {labels: {app: backend, tier: api}}\n    spec",
        ),
    );
    project.release("v2").exits(50).says("spec.selector");
    assert_eq!(versions(&namespace), before);
}

#[test]
#[ignore = "needs the test ground (a cluster)"]
fn t_pre_02_a_quota_without_room_for_a_second_colour_is_refused_before_the_first_write() {
    let Some(ground) = Ground::get() else { return };
    let namespace = Namespace::new(ground, "pre-quota");
    let project = Project::new(&namespace, &App::new(2, Router::Service), BLUE_GREEN);
    project.release("v1").exits(0);
    namespace.apply(r#"{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": {"pods": "3"}}}"#);
    namespace.until("the quota is counted", || {
        namespace.object("resourcequota", "small").is_some_and(|quota| quota["status"]["used"]["pods"] == "2")
    });
    let before = versions(&namespace);
    project.release("v2").exits(50).says("quota \"small\" leaves 1 of pods, and 2 more pods need 2");
    assert_eq!(versions(&namespace), before);
}

#[test]
#[ignore = "needs the test ground (a cluster)"]
fn t_pre_03_a_missing_ingress_is_refused_before_the_first_write() {
    let Some(ground) = Ground::get() else { return };
    let namespace = Namespace::new(ground, "pre-ing");
    let project = Project::new(&namespace, &App::new(1, Router::Service), "watch: 1s");
    project.release("v1").exits(0);
    let before = versions(&namespace);
    project.deploys("watch: 1s, strategy: {canary: {traffic: {nginx: {ingress: absent}}, steps: [50, 100]}}", "");
    project.release("v2").exits(50).says("Ingress \"absent\"");
    assert_eq!(versions(&namespace), before);
}

#[test]
#[ignore = "needs the test ground (a cluster)"]
fn t_pre_a_missing_namespace_is_named() {
    let Some(ground) = Ground::get() else { return };
    let namespace = Namespace::new(ground, "pre-ns");
    let project = Project::new(&namespace, &App::new(1, Router::Service), "namespace: not-there, watch: 1s");
    project.release("v1").exits(50).says("namespace \"not-there\" is not there");
}

/// Six deploys at once: one goes on, five say at once who has the lease.
#[test]
#[ignore = "needs the test ground (a cluster)"]
fn t_lock_of_several_deploys_at_once_one_goes_on() {
    let Some(ground) = Ground::get() else { return };
    let namespace = Namespace::new(ground, "lock");
    let app = App::new(1, Router::Service);
    // So that the winner is still at it when the last of the others comes.
    let projects: Vec<Project> = (0..6).map(|_| Project::new(&namespace, &app, "watch: 20s")).collect();
    let image = format!("IMAGE={}", ground.image("v1"));
    let start = |project: &Project| {
        let mut command = project.command(&["run", "slipway.yml", "--var", &image, "--verbose"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let running: Vec<_> = projects.iter().map(start).collect();
    let ran: Vec<super::support::project::Ran> =
        running.into_iter().map(|one| one.wait_with_output().unwrap().into()).collect();
    let of = |code: i32| ran.iter().filter(|one| one.code == Some(code)).count();
    assert_eq!((of(0), of(30)), (1, 5), "{ran:?}");
    for one in ran.iter().filter(|one| one.code == Some(30)) {
        assert!((one.stdout.clone() + &one.stderr).contains("is being deployed by run"), "{one:?}");
    }
}

#[test]
#[ignore = "needs the test ground (a cluster)"]
fn t_lock_a_deploy_that_queues_goes_on_afterwards_and_one_that_preempts_takes_the_way() {
    let Some(ground) = Ground::get() else { return };
    let namespace = Namespace::new(ground, "lock-queue");
    let app = App::new(1, Router::Service);
    let first = Project::new(&namespace, &app, "watch: 1s");
    first.release("v1").exits(0);
    for (on_busy, watch, code) in [("queue", "6s", 0), ("preempt", "10m", 20)] {
        first.deploys(&format!("watch: {watch}"), "");
        let image = format!("IMAGE={}", ground.image("v2"));
        let mut command = first.command(&["run", "slipway.yml", "--var", &image, "--verbose"]);
        let busy = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        namespace.until("the first one has the lease", || {
            namespace
                .object("lease", "slipway-backend")
                .is_some_and(|lease| lease["spec"]["holderIdentity"].is_string())
        });
        let second = Project::new(&namespace, &app, &format!("watch: 1s, on-busy: {on_busy}"));
        second.release("v3").exits(0).says("waiting for it");
        let busy: super::support::project::Ran = busy.wait_with_output().unwrap().into();
        busy.exits(code);
        let object = namespace.object("deployment", "backend").unwrap();
        let image = &object["spec"]["template"]["spec"]["containers"][0]["image"];
        assert!(image.as_str().unwrap().ends_with(":v3"), "{on_busy}: {image}");
    }
}

/// A canary at rest for a person's word; another hand sets its weight; then the word is given.
fn drifts(on_drift: &str) -> Option<(Namespace, super::support::project::Ran)> {
    let ground = Ground::get()?;
    let namespace = Namespace::new(ground, &format!("drift-{on_drift}"));
    let app = App::new(2, Router::Ingress);
    let deploy = format!(
        "watch: 1s, on-drift: {on_drift}, strategy: {{canary: {{traffic: {{nginx: {{ingress: backend-ingress}}}}, replicas: 1, steps: [{{weight: 20, pause: true}}, 60, 100]}}}}"
    );
    let project = Project::new(&namespace, &app, &deploy);
    project.release("v1").exits(0);
    let image = format!("IMAGE={}", ground.image("v2"));
    let mut command = project.command(&["run", "slipway.yml", "--var", &image, "--verbose"]);
    let deploy = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let weight = |namespace: &Namespace| {
        let ingress = namespace.object("ingress", "backend-ingress-canary")?;
        Some(ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"].as_str()?.to_owned())
    };
    namespace.until("the canary has its weight", || weight(&namespace).is_some_and(|weight| weight == "20"));
    namespace.kubectl(&[
        "annotate",
        "ingress",
        "backend-ingress-canary",
        "--overwrite",
        "nginx.ingress.kubernetes.io/canary-weight=33",
    ]);
    let run = project.slipway(&["runs", "--json"]);
    let runs: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    // The newest comes first.
    let run = runs["runs"][0]["run"].as_str().unwrap().to_owned();
    project.slipway(&["deploy", "promote", &run]).exits(0);
    if on_drift == "pause" {
        // It waits for a second word, since what it finds is not what it had set.
        let events = || project.slipway(&["runs", &run, "--json"]).stdout;
        namespace.until("the drift is told", || events().contains("33"));
        assert_eq!(weight(&namespace).as_deref(), Some("33"), "nothing is overwritten unasked");
        project.slipway(&["deploy", "promote", &run]).exits(0);
    }
    Some((namespace, deploy.wait_with_output().unwrap().into()))
}

#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_drift_another_hands_weight_pauses_the_deploy_until_somebody_says_go_on() {
    let Some((namespace, ran)) = drifts("pause") else { return };
    ran.exits(0);
    let object = namespace.object("deployment", "backend").unwrap();
    assert!(object["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().ends_with(":v2"));
}

#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_drift_is_set_again_where_the_pipeline_says_so() {
    let Some((_namespace, ran)) = drifts("reassert") else { return };
    ran.exits(0);
}

#[test]
#[ignore = "needs the test ground (a cluster and its edge)"]
fn t_drift_ends_the_deploy_where_the_pipeline_says_so() {
    let Some((namespace, ran)) = drifts("fail") else { return };
    ran.exits(40);
    let ingress = namespace.object("ingress", "backend-ingress-canary").unwrap();
    let weight = &ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"];
    assert_eq!(weight, "33", "everything stays as the other hand left it");
}
