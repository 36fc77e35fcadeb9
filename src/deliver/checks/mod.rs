//! Checks of what runs: of a deploy's new version before it gets traffic (`smoke`), and of all that serves (`verify`).
//!
//! Every check is tried until it is good often enough in a row, all at once, up to one deadline; a Job runs once. Then, where
//! it must stay so, each is tried on until it is bad too often in a row.

mod exec;
mod http;
mod job;
mod objects;
mod tcp;

use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::Value as Json;

use super::halt::{Halt, Reason};
use super::live::Live;
use crate::client::kube::Cluster;
use crate::clock::Timestamp;
use crate::stage::Checks;
use crate::stage::checks::{ExecCheck, HttpCheck};
use crate::task::contract::{TaskCtx, TaskError};

/// Pause between two tries of checks that say none.
const EVERY: Duration = Duration::from_secs(1);
/// So many bad answers in a row make a check fail that says no number.
const BAD: u32 = 3;
/// Pause between two looks whether to stop.
const LOOK: Duration = Duration::from_millis(200);

/// What is checked, and as whom.
pub struct Target<'t> {
    /// The cluster.
    pub cluster: &'t Cluster,
    /// The engine.
    pub ctx: &'t dyn TaskCtx,
    /// The namespace.
    pub namespace: String,
    /// What paths stand on; without it the pods are asked.
    pub url: Option<String>,
    /// A label selector of the pods.
    pub pods: String,
    /// The Deployments.
    pub workloads: Vec<Workload>,
    /// What the keys of effects begin with.
    pub key: String,
    /// What is put behind the names of Jobs: each runs once a release.
    pub suffix: String,
}

/// A Deployment that is checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Images by container that must run.
    pub images: Vec<(String, String)>,
}

/// Why checks are not good.
#[derive(Debug)]
pub enum Bad {
    /// One of them is not, and why.
    Check(String),
    /// The task cannot go on.
    Task(TaskError),
}

impl From<TaskError> for Bad {
    fn from(error: TaskError) -> Self {
        Bad::Task(error)
    }
}

