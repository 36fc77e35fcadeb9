//! The test ground as `scripts/testground` says it is.

use std::process::Command;
use std::sync::OnceLock;

/// Where things answer.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    pub(crate) kubeconfig: String,
    pub(crate) kubectl: String,
    /// `host:port` of the edge.
    pub(crate) edge: String,
    /// The application's images, without a tag.
    pub(crate) images: String,
    /// The registry's `host:port`.
    pub(crate) registry: String,
    /// The image of the example's database.
    pub(crate) database: String,
    /// Where S3 answers, where it is up.
    pub(crate) s3: Option<String>,
    /// The mail sink's `host:port`, where it is up.
    pub(crate) mail: Option<String>,
    /// Prometheus and its folder, where it is up.
    pub(crate) prometheus: Option<(String, String)>,
}

impl Ground {
    /// The ground, made once a process if no caller has made it. Where a cluster or an engine is missing the test says so and has
    /// passed in name only.
    pub(crate) fn get() -> Option<&'static Ground> {
        static GROUND: OnceLock<Result<Ground, String>> = OnceLock::new();
        match GROUND.get_or_init(|| Self::from_environment().map_or_else(Self::make, Ok)) {
            Ok(ground) => Some(ground),
            Err(why) => {
                println!("skipped: {why}");
                None
            }
        }
    }

    fn from_environment() -> Option<Ground> {
        Self::read(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn read(value: impl Fn(&str) -> Option<String>) -> Option<Ground> {
        let edge = value("SLIPWAY_TEST_EDGE")?;
        let prometheus = value("SLIPWAY_TEST_PROMETHEUS");
        Some(Ground {
            kubeconfig: value("KUBECONFIG")?,
            kubectl: value("SLIPWAY_TEST_KUBECTL")?,
            edge: edge.trim_start_matches("http://").trim_end_matches('/').to_owned(),
            images: value("SLIPWAY_TEST_MOODIFY")?,
            registry: value("SLIPWAY_TEST_REGISTRY")?,
            database: value("SLIPWAY_TEST_DATABASE").unwrap_or_default(),
            s3: value("SLIPWAY_TEST_S3"),
            mail: value("SLIPWAY_TEST_SMTP"),
            prometheus: prometheus.and_then(|text| text.split_once(' ').map(|(url, dir)| (url.into(), dir.into()))),
        })
    }

    fn make() -> Result<Ground, String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/testground");
        let shell = Command::new("bash")
            .args(["-c", "set -o pipefail; eval \"$(\"$0\")\" && env -0", script])
            .output()
            .map_err(|why| format!("the test ground cannot be made: {why}"))?;
        let said = String::from_utf8_lossy(&shell.stderr).into_owned();
        let text = String::from_utf8_lossy(&shell.stdout).into_owned();
        let value = |name: &str| {
            let mut pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value.to_owned())
        };
        Self::read(value).ok_or_else(|| {
            let missing = said.lines().filter(|line| line.contains("missing")).collect::<Vec<_>>().join("; ");
            format!("the test ground is not whole: {missing}")
        })
    }

    /// An image of the application by its tag.
    pub(crate) fn image(&self, tag: &str) -> String {
        format!("{}:{tag}", self.images)
    }
}
