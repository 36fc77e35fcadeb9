//! Keeping new pods out of a Service that would select them.
//!
//! A Deployment without a track has pods whose labels the new side's pods have too. Before the first of those exists, the
//! Service's selector is narrowed to the pods of the ReplicaSet that runs.

use serde_json::{Map, Value as Json, json};

use super::ground::What;
use super::hands::Hands;
use super::traffic::service;
use crate::task::contract::{TaskError, effect};

/// The Service selects the pods of the ReplicaSet of this hash only.
pub async fn narrow(hands: &Hands<'_>, key: &str, service: &str, hash: &str) -> Result<(), TaskError> {
    select(hands, key, service, |selector| service::to_replica_set(selector, hash)).await
}

/// The Service selects as its manifest says.
pub async fn widen(hands: &Hands<'_>, key: &str, service: &str) -> Result<(), TaskError> {
    select(hands, key, service, service::bare).await
}

async fn select<F>(hands: &Hands<'_>, key: &str, service: &str, to: F) -> Result<(), TaskError>
where
    F: Fn(Map<String, Json>) -> Map<String, Json> + Send + Sync,
{
    let change = |live: &Json| Ok(service::select(live, to(service::selector(live))));
    let act = || async { hands.change(What::Service, service, change).await.map(|_| ()) };
    effect(hands.ctx, key, json!({"select": service}), act, || async { Ok(None) }).await
}