/// One check that is tried again and again.
enum Probe<'c> {
    Http(&'c HttpCheck),
    Tcp(&'c str),
    Exec(&'c ExecCheck),
    Pods,
    Autoscaler,
}

impl Probe<'_> {
    fn all(checks: &Checks) -> Vec<Probe<'_>> {
        let mut probes: Vec<Probe<'_>> = checks.http.iter().map(Probe::Http).collect();
        probes.extend(checks.tcp.iter().map(|address| Probe::Tcp(address)));
        probes.extend(checks.exec.iter().map(Probe::Exec));
        probes.extend(checks.pods_ready.then_some(Probe::Pods));
        probes.extend(checks.hpa_able.then_some(Probe::Autoscaler));
        probes
    }

    fn name(&self) -> String {
        match self {
            Probe::Http(check) => format!("http {}", check.target),
            Probe::Tcp(address) => format!("tcp {address}"),
            Probe::Exec(check) => format!("exec in {}", check.pod),
            Probe::Pods => "pods: ready".to_owned(),
            Probe::Autoscaler => "hpa: able".to_owned(),
        }
    }

    async fn once(&self, target: &Target<'_>) -> Result<(), String> {
        match self {
            Probe::Http(check) => http::once(target, check).await,
            Probe::Tcp(address) => tcp::once(target, address).await,
            Probe::Exec(check) => exec::once(target, check).await,
            Probe::Pods => objects::pods_ready(target).await,
            Probe::Autoscaler => objects::autoscaler_able(target).await,
        }
    }

    fn every(&self) -> Duration {
        match self {
            Probe::Http(check) => check.every,
            _ => EVERY,
        }
    }

    /// So many good ones in a row, so many bad ones in a row.
    fn thresholds(&self) -> (u32, u32) {
        match self {
            Probe::Http(check) => (check.success_threshold, check.failure_threshold),
            _ => (1, BAD),
        }
    }

    async fn becomes_good(&self, target: &Target<'_>, until: Timestamp) -> Result<(), Bad> {
        let (wanted, _) = self.thresholds();
        let mut good = 0;
        loop {
            match self.once(target).await {
                Ok(()) => {
                    good += 1;
                    if good >= wanted {
                        target.ctx.log(&format!("{}: good", self.name())).await;
                        return Ok(());
                    }
                }
                Err(why) => {
                    good = 0;
                    target.ctx.state(&format!("{}: {why}", self.name()));
                    if target.ctx.now() >= until {
                        return Err(Bad::Check(format!("{}: {why}", self.name())));
                    }
                }
            }
            tokio::time::sleep(self.every()).await;
        }
    }

    async fn stays_good(&self, target: &Target<'_>, until: Timestamp) -> Result<(), Bad> {
        let (_, wanted) = self.thresholds();
        let mut bad = 0;
        while target.ctx.now() < until {
            tokio::time::sleep(self.every().min(until.since(target.ctx.now()))).await;
            match self.once(target).await {
                Ok(()) => bad = 0,
                Err(why) => {
                    bad += 1;
                    target.ctx.state(&format!("{}: {why}", self.name()));
                    if bad >= wanted {
                        let times = if bad == 1 { String::new() } else { format!(", {bad} times in a row") };
                        return Err(Bad::Check(format!("{}: {why}{times}", self.name())));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Waits until all checks are good, at most `until` then. Jobs run once.
pub async fn become_good(target: &Target<'_>, checks: &Checks, until: Timestamp) -> Result<(), Bad> {
    let probes = Probe::all(checks);
    let jobs = async {
        for path in &checks.jobs {
            job::run(target, path, until).await?;
        }
        Ok(())
    };
    let probes = try_join_all(probes.iter().map(|probe| probe.becomes_good(target, until)));
    tokio::try_join!(probes, jobs).map(|_| ())
}

/// Tries all checks on `until` then; Jobs do not run again.
pub async fn stay_good(target: &Target<'_>, checks: &Checks, until: Timestamp) -> Result<(), Bad> {
    let probes = Probe::all(checks);
    try_join_all(probes.iter().map(|probe| probe.stays_good(target, until))).await.map(|_| ())
}

/// The smoke checks of a deploy, on each of the new version's pods.
pub async fn smoke(live: &Live<'_>, key: &str, pods: &str) -> Result<(), Halt> {
    let checks = &live.spec.smoke;
    if checks.is_empty() {
        return Ok(());
    }
    let until = live.deadline(&format!("{key}-smoke")).await?;
    let all = super::ground::Ground::list(live, super::ground::What::Deployment, "").await?;
    let workload = |name| Workload { namespace: live.namespace.clone(), name, images: live.rendered.images.clone() };
    let target = Target {
        cluster: &live.cluster,
        ctx: live.ctx,
        namespace: live.namespace.clone(),
        url: None,
        pods: pods.to_owned(),
        workloads: of_pods(&all, pods).into_iter().map(workload).collect(),
        key: key.to_owned(),
        suffix: live.release.to_string(),
    };
    let stopped = async {
        loop {
            if let Err(halt) = live.stopped() {
                return halt;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        halt = stopped => Err(halt),
        good = become_good(&target, checks, until) => good.map_err(|bad| match bad {
            Bad::Check(why) => Halt::Back(Reason::new(format!("smoke check {why}"))),
            Bad::Task(error) => Halt::Task(error),
        }),
    }
}

/// Names of the Deployments whose pods this selector takes.
fn of_pods(deployments: &[Json], pods: &str) -> Vec<String> {
    let wanted: Vec<(&str, &str)> = pods.split(',').filter_map(|pair| pair.split_once('=')).collect();
    let takes = |deployment: &&Json| {
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        !wanted.is_empty() && wanted.iter().all(|(key, value)| labels[*key] == *value)
    };
    deployments.iter().filter(takes).map(|deployment| super::sides::name(deployment).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn deployments_are_those_whose_pods_are_taken() {
        let deployment = |name: &str, track: &str| json!({"metadata": {"name": name}, "spec": {"template": {"metadata": {"labels": {"app": "a", "slipway.dev/track": track}}}}});
        let all = [deployment("a-blue", "blue"), deployment("a-green", "green")];
        assert_eq!(of_pods(&all, "app=a,slipway.dev/track=green"), ["a-green"]);
        assert_eq!(of_pods(&all, "app=a").len(), 2);
        assert!(of_pods(&all, "").is_empty());
    }
}
