//! What a pod's own state says: crashes, lost readiness, containers that cannot run. These need no metrics, and always count.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::snapshot::{Pod, Pods};
use crate::event::GateReading;

/// Silent so many samples in a row, a pod that had answered before hangs.
const SILENT: u32 = 5;
/// Why a pod that is gone is no fault of what runs in it.
const NOT_ITS_FAULT: [&str; 6] =
    ["Evicted", "Preempting", "NodeShutdown", "NodeLost", "Terminated", "UnexpectedAdmissionError"];
/// What a container waits for that never comes.
const HOPELESS: [&str; 7] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// A pod as the API server has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Restarts of its containers together.
    pub restarts: u64,
    /// Whether it takes traffic.
    pub ready: bool,
    /// What a container waits for that never comes.
    pub hopeless: Option<String>,
    /// How a container ended last.
    pub ended: Option<String>,
    /// Whether it failed as a whole.
    pub failed: bool,
}

impl Seen {
    /// Of a pod's object; none when it is going, or gone without a fault of its own.
    pub fn read(pod: &Json) -> Option<Seen> {
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        let reason = pod["status"]["reason"].as_str().unwrap_or_default();
        let going = !pod["metadata"]["deletionTimestamp"].is_null();
        if going || phase == "Succeeded" || phase == "Failed" && NOT_ITS_FAULT.contains(&reason) {
            return None;
        }
        let list = |value: &Json| value.as_array().cloned().unwrap_or_default();
        let mut seen = Seen {
            name: pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            ready: list(&pod["status"]["conditions"])
                .iter()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True"),
            failed: phase == "Failed",
            ..Seen::default()
        };
        for container in list(&pod["status"]["containerStatuses"]) {
            seen.restarts += container["restartCount"].as_u64().unwrap_or_default();
            if let Some(reason) = container["state"]["waiting"]["reason"].as_str()
                && HOPELESS.contains(&reason)
            {
                seen.hopeless = Some(reason.to_owned());
            }
            let ended = [&container["state"]["terminated"], &container["lastState"]["terminated"]];
            if let Some(ended) = ended.into_iter().find(|ended| !ended.is_null()) {
                let code = ended["exitCode"].as_i64().unwrap_or_default();
                seen.ended = Some(match ended["reason"].as_str() {
                    Some(reason) if reason != "Error" && reason != "Completed" => format!("{reason}, exit {code}"),
                    _ => format!("exit {code}"),
                });
            }
        }
        Some(seen)
    }
}

/// The signs of the new version's pods since a step's beginning.
#[derive(Debug, Clone, Default)]
pub struct Signs {
    /// Restarts at the beginning.
    begin: BTreeMap<String, u64>,
    /// Pods that have been ready.
    ready: BTreeSet<String>,
    /// Samples in a row in which a pod that answers did not.
    silent: BTreeMap<String, u32>,
    answered: BTreeSet<String>,
    /// Restarts that are let pass.
    allowed: u64,
}

impl Signs {
    /// From here on; `allowed` restarts are let pass.
    pub fn new(begin: &Pods, allowed: u64) -> Self {
        Self {
            begin: begin.iter().map(|(name, pod)| (name.clone(), pod.restarts)).collect(),
            ready: begin.iter().filter(|(_, pod)| pod.ready).map(|(name, _)| name.clone()).collect(),
            answered: begin.iter().filter(|(_, pod)| pod.counters.is_some()).map(|(name, _)| name.clone()).collect(),
            silent: BTreeMap::new(),
            allowed,
        }
    }

    /// Looks at the pods; each reading is a reason to take the version back. `answers` says whose metrics came, when they are
    /// read from the pods.
    pub fn look(&mut self, pods: &[Seen], answers: Option<&Pods>) -> Vec<GateReading> {
        let mut readings = Vec::new();
        let restarted: Vec<(&Seen, u64)> = pods
            .iter()
            .map(|pod| (pod, pod.restarts.saturating_sub(self.begin.get(&pod.name).copied().unwrap_or_default())))
            .filter(|(_, restarts)| *restarts > 0)
            .collect();
        let restarts: u64 = restarted.iter().map(|(_, restarts)| restarts).sum();
        if restarts > self.allowed
            && let Some((pod, _)) = restarted.first()
        {
            let how = pod.ended.as_ref().map(|ended| format!(" ({ended})")).unwrap_or_default();
            let times = if restarts == 1 { "1 restart" } else { &format!("{restarts} restarts") };
            readings.push(reading(
                "restarts",
                format!("{times}, pod \"{}\"{how}", pod.name),
                self.allowed.to_string(),
                pods,
            ));
        }
        for pod in pods {
            let is_down = pod.restarts > self.begin.get(&pod.name).copied().unwrap_or_default();
            if let Some(reason) = &pod.hopeless {
                readings.push(reading("pods", format!("pod \"{}\": {reason}", pod.name), "running".to_owned(), pods));
            } else if pod.failed {
                readings.push(reading("pods", format!("pod \"{}\" failed", pod.name), "running".to_owned(), pods));
            } else if pod.ready {
                self.ready.insert(pod.name.clone());
            } else if self.ready.contains(&pod.name) && !(is_down && restarts <= self.allowed) {
                // A restart that is let pass takes readiness with it for a while; that is let pass too.
                readings.push(reading(
                    "ready",
                    format!("pod \"{}\" is no longer ready", pod.name),
                    "ready".to_owned(),
                    pods,
                ));
            }
        }
        readings.extend(answers.and_then(|answers| self.silent(pods, answers)));
        readings
    }

