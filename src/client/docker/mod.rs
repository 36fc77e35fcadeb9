//! The container engine's API: one connection, images with credentials, errors with a way out.

mod credentials;
mod image;

use bollard::Docker;
use bollard::errors::Error;
use tokio::sync::OnceCell;

use crate::runner::contract::RunnerError;

pub use credentials::for_registry;
pub use image::{Image, ensure_image};

/// Where an engine listens when nobody says otherwise.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// One call takes no longer; pulling and following streams on as long as something comes.
const TIMEOUT_SECONDS: u64 = 120;

/// The engine, connected to at the first use.
pub struct Engine {
    host: Option<String>,
    docker: OnceCell<Docker>,
}

impl Engine {
    /// The engine at `host` (`DOCKER_HOST`: `unix:///path` or `tcp://host:port`), else at the usual socket.
    pub fn new(host: Option<String>) -> Self {
        Self { host: host.filter(|host| !host.is_empty()), docker: OnceCell::new() }
    }

    /// The engine that the environment names.
    pub fn from_environment() -> Self {
        Self::new(std::env::var("DOCKER_HOST").ok())
    }

    /// Where it listens: a path, or a URL.
    pub fn host(&self) -> &str {
        self.host.as_deref().unwrap_or(DEFAULT_SOCKET)
    }

    /// Connects and agrees on a version, once.
    pub async fn client(&self) -> Result<&Docker, RunnerError> {
        self.docker.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Docker, RunnerError> {
        let host = self.host();
        let unavailable = |reason: String| RunnerError::Unavailable {
            what: format!("no container engine answers at \"{host}\""),
            reason: format!("{reason}; start Docker, or name another engine with DOCKER_HOST"),
        };
        let version = bollard::API_DEFAULT_VERSION;
        let docker = match host.split_once("://") {
            None | Some(("unix", _)) => Docker::connect_with_unix(host, TIMEOUT_SECONDS, version),
            Some(("tcp" | "http", _)) if std::env::var("DOCKER_TLS_VERIFY").is_ok_and(|on| !on.is_empty()) => {
                return Err(unavailable(
                    "engines behind TLS are not supported: forward its socket with ssh -L".to_owned(),
                ));
            }
            Some(("tcp" | "http", _)) => Docker::connect_with_http(host, TIMEOUT_SECONDS, version),
            Some((scheme, _)) => {
                return Err(unavailable(format!(
                    "{scheme}:// is not supported: forward the engine's socket (ssh -L /tmp/docker.sock:/var/run/docker.sock HOST) and use unix://"
                )));
            }
        };
        let docker = docker.map_err(|e| unavailable(reason(&e)))?;
        docker.negotiate_version().await.map_err(|e| unavailable(reason(&e)))
    }
}

/// The engine's own words, else the error's.
pub fn reason(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        Error::DockerStreamError { error } => error.trim().to_owned(),
        Error::SocketNotFoundError(path) => format!("there is no socket \"{path}\""),
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            text
        }
    }
}

/// The HTTP status that the engine answered with.
pub fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// A failed call: what was tried, and the engine's words.
pub fn failed(what: impl Into<String>) -> impl FnOnce(Error) -> RunnerError {
    let what = what.into();
    move |error| RunnerError::Other { what: format!("failed to {what}"), source: reason(&error).into() }
}
