//! The old colour, kept at full size for a while after a switch.
//!
//! The stage does not wait for it. How long it stays is on the Deployment itself, so that whoever comes next (a command on
//! the app, or `serve`) can take it down.

use serde_json::{Value as Json, json};

use super::drain::later;
use super::ground::{Ground, What};
use super::hands::Hands;
use super::sides;
use super::traffic::patch::{Patch, annotation};
use super::traffic::service::{TRACK, selector};
use crate::clock::Timestamp;
use crate::stage::deploy::Keep;
use crate::task::contract::{TaskError, effect};

/// The annotation that says how long a Deployment that no longer serves is kept.
pub const STANDBY_UNTIL: &str = "slipway.dev/standby-until";

/// What it says when the next release decides.
const NEXT_RELEASE: &str = "next-release";

/// Notes on a Deployment how long it is kept.
pub async fn keep(hands: &Hands<'_>, key: &str, deployment: &str, keep: &Keep) -> Result<(), TaskError> {
    let act = || async {
        let until = match keep {
            Keep::For(time) => later(hands.ctx.now(), *time).rfc3339(),
            Keep::NextRelease => NEXT_RELEASE.to_owned(),
        };
        hands.phase("keep", &format!("\"{deployment}\" stays at full size until {until}"), None).await?;
        let note = |live: &Json| Ok(Patch::new().annotate(live, STANDBY_UNTIL, Some(&until)));
        hands.change(What::Deployment, deployment, note).await.map(|_| ())
    };
    effect(hands.ctx, key, json!({"keep": deployment}), act, || async { Ok(None) }).await
}

/// A Deployment serves again, or is about to: nobody may take it down.
pub async fn forget(hands: &Hands<'_>, deployment: &str) -> Result<(), TaskError> {
    let forget = |live: &Json| Ok(Patch::new().annotate(live, STANDBY_UNTIL, None));
    hands.change(What::Deployment, deployment, forget).await.map(|_| ())
}

/// Deployments of an app whose time is over at `now` and that serve nothing, with the patches that take them down.
pub fn overdue(now: Timestamp, deployments: &[Json], services: &[Json]) -> Vec<(String, Patch)> {
    let serves = |deployment: &Json| {
        // Each colour has a Service of its own, which says nothing: what counts is a Service of no colour.
        services
            .iter()
            .filter(|service| service.pointer("/metadata/labels").and_then(|labels| labels.get(TRACK)).is_none())
            .any(|service| {
                let track = selector(service).get(TRACK).and_then(Json::as_str).unwrap_or_default().to_owned();
                sides::deployment_of(service, &track, deployments)
                    .is_some_and(|one| sides::name(one) == sides::name(deployment))
            })
    };
    let is_over = |deployment: &&Json| {
        let until = annotation(deployment, STANDBY_UNTIL).and_then(moment);
        until.is_some_and(|until| until <= now) && !serves(deployment)
    };
    let down = |deployment: &Json| {
        let patch =
            Patch::new().change(deployment, "/spec/replicas", Json::from(0)).annotate(deployment, STANDBY_UNTIL, None);
        (sides::name(deployment).to_owned(), patch)
    };
    deployments.iter().filter(is_over).map(down).collect()
}

/// Takes down what is kept no longer. The names of what went.
pub async fn sweep(ground: &dyn Ground, now: Timestamp, app: &str) -> Result<Vec<String>, TaskError> {
    let deployments = ground.list(What::Deployment, &format!("slipway.dev/app={app}")).await?;
    let services = ground.list(What::Service, "").await?;
    let mut gone = Vec::new();
    for (name, patch) in overdue(now, &deployments, &services) {
        // One that another hand changed meanwhile is left to the next sweep.
        if ground.patch(What::Deployment, &name, patch).await.is_ok() {
            gone.push(name);
        }
    }
    Ok(gone)
}

fn moment(text: &str) -> Option<Timestamp> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|moment| Timestamp(moment.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(track: &str, until: &str) -> Json {
        json!({"metadata": {"name": format!("backend-{track}"), "annotations": {STANDBY_UNTIL: until}},
            "spec": {"replicas": 3, "template": {"metadata": {"labels": {"app": "backend", TRACK: track}}}}})
    }

    fn service(track: &str) -> Json {
        json!({"metadata": {"name": "backend-service"}, "spec": {"selector": {"app": "backend", TRACK: track}}})
    }

    fn names(now: &str, deployments: &[Json], serving: &str) -> Vec<String> {
        let now = moment(now).expect("a time");
        overdue(now, deployments, &[service(serving)]).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_colour_goes_when_its_time_is_over() {
        let all = [deployment("blue", "2026-01-01T10:00:00Z")];
        assert_eq!(names("2026-01-01T09:59:59Z", &all, "green"), Vec::<String>::new());
        assert_eq!(names("2026-01-01T10:00:00Z", &all, "green"), ["backend-blue"]);
    }

    #[test]
    fn a_colour_that_serves_again_stays_whatever_it_says() {
        let all = [deployment("blue", "2026-01-01T10:00:00Z")];
        assert_eq!(names("2026-01-02T00:00:00Z", &all, "blue"), Vec::<String>::new());
    }

    #[test]
    fn until_the_next_release_is_no_time() {
        assert_eq!(names("2036-01-01T00:00:00Z", &[deployment("blue", NEXT_RELEASE)], "green"), Vec::<String>::new());
    }
}
