//! What is asked of pods through the API server: HTTP, commands, logs.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams};
use kube::client::Body;
use tokio::io::AsyncReadExt;

use super::kind::segment;
use super::{Cluster, KubeError, POD, SERVICE, at, refused};
use crate::diagnostic::chain;

/// Output of a command, or an answer's body, beyond this is cut.
const MAX_BYTES: usize = 8 << 20;

/// A port that has not refused a connection for so long has taken it.
const QUIET: Duration = Duration::from_secs(1);

/// What a pod answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpReply {
    /// The status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, at most 8 MiB of it.
    pub body: Vec<u8>,
}

impl Cluster {
    /// GET `path` of a pod's port, through the API server. One try; an answer of any status is an answer.
    pub async fn proxy(
        &self,
        namespace: &str,
        pod: &str,
        port: u16,
        path: &str,
        limit: Duration,
    ) -> Result<HttpReply, KubeError> {
        let what = format!("ask {} for {path} on port {port}", at(&POD, namespace, pod));
        let uri = format!("{}:{port}/proxy/{}", POD.path(namespace, Some(pod)), path.trim_start_matches('/'));
        self.ask(uri, what, limit).await
    }

    /// The same of a Service's port.
    pub async fn proxy_service(
        &self,
        namespace: &str,
        service: &str,
        port: u16,
        secure: bool,
        path: &str,
        limit: Duration,
    ) -> Result<HttpReply, KubeError> {
        let what = format!("ask {} for {path} on port {port}", at(&SERVICE, namespace, service));
        let name = if secure { format!("https:{service}:{port}") } else { format!("{service}:{port}") };
        let uri = format!("{}/proxy/{}", SERVICE.path(namespace, Some(&name)), path.trim_start_matches('/'));
        self.ask(uri, what, limit).await
    }

    async fn ask(&self, uri: String, what: String, limit: Duration) -> Result<HttpReply, KubeError> {
        let failed = |reason: String| KubeError::Other { what: what.clone(), reason };
        let request = http::Request::builder().method("GET").uri(uri).body(Body::empty());
        let request = request.map_err(|error| failed(error.to_string()))?;
        let answer = async {
            let response = self.client.send(request).await.map_err(|error| failed(chain(&error)))?;
            let status = response.status().as_u16();
            let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            let mut body = response.into_body().collect_bytes().await.map_err(|error| failed(chain(&error)))?.to_vec();
            body.truncate(MAX_BYTES);
            Ok(HttpReply { status, headers, body })
        };
        match tokio::time::timeout(limit, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(failed(format!("no answer within {}", crate::clock::humanize(limit)))),
        }
    }

    /// Whether a pod's port takes a connection.
    pub async fn dial(&self, namespace: &str, pod: &str, port: u16, limit: Duration) -> Result<(), KubeError> {
        let what = format!("connect to port {port} of {}", at(&POD, namespace, pod));
        let failed = |reason: String| KubeError::Other { what: what.clone(), reason };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let dialled = async {
            let mut forward = api.portforward(pod, &[port]).await.map_err(|error| failed(chain(&error)))?;
            let refused = forward.take_error(port);
            // A refusal comes at once; a server that waits for the client's first word says nothing.
            let refused = match refused {
                Some(refused) => tokio::time::timeout(QUIET, refused).await.ok().flatten(),
                None => None,
            };
            forward.abort();
            refused.map_or(Ok(()), |reason| Err(failed(reason.trim().to_owned())))
        };
        match tokio::time::timeout(limit, dialled).await {
            Ok(dialled) => dialled,
            Err(_) => Err(failed(format!("no connection within {}", crate::clock::humanize(limit)))),
        }
    }

    /// Runs a command in a pod; its exit code, and both outputs together.
    pub async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        argv: &[String],
    ) -> Result<(i32, Vec<u8>), KubeError> {
        let mut output = Vec::new();
        let code = self.exec_to(namespace, pod, container, argv, &mut output).await?;
        Ok((code, output))
    }

    /// The same; standard output goes to `to` as it comes, standard error is given back in the error's place when it fails.
    pub async fn exec_to(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        argv: &[String],
        to: &mut (dyn tokio::io::AsyncWrite + Unpin + Send),
    ) -> Result<i32, KubeError> {
        self.exec_with(namespace, pod, container, argv, &[], to).await
    }

    /// The same; `input` goes to the command's standard input, which then stays open. Secrets go this way: arguments are seen
    /// by whoever sees the pod's processes and the API server's audit log.
    pub async fn exec_with(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        argv: &[String],
        input: &[u8],
        to: &mut (dyn tokio::io::AsyncWrite + Unpin + Send),
    ) -> Result<i32, KubeError> {
        let what =
            format!("run \"{}\" in {}", argv.first().map(String::as_str).unwrap_or_default(), at(&POD, namespace, pod));
        let failed = |reason: String| KubeError::Other { what: what.clone(), reason };
        let mut params = AttachParams::default().stdin(!input.is_empty()).stdout(true).stderr(true);
        params.container = container.map(str::to_owned);
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let mut process = api.exec(pod, argv, &params).await.map_err(|error| failed(chain(&error)))?;
        let (Some(mut stdout), Some(mut stderr)) = (process.stdout(), process.stderr()) else {
            return Err(failed("the command gives no output".to_owned()));
        };
        let mut stdin = process.stdin();
        if let Some(stdin) = &mut stdin {
            use tokio::io::AsyncWriteExt;
            stdin.write_all(input).await.map_err(|error| failed(error.to_string()))?;
            stdin.flush().await.map_err(|error| failed(error.to_string()))?;
        }
        let status = process.take_status();
        let mut errors = Vec::new();
        let copied = async {
            let (copied, read) = tokio::join!(tokio::io::copy(&mut stdout, to), stderr.read_to_end(&mut errors));
            copied.and(read.map(|_| 0))
        };
        copied.await.map_err(|error| failed(error.to_string()))?;
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        let status = serde_json::to_value(status).unwrap_or_default();
        if status["status"] == "Success" {
            return Ok(0);
        }
        let causes = status["details"]["causes"].as_array().cloned().unwrap_or_default();
        let code =
            causes.iter().find(|cause| cause["reason"] == "ExitCode").and_then(|cause| cause["message"].as_str());
        errors.truncate(MAX_BYTES);
        match code.and_then(|code| code.parse().ok()) {
            Some(code) => {
                use tokio::io::AsyncWriteExt;
                // What it said of its failure stands behind what it gave.
                to.write_all(&errors).await.map_err(|error| failed(error.to_string()))?;
                Ok(code)
            }
            None => Err(failed(status["message"].as_str().unwrap_or("it ended without saying how").to_owned())),
        }
    }

    /// The end of a pod's log.
    pub async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        lines: u32,
    ) -> Result<String, KubeError> {
        let what = format!("read the log of {}", at(&POD, namespace, pod));
        let container = container.map(|name| format!("&container={}", segment(name))).unwrap_or_default();
        let path = format!("{}/log?tailLines={lines}{container}", POD.path(namespace, Some(pod)));
        match self.once("GET", &path, None, "", &what).await {
            Ok((status, text)) if (200..300).contains(&status) => Ok(String::from_utf8_lossy(&text).into_owned()),
            Ok((status, text)) => Err(refused(status, &text, &what)),
            Err(reason) => Err(KubeError::Unreachable { what, reason }),
        }
    }
}
