//! A Kubernetes cluster: objects as JSON, each call with a time limit and bounded tries.
//!
//! Kinds that are not known beforehand are asked of the server (discovery). Writes are server-side apply under the field
//! manager [`MANAGER`], JSON patches with tests, or merges.

mod connect;
mod error;
mod kind;
mod pods;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::client::Body;
use serde_json::Value as Json;

pub use error::KubeError;
pub use kind::{
    ACCESS_REVIEW, CONFIG_MAP, CONTROLLER_REVISION, DAEMON_SET, DEPLOYMENT, DESTINATION_RULE, ENDPOINT_SLICE, EVENT,
    HPA, HTTP_ROUTE, INGRESS, JOB, Kind, LEASE, NAMESPACE, PDB, POD, REPLICA_SET, RESOURCE_QUOTA, SECRET, SERVICE,
    STATEFUL_SET, VIRTUAL_SERVICE,
};
pub use pods::HttpReply;

/// Under this name the fields are owned that Slipway sets.
pub const MANAGER: &str = "slipway";
/// A call's longest time.
const LIMIT: Duration = Duration::from_secs(30);
/// How often a call is tried that met a server which is busy or away.
const TRIES: u32 = 5;
/// The first pause between tries; each next is twice as long.
const PAUSE: Duration = Duration::from_millis(100);
/// An answer's greatest size.
const MAX_ANSWER: usize = 64 << 20;

/// A cluster. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    target: Arc<str>,
    kinds: Arc<Mutex<HashMap<String, Vec<Kind>>>>,
}

