//! The right to deploy an application: a Lease in its namespace. Its count of transitions is the fencing epoch: an object that
//! a later epoch wrote is left alone, so a process that slept through its lease cannot move traffic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::client::kube::{Cluster, KubeError, LEASE};
use crate::clock::Timestamp;
use crate::event::Ending;
use crate::stage::deploy::OnBusy;
use crate::task::contract::{TaskCtx, TaskEnd, TaskError};

/// Without renewal the lease is free after so long.
const LASTS: Duration = Duration::from_secs(30);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(10);
/// How often somebody who waits looks.
const LOOK: Duration = Duration::from_secs(1);
/// The annotation by which another deploy asks this one to go back.
const PREEMPT: &str = "slipway.dev/preempted-by";

/// A lease that is held, and renewed while this lives.
pub struct Lease {
    cluster: Cluster,
    namespace: String,
    name: String,
    app: String,
    holder: String,
    shared: Arc<Shared>,
    renewal: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    epoch: AtomicU64,
    lost: AtomicBool,
    preempted: AtomicBool,
}

enum Taken {
    Ours(u64),
    Busy { holder: String, since: String },
}

impl Lease {
    /// Takes the lease of `app` for `holder`; one that this holder has already is taken up.
    pub async fn take(
        cluster: &Cluster,
        namespace: &str,
        app: &str,
        holder: &str,
        on_busy: OnBusy,
        ctx: &dyn TaskCtx,
    ) -> Result<Lease, TaskError> {
        let name = format!("slipway-{app}");
        let mut said = false;
        let epoch = loop {
            match attempt(cluster, namespace, &name, holder, ctx.now()).await? {
                Taken::Ours(epoch) => break epoch,
                Taken::Busy { holder: other, since } => {
                    let busy =
                        format!("\"{app}\" in namespace \"{namespace}\" is being deployed by {other} since {since}");
                    if on_busy == OnBusy::Refuse {
                        let message = format!("{busy}; wait for it, or set \"on-busy\" to queue or preempt");
                        return Err(TaskError::ended(message, Ending::Locked, TaskEnd::default()));
                    }
                    if !said {
                        said = true;
                        ctx.log(&format!("{busy}; waiting for it")).await;
                        if on_busy == OnBusy::Preempt {
                            let ask = json!({"metadata": {"annotations": {PREEMPT: holder}}});
                            cluster.merge(&LEASE, namespace, &name, ask).await?;
                        }
                    }
                    tokio::select! {
                        () = tokio::time::sleep(LOOK) => {}
                        () = ctx.cancelled() => return Err(TaskError::Cancelled),
                    }
                }
            }
        };
        let shared = Arc::new(Shared::default());
        shared.epoch.store(epoch, Ordering::SeqCst);
        let renewal = tokio::spawn(renew(
            cluster.clone(),
            namespace.to_owned(),
            name.clone(),
            holder.to_owned(),
            Arc::clone(&shared),
        ));
        let (namespace, app, holder) = (namespace.to_owned(), app.to_owned(), holder.to_owned());
        Ok(Lease { cluster: cluster.clone(), namespace, name, app, holder, shared, renewal })
    }

    /// The fencing epoch; an error when the lease is lost: then nothing may be written any more.
    pub fn epoch(&self) -> Result<u64, TaskError> {
        if self.shared.lost.load(Ordering::SeqCst) {
            let message = format!(
                "the lease of \"{}\" in namespace \"{}\" is another deploy's now; this one stops",
                self.app, self.namespace
            );
            return Err(TaskError::ended(message, Ending::Locked, TaskEnd::default()));
        }
        Ok(self.shared.epoch.load(Ordering::SeqCst))
    }

    /// Whether another deploy asked this one to go back.
    pub fn is_preempted(&self) -> bool {
        self.shared.preempted.load(Ordering::SeqCst)
    }

