//! Weights and switches by a Gateway API HTTPRoute.
//!
//! A rule's share is weight by sum of weights, so a rule must name the app alone; weights are written with a sum of 100. A
//! rule whose only backend is the canary is one of ours, for marked requests; it stands before the rule that it was made from.

use serde_json::{Value as Json, json};

use super::patch::Patch;
use super::{Begin, End, HeaderRule, RouteError, Sides, Switch, Weighing, at, goals, share};
use crate::deliver::ground::What;

const RULES: &str = "/spec/rules";
/// More rules than this the API refuses.
const MAX_RULES: usize = 16;

/// Divides an HTTPRoute's traffic.
#[derive(Debug, Clone)]
pub struct Gateway {
    route: String,
    sides: Sides,
    header: Option<HeaderRule>,
}

impl Gateway {
    /// Of this HTTPRoute.
    pub fn new(route: &str, sides: Sides, header: Option<HeaderRule>) -> Self {
        Self { route: route.to_owned(), sides, header }
    }

    fn refused<T>(&self, why: String) -> Result<T, RouteError> {
        Err(RouteError(format!("http route \"{}\" {why}", self.route)))
    }

    /// Whether the rule was made for marked requests.
    fn is_ours(&self, rule: &Json) -> bool {
        let refs = at(rule, "/backendRefs");
        let only = |service: &str| !refs.is_empty() && refs.iter().all(|one| names(one, service));
        let Some(header) = &self.header else { return only(&self.sides.canary) };
        only(&self.sides.canary)
            || only(&self.sides.stable) && header.value.is_none() && is_marked(rule, header, "never")
    }

    /// The rules with the canary at `weight` (none: without it), and with or without rules for marked requests.
    fn rules(&self, live: &Json, weight: Option<u32>, marked: bool) -> Result<Vec<Json>, RouteError> {
        let mut rules = Vec::new();
        let mut found = false;
        for (number, rule) in at(live, RULES).iter().enumerate().filter(|(_, rule)| !self.is_ours(rule)) {
            let refs = at(rule, "/backendRefs");
            let Some(stable) = refs.iter().find(|one| names(one, &self.sides.stable)) else {
                rules.push(rule.clone());
                continue;
            };
            found = true;
            let other = refs.iter().find(|one| !names(one, &self.sides.stable) && !names(one, &self.sides.canary));
            if let Some(other) = other {
                let other = other.get("name").and_then(Json::as_str).unwrap_or_default();
                return self.refused(format!(
                    "divides rule {number} between \"{}\" and \"{other}\" already; a rule for a canary names one service",
                    self.sides.stable
                ));
            }
            if marked && let Some(header) = &self.header {
                for (value, service) in goals(header, &self.sides) {
                    rules.push(marked_rule(rule, stable, header, value, service));
                }
            }
            let mut rule = rule.clone();
            rule["backendRefs"] = match weight {
                Some(weight) => {
                    let canary = at_service(stable, &self.sides.canary, Some(weight));
                    json!([at_service(stable, &self.sides.stable, Some(100 - weight.min(100))), canary])
                }
                None => json!([at_service(stable, &self.sides.stable, Some(1))]),
            };
            rules.push(rule);
        }
        if !found {
            return self.refused(format!("has no rule for service \"{}\"", self.sides.stable));
        }
        if rules.len() > MAX_RULES {
            return self.refused(format!(
                "would have {} rules with those for marked requests, and {MAX_RULES} are allowed; leave `header` out",
                rules.len()
            ));
        }
        Ok(rules)
    }

    fn patch(&self, live: &Json, weight: Option<u32>, marked: bool) -> Result<Patch, RouteError> {
        Ok(Patch::new().change(live, RULES, Json::from(self.rules(live, weight, marked)?)))
    }

    /// Whether rules for marked requests are there.
    fn has_marked(&self, live: &Json) -> bool {
        at(live, RULES).iter().any(|rule| self.is_ours(rule))
    }
}

/// Whether a backend reference is this Service.
fn names(reference: &Json, service: &str) -> bool {
    let text = |key: &str| reference.get(key).and_then(Json::as_str);
    text("name") == Some(service) && text("kind").is_none_or(|kind| kind == "Service")
}

/// The reference (its port and filters) at a Service.
fn at_service(reference: &Json, service: &str, weight: Option<u32>) -> Json {
    let mut reference = reference.clone();
    reference["name"] = Json::from(service);
    if let Some(weight) = weight {
        reference["weight"] = Json::from(weight);
    }
    reference
}

fn is_marked(rule: &Json, header: &HeaderRule, value: &str) -> bool {
    at(rule, "/matches").iter().any(|one| {
        at(one, "/headers").iter().any(|match_| {
            match_.get("name").and_then(Json::as_str) == Some(&header.name)
                && match_.get("value").and_then(Json::as_str) == Some(value)
        })
    })
}

