//! Weights by ingress-nginx: a second Ingress for the paths of the app, with canary annotations.

use serde_json::{Map, Value as Json, json};

use super::patch::{Patch, annotation};
use super::{Begin, End, Marked, RouteError, Sides, Weighing, at};
use crate::deliver::ground::What;

const PREFIX: &str = "nginx.ingress.kubernetes.io/";
const WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";
const TOTAL: &str = "nginx.ingress.kubernetes.io/canary-weight-total";
const BY_HEADER: &str = "nginx.ingress.kubernetes.io/canary-by-header";
const BY_HEADER_VALUE: &str = "nginx.ingress.kubernetes.io/canary-by-header-value";
const BY_COOKIE: &str = "nginx.ingress.kubernetes.io/canary-by-cookie";

/// Divides an Ingress' traffic.
#[derive(Debug, Clone)]
pub struct Nginx {
    ingress: String,
    canary: String,
    sides: Sides,
    marked: Marked,
    labels: Map<String, Json>,
}

impl Nginx {
    /// Of the Ingress `ingress`; the canary's gets `labels`.
    pub fn new(ingress: &str, sides: Sides, marked: Marked, labels: Map<String, Json>) -> Self {
        Self { ingress: ingress.to_owned(), canary: canary_name(ingress), sides, marked, labels }
    }

    fn rules(&self, main: &Json) -> Vec<Json> {
        let to_canary = |path: &Json| {
            let backend = path.get("backend").filter(|backend| names(backend, &self.sides.stable))?;
            let mut path = path.clone();
            *path.get_mut("backend")? = renamed(backend, &self.sides.canary);
            Some(path)
        };
        let rules = at(main, "/spec/rules").iter().filter_map(|rule| {
            let paths: Vec<Json> = at(rule, "/http/paths").iter().filter_map(to_canary).collect();
            let mut rule = rule.clone();
            *rule.pointer_mut("/http/paths")? = Json::from(paths.clone());
            (!paths.is_empty()).then_some(rule)
        });
        rules.collect()
    }
}

/// The name of the canary's Ingress.
pub fn canary_name(ingress: &str) -> String {
    format!("{ingress}-canary")
}

/// Whether an Ingress' backend is this Service.
pub(super) fn names(backend: &Json, service: &str) -> bool {
    backend.pointer("/service/name").and_then(Json::as_str) == Some(service)
}

/// The backend at another Service.
fn renamed(backend: &Json, service: &str) -> Json {
    let mut backend = backend.clone();
    if let Some(name) = backend.pointer_mut("/service/name") {
        *name = Json::from(service);
    }
    backend
}

impl Weighing for Nginx {
    fn object(&self) -> (What, &str) {
        (What::Ingress, &self.canary)
    }

    fn main(&self) -> (What, &str) {
        (What::Ingress, &self.ingress)
    }

    fn begin(&self, main: &Json) -> Result<Begin, RouteError> {
        let refused = |why: String| Err(RouteError(format!("ingress \"{}\" {why}", self.ingress)));
        if annotation(main, &format!("{PREFIX}canary")) == Some("true") {
            return refused("is itself a canary; name the main one in `ingress`".to_owned());
        }
        let rules = self.rules(main);
        let default = main.pointer("/spec/defaultBackend").filter(|backend| names(backend, &self.sides.stable));
        if rules.is_empty() && default.is_none() {
            return refused(format!("has no path to service \"{}\"", self.sides.stable));
        }
        let mut spec = Map::new();
        for key in ["ingressClassName", "tls"] {
            spec.extend(main.pointer(&format!("/spec/{key}")).map(|value| (key.to_owned(), value.clone())));
        }
        spec.extend(default.map(|backend| ("defaultBackend".to_owned(), renamed(backend, &self.sides.canary))));
        if !rules.is_empty() {
            spec.insert("rules".to_owned(), Json::from(rules));
        }
        // The main one's settings go along: without the affinity's, sticky sessions would flip.
        let own = main.pointer("/metadata/annotations").and_then(Json::as_object).into_iter().flatten();
        let mut annotations: Map<String, Json> = own
            .filter(|(key, _)| *key == "kubernetes.io/ingress.class" || key.starts_with(PREFIX))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let mut set = |key: &str, value: &str| annotations.insert(key.to_owned(), Json::from(value));
        set(&format!("{PREFIX}canary"), "true");
        set(WEIGHT, "0");
        if let Some(header) = &self.marked.header {
            set(BY_HEADER, &header.name);
            header.value.as_ref().map(|value| set(BY_HEADER_VALUE, value));
        }
        self.marked.cookie.as_ref().map(|cookie| set(BY_COOKIE, cookie));
        Ok(Begin::Create(json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": self.canary, "labels": self.labels, "annotations": annotations},
            "spec": spec,
        })))
    }

    fn weight(&self, live: &Json) -> Option<u32> {
        let number = |key| annotation(live, key).and_then(|text| text.trim().parse::<u64>().ok());
        if annotation(live, &format!("{PREFIX}canary")) != Some("true") {
            return None;
        }
        let weight = number(WEIGHT).unwrap_or(0);
        let total = number(TOTAL).unwrap_or(100);
        super::share(weight.min(total), total - weight.min(total))
    }

    fn set(&self, live: &Json, weight: u32) -> Result<Patch, RouteError> {
        Ok(Patch::new().annotate(live, WEIGHT, Some(&weight.to_string())).annotate(live, TOTAL, None))
    }

    fn back(&self, live: &Json, weight: u32) -> Result<Patch, RouteError> {
        let mut patch = self.set(live, weight)?;
        if weight == 0 {
            for key in [BY_HEADER, BY_HEADER_VALUE, BY_COOKIE] {
                patch = patch.annotate(live, key, None);
            }
        }
        Ok(patch)
    }

    fn end(&self, _live: &Json) -> Result<End, RouteError> {
        Ok(End::Delete)
    }
}

