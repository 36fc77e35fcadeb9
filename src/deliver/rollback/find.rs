//! How the application was deployed, read off the cluster: by what serves, what stands beside it, and what is on record.

use serde_json::Value as Json;

use super::seen::{Seen, images, track};
use super::way::{CanaryLeft, Router, SwitchBack, Undo, Way};
use crate::deliver::canary;
use crate::deliver::ground::What;
use crate::deliver::release::{self, Release, Status};
use crate::deliver::sides;
use crate::deliver::traffic::Switch;
use crate::deliver::traffic::gateway::RouteSwitch;
use crate::deliver::traffic::ingress::IngressSwitch;
use crate::deliver::traffic::nginx::canary_name;
use crate::deliver::traffic::patch::annotation;
use crate::deliver::traffic::service::{UNTRACKED, bare, selector};

/// The annotation of what a release applied.
const RELEASE: &str = "slipway.dev/release";
/// The annotation by which Kubernetes counts a Deployment's templates.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// The way back to release `to`, or to what was before; an error says why there is none.
pub(super) fn way(seen: &Seen, to: Option<u64>) -> Result<Way, String> {
    let app = &seen.app;
    if seen.releases.is_empty() && seen.own().next().is_none() {
        return Err(format!(
            "nothing of \"{app}\" is deployed there: no release is on record, and no deployment is labelled as its"
        ));
    }
    if let Some(number) = to
        && seen.release(number).is_none()
    {
        let known: Vec<String> = seen.releases.iter().map(|release| release.number.to_string()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(format!("release {number} of \"{app}\" is not on record; on record: {known}"));
    }
    let base = seen.base();
    let serving = base.and_then(|base| serving(seen, base));
    let canary = base.and_then(|base| left_by_a_canary(seen, base, serving));
    let from = live_number(seen, serving);
    let target = target(seen, to, serving, canary.as_ref(), from);
    let mut way = Way { from, to: target.map(|release| release.number), ..Way::default() };
    if let Some(canary) = canary {
        // The stable side has the canary's version already when the canary was on its way to become it.
        let is_promoted =
            seen.canary(&seen.deployments).is_some_and(|one| serving.is_some_and(|old| images(old) == images(one)));
        way.canary = Some(canary);
        let runs_it = |target: &Release| serving.is_some_and(|live| runs(live, target));
        if !is_promoted && target.is_none_or(runs_it) {
            return Ok(way);
        }
    } else if let Some(base) = base
        && let Some(switch) = standby(seen, base, serving, target)
    {
        way.switch = Some(switch);
        return Ok(way);
    }
    way.applies = true;
    if way.to.is_none() {
        way.undo = earlier(seen);
        if way.undo.is_empty() {
            return Err(format!("there is nothing before what serves of \"{app}\" to go back to"));
        }
    }
    Ok(way)
}

/// The Deployment that serves.
fn serving<'s>(seen: &'s Seen, base: &Json) -> Option<&'s Json> {
    let (_, _, service) = router(seen, base);
    let service = seen.services.iter().find(|one| sides::name(one) == service).unwrap_or(base);
    let track = track(service);
    let all: Vec<Json> = seen.deployments.iter().filter(|one| sides::track(one) != canary::TRACK).cloned().collect();
    let name = sides::name(sides::deployment_of(service, &track, &all)?).to_owned();
    seen.deployments.iter().find(|one| sides::name(one) == name)
}

/// By which object colours are switched, and the Service that it leads to: an Ingress or a route that names a colour's own
/// Service, else the Service that all share.
fn router(seen: &Seen, base: &Json) -> (What, String, String) {
    let services = seen.services_of(base);
    let found = |what: What, object: &Json| {
        let name = sides::name(object);
        let active = match what {
            What::Ingress => IngressSwitch::new(name, services.clone()).active(object),
            _ => RouteSwitch::new(name, services.clone()).active(object),
        };
        active.ok().filter(|active| active != sides::name(base)).map(|active| (what, name.to_owned(), active))
    };
    // The Ingress of a canary names the canary's Service, and is no switch.
    let is_canary = |object: &&Json| annotation(object, "nginx.ingress.kubernetes.io/canary").is_some();
    let ingresses = seen.ingresses.iter().filter(|object| !is_canary(object)).map(|object| (What::Ingress, object));
    let routes = seen.routes.iter().map(|object| (What::HttpRoute, object));
    let mut all = ingresses.chain(routes);
    all.find_map(|(what, object)| found(what, object))
        .unwrap_or_else(|| (What::Service, sides::name(base).to_owned(), sides::name(base).to_owned()))
}

