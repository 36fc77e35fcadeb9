//! The gates of a release: what pods show by themselves (crashes, lost readiness), and what `analysis` measures.

mod pods;

use serde_json::Value as Json;

use super::ground::{Gates, Tracks};
use crate::client::kube::Cluster;
use crate::stage::Analysis;
use crate::task::contract::TaskError;

/// Begins to look at pods, from `known` counters after a crash.
pub async fn begin(
    cluster: &Cluster,
    namespace: &str,
    analysis: &Analysis,
    tracks: &Tracks,
    known: Option<Json>,
) -> Result<Box<dyn Gates>, TaskError> {
    let signs = pods::Signs::begin(cluster, namespace, analysis, tracks, known).await?;
    Ok(Box::new(signs))
}
