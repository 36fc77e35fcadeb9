//! Time for requests under way, before pods that no longer get new ones go.

use std::time::Duration;

use serde_json::Value as Json;

use super::ground::What;
use super::hands::Hands;
use crate::clock::Timestamp;
use crate::task::contract::{TaskError, remember};

/// At least so long, where `drain` is not given: connections that are kept open are used again for about as long.
const LEAST: Duration = Duration::from_secs(30);

/// How long: `drain`, else the longer of 30 seconds and the pods' grace.
pub fn time(given: Option<Duration>, deployment: Option<&Json>) -> Duration {
    let grace = deployment
        .and_then(|live| live.pointer("/spec/template/spec/terminationGracePeriodSeconds"))
        .and_then(Json::as_u64)
        .map(Duration::from_secs);
    given.unwrap_or_else(|| LEAST.max(grace.unwrap_or_default()))
}

/// Waits until the old side's requests are over, from the first call on, also over a crash.
pub async fn old_side(hands: &Hands<'_>, key: &str, deployment: &str) -> Result<(), TaskError> {
    let ctx = hands.ctx;
    let until: Timestamp = remember(ctx, key, || async {
        let live = hands.get(What::Deployment, deployment).await?;
        let time = time(hands.about.drain, live.as_ref());
        let text = format!("\"{deployment}\" gets {} for requests under way", crate::clock::humanize(time));
        hands.phase("drain", &text, None).await?;
        Ok(later(ctx.now(), time))
    })
    .await?;
    tokio::time::sleep(until.since(ctx.now())).await;
    Ok(())
}

/// `time` after `from`.
pub fn later(from: Timestamp, time: Duration) -> Timestamp {
    Timestamp(from.0.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_drain_is_what_is_given_else_at_least_the_grace() {
        let pods = json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 45}}}});
        assert_eq!(time(None, Some(&pods)), Duration::from_secs(45));
        assert_eq!(time(None, None), Duration::from_secs(30));
        assert_eq!(time(Some(Duration::ZERO), Some(&pods)), Duration::ZERO);
    }

    #[test]
    fn a_moment_later_is_in_milliseconds() {
        assert_eq!(later(Timestamp(1_000), Duration::from_millis(1_500)), Timestamp(2_500));
    }
}