/// The number of the release that serves, by what it wrote on the Deployment.
fn live_number(seen: &Seen, serving: Option<&Json>) -> Option<u64> {
    let noted = |one: &Json| annotation(one, RELEASE).and_then(|text| text.parse::<u64>().ok());
    serving.and_then(noted).or_else(|| seen.own().filter_map(noted).max())
}

/// Whether a Deployment runs the images of a release.
fn runs(live: &Json, release: &Release) -> bool {
    let name = release.deployment.as_deref();
    let own = release
        .objects
        .iter()
        .find(|object| object["kind"] == "Deployment" && name.is_none_or(|name| sides::name(object) == name));
    own.is_some_and(|own| images(own) == images(live))
}

/// The release on record that is to serve.
fn target<'s>(
    seen: &'s Seen,
    to: Option<u64>,
    serving: Option<&Json>,
    canary: Option<&CanaryLeft>,
    live: Option<u64>,
) -> Option<&'s Release> {
    if let Some(number) = to {
        return seen.release(number);
    }
    let newest = release::serving(&seen.releases)?;
    // What runs is on record as serving, unless a deploy died on the way: then the record is what was before it.
    let died = live.is_some_and(|live| live > newest.number && seen.release(live).is_none());
    let is_other = serving.is_some_and(|live| !runs(live, newest));
    if canary.is_some() || died || is_other {
        return Some(newest);
    }
    let before = |release: &&Release| release.status == Status::Deployed && release.number < newest.number;
    seen.releases.iter().rev().find(before)
}

/// A canary that gets traffic, or rests.
fn left_by_a_canary(seen: &Seen, base: &Json, serving: Option<&Json>) -> Option<CanaryLeft> {
    let deployment = seen.canary(&seen.deployments)?;
    let wanted = bare(selector(base));
    let labels = deployment.pointer("/spec/template/metadata/labels")?;
    if !wanted.iter().all(|(key, value)| labels.get(key) == Some(value)) {
        return None;
    }
    let service = seen.canary(&seen.services).map(|service| sides::name(service).to_owned());
    let router = service.as_ref().and_then(|canary| weighing(seen, base, canary));
    let stable = serving?;
    let size = sides::replicas(stable) + if router.is_none() { sides::replicas(deployment) } else { 0 };
    Some(CanaryLeft {
        deployment: sides::name(deployment).to_owned(),
        service,
        router,
        stable: sides::name(stable).to_owned(),
        replicas: size.max(1),
        is_untracked: sides::track(stable) == UNTRACKED,
        base: sides::name(base).to_owned(),
    })
}

/// The object that names the canary's Service.
fn weighing(seen: &Seen, base: &Json, canary: &str) -> Option<Router> {
    let services = seen.services_of(base);
    let stable = |object: &Json| {
        let mut others = services.iter().filter(|name| *name != canary);
        others.find(|name| mentions(&object["spec"], name)).cloned()
    };
    let is_of_canary = |object: &&Json| mentions(&object["spec"], canary);
    if let Some(made) = seen.ingresses.iter().find(is_of_canary) {
        let main = seen.ingresses.iter().find(|main| canary_name(sides::name(main)) == sides::name(made))?;
        let stable = stable(main).unwrap_or_else(|| sides::name(base).to_owned());
        return Some(Router { what: "ingress".into(), name: sides::name(main).to_owned(), stable });
    }
    let named = |what: &str, object: &Json| {
        Some(Router { what: what.to_owned(), name: sides::name(object).to_owned(), stable: stable(object)? })
    };
    let route = seen.routes.iter().find(is_of_canary).and_then(|route| named("route", route));
    route.or_else(|| seen.virtual_services.iter().find(is_of_canary).and_then(|one| named("virtual service", one)))
}

