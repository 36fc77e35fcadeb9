//! A namespace with the example's back end behind a router, as the ground of a strategy.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value as Json, json};
use slipway::client::kube::{Cluster, NAMESPACE};
use slipway::clock::instant;
use slipway::deliver::ground::{Gates, Ground, Refused, Tracks, Verdict, What};
use slipway::deliver::halt::{Halt, Reason};
use slipway::deliver::hands::{About, Hands};
use slipway::deliver::objects::Objects;
use slipway::deliver::sides;
use slipway::deliver::traffic::Patch;
use slipway::event::GateReading;
use slipway::task::contract::{TaskCtx, TaskError};

/// What requests go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    Service,
    Ingress,
    Route,
}

pub(crate) struct Field {
    cluster: Cluster,
    objects: Objects,
    means: Means,
    replicas: u32,
    pub(crate) about: About,
    /// The version that is rolled out.
    pub(crate) image: String,
    /// The version that the stable side gets, where that is another one.
    pub(crate) stable_image: Option<String>,
    /// How long a Deployment may take.
    pub(crate) patience: Duration,
}

impl Field {
    /// A namespace where `image` serves.
    pub(crate) async fn new(means: Means, image: &str, replicas: u32) -> Self {
        // The second one to install it is told so, and may go on.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cluster = Cluster::connect(&slipway::stage::Cluster::default()).await.unwrap();
        let number = uuid::Uuid::new_v4().simple().to_string();
        let namespace = format!("b-{}", &number[..8]);
        let about = About {
            app: "backend".to_owned(),
            environment: "test".to_owned(),
            namespace: namespace.clone(),
            service: "backend-service".to_owned(),
            settle: Duration::from_secs(1),
            drain: Some(Duration::from_secs(2)),
            watch: Duration::from_secs(1),
            max_gap: Duration::from_secs(60),
            ..About::default()
        };
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        cluster.apply(&object).await.unwrap();
        let objects = Objects::new(cluster.clone(), &namespace);
        let patience = Duration::from_secs(90);
        let image = image.to_owned();
        let field = Self { cluster, objects, means, replicas, about, image, stable_image: None, patience };
        for object in field.side("").unwrap() {
            field.objects.apply(&object).await.unwrap();
        }
        if means == Means::Route {
            let listener = json!({"name": "web", "port": 8000, "protocol": "HTTP"});
            let gateway = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
                "metadata": {"name": "edge"}, "spec": {"gatewayClassName": "edge", "listeners": [listener]}});
            field.objects.apply(&gateway).await.unwrap();
        }
        field.objects.apply(&field.router()).await.unwrap();
        field.ready("first", "backend").await.unwrap();
        field
    }

    /// Address and host name of the application at the edge.
    pub(crate) fn address(&self) -> (String, String) {
        ("127.0.0.1:8000".to_owned(), self.host())
    }

    fn host(&self) -> String {
        format!("{}.local", self.about.namespace)
    }

    pub(crate) fn hands<'a>(&'a self, ctx: &'a dyn TaskCtx) -> Hands<'a> {
        Hands { ground: self, ctx, about: &self.about }
    }

    /// Takes the namespace away; a test that fails leaves it for people to look at.
    pub(crate) async fn remove(self) {
        self.cluster.delete(&NAMESPACE, "", &self.about.namespace).await.unwrap();
    }

    fn router(&self) -> Json {
        match self.means {
            Means::Route => json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
                "metadata": {"name": "shop"}, "spec": {"hostnames": [self.host()],
                    "parentRefs": [{"name": "edge"}],
                    "rules": [{"backendRefs": [{"name": "backend-service", "port": 80}]}]}}),
            _ => json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "shop"},
                "spec": {"ingressClassName": "nginx", "rules": [{"host": self.host(), "http": {"paths": [{"path": "/",
                    "pathType": "Prefix",
                    "backend": {"service": {"name": "backend-service", "port": {"number": 80}}}}]}}]}}),
        }
    }

    /// Requests and failures that pods of a selector have counted.
    async fn counts(&self, pods: &str) -> (u64, u64) {
        let pods = self.objects.list(What::Pod, pods).await.unwrap_or_default();
        let limit = Duration::from_secs(1);
        let asked =
            pods.iter().map(|pod| self.cluster.proxy(&self.about.namespace, sides::name(pod), 8080, "/metrics", limit));
        let mut sum = (0, 0);
        for reply in futures_util::future::join_all(asked).await.into_iter().flatten() {
            for line in
                String::from_utf8_lossy(&reply.body).lines().filter(|line| line.starts_with("http_requests_total"))
            {
                let count = line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok()).unwrap_or(0.0) as u64;
                sum.0 += count;
                sum.1 += if line.contains("status=\"5") { count } else { 0 };
            }
        }
        sum
    }
}

