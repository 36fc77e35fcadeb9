//! The application of the scenarios: the example's back end in a namespace, reached through one of the routers.

use serde_json::Value;

use super::Namespace;

/// How requests find the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Router {
    /// A Service of its own, by the address that pods use.
    Service,
    /// An Ingress of the class `nginx`, at the edge.
    Ingress,
    /// An HTTPRoute, at the edge.
    Route,
}

impl Router {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Router::Service => "service",
            Router::Ingress => "ingress",
            Router::Route => "route",
        }
    }

    /// The settings of `blue-green` that name it.
    pub(crate) fn blue_green(self) -> &'static str {
        match self {
            Router::Service => "service: backend-service",
            Router::Ingress => "ingress: backend-ingress",
            Router::Route => "route: backend-route",
        }
    }
}

/// An application's manifests.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) replicas: u32,
    pub(crate) router: Router,
    /// Seconds for which a pod waits before it is asked to end.
    pub(crate) pre_stop: u32,
    /// Whether an autoscaler sets the replicas.
    pub(crate) autoscaled: bool,
}

impl App {
    pub(crate) fn new(replicas: u32, router: Router) -> Self {
        Self { replicas, router, pre_stop: 3, autoscaled: false }
    }

    /// The host name by which the edge knows it.
    pub(crate) fn host(namespace: &Namespace) -> String {
        format!("{}.local", namespace.name)
    }

    /// The manifests; `${{ vars.IMAGE }}` and `${{ vars.VERSION }}` are left for the deploy.
    pub(crate) fn manifests(&self, namespace: &Namespace) -> String {
        let Self { replicas, pre_stop, .. } = self;
        let host = Self::host(namespace);
        let lifecycle = match pre_stop {
            0 => String::new(),
            seconds => format!("\n          lifecycle: {{preStop: {{sleep: {{seconds: {seconds}}}}}}}"),
        };
        let mut text = format!(
            r#"apiVersion: apps/v1
kind: Deployment
metadata: {{name: backend, labels: {{app: backend}}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: backend}}}}
  strategy: {{rollingUpdate: {{maxSurge: 1, maxUnavailable: 0}}}}
  template:
    metadata: {{labels: {{app: backend}}}}
    spec:
      terminationGracePeriodSeconds: 8
      automountServiceAccountToken: false
      containers:
        - name: backend
          image: ${{{{ vars.IMAGE }}}}
          args: [backend]
          env:
            - {{name: DRAIN, valueFrom: {{configMapKeyRef: {{name: settings, key: drain, optional: true}}}}}}
          ports:
            - {{name: http, containerPort: 8080}}
            - {{name: admin, containerPort: 9000}}
          readinessProbe: {{httpGet: {{path: /ready, port: http}}, periodSeconds: 1}}{lifecycle}
          resources: {{requests: {{cpu: 10m, memory: 8Mi}}, limits: {{memory: 64Mi}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: backend-service}}
spec:
  selector: {{app: backend}}
  ports: [{{name: http, port: 80, targetPort: http}}]
"#
        );
        if self.autoscaled {
            text.push_str(&format!(
                "---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: backend-hpa}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: backend}}
  minReplicas: {replicas}
  maxReplicas: 6
  metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 5000}}}}}}]
"
            ));
        }
        match self.router {
            Router::Service => {}
            Router::Ingress => text.push_str(&format!(
                "---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: backend-ingress}}
spec:
  ingressClassName: nginx
  rules:
    - host: {host}
      http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: backend-service, port: {{name: http}}}}}}}}]}}
"
            )),
            Router::Route => text.push_str(&format!(
                "---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  gatewayClassName: edge
  listeners: [{{name: web, port: 8000, protocol: HTTP}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: backend-route}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: [{host}]
  rules: [{{backendRefs: [{{name: backend-service, port: 80}}]}}]
"
            )),
        }
        text
    }

    /// `address:port` that load goes to, and the Host header.
    pub(crate) fn address(&self, namespace: &Namespace) -> (String, String) {
        let host = Self::host(namespace);
        match self.router {
            Router::Service => {
                let service = namespace.object("service", "backend-service").unwrap();
                (format!("{}:80", service["spec"]["clusterIP"].as_str().unwrap()), host)
            }
            Router::Ingress | Router::Route => (namespace.ground.edge.clone(), host),
        }
    }

    /// The pods of a track (`""` for all), by name, that are not about to end.
    pub(crate) fn pods(namespace: &Namespace, selector: &str) -> Vec<String> {
        let pods = namespace.objects("pods", selector);
        let alive = pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"] == Value::Null);
        alive.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Sets how all pods of a selector behave (`errors=30`).
    pub(crate) fn set(namespace: &Namespace, selector: &str, query: &str) {
        for pod in Self::pods(namespace, selector) {
            namespace.ask(&pod, 9000, &format!("/set?{query}")).unwrap();
        }
    }
}
