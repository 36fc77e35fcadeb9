//! Tells Prometheus of a namespace's pods while a test runs: Debian's is built without discovery of a cluster.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::Namespace;

/// How often the cluster is asked for its pods.
const EVERY: Duration = Duration::from_millis(500);

/// A list of targets that follows the pods.
pub(crate) struct Targets {
    file: PathBuf,
    over: Arc<AtomicBool>,
    follower: Option<JoinHandle<()>>,
}

impl Targets {
    /// Begins to follow; `None` where there is no Prometheus.
    pub(crate) fn follow(namespace: &Namespace) -> Option<Self> {
        let (_, dir) = namespace.ground.prometheus.as_ref()?;
        let file = PathBuf::from(dir).join("targets").join(format!("{}.json", namespace.name));
        let over = Arc::new(AtomicBool::new(false));
        let copy = Namespace { name: namespace.name.clone(), ground: namespace.ground };
        let follower = std::thread::spawn({
            let (file, over) = (file.clone(), over.clone());
            move || {
                while !over.load(Ordering::Relaxed) {
                    let text = Value::Array(targets(&copy)).to_string();
                    // Under another name first: Prometheus reads at once what it sees.
                    let new = file.with_extension("new");
                    if fs::read_to_string(&file).ok().as_deref() != Some(&text) && fs::write(&new, &text).is_ok() {
                        let _ = fs::rename(&new, &file);
                    }
                    std::thread::sleep(EVERY);
                }
                std::mem::forget(copy);
            }
        });
        Some(Self { file, over, follower: Some(follower) })
    }
}

impl Drop for Targets {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(follower) = self.follower.take() {
            let _ = follower.join();
        }
        let _ = fs::remove_file(&self.file);
    }
}

fn targets(namespace: &Namespace) -> Vec<Value> {
    let Ok(text) = namespace.try_kubectl(&["get", "pods", "-o", "json"]) else { return Vec::new() };
    let list: Value = serde_json::from_str(&text).unwrap_or_default();
    let pods = list["items"].as_array().cloned().unwrap_or_default();
    let with_address = pods.iter().filter_map(|pod| {
        let address = pod["status"]["podIP"].as_str()?;
        let labels = json!({"namespace": namespace.name, "pod": pod["metadata"]["name"]});
        Some(json!({"targets": [format!("{address}:8080")], "labels": labels}))
    });
    with_address.collect()
}
