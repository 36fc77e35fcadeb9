//! Images: used when they are there, pulled when they are not.

use std::time::Duration;

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptions;
use futures_util::StreamExt;

use crate::client::docker::credentials::for_registry;
use crate::client::docker::{reason, status};
use crate::clock::instant;
use crate::runner::contract::{Progress, RunnerError};
use crate::secret::Secret;

/// Attempts at a pull that fails for a passing reason.
const PULL_ATTEMPTS: u32 = 3;
/// How often the state of a pull is shown.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// What a runner must know of an image.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// As the engine says it (`amd64`).
    pub architecture: String,
    /// The user of its configuration; empty is root.
    pub user: String,
}

/// The image, pulled if it is not there.
pub async fn ensure_image(
    docker: &Docker,
    image: &str,
    credentials: Option<&(String, Secret)>,
    progress: &dyn Progress,
) -> Result<Image, RunnerError> {
    let fail = |reason: String| RunnerError::Image { image: image.to_owned(), reason };
    match inspect(docker, image).await {
        Ok(Some(found)) => return Ok(found),
        Ok(None) => {}
        Err(reason) => return Err(fail(reason)),
    }
    let credentials = match credentials {
        Some((name, password)) => Some(DockerCredentials {
            username: Some(name.clone()),
            password: Some(password.expose().to_owned()),
            ..DockerCredentials::default()
        }),
        None => for_registry(registry_of(image)).await,
    };
    progress.line(&format!("pulling image \"{image}\""));
    let mut attempt = 1;
    loop {
        match pull(docker, image, credentials.clone(), progress).await {
            Ok(()) => break,
            Err((reason, passing)) if passing && attempt < PULL_ATTEMPTS => {
                progress.line(&format!("pulling failed ({reason}); attempt {} follows", attempt + 1));
                tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
                attempt += 1;
            }
            Err((reason, _)) => {
                return Err(fail(format!(
                    "it is not on this machine, and pulling it failed: {reason}; check its name, or log in with `docker login`, or build it here"
                )));
            }
        }
    }
    match inspect(docker, image).await {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(fail("it was pulled, and the engine does not have it".to_owned())),
        Err(reason) => Err(fail(reason)),
    }
}

async fn inspect(docker: &Docker, image: &str) -> Result<Option<Image>, String> {
    match docker.inspect_image(image).await {
        Ok(found) => {
            let config = found.config.unwrap_or_default();
            Ok(Some(Image {
                architecture: found.architecture.unwrap_or_default(),
                user: config.user.unwrap_or_default(),
            }))
        }
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(reason(&error)),
    }
}

/// The error says whether trying again may help.
async fn pull(
    docker: &Docker,
    image: &str,
    credentials: Option<DockerCredentials>,
    progress: &dyn Progress,
) -> Result<(), (String, bool)> {
    let options = CreateImageOptions { from_image: Some(with_tag(image)), ..CreateImageOptions::default() };
    let mut stream = docker.create_image(Some(options), None, credentials);
    let mut shown = instant();
    let mut layers: Vec<(String, i64, i64)> = Vec::new();
    while let Some(item) = stream.next().await {
        let info = item.map_err(|e| (reason(&e), is_passing(status(&e), &reason(&e))))?;
        if let Some(message) = info.error_detail.and_then(|detail| detail.message) {
            let passing = is_passing(None, &message);
            return Err((message, passing));
        }
        if let (Some(id), Some(detail)) = (info.id, info.progress_detail)
            && let (Some(current), Some(total)) = (detail.current, detail.total)
        {
            match layers.iter_mut().find(|(known, _, _)| *known == id) {
                Some(layer) => (layer.1, layer.2) = (current, total),
                None => layers.push((id, current, total)),
            }
        }
        if shown.elapsed() >= SHOW_EVERY {
            shown = instant();
            let sum = layers.iter().fold((0, 0), |(c, t), (_, current, total)| (c + current, t + total));
            progress.state(&format!("pulling {image}: {} of {} MiB", sum.0 >> 20, sum.1 >> 20));
        }
    }
    Ok(())
}

/// Whether a failure may pass by itself: everything but "there is none" and "you may not".
fn is_passing(status: Option<u16>, message: &str) -> bool {
    let message = message.to_lowercase();
    let final_words = ["not found", "denied", "unauthorized", "manifest unknown", "invalid reference", "no such host"];
    !matches!(status, Some(400 | 401 | 403 | 404)) && !final_words.iter().any(|word| message.contains(word))
}

/// Without tag and digest an engine would pull every tag.
fn with_tag(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains(':') || name.contains('@') { image.to_owned() } else { format!("{image}:latest") }
}

/// The registry that an image's name begins with; `None` is the default one.
fn registry_of(image: &str) -> Option<&str> {
    let (first, _) = image.split_once('/')?;
    (first.contains('.') || first.contains(':') || first == "localhost").then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(with_tag("a/b"), "a/b:latest");
        assert_eq!(with_tag("reg.local:5000/a"), "reg.local:5000/a:latest");
        assert_eq!(with_tag("a@sha256:00"), "a@sha256:00");
        assert_eq!(registry_of("reg.local:5000/a"), Some("reg.local:5000"));
        assert_eq!(registry_of("library/a"), None);
        assert_eq!(registry_of("a"), None);
    }

    #[test]
    fn what_is_not_there_is_not_tried_again() {
        assert!(!is_passing(Some(404), "manifest for a:b not found"));
        assert!(!is_passing(Some(500), "pull access denied for a"));
        assert!(is_passing(Some(500), "net/http: TLS handshake timeout"));
        assert!(is_passing(None, "toomanyrequests"));
    }
}