/// The rule for requests with the header.
fn marked_rule(rule: &Json, stable: &Json, header: &HeaderRule, value: &str, service: &str) -> Json {
    let mut made = rule.clone();
    if let Some(made) = made.as_object_mut() {
        // Names are unique in a route.
        made.shift_remove("name");
    }
    let wanted = json!({"type": "Exact", "name": header.name, "value": value});
    let mut matches = at(rule, "/matches").to_vec();
    if matches.is_empty() {
        matches.push(json!({"path": {"type": "PathPrefix", "value": "/"}}));
    }
    for one in &mut matches {
        let mut headers = at(one, "/headers").to_vec();
        headers.push(wanted.clone());
        one["headers"] = Json::from(headers);
    }
    made["matches"] = Json::from(matches);
    made["backendRefs"] = json!([at_service(stable, service, Some(1))]);
    made
}

impl Weighing for Gateway {
    fn object(&self) -> (What, &str) {
        (What::HttpRoute, &self.route)
    }

    fn begin(&self, main: &Json) -> Result<Begin, RouteError> {
        Ok(Begin::Patch(self.patch(main, Some(self.weight(main).unwrap_or(0)), true)?))
    }

    fn weight(&self, live: &Json) -> Option<u32> {
        let divided = at(live, RULES).iter().filter(|rule| !self.is_ours(rule)).find_map(|rule| {
            let refs = at(rule, "/backendRefs");
            let canary = refs.iter().find(|one| names(one, &self.sides.canary))?;
            Some((canary, refs))
        });
        let (canary, refs) = divided?;
        let weight = |reference: &Json| reference.get("weight").and_then(Json::as_u64).unwrap_or(1);
        let sum: u64 = refs.iter().map(weight).sum();
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

/// Switches an HTTPRoute's rules between Services.
#[derive(Debug, Clone)]
pub struct RouteSwitch {
    route: String,
    candidates: Vec<String>,
}

impl RouteSwitch {
    /// Of this HTTPRoute, between Services of these names. Rules to others are left alone.
    pub fn new(route: &str, candidates: Vec<String>) -> Self {
        Self { route: route.to_owned(), candidates }
    }
}

/// Where a route names Services: pointers to the references, and the references.
fn references(live: &Json) -> impl Iterator<Item = (String, &Json)> {
    at(live, RULES).iter().enumerate().flat_map(|(r, rule)| {
        let refs = at(rule, "/backendRefs").iter().enumerate();
        refs.map(move |(b, reference)| (format!("{RULES}/{r}/backendRefs/{b}"), reference))
    })
}

/// The only one of these Services that a route names.
pub(super) fn named(live: &Json, services: &[String]) -> Option<String> {
    RouteSwitch::new("", services.to_vec()).active(live).ok()
}

/// Where a route names one of these Services.
pub(super) fn pointers(live: &Json, services: &[String]) -> Vec<String> {
    let own = |reference: &Json| services.iter().any(|service| names(reference, service));
    references(live).filter(|(_, reference)| own(reference)).map(|(pointer, _)| format!("{pointer}/name")).collect()
}

impl Switch for RouteSwitch {
    fn object(&self) -> (What, &str) {
        (What::HttpRoute, &self.route)
    }

    fn active(&self, live: &Json) -> Result<String, RouteError> {
        let named = |service: &String| references(live).any(|(_, reference)| names(reference, service));
        super::service::the_one("http route", &self.route, self.candidates.iter().filter(|name| named(name)))
    }

    fn switch(&self, live: &Json, from: &str, to: &str) -> Result<Patch, RouteError> {
        let mut patch = Patch::new();
        let mut rules = 0;
        for (pointer, reference) in references(live) {
            if names(reference, from) || names(reference, to) {
                rules += 1;
                patch = patch.change(live, &format!("{pointer}/name"), Json::from(to));
            }
        }
        if rules == 0 {
            return Err(RouteError(format!("http route \"{}\" has no rule for service \"{from}\"", self.route)));
        }
        Ok(patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Json {
        json!({"spec": {"hostnames": ["b.test"], "rules": [
            {"name": "api", "matches": [{"path": {"type": "PathPrefix", "value": "/api"}}],
                "backendRefs": [{"group": "", "kind": "Service", "name": "backend", "port": 80, "weight": 1}]},
            {"backendRefs": [{"name": "frontend", "port": 80}]},
        ]}})
    }

    fn router(header: Option<HeaderRule>) -> Gateway {
        let sides = Sides { stable: "backend".to_owned(), canary: "backend-canary".to_owned() };
        Gateway::new("shop", sides, header)
    }

    fn marked() -> Option<HeaderRule> {
        Some(HeaderRule { name: "X-Canary".to_owned(), value: Some("true".to_owned()) })
    }

    /// The route after a patch that is one replacement of its rules.
    fn after(mut live: Json, patch: Patch) -> Json {
        for operation in patch.operations() {
            assert_eq!(operation["path"], "/spec/rules");
            match operation["op"].as_str() {
                Some("test") => assert_eq!(operation["value"], live["spec"]["rules"]),
                _ => live["spec"]["rules"] = operation["value"].clone(),
            }
        }
        live
    }

    fn begun(router: &Gateway, live: Json) -> Json {
        match router.begin(&live) {
            Ok(Begin::Patch(patch)) => after(live, patch),
            other => panic!("expected a patch, found {other:?}"),
        }
    }

    fn weights(live: &Json, rule: usize) -> Vec<(String, u64)> {
        let refs = at(live, &format!("/spec/rules/{rule}/backendRefs")).iter();
        refs.map(|one| (one["name"].as_str().unwrap_or("").to_owned(), one["weight"].as_u64().unwrap_or(1))).collect()
    }

    #[test]
    fn the_canary_comes_at_weight_0_into_rules_of_the_app_only() {
        let live = begun(&router(None), route());
        assert_eq!(weights(&live, 0), [("backend".to_owned(), 100), ("backend-canary".to_owned(), 0)]);
        assert_eq!(live["spec"]["rules"][0]["backendRefs"][1]["port"], 80);
        assert_eq!(live["spec"]["rules"][1], route()["spec"]["rules"][1]);
        assert_eq!(router(None).weight(&live), Some(0));
        assert_eq!(router(None).weight(&route()), None);
    }

    #[test]
    fn weights_sum_to_a_hundred_and_are_read_back() {
        let router = router(None);
        let live = begun(&router, route());
        for weight in [10, 50, 100] {
            let live = after(live.clone(), router.set(&live, weight).expect("a rule names it"));
            let stable = u64::from(100 - weight);
            assert_eq!(
                weights(&live, 0),
                [("backend".to_owned(), stable), ("backend-canary".to_owned(), weight.into())]
            );
            assert_eq!(router.weight(&live), Some(weight));
        }
    }

    #[test]
    fn marked_requests_have_a_rule_before_the_others_that_lives_through_weights() {
        let router = router(marked());
        let live = begun(&router, route());
        let live = after(live.clone(), router.set(&live, 25).expect("a rule names it"));
        assert_eq!(
            live["spec"]["rules"][0],
            json!({"matches": [{"path": {"type": "PathPrefix", "value": "/api"},
                    "headers": [{"type": "Exact", "name": "X-Canary", "value": "true"}]}],
                "backendRefs": [{"group": "", "kind": "Service", "name": "backend-canary", "port": 80, "weight": 1}]})
        );
        assert_eq!(weights(&live, 1), [("backend".to_owned(), 75), ("backend-canary".to_owned(), 25)]);
        assert_eq!(router.weight(&live), Some(25));
    }

    #[test]
    fn taking_all_back_takes_marked_requests_too() {
        let router = router(marked());
        let live = begun(&router, route());
        let rest = after(live.clone(), router.back(&live, 10).expect("a rule names it"));
        assert_eq!(weights(&rest, 0), [("backend-canary".to_owned(), 1)]);
        let back = after(live.clone(), router.back(&live, 0).expect("a rule names it"));
        assert_eq!(weights(&back, 0), [("backend".to_owned(), 100), ("backend-canary".to_owned(), 0)]);
    }

    #[test]
    fn the_end_leaves_the_route_as_it_was() {
        let header = Some(HeaderRule { name: "X-Canary".to_owned(), value: None });
        let router = router(header);
        let live = begun(&router, route());
        assert_eq!(live["spec"]["rules"].as_array().map(Vec::len), Some(4));
        let live = after(live.clone(), router.set(&live, 50).expect("a rule names it"));
        assert_eq!(live["spec"]["rules"].as_array().map(Vec::len), Some(4));
        match router.end(&live) {
            Ok(End::Patch(patch)) => assert_eq!(after(live, patch), route()),
            other => panic!("expected a patch, found {other:?}"),
        }
    }

    #[test]
    fn a_rule_that_is_divided_already_is_refused() {
        let mut live = route();
        live["spec"]["rules"][0]["backendRefs"] = json!([{"name": "backend", "weight": 1}, {"name": "other"}]);
        let error = router(None).begin(&live).expect_err("the rule is divided");
        assert!(error.to_string().contains("divides rule 0 between \"backend\" and \"other\""), "{error}");
    }

    #[test]
    fn a_switch_names_another_service_in_one_patch() {
        let names = ["backend", "backend-blue", "backend-green"].map(str::to_owned);
        let switch = RouteSwitch::new("shop", names.to_vec());
        assert_eq!(switch.active(&route()).as_deref(), Ok("backend"));
        let patch = switch.switch(&route(), "backend", "backend-blue").expect("a rule names it");
        assert_eq!(
            patch.into_json(),
            json!([
                {"op": "test", "path": "/spec/rules/0/backendRefs/0/name", "value": "backend"},
                {"op": "replace", "path": "/spec/rules/0/backendRefs/0/name", "value": "backend-blue"},
            ])
        );
    }
}
