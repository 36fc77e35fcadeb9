//! HTTP checks: on the environment's URL, or on the pods themselves through the API server.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value as Json;

use super::Target;
use crate::client::kube::{Cluster, HttpReply, POD};
use crate::deliver::{sides, signs};
use crate::diagnostic::chain;
use crate::stage::checks::HttpCheck;

/// So much of a body is looked through.
const MAX_BODY: usize = 8 << 20;

/// Asks once.
pub(super) async fn once(target: &Target<'_>, check: &HttpCheck) -> Result<(), String> {
    let url = match (&target.url, check.is_url()) {
        (_, true) => check.target.clone(),
        (Some(url), false) if !check.from_namespace => {
            format!("{}/{}", url.trim_end_matches('/'), check.target.trim_start_matches('/'))
        }
        // Within the namespace the pods themselves answer.
        _ => return on_pods(target.cluster, &target.namespace, &target.pods, check).await,
    };
    if check.from_namespace {
        return through_service(target, &url, check).await;
    }
    let began = crate::clock::instant();
    let answer = ask(&url, check.timeout).await?;
    judge(check, &answer, began.elapsed())
}

/// A URL as it is asked from within the namespace: its host names a Service, which the API server asks.
async fn through_service(target: &Target<'_>, url: &str, check: &HttpCheck) -> Result<(), String> {
    let url = url::Url::parse(url).map_err(|error| format!("\"{url}\" is no URL: {error}"))?;
    let host = url.host_str().unwrap_or_default();
    let mut parts = host.split('.');
    let (service, namespace) = (parts.next().unwrap_or_default(), parts.next().unwrap_or(&target.namespace));
    let port = url.port_or_known_default().unwrap_or(80);
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let secure = url.scheme() == "https";
    let began = crate::clock::instant();
    let answer = target.cluster.proxy_service(namespace, service, port, secure, &path, check.timeout).await;
    judge(check, &answer.map_err(|error| error.to_string())?, began.elapsed())
}

async fn ask(url: &str, limit: Duration) -> Result<HttpReply, String> {
    static CLIENT: OnceLock<Result<reqwest::Client, String>> = OnceLock::new();
    let client = CLIENT.get_or_init(|| {
        // A check wants to see the answer of what it asks, not of where that leads.
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).pool_max_idle_per_host(0);
        client.build().map_err(|error| format!("failed to prepare to ask: {}", chain(&error)))
    });
    let client = client.as_ref().map_err(Clone::clone)?;
    let failed = |error: reqwest::Error| {
        if error.is_timeout() {
            return format!("no answer within {}", crate::clock::humanize(limit));
        }
        chain(&error.without_url())
    };
    let mut response = client.get(url).timeout(limit).send().await.map_err(failed)?;
    let mut body = Vec::new();
    while body.len() < MAX_BODY
        && let Some(chunk) = response.chunk().await.map_err(failed)?
    {
        body.extend_from_slice(&chunk);
    }
    Ok(HttpReply { status: response.status().as_u16(), headers: Vec::new(), body })
}

/// One check on every ready pod of a selector; the reason when one does not answer as it should, or there is none.
pub(super) async fn on_pods(cluster: &Cluster, namespace: &str, pods: &str, check: &HttpCheck) -> Result<(), String> {
    let all = cluster.list(&POD, namespace, pods).await.map_err(|error| error.to_string())?;
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
fn judge(check: &HttpCheck, answer: &HttpReply, took: Duration) -> Result<(), String> {
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
fn port_of(pod: &Json) -> Option<u16> {
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
    use serde_json::json;

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
