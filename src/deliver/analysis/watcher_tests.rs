//! The watcher against an API server and a Prometheus of this process, which answer what a test puts into them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::super::ground::{Tracks, Verdict};
use super::Watcher;
use crate::client::kube::Cluster;
use crate::secret::Secret;
use crate::stage;
use crate::stage::Analysis;
use crate::stage::analysis::{Gate, NoTraffic, Source};

/// What the servers answer.
#[derive(Clone, Default)]
struct World(Arc<Mutex<Answers>>);

#[derive(Default)]
struct Answers {
    restarts: u64,
    ready: bool,
    /// None: the pod does not answer.
    metrics: Option<String>,
    /// None: Prometheus is away.
    series: Option<Value>,
    queries: Vec<String>,
}

impl World {
    fn set(&self, change: impl FnOnce(&mut Answers)) {
        change(&mut self.0.lock().unwrap());
    }

    fn count(&self, good: u64, bad: u64) {
        let text =
            format!("http_requests_total{{status=\"200\"}} {good}\nhttp_requests_total{{status=\"500\"}} {bad}\n");
        self.set(|answers| answers.metrics = Some(text));
    }

    /// Begins both servers; the cluster, and the URL.
    async fn serve(&self) -> (Cluster, String) {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let app = Router::new()
            .route("/api/v1/namespaces/n/pods", get(pods))
            .route("/api/v1/namespaces/n/pods/{pod}/proxy/metrics", get(metrics))
            .route("/api/v1/query", post(query))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": url}}], "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]});
        let named =
            stage::Cluster { kubeconfig_data: Some(Secret::new(text.to_string())), ..stage::Cluster::default() };
        (Cluster::connect(&named).await.unwrap(), url)
    }
}

