//! Weights by an Istio VirtualService.
//!
//! The canary is a host of its own, its Service, so that the stable host's endpoints stay what they were. What a
//! DestinationRule says of the stable host (load balancing, limits, stickiness) is said of the canary's too, by a copy.

use serde_json::{Map, Value as Json, json};

use super::patch::Patch;
use super::{Begin, End, HeaderRule, RouteError, Sides, Weighing, at, share};
use crate::deliver::ground::What;

const HTTP: &str = "/spec/http";

/// Divides a VirtualService's traffic.
#[derive(Debug, Clone)]
pub struct Istio {
    service: String,
    app: String,
    sides: Sides,
    header: Option<HeaderRule>,
}

impl Istio {
    /// Of the VirtualService `service`. Routes for marked requests are named after `app`.
    pub fn new(service: &str, app: &str, sides: Sides, header: Option<HeaderRule>) -> Self {
        Self { service: service.to_owned(), app: app.to_owned(), sides, header }
    }

    fn refused<T>(&self, why: String) -> Result<T, RouteError> {
        Err(RouteError(format!("virtual service \"{}\" {why}", self.service)))
    }

    /// The name of routes for marked requests; with several a number follows.
    fn managed(&self) -> String {
        format!("slipway-{}", self.app)
    }

    fn is_ours(&self, route: &Json) -> bool {
        let name = route.get("name").and_then(Json::as_str).unwrap_or_default();
        name.strip_prefix(&self.managed()).is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix('-').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
        })
    }

    /// The routes with the canary at `weight` (none: without it), and with or without routes for marked requests.
    fn routes(&self, live: &Json, weight: Option<u32>, marked: bool) -> Result<Vec<Json>, RouteError> {
        let mut routes = Vec::new();
        let mut made = 0;
        let mut found = false;
        for (number, route) in at(live, HTTP).iter().enumerate().filter(|(_, route)| !self.is_ours(route)) {
            let goals = at(route, "/route");
            let Some(stable) = goals.iter().find(|goal| is_host(goal, &self.sides.stable)) else {
                routes.push(route.clone());
                continue;
            };
            found = true;
            let is_other = |goal: &&Json| *goal != stable && !is_host(goal, &self.sides.canary);
            if let Some(other) = goals.iter().find(is_other) {
                return self.refused(format!(
                    "divides route {number} between \"{}\" and \"{}\" already; a route for a canary names one destination",
                    described(stable),
                    described(other)
                ));
            }
            if marked && let Some(header) = &self.header {
                for (value, service) in super::goals(header, &self.sides) {
                    made += 1;
                    let name = if made == 1 { self.managed() } else { format!("{}-{made}", self.managed()) };
                    routes.push(marked_route(route, stable, header, value, service, &self.sides, name));
                }
            }
            let mut route = route.clone();
            route["route"] = match weight {
                Some(weight) => json!([
                    weighted(stable.clone(), Some(100 - weight.min(100))),
                    weighted(at_host(stable, &self.sides, &self.sides.canary), Some(weight)),
                ]),
                None => json!([weighted(stable.clone(), None)]),
            };
            routes.push(route);
        }
        if !found {
            return self.refused(format!("has no route to host \"{}\"", self.sides.stable));
        }
        Ok(routes)
    }

    fn patch(&self, live: &Json, weight: Option<u32>, marked: bool) -> Result<Patch, RouteError> {
        Ok(Patch::new().change(live, HTTP, Json::from(self.routes(live, weight, marked)?)))
    }

    fn has_marked(&self, live: &Json) -> bool {
        at(live, HTTP).iter().any(|route| self.is_ours(route))
    }
}

/// The DestinationRule of the canary's host: what `rule` says of the stable one.
pub fn canary_rule(rule: &Json, app: &str, canary: &str, labels: Map<String, Json>) -> Json {
    let mut spec = Map::new();
    spec.insert("host".to_owned(), Json::from(canary));
    for key in ["trafficPolicy", "exportTo"] {
        spec.extend(rule.pointer(&format!("/spec/{key}")).map(|value| (key.to_owned(), value.clone())));
    }
    json!({
        "apiVersion": rule.get("apiVersion").cloned().unwrap_or_else(|| Json::from("networking.istio.io/v1")),
        "kind": "DestinationRule",
        "metadata": {"name": format!("slipway-{app}"), "labels": labels},
        "spec": spec,
    })
}

