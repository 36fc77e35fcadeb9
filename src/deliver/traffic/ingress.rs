//! All traffic to one side by the Service that an Ingress' paths name.

use serde_json::Value as Json;

use super::nginx::names;
use super::patch::Patch;
use super::{RouteError, Switch, at};
use crate::deliver::ground::What;

/// Switches an Ingress' paths.
#[derive(Debug, Clone)]
pub struct IngressSwitch {
    ingress: String,
    candidates: Vec<String>,
}

impl IngressSwitch {
    /// Of this Ingress, between Services of these names. Paths to others are left alone.
    pub fn new(ingress: &str, candidates: Vec<String>) -> Self {
        Self { ingress: ingress.to_owned(), candidates }
    }
}

/// Where an Ingress names Services: pointers to the backends, and the backends.
fn backends(live: &Json) -> Vec<(String, &Json)> {
    let mut found = Vec::new();
    found.extend(live.pointer("/spec/defaultBackend").map(|backend| ("/spec/defaultBackend".to_owned(), backend)));
    for (r, rule) in at(live, "/spec/rules").iter().enumerate() {
        for (p, path) in at(rule, "/http/paths").iter().enumerate() {
            let pointer = format!("/spec/rules/{r}/http/paths/{p}/backend");
            found.extend(path.get("backend").map(|backend| (pointer, backend)));
        }
    }
    found
}

/// The only one of these Services that an Ingress names.
pub(super) fn named(live: &Json, services: &[String]) -> Option<String> {
    IngressSwitch::new("", services.to_vec()).active(live).ok()
}

/// Where an Ingress names one of these Services.
pub(super) fn pointers(live: &Json, services: &[String]) -> Vec<String> {
    let own = |backend: &Json| services.iter().any(|service| names(backend, service));
    let backends = backends(live).into_iter().filter(|(_, backend)| own(backend));
    backends.map(|(pointer, _)| format!("{pointer}/service/name")).collect()
}

impl Switch for IngressSwitch {
    fn object(&self) -> (What, &str) {
        (What::Ingress, &self.ingress)
    }

    fn active(&self, live: &Json) -> Result<String, RouteError> {
        let backends = backends(live);
        let named = |service: &String| backends.iter().any(|(_, backend)| names(backend, service));
        super::service::the_one("ingress", &self.ingress, self.candidates.iter().filter(|name| named(name)))
    }

    fn switch(&self, live: &Json, from: &str, to: &str) -> Result<Patch, RouteError> {
        let mut patch = Patch::new();
        let mut paths = 0;
        for (pointer, backend) in backends(live) {
            if names(backend, from) || names(backend, to) {
                paths += 1;
                patch = patch.change(live, &format!("{pointer}/service/name"), Json::from(to));
            }
        }
        if paths == 0 {
            return Err(RouteError(format!("ingress \"{}\" has no path to service \"{from}\"", self.ingress)));
        }
        Ok(patch)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live(api: &str) -> Json {
        let path = |path: &str, service: &str| json!({"path": path, "backend": {"service": {"name": service}}});
        json!({"spec": {"rules": [{"http": {"paths": [path("/", "frontend"), path("/api", api)]}}]}})
    }

    fn switch() -> IngressSwitch {
        IngressSwitch::new("shop", vec!["backend".to_owned(), "backend-blue".to_owned(), "backend-green".to_owned()])
    }

    #[test]
    fn the_active_side_is_the_candidate_that_a_path_names() {
        assert_eq!(switch().active(&live("backend-green")).as_deref(), Ok("backend-green"));
        let error = switch().active(&live("other")).expect_err("none is named");
        assert!(error.to_string().contains("leads to none of"), "{error}");
    }

    #[test]
    fn only_paths_of_the_app_switch() {
        let patch = switch().switch(&live("backend"), "backend", "backend-blue").expect("a path names it");
        assert_eq!(
            patch.into_json(),
            json!([
                {"op": "test", "path": "/spec/rules/0/http/paths/1/backend/service/name", "value": "backend"},
                {"op": "replace", "path": "/spec/rules/0/http/paths/1/backend/service/name", "value": "backend-blue"},
            ])
        );
        assert!(switch().switch(&live("frontend"), "backend", "backend-blue").is_err());
    }
}
