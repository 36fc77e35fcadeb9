//! A namespace of a test's own, gone when the test is.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use slipway::clock::instant;

use super::Ground;

const PATIENCE: Duration = Duration::from_secs(120);

/// A namespace.
pub(crate) struct Namespace {
    pub(crate) name: String,
    pub(crate) ground: &'static Ground,
}

impl Namespace {
    /// A new one; `about` is a word for people who look at the cluster.
    pub(crate) fn new(ground: &'static Ground, about: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("h-{about}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let namespace = Self { name, ground };
        let object = serde_json::json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace.name, "labels": {"slipway.dev/test": "delivery"}}});
        namespace.apply(&object.to_string());
        // Pods are refused until their account is there.
        namespace.until("the default account is there", || namespace.try_kubectl(&["get", "sa", "default"]).is_ok());
        namespace
    }

    /// What kubectl prints, or what it complains of.
    pub(crate) fn try_kubectl(&self, args: &[&str]) -> Result<String, String> {
        self.run(args, None)
    }

    /// What kubectl prints.
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        self.run(args, None).unwrap()
    }

    /// Applies manifests as another hand than Slipway's.
    pub(crate) fn apply(&self, text: &str) {
        self.run(&["apply", "-f", "-"], Some(text)).unwrap();
    }

    /// An object, if it is there.
    pub(crate) fn object(&self, kind: &str, name: &str) -> Option<Value> {
        let text = self.try_kubectl(&["get", kind, name, "-o", "json"]).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }

    /// All objects of a kind that a selector names (all for an empty one).
    pub(crate) fn objects(&self, kind: &str, selector: &str) -> Vec<Value> {
        let text = self.kubectl(&["get", kind, "-l", selector, "-o", "json"]);
        let list: Value = serde_json::from_str(&text).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// The answer of a pod, through the API server.
    pub(crate) fn ask(&self, pod: &str, port: u16, path: &str) -> Result<String, String> {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}:{port}/proxy{path}", self.name);
        self.run(&["get", "--raw", &path], None)
    }

    /// Looks until it is so.
    pub(crate) fn until(&self, what: &str, so: impl FnMut() -> bool) {
        self.until_within(PATIENCE, what, so);
    }

    pub(crate) fn until_within(&self, patience: Duration, what: &str, mut so: impl FnMut() -> bool) {
        let start = instant();
        while !so() {
            assert!(
                start.elapsed() < patience,
                "waited in vain until {what}; there is: {}",
                self.try_kubectl(&["get", "all", "-o", "wide"]).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn run(&self, args: &[&str], input: Option<&str>) -> Result<String, String> {
        let mut child = Command::new(&self.ground.kubectl)
            .args(["--kubeconfig", &self.ground.kubeconfig, "--namespace", &self.name])
            .args(args)
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if let Some(text) = input {
            child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        }
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(format!("kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr)))
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // SLIPWAY_TEST_KEEP leaves it for people to look at.
        if std::env::var_os("SLIPWAY_TEST_KEEP").is_none() {
            let _ = self.try_kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
        }
    }
}
