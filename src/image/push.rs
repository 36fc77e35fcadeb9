//! Pushing an image, and looking for it in the registry.

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::query_parameters::{PushImageOptions, TagImageOptions};
use futures_util::StreamExt;

use crate::client::docker::{for_registry, reason, status};
use crate::task::contract::TaskCtx;

use super::name::Name;

/// Attempts at a push that fails for a passing reason.
const ATTEMPTS: u32 = 3;

/// Who pushes to `registry`: who the file names, else who is logged in.
pub async fn credentials(given: Option<&(String, String)>, registry: Option<&str>) -> Option<DockerCredentials> {
    match given {
        Some((username, password)) => Some(DockerCredentials {
            username: Some(username.clone()),
            password: Some(password.clone()),
            serveraddress: registry.map(str::to_owned),
            ..DockerCredentials::default()
        }),
        None => for_registry(registry).await,
    }
}

/// Gives the image this name.
pub async fn tag(docker: &Docker, image: &str, name: &Name) -> Result<(), String> {
    let options = TagImageOptions { repo: Some(name.repository.clone()), tag: Some(name.tag.clone()) };
    docker.tag_image(image, Some(options)).await.map_err(|error| reason(&error))
}

/// Pushes the name and gives the digest of its manifest.
pub async fn push(
    docker: &Docker,
    name: &Name,
    credentials: Option<&DockerCredentials>,
    ctx: &dyn TaskCtx,
) -> Result<String, String> {
    let mut attempt = 1;
    loop {
        match once(docker, name, credentials, ctx).await {
            Ok(Some(digest)) => return Ok(digest),
            Ok(None) => {
                let found = in_registry(docker, name, credentials).await?;
                return found.ok_or_else(|| "it was pushed, and the registry does not have it".to_owned());
            }
            Err(why) if attempt < ATTEMPTS && is_passing(&why) => {
                ctx.log(&format!("pushing \"{}\" failed ({why}); attempt {} follows", name.full(), attempt + 1)).await;
                tokio::time::sleep(std::time::Duration::from_secs(1 << attempt)).await;
                attempt += 1;
            }
            Err(why) => return Err(with_way_out(&why, name, credentials.is_some())),
        }
    }
}

async fn once(
    docker: &Docker,
    name: &Name,
    credentials: Option<&DockerCredentials>,
    ctx: &dyn TaskCtx,
) -> Result<Option<String>, String> {
    let options = PushImageOptions { tag: Some(name.tag.clone()), ..PushImageOptions::default() };
    let mut stream = docker.push_image(&name.repository, Some(options), credentials.cloned());
    let mut digest = None;
    while let Some(item) = stream.next().await {
        let info = item.map_err(|error| reason(&error))?;
        if let Some(message) = info.error_detail.and_then(|detail| detail.message) {
            return Err(message);
        }
        let Some(status) = info.status else { continue };
        match digest_of(&status) {
            Some(found) => digest = Some(found),
            None => ctx.state(&format!("pushing {}: {status}", name.full())),
        }
    }
    Ok(digest)
}

/// `1.0: digest: sha256:... size: 528`
fn digest_of(status: &str) -> Option<String> {
    let mut words = status.split_whitespace().skip_while(|word| *word != "digest:");
    words.nth(1).filter(|digest| digest.starts_with("sha256:")).map(str::to_owned)
}

/// The digest that the registry has under this name.
pub async fn in_registry(
    docker: &Docker,
    name: &Name,
    credentials: Option<&DockerCredentials>,
) -> Result<Option<String>, String> {
    match docker.inspect_registry_image(&name.full(), credentials.cloned()).await {
        Ok(found) => Ok(found.descriptor.digest),
        Err(error) if status(&error) == Some(404) => Ok(None),
        // A registry that does not know the repository answers so too.
        Err(error) if reason(&error).contains("manifest unknown") => Ok(None),
        Err(error) => Err(reason(&error)),
    }
}

/// Whether this very image was pushed under the name: what the registry has is what the engine noted of its push.
pub async fn was_pushed(
    docker: &Docker,
    image: &str,
    name: &Name,
    credentials: Option<&DockerCredentials>,
) -> Option<String> {
    // An engine that cannot say so pushes again, which changes nothing where it is there.
    let there = in_registry(docker, name, credentials).await.ok()??;
    let pushed = docker.inspect_image(image).await.ok()?.repo_digests?;
    pushed.contains(&format!("{}@{there}", name.repository)).then_some(there)
}

fn is_denied(why: &str) -> bool {
    let why = why.to_lowercase();
    ["unauthorized", "denied", "no basic auth", "authentication required", "401", "403"]
        .iter()
        .any(|word| why.contains(word))
}

fn is_passing(why: &str) -> bool {
    let why = why.to_lowercase();
    !is_denied(&why)
        && ["timeout", "reset", "eof", "refused", "502", "503", "504", "toomanyrequests"]
            .iter()
            .any(|word| why.contains(word))
}

/// What to do, beside what happened.
fn with_way_out(why: &str, name: &Name, had_credentials: bool) -> String {
    let registry = name.registry.as_deref().unwrap_or("the engine's own registry");
    let help = match () {
        () if is_denied(why) && had_credentials => {
            format!(
                "\"{registry}\" refuses these credentials: check them, and that they may push to \"{}\"",
                name.repository
            )
        }
        () if is_denied(why) => {
            let login = name.registry.as_deref().unwrap_or_default();
            format!("log in with `docker login {login}`, or give \"credentials\"").replace(" `,", "`,")
        }
        () if why.contains("HTTP response to HTTPS client") => {
            format!(
                "\"{registry}\" speaks no TLS: list it under \"insecure-registries\" of the engine, or give it a certificate"
            )
        }
        () if is_passing(why) => format!("\"{registry}\" does not answer: check that it runs, and its name"),
        () => return why.to_owned(),
    };
    format!("{why}; {help}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_in_the_last_words_of_a_push() {
        assert_eq!(digest_of("1.0: digest: sha256:ab size: 528").as_deref(), Some("sha256:ab"));
        assert_eq!(digest_of("Pushed"), None);
        assert_eq!(digest_of("digest: none"), None);
    }

    #[test]
    fn a_refused_push_says_what_to_do() {
        let name = Name::parse("reg.local:5000/team/app:1");
        let text = |why: &str, had| with_way_out(why, &name, had);
        assert!(
            text("no basic auth credentials", false)
                .ends_with("log in with `docker login reg.local:5000`, or give \"credentials\"")
        );
        assert!(text("unauthorized: authentication required", true).contains("refuses these credentials"));
        assert!(text("http: server gave HTTP response to HTTPS client", false).contains("insecure-registries"));
        assert!(text("dial tcp 10.0.0.1:5000: connect: connection refused", false).contains("check that it runs"));
        assert!(!is_passing("denied: requested access to the resource is denied") && is_passing("unexpected EOF"));
        assert!(with_way_out("denied", &Name::parse("app"), false).contains("`docker login`"));
    }
}