    fn silent(&mut self, pods: &[Seen], answers: &Pods) -> Option<GateReading> {
        let mut silent = BTreeMap::new();
        for pod in pods {
            if answers.get(&pod.name).is_some_and(|Pod { counters, .. }| counters.is_some()) {
                self.answered.insert(pod.name.clone());
            } else if self.answered.contains(&pod.name) {
                let before = self.silent.get(&pod.name).copied().unwrap_or_default();
                silent.insert(pod.name.clone(), before + 1);
            }
        }
        self.silent = silent;
        let (name, times) = self.silent.iter().find(|(_, times)| **times >= SILENT)?;
        let measured = format!("pod \"{name}\" did not answer {times} times in a row");
        Some(reading("metrics", measured, "an answer".to_owned(), pods))
    }
}

fn reading(gate: &str, measured: String, limit: String, pods: &[Seen]) -> GateReading {
    GateReading {
        gate: gate.to_owned(),
        measured,
        limit,
        samples: pods.len() as u64,
        confidence: String::new(),
        severity: "P0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(restarts: u64, ready: bool, container: Json) -> Json {
        let mut container = container;
        container["restartCount"] = json!(restarts);
        let ready = if ready { "True" } else { "False" };
        json!({"metadata": {"name": "a"}, "status": {"phase": "Running",
            "conditions": [{"type": "Ready", "status": ready}], "containerStatuses": [container]}})
    }

    fn look(signs: &mut Signs, pod: &Json) -> Vec<GateReading> {
        signs.look(&Seen::read(pod).into_iter().collect::<Vec<_>>(), None)
    }

    fn begin(restarts: u64) -> Pods {
        [("a".to_owned(), Pod { restarts, ready: true, counters: None })].into()
    }

    #[test]
    fn a_crash_is_told_with_how_it_ended() {
        let mut signs = Signs::new(&begin(2), 0);
        assert!(look(&mut signs, &pod(2, true, json!({}))).is_empty(), "what was before does not count");
        let oom = json!({"lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}});
        let readings = look(&mut signs, &pod(3, true, oom));
        assert_eq!(readings[0].gate, "restarts");
        assert_eq!(readings[0].measured, "1 restart, pod \"a\" (OOMKilled, exit 137)");
        let waits = json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}});
        let readings = look(&mut signs, &pod(5, false, waits));
        assert_eq!(readings.iter().map(|reading| reading.gate.as_str()).collect::<Vec<_>>(), ["restarts", "pods"]);
    }

    #[test]
    fn lost_readiness_counts_and_what_is_not_ready_yet_does_not() {
        let mut signs = Signs::new(&begin(0), 0);
        assert_eq!(look(&mut signs, &pod(0, false, json!({})))[0].gate, "ready");
        let mut signs = Signs::new(&Pods::new(), 0);
        assert!(look(&mut signs, &pod(0, false, json!({}))).is_empty());
        assert!(look(&mut signs, &pod(0, true, json!({}))).is_empty());
        assert_eq!(look(&mut signs, &pod(0, false, json!({})))[0].gate, "ready");
    }

    #[test]
    fn restarts_that_are_let_pass_pass_with_their_readiness() {
        let mut signs = Signs::new(&begin(0), 1);
        assert!(look(&mut signs, &pod(1, false, json!({}))).is_empty());
        assert_eq!(look(&mut signs, &pod(2, true, json!({}))).len(), 1);
    }

    #[test]
    fn pods_that_go_are_not_looked_at() {
        let mut going = pod(4, false, json!({}));
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(Seen::read(&going), None);
        let mut evicted = pod(0, false, json!({}));
        evicted["status"]["phase"] = json!("Failed");
        assert!(Seen::read(&evicted).unwrap().failed);
        evicted["status"]["reason"] = json!("Evicted");
        assert_eq!(Seen::read(&evicted), None);
    }

    #[test]
    fn a_pod_that_stops_to_answer_is_a_sign() {
        let with = |counters| -> Pods { [("a".to_owned(), Pod { counters, ..Pod::default() })].into() };
        let seen = [Seen { name: "a".to_owned(), ready: true, ..Seen::default() }];
        let mut signs = Signs::new(&with(Some(Default::default())), 0);
        for _ in 1..SILENT {
            assert!(signs.look(&seen, Some(&with(None))).is_empty());
        }
        assert_eq!(signs.look(&seen, Some(&with(None)))[0].gate, "metrics");
        assert!(signs.look(&seen, Some(&with(Some(Default::default())))).is_empty());
        let mut never = Signs::new(&with(None), 0);
        assert!((0..20).all(|_| never.look(&seen, Some(&with(None))).is_empty()), "one that never answered is a gap");
    }
}
