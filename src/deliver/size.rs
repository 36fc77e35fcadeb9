//! Sizes of Deployments, and what keeps an autoscaler from shrinking the side that may have to take all traffic again.

use serde_json::{Value as Json, json};

use super::ground::What;
use super::hands::Hands;
use super::sides;
use super::traffic::patch::{Patch, annotation};
use crate::task::contract::{TaskError, effect};

/// The annotation of an autoscaler that holds its own least size, while it is held at another.
pub const SAVED_MIN: &str = "slipway.dev/saved-min";

/// The autoscaler of a Deployment.
pub async fn autoscaler(hands: &Hands<'_>, deployment: &str) -> Result<Option<Json>, TaskError> {
    let is_its = |hpa: &Json| {
        let text = |pointer: &str| hpa.pointer(pointer).and_then(Json::as_str);
        text("/spec/scaleTargetRef/kind") == Some("Deployment") && text("/spec/scaleTargetRef/name") == Some(deployment)
    };
    Ok(hands.all(What::Autoscaler).await?.into_iter().find(is_its))
}

/// Keeps the autoscaler of `deployment` from going under `replicas`, and notes on it what its least size was.
pub async fn hold(hands: &Hands<'_>, key: &str, deployment: &str, replicas: u32) -> Result<(), TaskError> {
    let act = || async {
        let Some(hpa) = autoscaler(hands, deployment).await? else { return Ok(()) };
        let min = least(&hpa);
        // It cannot be held above its own maximum.
        let max = hpa.pointer("/spec/maxReplicas").and_then(Json::as_u64).unwrap_or(u64::MAX);
        let wanted = u64::from(replicas).min(max);
        if wanted <= min || annotation(&hpa, SAVED_MIN).is_some() {
            return Ok(());
        }
        let keep = |live: &Json| {
            Ok(Patch::new().change(live, "/spec/minReplicas", Json::from(wanted)).annotate(
                live,
                SAVED_MIN,
                Some(&min.to_string()),
            ))
        };
        hands.change(What::Autoscaler, sides::name(&hpa), keep).await.map(|_| ())
    };
    effect(hands.ctx, key, json!({"hold": deployment, "replicas": replicas}), act, || async { Ok(None) }).await
}

/// Gives the autoscaler of `deployment` its own least size back.
pub async fn release(hands: &Hands<'_>, key: &str, deployment: &str) -> Result<(), TaskError> {
    let act = || async {
        let Some(hpa) = autoscaler(hands, deployment).await? else { return Ok(()) };
        let Some(min) = annotation(&hpa, SAVED_MIN).and_then(|text| text.parse::<u64>().ok()) else { return Ok(()) };
        let give = |live: &Json| {
            Ok(Patch::new().change(live, "/spec/minReplicas", Json::from(min)).annotate(live, SAVED_MIN, None))
        };
        hands.change(What::Autoscaler, sides::name(&hpa), give).await.map(|_| ())
    };
    effect(hands.ctx, key, json!({"release": deployment}), act, || async { Ok(None) }).await
}

fn least(hpa: &Json) -> u64 {
    hpa.pointer("/spec/minReplicas").and_then(Json::as_u64).unwrap_or(1)
}

/// Takes a Deployment down: to no pods, never by deleting what a way back may need.
pub async fn down(hands: &Hands<'_>, key: &str, deployment: &str) -> Result<(), TaskError> {
    let act = || async {
        if hands.get(What::Deployment, deployment).await?.is_some() {
            hands.scale(deployment, 0).await?;
        }
        Ok(())
    };
    effect(hands.ctx, key, json!({"scale": deployment, "replicas": 0}), act, || async { Ok(None) }).await
}