fn host(goal: &Json) -> &str {
    goal.pointer("/destination/host").and_then(Json::as_str).unwrap_or_default()
}

/// Whether a destination is this Service, by its short name or a full one.
fn is_host(goal: &Json, service: &str) -> bool {
    host(goal).strip_prefix(service).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn described(goal: &Json) -> String {
    match goal.pointer("/destination/subset").and_then(Json::as_str) {
        Some(subset) => format!("{}/{subset}", host(goal)),
        None => host(goal).to_owned(),
    }
}

/// The stable destination (its port, its headers) at another Service. Subsets are of the stable host alone.
fn at_host(stable: &Json, sides: &Sides, service: &str) -> Json {
    let mut goal = stable.clone();
    if service != sides.stable
        && let Some(destination) = goal.get_mut("destination").and_then(Json::as_object_mut)
    {
        let domain = host(stable).strip_prefix(&sides.stable).unwrap_or_default();
        destination.insert("host".to_owned(), Json::from(format!("{service}{domain}")));
        destination.shift_remove("subset");
    }
    goal
}

fn weighted(mut goal: Json, weight: Option<u32>) -> Json {
    if let Some(goal) = goal.as_object_mut() {
        match weight {
            Some(weight) => goal.insert("weight".to_owned(), Json::from(weight)),
            None => goal.shift_remove("weight"),
        };
    }
    goal
}

fn marked_route(
    route: &Json,
    stable: &Json,
    header: &HeaderRule,
    value: &str,
    service: &str,
    sides: &Sides,
    name: String,
) -> Json {
    let mut made = route.clone();
    let mut matches = at(route, "/match").to_vec();
    if matches.is_empty() {
        matches.push(json!({}));
    }
    for one in &mut matches {
        let mut headers = one.get("headers").and_then(Json::as_object).cloned().unwrap_or_default();
        headers.insert(header.name.to_ascii_lowercase(), json!({"exact": value}));
        one["headers"] = Json::Object(headers);
    }
    made["name"] = Json::from(name);
    made["match"] = Json::from(matches);
    made["route"] = json!([weighted(at_host(stable, sides, service), Some(100))]);
    made
}

impl Weighing for Istio {
    fn object(&self) -> (What, &str) {
        (What::VirtualService, &self.service)
    }

    fn begin(&self, main: &Json) -> Result<Begin, RouteError> {
        Ok(Begin::Patch(self.patch(main, Some(self.weight(main).unwrap_or(0)), true)?))
    }

    fn weight(&self, live: &Json) -> Option<u32> {
        let divided = at(live, HTTP).iter().filter(|route| !self.is_ours(route)).find_map(|route| {
            let goals = at(route, "/route");
            Some((goals.iter().find(|goal| is_host(goal, &self.sides.canary))?, goals))
        });
        let (canary, goals) = divided?;
        let weight = |goal: &Json| goal.get("weight").and_then(Json::as_u64).unwrap_or(0);
        let sum: u64 = goals.iter().map(weight).sum();
        share(weight(canary), sum - weight(canary))
    }

    fn set(&self, live: &Json, weight: u32) -> Result<Patch, RouteError> {
        self.patch(live, Some(weight), self.has_marked(live))
    }

    fn back(&self, live: &Json, weight: u32) -> Result<Patch, RouteError> {
        self.patch(live, Some(weight), weight > 0 && self.has_marked(live))
    }

    fn end(&self, live: &Json) -> Result<End, RouteError> {
        Ok(End::Patch(self.patch(live, None, false)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STABLE: &str = "backend-service.shop.svc.cluster.local";

    fn service() -> Json {
        json!({"spec": {"hosts": ["moodify.local"], "gateways": ["moodify-gateway"], "http": [
            {"match": [{"uri": {"prefix": "/static"}}], "route": [{"destination": {"host": "frontend"}}]},
            {"name": "api", "retries": {"attempts": 3},
                "route": [{"destination": {"host": STABLE, "subset": "stable", "port": {"number": 80}}}]},
        ]}})
    }

    fn router() -> Istio {
        let sides = Sides { stable: "backend-service".to_owned(), canary: "backend-canary-service".to_owned() };
        let header = HeaderRule { name: "X-Canary".to_owned(), value: Some("true".to_owned()) };
        Istio::new("backend-vs", "backend", sides, Some(header))
    }

    fn after(mut live: Json, patch: &Patch) -> Json {
        for operation in patch.operations() {
            assert_eq!(operation["path"], "/spec/http");
            match operation["op"].as_str() {
                Some("test") => assert_eq!(operation["value"], live["spec"]["http"]),
                _ => live["spec"]["http"] = operation["value"].clone(),
            }
        }
        live
    }

    fn begun() -> Json {
        match router().begin(&service()) {
            Ok(Begin::Patch(patch)) => after(service(), &patch),
            other => panic!("expected a patch, found {other:?}"),
        }
    }

    #[test]
    fn the_managed_route_stands_before_the_one_it_was_made_from() {
        let live = begun();
        let http = live["spec"]["http"].as_array().expect("routes");
        assert_eq!(http.len(), 3);
        assert_eq!(http[0], service()["spec"]["http"][0]);
        assert_eq!(
            http[1],
            json!({"name": "slipway-backend", "retries": {"attempts": 3},
                "match": [{"headers": {"x-canary": {"exact": "true"}}}],
                "route": [{"destination": {"host": "backend-canary-service.shop.svc.cluster.local",
                    "port": {"number": 80}}, "weight": 100}]})
        );
        assert_eq!(
            http[2]["route"],
            json!([
                {"destination": {"host": STABLE, "subset": "stable", "port": {"number": 80}}, "weight": 100},
                {"destination": {"host": "backend-canary-service.shop.svc.cluster.local",
                    "port": {"number": 80}}, "weight": 0},
            ])
        );
    }

    #[test]
    fn a_weight_is_one_replacement_and_is_read_back() {
        let live = begun();
        let patch = router().set(&live, 25).expect("a route names it");
        assert_eq!(patch.operations().len(), 2);
        let live = after(live, &patch);
        assert_eq!(router().weight(&live), Some(25));
        assert_eq!(router().weight(&service()), None);
        assert_eq!(live["spec"]["http"][1]["name"], "slipway-backend");
    }

    #[test]
    fn taking_all_back_takes_marked_requests_too_and_the_end_leaves_what_was() {
        let live = begun();
        let live = after(live.clone(), &router().back(&live, 0).expect("a route names it"));
        assert_eq!(router().weight(&live), Some(0));
        assert_eq!(live["spec"]["http"].as_array().map(Vec::len), Some(2));
        match router().end(&live) {
            Ok(End::Patch(patch)) => assert_eq!(after(live, &patch), service()),
            other => panic!("expected a patch, found {other:?}"),
        }
    }

    #[test]
    fn a_route_between_subsets_is_refused() {
        let mut live = service();
        live["spec"]["http"][1]["route"] = json!([
            {"destination": {"host": "backend-service", "subset": "a"}, "weight": 90},
            {"destination": {"host": "backend-service", "subset": "b"}, "weight": 10},
        ]);
        let error = router().begin(&live).expect_err("the route is divided");
        assert!(error.to_string().contains("\"backend-service/a\" and \"backend-service/b\""), "{error}");
    }

    #[test]
    fn the_canary_has_the_policy_of_the_stable_host() {
        let rule = json!({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": "backend-dr"}, "spec": {"host": "backend-service",
                "trafficPolicy": {"loadBalancer": {"simple": "LEAST_REQUEST"}}, "subsets": [{"name": "stable"}]}});
        let made = canary_rule(&rule, "backend", "backend-canary-service", Map::new());
        assert_eq!(made["metadata"]["name"], "slipway-backend");
        assert_eq!(
            made["spec"],
            json!({"host": "backend-canary-service", "trafficPolicy": {"loadBalancer": {"simple": "LEAST_REQUEST"}}})
        );
    }
}
