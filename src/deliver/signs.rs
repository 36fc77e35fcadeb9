//! Signs of pods: what makes waiting hopeless, and what makes a running version bad.

use serde_json::Value as Json;

/// Restarts after which a container in a crash loop is given up.
const CRASHES: u64 = 3;

/// So much of what the kubelet says is repeated.
const MAX_SAID: usize = 160;

/// Why a pod will not become ready, if that is certain.
pub fn hopeless(pod: &Json) -> Option<String> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    for status in statuses(pod) {
        let (container, waiting) = (status["name"].as_str().unwrap_or_default(), &status["state"]["waiting"]);
        let reason = waiting["reason"].as_str().unwrap_or_default();
        let restarts = status["restartCount"].as_u64().unwrap_or(0);
        let is_lost = match reason {
            "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => true,
            "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => true,
            "CrashLoopBackOff" => restarts >= CRASHES,
            _ => false,
        };
        if is_lost {
            let said = waiting["message"].as_str().unwrap_or_default();
            let said: String = said.chars().take(MAX_SAID).collect();
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            return Some(format!(
                "{reason} of container \"{container}\" in pod \"{name}\" ({restarts} restarts){said}"
            ));
        }
    }
    None
}

/// Restarts of a pod's containers, and why the last one was, where that is known.
pub fn restarts(pod: &Json) -> (u64, Option<String>) {
    let count = statuses(pod).map(|status| status["restartCount"].as_u64().unwrap_or(0)).sum();
    let why = statuses(pod).find_map(|status| {
        let ended = &status["lastState"]["terminated"];
        let reason = ended["reason"].as_str()?;
        Some(format!("{reason}, exit code {}", ended["exitCode"].as_i64().unwrap_or_default()))
    });
    (count, why)
}

/// Whether a pod says that it is ready.
pub fn is_ready(pod: &Json) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let going = pod["metadata"].get("deletionTimestamp").is_some();
    !going && conditions.into_iter().flatten().any(|one| one["type"] == "Ready" && one["status"] == "True")
}

fn statuses(pod: &Json) -> impl Iterator<Item = &Json> {
    let list = |key: &str| pod["status"][key].as_array().map(Vec::as_slice).unwrap_or_default();
    list("initContainerStatuses").iter().chain(list("containerStatuses"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(reason: &str, restarts: u64) -> Json {
        json!({"metadata": {"name": "p"}, "status": {"containerStatuses": [
            {"name": "c", "restartCount": restarts, "state": {"waiting": {"reason": reason, "message": "m"}}}]}})
    }

    #[test]
    fn only_what_is_certain_is_hopeless() {
        assert!(hopeless(&pod("ImagePullBackOff", 0)).is_some_and(|why| why.contains("\"c\"") && why.ends_with(": m")));
        assert!(hopeless(&pod("CrashLoopBackOff", 3)).is_some());
        for (reason, restarts) in [("CrashLoopBackOff", 2), ("ErrImagePull", 0), ("ContainerCreating", 0)] {
            assert_eq!(hopeless(&pod(reason, restarts)), None, "{reason}");
        }
    }
}
