//! A command in a pod that must succeed.

use std::time::Duration;

use super::Target;
use crate::client::kube::{DAEMON_SET, DEPLOYMENT, POD, STATEFUL_SET};
use crate::deliver::{sides, signs};
use crate::stage::checks::ExecCheck;

/// A command's longest time.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs it once.
pub(super) async fn once(target: &Target<'_>, check: &ExecCheck) -> Result<(), String> {
    let namespace = check.namespace.as_deref().unwrap_or(&target.namespace);
    let pod = pod(target, namespace, &check.pod).await?;
    let argv = ["sh", "-c", check.run.as_str()].map(str::to_owned);
    let ran = tokio::time::timeout(LIMIT, target.cluster.exec(namespace, &pod, None, &argv)).await;
    match ran {
        Err(_) => Err(format!("in pod \"{pod}\" it did not end within {}", crate::clock::humanize(LIMIT))),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok((0, _))) => Ok(()),
        Ok(Ok((code, output))) => {
            let output = String::from_utf8_lossy(&output);
            let last = output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no output");
            Err(format!("in pod \"{pod}\" it ended with {code}: {last}"))
        }
    }
}

/// The pod that is meant: itself by name, or one that is ready of a Deployment, StatefulSet or DaemonSet.
async fn pod(target: &Target<'_>, namespace: &str, named: &str) -> Result<String, String> {
    let Some((kind, name)) = named.split_once('/') else {
        return Ok(named.to_owned());
    };
    let kind = match kind.to_ascii_lowercase().as_str() {
        "deployment" | "deployments" | "deploy" => DEPLOYMENT,
        "statefulset" | "statefulsets" | "sts" => STATEFUL_SET,
        "daemonset" | "daemonsets" | "ds" => DAEMON_SET,
        "pod" | "pods" => return Ok(name.to_owned()),
        other => return Err(format!("\"{other}\" has no pods; name a deployment, statefulset, daemonset or pod")),
    };
    let owner = target.cluster.get(&kind, namespace, name).await.map_err(|error| error.to_string())?;
    let pods = target.cluster.list(&POD, namespace, &sides::pod_selector(&owner)).await;
    let pods = pods.map_err(|error| error.to_string())?;
    let ready = pods.iter().find(|pod| signs::is_ready(pod));
    ready.map(|pod| sides::name(pod).to_owned()).ok_or_else(|| format!("no pod of {named} is ready"))
}