impl Cluster {
    /// For people: which context, which server.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The kind that manifests call `kind` of `api_version`.
    pub async fn kind(&self, api_version: &str, kind: &str) -> Result<Kind, KubeError> {
        let find = |kinds: &[Kind]| kinds.iter().find(|known| known.kind == kind).cloned();
        let known = |kinds: &Mutex<HashMap<String, Vec<Kind>>>| {
            kinds.lock().unwrap_or_else(PoisonError::into_inner).get(api_version).map(|kinds| find(kinds))
        };
        if let Some(Some(found)) = known(&self.kinds) {
            return Ok(found);
        }
        let root = if api_version.contains('/') { "/apis" } else { "/api" };
        let what = format!("look up the kinds of \"{api_version}\"");
        let missing = || KubeError::Other {
            what: format!("find the kind \"{kind}\" of \"{api_version}\""),
            reason: "the cluster does not know it; is its CRD installed?".to_owned(),
        };
        let list = match self.call("GET", &format!("{root}/{api_version}"), None, "", &what).await {
            Ok(list) => list,
            Err(KubeError::NotFound { .. }) => return Err(missing()),
            Err(error) => return Err(error),
        };
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let kinds: Vec<Kind> = list["resources"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|resource| !text(&resource["name"]).contains('/'))
            .map(|resource| Kind {
                api_version: api_version.to_owned().into(),
                kind: text(&resource["kind"]).into(),
                plural: text(&resource["name"]).into(),
                namespaced: resource["namespaced"].as_bool().unwrap_or(true),
            })
            .collect();
        let found = find(&kinds);
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).insert(api_version.to_owned(), kinds);
        found.ok_or_else(missing)
    }

    /// The kind of an object.
    pub async fn kind_of(&self, object: &Json) -> Result<Kind, KubeError> {
        let text = |key: &str| object[key].as_str().unwrap_or_default();
        self.kind(text("apiVersion"), text("kind")).await
    }

    /// An object.
    pub async fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Json, KubeError> {
        let what = format!("read {}", at(kind, namespace, name));
        self.call("GET", &kind.path(namespace, Some(name)), None, "", &what).await
    }

    /// An object; none when there is none.
    pub async fn find(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Option<Json>, KubeError> {
        match self.get(kind, namespace, name).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Objects of a namespace that a label selector takes; all when it is empty.
    pub async fn list(&self, kind: &Kind, namespace: &str, labels: &str) -> Result<Vec<Json>, KubeError> {
        let query = if labels.is_empty() { String::new() } else { format!("?labelSelector={}", kind::segment(labels)) };
        let what = format!("list {} in namespace \"{namespace}\"", kind.plural);
        let path = format!("{}{query}", kind.path(namespace, None));
        let mut list = self.call("GET", &path, None, "", &what).await?;
        let mut items = match list["items"].take() {
            Json::Array(items) => items,
            _ => Vec::new(),
        };
        // A list leaves away what all its items share.
        for item in &mut items {
            if let Some(item) = item.as_object_mut() {
                item.entry("apiVersion").or_insert_with(|| Json::from(&*kind.api_version));
                item.entry("kind").or_insert_with(|| Json::from(&*kind.kind));
            }
        }
        Ok(items)
    }

    /// Server-side apply: what `object` says becomes so; fields that others own are taken over.
    pub async fn apply(&self, object: &Json) -> Result<Json, KubeError> {
        self.apply_as(object, false).await
    }

    /// What [`Self::apply`] would make of it; nothing is written.
    pub async fn dry_apply(&self, object: &Json) -> Result<Json, KubeError> {
        self.apply_as(object, true).await
    }

    async fn apply_as(&self, object: &Json, dry: bool) -> Result<Json, KubeError> {
        let kind = self.kind_of(object).await?;
        let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
        let dry_run = if dry { "&dryRun=All" } else { "" };
        let path = format!("{}?fieldManager={MANAGER}&force=true{dry_run}", kind.path(namespace, Some(name)));
        let what = format!("{} {}", if dry { "try" } else { "apply" }, at(&kind, namespace, name));
        self.call("PATCH", &path, Some(object), "application/apply-patch+yaml", &what).await
    }

    /// A JSON patch (RFC 6902); a `test` that does not hold is [`KubeError::Invalid`].
    pub async fn json_patch(&self, kind: &Kind, namespace: &str, name: &str, patch: Json) -> Result<Json, KubeError> {
        let what = format!("change {}", at(kind, namespace, name));
        let path = format!("{}?fieldManager={MANAGER}", kind.path(namespace, Some(name)));
        self.call("PATCH", &path, Some(&patch), "application/json-patch+json", &what).await
    }

    /// A merge patch (RFC 7386).
    pub async fn merge(&self, kind: &Kind, namespace: &str, name: &str, patch: Json) -> Result<Json, KubeError> {
        let what = format!("change {}", at(kind, namespace, name));
        let path = format!("{}?fieldManager={MANAGER}", kind.path(namespace, Some(name)));
        self.call("PATCH", &path, Some(&patch), "application/merge-patch+json", &what).await
    }

    /// Makes an object; one that exists is [`KubeError::Conflict`].
    pub async fn create(&self, object: &Json) -> Result<Json, KubeError> {
        let kind = self.kind_of(object).await?;
        let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
        let path = format!("{}?fieldManager={MANAGER}", kind.path(namespace, None));
        self.call("POST", &path, Some(object), "application/json", &format!("make {}", at(&kind, namespace, name)))
            .await
    }

    /// Puts an object in the place of the one that is there; another `resourceVersion` is [`KubeError::Conflict`].
    pub async fn replace(&self, object: &Json) -> Result<Json, KubeError> {
        let kind = self.kind_of(object).await?;
        let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
        let path = format!("{}?fieldManager={MANAGER}", kind.path(namespace, Some(name)));
        self.call("PUT", &path, Some(object), "application/json", &format!("replace {}", at(&kind, namespace, name)))
            .await
    }

    /// Deletes an object, and what it owns in the background.
    pub async fn delete(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Json, KubeError> {
        let what = format!("delete {}", at(kind, namespace, name));
        let options = serde_json::json!({"propagationPolicy": "Background"});
        self.call("DELETE", &kind.path(namespace, Some(name)), Some(&options), "application/json", &what).await
    }

    /// A call whose answer is JSON. Calls that met a server which is busy or away are tried again: they are all such that
    /// twice is as good as once, or fail the second time by a test or a conflict that the caller looks into.
    async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Json>,
        content: &str,
        what: &str,
    ) -> Result<Json, KubeError> {
        let mut pause = PAUSE;
        let mut last = String::new();
        for attempt in 1..=TRIES {
            match self.once(method, path, body, content, what).await {
                Ok((status, text)) if (200..300).contains(&status) => {
                    return serde_json::from_slice(&text).map_err(|error| KubeError::Other {
                        what: what.to_owned(),
                        reason: format!("the answer cannot be read: {error}"),
                    });
                }
                Ok((429 | 500 | 502 | 503 | 504, text)) => last = reason(&text),
                Ok((status, text)) => return Err(refused(status, &text, what)),
                Err(error) => last = error,
            }
            if attempt < TRIES {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        Err(KubeError::Unreachable { what: what.to_owned(), reason: last })
    }

    async fn once(
        &self,
        method: &str,
        path: &str,
        body: Option<&Json>,
        content: &str,
        what: &str,
    ) -> Result<(u16, Vec<u8>), String> {
        let mut request = http::Request::builder().method(method).uri(path).header("accept", "application/json");
        if body.is_some() {
            request = request.header("content-type", content);
        }
        let bytes = body.map(|json| json.to_string().into_bytes()).unwrap_or_default();
        let request = request.body(Body::from(bytes)).map_err(|error| format!("{what}: {error}"))?;
        let answer = async {
            let response = self.client.send(request).await.map_err(|error| crate::diagnostic::chain(&error))?;
            let status = response.status().as_u16();
            let bytes = response.into_body().collect_bytes().await.map_err(|error| crate::diagnostic::chain(&error))?;
            if bytes.len() > MAX_ANSWER {
                return Err(format!("the answer is larger than {} MiB", MAX_ANSWER >> 20));
            }
            Ok((status, bytes.to_vec()))
        };
        match tokio::time::timeout(LIMIT, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
        }
    }
}

fn refused(status: u16, text: &[u8], what: &str) -> KubeError {
    let (what, reason) = (what.to_owned(), reason(text));
    match status {
        404 => KubeError::NotFound { what: what.split_once(' ').map_or(what.clone(), |(_, object)| object.to_owned()) },
        409 => KubeError::Conflict { what, reason },
        400 | 422 => KubeError::Invalid { what, reason },
        401 | 403 => KubeError::Forbidden { what, reason },
        _ => KubeError::Other { what, reason: format!("{reason} (status {status})") },
    }
}

/// What a Status object says, else the text's beginning.
fn reason(text: &[u8]) -> String {
    let status: Json = serde_json::from_slice(text).unwrap_or_default();
    match status["message"].as_str() {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned(),
    }
}

fn at(kind: &Kind, namespace: &str, name: &str) -> String {
    let place =
        if kind.namespaced && !namespace.is_empty() { format!(" in namespace \"{namespace}\"") } else { String::new() };
    format!("{}{place}", kind.named(name))
}

fn text<'j>(object: &'j Json, pointer: &str) -> &'j str {
    object.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}