/// Fails over 5 % errors, from 20 requests on; a look each half second.
struct Errors<'f> {
    field: &'f Field,
    pods: String,
    from: (u64, u64),
}

#[async_trait]
impl Gates for Errors<'_> {
    fn snapshot(&self) -> Json {
        json!(self.from)
    }

    async fn next(&mut self) -> Verdict {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = self.field.counts(&self.pods).await;
        let (requests, errors) = (now.0.saturating_sub(self.from.0), now.1.saturating_sub(self.from.1));
        if requests < 20 || errors * 20 <= requests {
            return Verdict::Hold;
        }
        Verdict::Fail(vec![GateReading {
            gate: "errors".to_owned(),
            measured: format!("{} %", 100 * errors / requests),
            limit: "5 %".to_owned(),
            samples: requests,
            confidence: String::new(),
            severity: "P0".to_owned(),
        }])
    }

    async fn finish(&mut self) -> Verdict {
        Verdict::Pass
    }
}

#[async_trait]
impl Ground for Field {
    async fn get(&self, what: What, name: &str) -> Result<Option<Json>, TaskError> {
        self.objects.get(what, name).await
    }

    async fn list(&self, what: What, labels: &str) -> Result<Vec<Json>, TaskError> {
        self.objects.list(what, labels).await
    }

    async fn patch(&self, what: What, name: &str, patch: Patch) -> Result<Json, Refused> {
        self.objects.patch(what, name, patch).await
    }

    async fn apply(&self, object: &Json) -> Result<Json, TaskError> {
        self.objects.apply(object).await
    }

    async fn scale(&self, deployment: &str, replicas: u32) -> Result<(), TaskError> {
        self.objects.scale(deployment, replicas).await
    }

    async fn delete(&self, what: What, name: &str) -> Result<(), TaskError> {
        self.objects.delete(what, name).await
    }

    fn epoch(&self) -> Result<u64, TaskError> {
        Ok(1)
    }

    fn side(&self, track: &str) -> Result<Vec<Json>, TaskError> {
        let dash = if track.is_empty() { String::new() } else { format!("-{track}") };
        let mut labels = json!({"app": "backend"});
        if !track.is_empty() {
            labels["slipway.dev/track"] = json!(track);
        }
        let version = self.stable_image.as_ref().filter(|_| track.is_empty()).unwrap_or(&self.image);
        let image = format!("127.0.0.1:5000/slipway-test/moodify:{version}");
        let container = json!({"name": "backend", "image": image, "args": ["backend"],
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1},
            "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
            "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}}});
        Ok(vec![
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("backend{dash}-service")},
                "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": format!("backend{dash}"),
                "labels": {"slipway.dev/app": "backend"}}, "spec": {"replicas": self.replicas,
                "selector": {"matchLabels": labels},
                "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                "template": {"metadata": {"labels": labels},
                    "spec": {"terminationGracePeriodSeconds": 8, "containers": [container]}}}}),
        ])
    }

    fn labels(&self) -> Map<String, Json> {
        Map::new()
    }

    async fn ready(&self, _key: &str, deployment: &str) -> Result<(), Halt> {
        let start = instant();
        while start.elapsed() < self.patience {
            let live = self.objects.get(What::Deployment, deployment).await?;
            if live.is_some_and(|live| sides::is_out(&live)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(Halt::Back(Reason::new(format!("deployment \"{deployment}\" did not become ready"))))
    }

    async fn migrate(&self) -> Result<(), Halt> {
        Ok(())
    }

    async fn smoke(&self, _key: &str, _pods: &str) -> Result<(), Halt> {
        Ok(())
    }

    async fn gates(&self, tracks: &Tracks, known: Option<Json>) -> Result<Box<dyn Gates + '_>, TaskError> {
        let from = match known {
            Some(known) => serde_json::from_value(known).unwrap(),
            None => self.counts(&tracks.new).await,
        };
        Ok(Box::new(Errors { field: self, pods: tracks.new.clone(), from }))
    }
}
