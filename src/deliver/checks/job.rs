//! A Job of a manifest that must succeed, once.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{Bad, Target};
use crate::client::kube::{JOB, KubeError, POD};
use crate::clock::Timestamp;
use crate::deliver::{manifest, sides, signs};
use crate::task::contract::{TaskError, effect};

/// Pause between two looks at it.
const LOOK: Duration = Duration::from_millis(300);
/// Lines of a failed Job's log that are shown.
const LOG_LINES: u32 = 20;
/// A name's greatest length.
const MAX_NAME: usize = 63;

/// Runs the Job of a file and waits for it.
pub(super) async fn run(target: &Target<'_>, path: &str, until: Timestamp) -> Result<(), Bad> {
    let (ctx, root) = (target.ctx, target.ctx.workspace());
    let objects = manifest::of_file(ctx, root, &root.join(path))?;
    let Some(mut job) = objects.into_iter().find(|object| object["kind"] == "Job") else {
        return Err(TaskError::failed(format!("\"{path}\" holds no Job")).into());
    };
    let name = named(sides::name(&job), &target.suffix);
    job["metadata"]["name"] = Json::from(name.as_str());
    job["metadata"]["namespace"] = Json::from(target.namespace.as_str());
    // The name is the release's: what exists is never made twice.
    let act = || async {
        ctx.log(&format!("job \"{name}\" of {path}")).await;
        match target.cluster.create(&job).await {
            Ok(_) | Err(KubeError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    };
    let find = || async {
        let found = target.cluster.find(&JOB, &target.namespace, &name).await.map_err(TaskError::from)?;
        Ok(found.map(|_| ()))
    };
    effect(ctx, &format!("{}-job-{name}", target.key), json!({"job": name}), act, find).await?;
    loop {
        let live = target.cluster.find(&JOB, &target.namespace, &name).await.map_err(TaskError::from)?;
        let Some(live) = live else {
            return Err(Bad::Check(format!("job \"{name}\" is gone; somebody deleted it")));
        };
        let is = |kind: &str| {
            let conditions = live["status"]["conditions"].as_array();
            conditions.into_iter().flatten().any(|one| one["type"] == kind && one["status"] == "True")
        };
        if is("Complete") {
            ctx.log(&format!("job \"{name}\": good")).await;
            return Ok(());
        }
        let pods = target.cluster.list(&POD, &target.namespace, &format!("job-name={name}")).await;
        let pods = pods.map_err(TaskError::from)?;
        let lost = pods.iter().find_map(signs::hopeless);
        let why = match lost {
            Some(why) => Some(why),
            None if is("Failed") => Some("it failed".to_owned()),
            None => (ctx.now() >= until).then(|| "it is not done in time".to_owned()),
        };
        if let Some(why) = why {
            return Err(Bad::Check(format!("job \"{name}\": {why}{}", log(target, &pods).await)));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Shows the end of the last pod's log; its last line for the reason.
async fn log(target: &Target<'_>, pods: &[Json]) -> String {
    let Some(pod) = pods.last() else { return String::new() };
    let Ok(log) = target.cluster.logs(&target.namespace, sides::name(pod), None, LOG_LINES).await else {
        return String::new();
    };
    for line in log.lines() {
        target.ctx.log(&format!("  {line}")).await;
    }
    let last = log.lines().rev().find(|line| !line.trim().is_empty());
    last.map(|last| format!("; its log ends: {last}")).unwrap_or_default()
}

/// A Job's name with a suffix, short enough for the label that its pods get.
fn named(name: &str, suffix: &str) -> String {
    let room = MAX_NAME.saturating_sub(suffix.len() + 1);
    let end = (0..=name.len().min(room)).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    format!("{}-{suffix}", name[..end].trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_short_and_keep_their_suffix() {
        assert_eq!(named("smoke", "12"), "smoke-12");
        let long = named(&"a".repeat(80), "verify-12");
        assert_eq!(long.len(), MAX_NAME);
        assert!(long.ends_with("-verify-12"));
    }
}
