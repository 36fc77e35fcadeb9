//! Releases on record in the cluster: what was rolled out, with its objects, so that a way back needs no journal.

use std::io::{Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::render::APP;
use crate::client::kube::{Cluster, KubeError, SECRET};
use crate::clock::Timestamp;

/// So many are kept.
const KEPT: usize = 10;
/// A record's greatest size, unpacked.
const MAX_RECORD: u64 = 32 << 20;
/// The label that says that a Secret is one.
const LABEL: &str = "slipway.dev/release-of";

/// How a release stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It serves, or served until the next one did.
    Deployed,
    /// It was taken back.
    RolledBack,
    /// It failed, and a person was called.
    Failed,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Counts from 1.
    pub number: u64,
    /// The application.
    pub app: String,
    /// The namespace.
    pub namespace: String,
    /// The environment, where it has one.
    pub environment: Option<String>,
    /// `rolling`, `blue-green`, `canary` or `first`.
    pub strategy: String,
    /// How it stands.
    pub status: Status,
    /// Images by container.
    pub images: Vec<(String, String)>,
    /// The commit.
    pub commit: String,
    /// The run.
    pub run: String,
    /// When it came to this status, in milliseconds since 1970.
    pub at: Timestamp,
    /// The Service that leads to it.
    pub service: Option<String>,
    /// The Deployment as the manifests call it.
    pub deployment: Option<String>,
    /// The object whose change switches or weighs traffic: kind and name.
    pub router: Option<(String, String)>,
    /// Its objects, without a track.
    pub objects: Vec<Json>,
}

fn secret_name(app: &str, number: u64) -> String {
    format!("slipway.release.{app}.{number}")
}

/// All releases of an application that are on record, oldest first.
pub async fn list(cluster: &Cluster, namespace: &str, app: &str) -> Result<Vec<Release>, KubeError> {
    let secrets = cluster.list(&SECRET, namespace, &format!("{LABEL}={app}")).await?;
    let mut releases: Vec<Release> = secrets.iter().filter_map(unpack).collect();
    releases.sort_by_key(|release| release.number);
    Ok(releases)
}

/// Applications with releases in a namespace.
pub async fn apps(cluster: &Cluster, namespace: &str) -> Result<Vec<String>, KubeError> {
    let secrets = cluster.list(&SECRET, namespace, LABEL).await?;
    let mut apps: Vec<String> =
        secrets.iter().filter_map(|secret| secret["metadata"]["labels"][LABEL].as_str().map(str::to_owned)).collect();
    apps.sort();
    apps.dedup();
    Ok(apps)
}

/// Puts a release on record, and forgets the oldest.
pub async fn save(cluster: &Cluster, release: &Release) -> Result<(), KubeError> {
    let object = json!({"apiVersion": "v1", "kind": "Secret", "type": "slipway.dev/release",
        "metadata": {"name": secret_name(&release.app, release.number), "namespace": release.namespace,
            "labels": {LABEL: release.app, APP: release.app}},
        "data": {"release": pack(release)}});
    cluster.apply(&object).await?;
    let all = list(cluster, &release.namespace, &release.app).await?;
    for old in all.iter().take(all.len().saturating_sub(KEPT)) {
        // One that is gone already is none too many.
        let _ = cluster.delete(&SECRET, &release.namespace, &secret_name(&old.app, old.number)).await;
    }
    Ok(())
}

/// The release that serves: the newest that was deployed.
pub fn serving(releases: &[Release]) -> Option<&Release> {
    releases.iter().rev().find(|release| release.status == Status::Deployed)
}

fn pack(release: &Release) -> String {
    let json = serde_json::to_vec(release).unwrap_or_default();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    // Writing into memory does not fail.
    let _ = gzip.write_all(&json);
    STANDARD.encode(gzip.finish().unwrap_or_default())
}

/// One that another version wrote and that cannot be read is passed over.
fn unpack(secret: &Json) -> Option<Release> {
    let packed = STANDARD.decode(secret["data"]["release"].as_str()?).ok()?;
    let mut json = Vec::new();
    GzDecoder::new(packed.as_slice()).take(MAX_RECORD).read_to_end(&mut json).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(number: u64, status: Status) -> Release {
        Release {
            number,
            app: "a".into(),
            namespace: "n".into(),
            environment: None,
            strategy: "rolling".into(),
            status,
            images: vec![("web".into(), "a@sha256:b".into())],
            commit: "c".into(),
            run: "r".into(),
            at: Timestamp(1),
            service: None,
            deployment: None,
            router: None,
            objects: vec![json!({"kind": "ConfigMap"})],
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let one = release(3, Status::Deployed);
        let secret = json!({"data": {"release": pack(&one)}});
        assert_eq!(unpack(&secret), Some(one));
        assert_eq!(unpack(&json!({"data": {"release": "not packed"}})), None);
    }

    #[test]
    fn what_serves_is_the_newest_that_was_deployed() {
        let all = [release(1, Status::Deployed), release(2, Status::Deployed), release(3, Status::RolledBack)];
        assert_eq!(serving(&all).map(|one| one.number), Some(2));
    }
}
