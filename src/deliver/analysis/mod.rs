//! Whether a new version is as good as it must be: what is counted, where it comes from, and who judges it.
//!
//! [`Watcher`] is what strategies and `verify` use. What judges is pure: [`counters`], [`snapshot`], [`stats`], [`judge`].

pub mod counters;
pub mod exposition;
pub mod gauge;
pub mod judge;
#[cfg(test)]
mod judge_tests;
mod reading;
pub mod signs;
pub mod snapshot;
mod source;
pub mod stats;
mod watcher;
#[cfg(test)]
mod watcher_tests;

use async_trait::async_trait;
use serde_json::Value as Json;

use super::ground::{Gates, Tracks, Verdict};
use crate::client::kube::Cluster;
use crate::stage::Analysis;
use crate::task::contract::TaskError;

pub use judge::{Judge, When};
pub use snapshot::Snapshot;
pub use watcher::{Look, Watcher};

/// Begins to look at pods, from `known` counters after a crash.
pub async fn begin(
    cluster: &Cluster,
    namespace: &str,
    analysis: &Analysis,
    tracks: &Tracks,
    known: Option<Json>,
) -> Result<Box<dyn Gates>, TaskError> {
    let known = known.map(serde_json::from_value).transpose();
    let known = known.map_err(|error| TaskError::Lost(format!("the counters on record cannot be read: {error}")))?;
    let watcher = Watcher::begin(cluster, namespace, analysis, tracks, known).await.map_err(TaskError::failed)?;
    Ok(Box::new(watcher))
}

#[async_trait]
impl Gates for Watcher {
    fn snapshot(&self) -> Json {
        serde_json::to_value(Watcher::snapshot(self)).unwrap_or_default()
    }

    async fn next(&mut self) -> Verdict {
        Watcher::next(self).await.verdict
    }

    async fn finish(&mut self) -> Verdict {
        Watcher::finish(self).await
    }
}