#[cfg(test)]
mod tests {
    use super::super::HeaderRule;
    use super::*;

    fn main_ingress() -> Json {
        let path = |path: &str, service: &str| {
            json!({"path": path, "pathType": "Prefix",
                "backend": {"service": {"name": service, "port": {"number": 80}}}})
        };
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "shop", "namespace": "b", "uid": "1", "annotations": {
                "nginx.ingress.kubernetes.io/affinity": "cookie",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
            }},
            "spec": {"ingressClassName": "nginx", "tls": [{"hosts": ["shop.test"], "secretName": "tls"}], "rules": [
                {"host": "shop.test", "http": {"paths": [path("/api", "backend-service"), path("/", "frontend")]}},
                {"host": "www.shop.test", "http": {"paths": [path("/", "frontend")]}},
            ]},
            "status": {"loadBalancer": {}},
        })
    }

    fn router(marked: Marked) -> Nginx {
        let sides = Sides { stable: "backend-service".to_owned(), canary: "backend-canary-service".to_owned() };
        Nginx::new("shop", sides, marked, Map::new())
    }

    fn made(router: &Nginx, main: &Json) -> Json {
        match router.begin(main) {
            Ok(Begin::Create(made)) => made,
            other => panic!("expected an object, found {other:?}"),
        }
    }

    #[test]
    fn only_paths_of_the_stable_service_are_copied() {
        let made = made(&router(Marked::default()), &main_ingress());
        assert_eq!(
            made["spec"],
            json!({"ingressClassName": "nginx", "tls": [{"hosts": ["shop.test"], "secretName": "tls"}], "rules": [
                {"host": "shop.test", "http": {"paths": [{"path": "/api", "pathType": "Prefix",
                    "backend": {"service": {"name": "backend-canary-service", "port": {"number": 80}}}}]}},
            ]})
        );
        assert_eq!(made["metadata"]["name"], "shop-canary");
        assert_eq!(
            made["metadata"]["annotations"],
            json!({
                "nginx.ingress.kubernetes.io/affinity": "cookie",
                "nginx.ingress.kubernetes.io/canary": "true",
                "nginx.ingress.kubernetes.io/canary-weight": "0",
            })
        );
    }

    #[test]
    fn a_header_with_a_value_and_a_cookie_mark_requests() {
        let header = Some(HeaderRule { name: "X-Canary".to_owned(), value: Some("true".to_owned()) });
        let made = made(&router(Marked { header, cookie: Some("canary-user".to_owned()) }), &main_ingress());
        let annotations = &made["metadata"]["annotations"];
        assert_eq!(annotations[BY_HEADER], "X-Canary");
        assert_eq!(annotations[BY_HEADER_VALUE], "true");
        assert_eq!(annotations[BY_COOKIE], "canary-user");
    }

    #[test]
    fn a_default_backend_is_a_way_to_the_app_too() {
        let mut main = main_ingress();
        main["spec"] = json!({"defaultBackend": {"service": {"name": "backend-service", "port": {"name": "http"}}}});
        let made = made(&router(Marked::default()), &main);
        assert_eq!(
            made["spec"],
            json!({"defaultBackend": {"service": {"name": "backend-canary-service", "port": {"name": "http"}}}})
        );
    }

    #[test]
    fn an_ingress_without_the_service_is_refused() {
        let router = Nginx::new(
            "shop",
            Sides { stable: "other".to_owned(), canary: "other-canary".to_owned() },
            Marked::default(),
            Map::new(),
        );
        let error = router.begin(&main_ingress()).expect_err("no path leads to it");
        assert_eq!(error.to_string(), "ingress \"shop\" has no path to service \"other\"");
    }

    #[test]
    fn weights_are_read_of_their_total_and_written_of_a_hundred() {
        let router = router(Marked::default());
        let mut live = made(&router, &main_ingress());
        assert_eq!(router.weight(&live), Some(0));
        live["metadata"]["annotations"][WEIGHT] = json!("200");
        live["metadata"]["annotations"][TOTAL] = json!("1000");
        assert_eq!(router.weight(&live), Some(20));
        let patch = router.set(&live, 25).expect("an ingress takes a weight").into_json();
        let path = |key: &str| format!("/metadata/annotations/{}", super::super::patch::escape(key));
        assert_eq!(
            patch,
            json!([
                {"op": "test", "path": path(WEIGHT), "value": "200"},
                {"op": "replace", "path": path(WEIGHT), "value": "25"},
                {"op": "test", "path": path(TOTAL), "value": "1000"},
                {"op": "remove", "path": path(TOTAL)},
            ])
        );
    }

    #[test]
    fn taking_all_back_takes_marked_requests_too() {
        let header = Some(HeaderRule { name: "X-Canary".to_owned(), value: None });
        let router = router(Marked { header, cookie: None });
        let live = made(&router, &main_ingress());
        let text = router.back(&live, 0).expect("an ingress takes a weight").into_json().to_string();
        assert!(text.contains("canary-by-header\""), "{text}");
        let rest = router.back(&live, 10).expect("an ingress takes a weight").into_json().to_string();
        assert!(!rest.contains("canary-by-header"), "{rest}");
    }
}