async fn pods(State(world): State<World>) -> Json<Value> {
    let answers = world.0.lock().unwrap();
    let ready = if answers.ready { "True" } else { "False" };
    Json(json!({"kind": "PodList", "items": [{"metadata": {"name": "app-1"},
        "spec": {"containers": [{"ports": [{"name": "metrics", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{"name": "web", "restartCount": answers.restarts,
                "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]}}]}))
}

async fn metrics(State(world): State<World>) -> Result<String, StatusCode> {
    world.0.lock().unwrap().metrics.clone().ok_or(StatusCode::NOT_FOUND)
}

async fn query(State(world): State<World>, body: String) -> Result<Json<Value>, StatusCode> {
    let mut answers = world.0.lock().unwrap();
    answers.queries.push(body);
    let series = answers.series.clone().ok_or(StatusCode::BAD_GATEWAY)?;
    Ok(Json(json!({"status": "success", "data": {"resultType": "vector", "result": series}})))
}

fn spec() -> Analysis {
    Analysis {
        errors: Some(Gate { max: Some(0.05), ..Gate::default() }),
        every: Some(Duration::from_millis(30)),
        max_gap: Duration::from_millis(400),
        ..Analysis::default()
    }
}

fn world() -> World {
    let world = World::default();
    world.set(|answers| answers.ready = true);
    world.count(100, 0);
    world
}

async fn begin(cluster: &Cluster, spec: &Analysis) -> Watcher {
    Watcher::begin(cluster, "n", spec, &Tracks { new: "app=a".to_owned(), old: None }, None).await.unwrap()
}

fn gates(verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Fail(readings) => readings.iter().map(|reading| reading.gate.clone()).collect(),
        other => vec![format!("{other:?}")],
    }
}

#[tokio::test]
async fn a_bad_version_is_found_from_its_pods_also_after_a_crash() {
    let world = world();
    let (cluster, _) = world.serve().await;
    let mut watcher = begin(&cluster, &spec()).await;
    assert_eq!(watcher.next().await.verdict, Verdict::Hold);
    world.count(140, 60);
    let look = watcher.next().await;
    assert_eq!(gates(&look.verdict), ["errors"]);
    assert_eq!(look.text, "errors 60 % of 100");
    // Another process goes on from the counters on record.
    let known = Some(watcher.snapshot().clone());
    let tracks = Tracks { new: "app=a".to_owned(), old: None };
    let mut again = Watcher::begin(&cluster, "n", &spec(), &tracks, known).await.unwrap();
    assert_eq!(gates(&again.next().await.verdict), ["errors"]);
}

#[tokio::test]
async fn crashes_and_lost_readiness_fail_without_any_gate() {
    let world = world();
    let (cluster, _) = world.serve().await;
    let mut watcher = begin(&cluster, &Analysis { every: spec().every, ..Analysis::default() }).await;
    world.set(|answers| (answers.restarts, answers.ready, answers.metrics) = (1, false, None));
    let verdict = watcher.next().await.verdict;
    assert_eq!(gates(&verdict), ["restarts", "ready"]);
    assert!(format!("{verdict:?}").contains("OOMKilled, exit 137"), "{verdict:?}");
}

#[tokio::test]
async fn pods_that_cannot_be_read_for_too_long_are_a_gap() {
    let world = World::default();
    world.set(|answers| answers.ready = true);
    let (cluster, _) = world.serve().await;
    let mut watcher = begin(&cluster, &spec()).await;
    assert_eq!(watcher.next().await.verdict, Verdict::Hold);
    tokio::time::sleep(Duration::from_millis(450)).await;
    let Verdict::Gap(why) = watcher.next().await.verdict else { panic!("it is a gap") };
    assert!(why.contains("\"app-1\" answered 404"), "{why}");
}

#[tokio::test]
async fn no_traffic_is_never_good_unless_the_file_says_so() {
    let world = world();
    let (cluster, _) = world.serve().await;
    let mut watcher = begin(&cluster, &spec()).await;
    watcher.next().await;
    assert_eq!(gates(&watcher.finish().await), ["no-traffic"]);
    let mut passes = begin(&cluster, &Analysis { no_traffic: NoTraffic::Pass, ..spec() }).await;
    assert_eq!(passes.finish().await, Verdict::Pass);
    // What comes while it is held counts.
    let mut held = begin(&cluster, &spec()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (verdict, ()) = tokio::join!(held.finish(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.count(400, 0);
    });
    assert_eq!(verdict, Verdict::Pass);
}

#[tokio::test]
async fn prometheus_is_asked_for_counters_and_queries_of_the_pods() {
    let world = world();
    let (cluster, url) = world.serve().await;
    let sample = |value: &str| json!([{"metric": {"__name__": "http_requests_total", "pod": "app-1", "status": "500"}, "value": [1, value]}]);
    world.set(|answers| answers.series = Some(sample("0")));
    let queue = Gate { max: Some(10.0), ..Gate::default() };
    let promql = "sum(queue{pod=~\"${{ track.pods }}\"})".to_owned();
    let spec = Analysis {
        source: Source::Prometheus { url, token: None },
        queries: vec![("queue".to_owned(), promql, queue)],
        ..spec()
    };
    let mut watcher = begin(&cluster, &spec).await;
    assert_eq!(watcher.next().await.verdict, Verdict::Hold);
    world.set(|answers| answers.series = Some(sample("50")));
    watcher.next().await;
    watcher.next().await;
    let asked = world.0.lock().unwrap().queries.join("\n");
    assert!(asked.contains("sum%28queue%7Bpod%3D%7E%22app-1%22%7D%29"), "{asked}");
    assert!(gates(&watcher.next().await.verdict).contains(&"queue".to_owned()));
    // Away for too long is a gap, several series are a mistake that is told at the beginning.
    world.set(|answers| answers.series = Some(sample("0")));
    let mut counts = begin(&cluster, &Analysis { queries: Vec::new(), ..spec.clone() }).await;
    world.set(|answers| answers.series = None);
    tokio::time::sleep(Duration::from_millis(450)).await;
    let gap = counts.next().await.verdict;
    assert!(matches!(&gap, Verdict::Gap(why) if why.contains("failed to ask Prometheus")), "{gap:?}");
    world.set(|answers| {
        answers.series = Some(json!([{"metric": {}, "value": [1, "1"]}, {"metric": {"a": "b"}, "value": [1, "2"]}]))
    });
    let tracks = Tracks { new: "app=a".to_owned(), old: None };
    let error = Watcher::begin(&cluster, "n", &spec, &tracks, None).await.map(|_| ()).unwrap_err();
    assert!(error.contains("gives 2 series"), "{error}");
}
