//! Checks of what runs, before it gets traffic.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::ground::Ground;
use super::halt::{Halt, Reason};
use super::live::{Live, failed};
use super::{manifest, sides, signs};
use crate::client::kube::{Cluster, HttpReply, POD};
use crate::stage::checks::HttpCheck;
use crate::task::contract::effect;

/// The smoke checks of a deploy, on each of the new version's pods.
pub async fn smoke(live: &Live<'_>, key: &str, pods: &str) -> Result<(), Halt> {
    let checks = &live.spec.smoke;
    let until = super::drain::later(live.ctx.now(), live.spec.progress_deadline);
    for check in &checks.http {
        loop {
            live.stopped()?;
            match on_pods(&live.cluster, &live.namespace, pods, check).await {
                Ok(()) => break,
                Err(why) if live.ctx.now() >= until => {
                    return Err(Halt::Back(Reason::new(format!("smoke check {}: {why}", check.target))));
                }
                Err(why) => live.ctx.state(&format!("smoke check {}: {why}", check.target)),
            }
            tokio::time::sleep(check.every.min(Duration::from_secs(1))).await;
        }
        live.ctx.log(&format!("smoke check {} passed on the new pods", check.target)).await;
    }
    for path in &checks.jobs {
        let root = live.ctx.workspace();
        let mut job = manifest::of_file(live.ctx, root, &root.join(path))?.pop().unwrap_or_default();
        let name = format!("{}-{}", sides::name(&job), live.release);
        job["metadata"]["name"] = Json::from(name.as_str());
        job["metadata"]["namespace"] = Json::from(live.namespace.as_str());
        let act = || async { live.apply(&job).await.map(|_| ()) };
        effect(live.ctx, &format!("{key}-job-{name}"), json!({"job": name}), act, || async { Ok(None) }).await?;
        live.job_done(&format!("{key}-{name}"), &name).await?;
    }
    Ok(())
}

/// One check on every ready pod of a selector; the reason when one does not answer as it should, or there is none.
pub async fn on_pods(cluster: &Cluster, namespace: &str, pods: &str, check: &HttpCheck) -> Result<(), String> {
    let all = cluster.list(&POD, namespace, pods).await.map_err(|e| failed(&e).to_string())?;
    let ready: Vec<&Json> = all.iter().filter(|pod| signs::is_ready(pod)).collect();
    if ready.is_empty() {
        return Err("no pod is ready".to_owned());
    }
    for pod in ready {
        let Some(port) = port_of(pod) else { return Err(format!("pod \"{}\" names no port", sides::name(pod))) };
        let began = crate::clock::instant();
        let answer = cluster.proxy(namespace, sides::name(pod), port, &check.target, check.timeout).await;
        let answer = answer.map_err(|e| crate::diagnostic::chain(&e))?;
        judge(check, &answer, began.elapsed()).map_err(|why| format!("pod \"{}\": {why}", sides::name(pod)))?;
    }
    Ok(())
}

/// Whether an answer is as the check wants it.
pub fn judge(check: &HttpCheck, answer: &HttpReply, took: Duration) -> Result<(), String> {
    let good = check.status.map_or((200..400).contains(&answer.status), |status| status == answer.status);
    if !good {
        let wanted = check.status.map_or("200 to 399".to_owned(), |status| status.to_string());
        return Err(format!("status {}, wanted {wanted}", answer.status));
    }
    if let Some(text) = &check.body
        && !String::from_utf8_lossy(&answer.body).contains(text.as_str())
    {
        return Err(format!("the body does not hold \"{text}\""));
    }
    if let Some(limit) = check.latency
        && took > limit
    {
        return Err(format!(
            "answered after {}, wanted {}",
            crate::clock::humanize(took),
            crate::clock::humanize(limit)
        ));
    }
    Ok(())
}

/// The port that a pod is asked on: its readiness probe's, else its first.
pub fn port_of(pod: &Json) -> Option<u16> {
    let containers = pod["spec"]["containers"].as_array()?;
    let ports = || containers.iter().flat_map(|one| one["ports"].as_array().into_iter().flatten());
    let number = |port: &Json| port.as_u64().and_then(|port| u16::try_from(port).ok());
    let probed = containers.iter().find_map(|container| {
        let port = container.pointer("/readinessProbe/httpGet/port")?;
        number(port).or_else(|| number(&ports().find(|one| one["name"] == *port)?["containerPort"]))
    });
    probed.or_else(|| number(&ports().next()?["containerPort"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_judged_by_status_body_and_time() {
        let answer = |status| HttpReply { status, headers: Vec::new(), body: b"all ok".to_vec() };
        let check =
            HttpCheck { body: Some("ok".into()), latency: Some(Duration::from_millis(10)), ..HttpCheck::of("/") };
        assert_eq!(judge(&check, &answer(200), Duration::ZERO), Ok(()));
        assert!(judge(&check, &answer(500), Duration::ZERO).is_err_and(|why| why.contains("status 500")));
        assert!(judge(&check, &answer(200), Duration::from_secs(1)).is_err_and(|why| why.contains("answered after")));
        let other = HttpCheck { body: Some("good".into()), ..check };
        assert!(judge(&other, &answer(200), Duration::ZERO).is_err());
    }

    #[test]
    fn the_probed_port_is_the_one() {
        let pod = json!({"spec": {"containers": [{"ports": [{"name": "a", "containerPort": 1}, {"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"port": "http"}}}]}});
        assert_eq!(port_of(&pod), Some(8080));
        assert_eq!(port_of(&json!({"spec": {"containers": [{"ports": [{"containerPort": 9}]}]}})), Some(9));
    }
}