    /// Gives the lease back.
    pub async fn release(self) {
        self.renewal.abort();
        let mine = |live: &Json| live["spec"]["holderIdentity"] == self.holder.as_str();
        if let Ok(Some(mut live)) = self.cluster.find(&LEASE, &self.namespace, &self.name).await
            && mine(&live)
        {
            live["spec"]["holderIdentity"] = Json::Null;
            if let Some(annotations) = live["metadata"]["annotations"].as_object_mut() {
                annotations.shift_remove(PREEMPT);
            }
            // Whoever waits finds it free at the latest when it runs out.
            let _ = self.cluster.replace(&live).await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

async fn attempt(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    holder: &str,
    now: Timestamp,
) -> Result<Taken, TaskError> {
    let times = |transitions: u64| {
        json!({"holderIdentity": holder, "leaseDurationSeconds": LASTS.as_secs(), "acquireTime": micro(now),
            "renewTime": micro(now), "leaseTransitions": transitions})
    };
    for _ in 0..5 {
        let Some(mut live) = cluster.find(&LEASE, namespace, name).await? else {
            let object = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": name, "namespace": namespace}, "spec": times(first_epoch(now))});
            match cluster.create(&object).await {
                Ok(_) => return Ok(Taken::Ours(first_epoch(now))),
                Err(KubeError::Conflict { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
        };
        let other = live["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        let epoch = live["spec"]["leaseTransitions"].as_u64().unwrap_or(0);
        let renewed = live["spec"]["renewTime"].as_str().and_then(moment).unwrap_or_default();
        let is_free = other.is_empty() || now.since(renewed) > LASTS;
        if other != holder && !is_free {
            let since = live["spec"]["acquireTime"].as_str().unwrap_or("some time").to_owned();
            return Ok(Taken::Busy { holder: other, since });
        }
        let epoch = if other == holder { epoch } else { epoch + 1 };
        live["spec"] = times(epoch);
        if let Some(annotations) = live["metadata"]["annotations"].as_object_mut() {
            annotations.shift_remove(PREEMPT);
        }
        match cluster.replace(&live).await {
            Ok(_) => return Ok(Taken::Ours(epoch)),
            Err(KubeError::Conflict { .. } | KubeError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Taken::Busy { holder: "several others".to_owned(), since: "just now".to_owned() })
}

async fn renew(cluster: Cluster, namespace: String, name: String, holder: String, shared: Arc<Shared>) {
    let mut good = crate::clock::instant();
    loop {
        tokio::time::sleep(RENEW / 4).await;
        match cluster.find(&LEASE, &namespace, &name).await {
            Ok(Some(mut live)) => {
                let is_ours = live["spec"]["holderIdentity"] == holder.as_str()
                    && live["spec"]["leaseTransitions"].as_u64() == Some(shared.epoch.load(Ordering::SeqCst));
                if !is_ours {
                    shared.lost.store(true, Ordering::SeqCst);
                    return;
                }
                if live["metadata"]["annotations"].get(PREEMPT).is_some() {
                    shared.preempted.store(true, Ordering::SeqCst);
                }
                if good.elapsed() < RENEW {
                    continue;
                }
                live["spec"]["renewTime"] = Json::from(micro(crate::clock::Clock::now(&crate::clock::SystemClock)));
                if cluster.replace(&live).await.is_ok() {
                    good = crate::clock::instant();
                }
            }
            Ok(None) => shared.lost.store(true, Ordering::SeqCst),
            // The server is away: the lease is good as long as it lasts, and no longer.
            Err(_) => {}
        }
        if good.elapsed() > LASTS {
            shared.lost.store(true, Ordering::SeqCst);
        }
    }
}

/// The epoch of a lease that is made anew. Somebody may have deleted one whose epochs still stand on objects: the new one begins
/// above all that it can have reached, which is one a second at most.
fn first_epoch(now: Timestamp) -> u64 {
    /// 2025-01-01, so that a count of transitions (32 bits) lasts.
    const BEGINNING: i64 = 1_735_689_600;
    u64::try_from(now.0 / 1000 - BEGINNING).unwrap_or_default().max(1)
}

/// Kubernetes' MicroTime.
fn micro(time: Timestamp) -> String {
    let time = chrono::DateTime::from_timestamp_millis(time.0).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn moment(text: &str) -> Option<Timestamp> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|moment| Timestamp(moment.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_is_made_anew_is_above_the_one_that_was_deleted() {
        let day = 86_400_000;
        let first = Timestamp(1_790_000_000_000);
        let renewed = first_epoch(first) + 1000;
        assert!(first_epoch(Timestamp(first.0 + day)) > renewed);
        assert!(first_epoch(Timestamp(0)) == 1 && first_epoch(Timestamp(first.0 + 365 * 20 * day)) < i32::MAX as u64);
    }
}