/// Whether a router's text names a Service, by its name or as a host.
fn mentions(value: &Json, service: &str) -> bool {
    match value {
        Json::String(text) => text == service || text.split_once('.').is_some_and(|(host, _)| host == service),
        Json::Array(items) => items.iter().any(|item| mentions(item, service)),
        Json::Object(map) => map.values().any(|value| mentions(value, service)),
        _ => false,
    }
}

/// A Deployment beside the one that serves, at full size, that runs what is to serve.
fn standby(seen: &Seen, base: &Json, serving: Option<&Json>, target: Option<&Release>) -> Option<SwitchBack> {
    let serving = serving?;
    let wanted = bare(selector(base));
    let leads = |one: &&Json| {
        let labels = one.pointer("/spec/template/metadata/labels");
        !wanted.is_empty()
            && labels.is_some_and(|labels| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
    };
    let is_ready = |one: &&Json| sides::replicas(one) > 0 && sides::available(one) >= sides::replicas(one);
    let others = seen.deployments.iter().filter(|one| sides::name(one) != sides::name(serving));
    let old = others
        .filter(|one| sides::track(one) != sides::track(serving) && sides::track(one) != canary::TRACK)
        .filter(leads)
        .filter(is_ready)
        .find(|one| target.is_none_or(|target| runs(one, target)))?;
    let (what, name, service) = router(seen, base);
    let to = match what {
        What::Service => sides::track(old).to_owned(),
        _ => side_service(seen, base, sides::track(old))?,
    };
    let from = if what == What::Service { sides::track(serving).to_owned() } else { service };
    let hash = (sides::track(old) == UNTRACKED).then(|| sides::template_hash(old, &seen.replica_sets)).flatten();
    Some(SwitchBack {
        what: what.noun().to_owned(),
        object: name,
        from,
        to,
        track: sides::track(old).to_owned(),
        base: sides::name(base).to_owned(),
        old: sides::name(old).to_owned(),
        new: sides::name(serving).to_owned(),
        hash,
    })
}

/// The Service of a side.
fn side_service(seen: &Seen, base: &Json, side: &str) -> Option<String> {
    if side == UNTRACKED {
        return Some(sides::name(base).to_owned());
    }
    let names = seen.services_of(base);
    let of_side = |one: &&Json| names.iter().any(|name| name == sides::name(one)) && track(one) == side;
    seen.services
        .iter()
        .filter(of_side)
        .find(|one| sides::name(one) != sides::name(base))
        .map(|one| sides::name(one).to_owned())
}

/// The templates before the present ones, where no release is on record: of those Deployments that the last release changed.
fn earlier(seen: &Seen) -> Vec<Undo> {
    let revision = |one: &Json| annotation(one, REVISION).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let noted = |one: &Json| annotation(one, RELEASE).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let candidates: Vec<(&Json, &Json)> = seen
        .own()
        .filter(|deployment| sides::replicas(deployment) > 0)
        .filter_map(|deployment| {
            let now = revision(deployment);
            let sets = sides::owned(&seen.replica_sets, sides::uid(deployment));
            let before = sets.filter(|set| revision(set) < now).max_by_key(|set| revision(set))?;
            Some((deployment, before))
        })
        .collect();
    // A Deployment that the last release left as it was carries, on the template before, an older release than others do.
    let newest = candidates.iter().map(|(_, before)| noted(before)).max().unwrap_or(0);
    let of_last = candidates.iter().filter(|(_, before)| noted(before) == newest);
    of_last
        .map(|(deployment, before)| Undo {
            deployment: sides::name(deployment).to_owned(),
            revision: revision(before),
            replica_set: sides::name(before).to_owned(),
            images: images(before),
        })
        .collect()
}
