//! Registry credentials of the user's docker configuration: `auths`, `credHelpers`, `credsStore`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// A helper that asks a person would wait for ever.
const HELPER_LIMIT: Duration = Duration::from_secs(20);
/// How the key begins under which the engine's own registry stands in the configuration.
const DEFAULT_KEY_BEGINS: &str = "https://index.";

/// Credentials for `registry` (`None`: the default one), if the user's configuration has some.
pub async fn for_registry(registry: Option<&str>) -> Option<DockerCredentials> {
    let text = tokio::fs::read_to_string(config_path()?).await.ok()?;
    let config: Value = serde_json::from_str(&text).ok()?;
    let keys = keys(registry, &config);
    let helper = keys.iter().find_map(|key| config["credHelpers"][key].as_str()).or(config["credsStore"].as_str());
    if let Some(helper) = helper {
        for key in &keys {
            if let Some(found) = ask_helper(helper, key).await {
                return Some(found);
            }
        }
    }
    keys.iter().find_map(|key| from_auth(&config["auths"][key]))
}

fn config_path() -> Option<PathBuf> {
    let folder = match std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(&std::env::var_os("HOME")?).join(".docker"),
    };
    Some(folder.join("config.json"))
}

/// The names under which a registry may stand in the configuration.
fn keys(registry: Option<&str>, config: &Value) -> Vec<String> {
    let known = config["auths"].as_object().into_iter().flatten().map(|(key, _)| key);
    match registry {
        None => known.filter(|key| key.starts_with(DEFAULT_KEY_BEGINS)).cloned().collect(),
        Some(host) => vec![host.to_owned(), format!("https://{host}"), format!("https://{host}/v1/")],
    }
}

fn from_auth(entry: &Value) -> Option<DockerCredentials> {
    let text = |key: &str| entry[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    if let Some(token) = text("identitytoken") {
        return Some(DockerCredentials { identitytoken: Some(token), ..DockerCredentials::default() });
    }
    let (username, password) = match text("auth") {
        Some(auth) => {
            let bytes = STANDARD.decode(auth).ok()?;
            let pair = String::from_utf8(bytes).ok()?;
            let (name, password) = pair.split_once(':')?;
            (name.to_owned(), password.trim_end_matches('\0').to_owned())
        }
        None => (text("username")?, text("password")?),
    };
    Some(DockerCredentials { username: Some(username), password: Some(password), ..DockerCredentials::default() })
}

/// Runs `docker-credential-<helper> get`. A name that is no plain word is not run.
async fn ask_helper(helper: &str, key: &str) -> Option<DockerCredentials> {
    if !helper.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return None;
    }
    let mut child = Command::new(format!("docker-credential-{helper}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(key.as_bytes()).await.ok()?;
    let output = tokio::time::timeout(HELPER_LIMIT, child.wait_with_output()).await.ok()?.ok()?;
    let answer: Value = serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success())?;
    let (name, secret) = (answer["Username"].as_str()?.to_owned(), answer["Secret"].as_str()?.to_owned());
    Some(match name.as_str() {
        // The helper's word for a token in place of a password.
        "<token>" => DockerCredentials { identitytoken: Some(secret), ..DockerCredentials::default() },
        _ => DockerCredentials { username: Some(name), password: Some(secret), ..DockerCredentials::default() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_registry_is_found_under_the_names_that_it_may_have() {
        let config = json!({"auths": {"https://index.example/v1/": {}, "reg.local:5000": {}}});
        assert_eq!(keys(None, &config), ["https://index.example/v1/"]);
        assert!(keys(Some("reg.local:5000"), &config).contains(&"reg.local:5000".to_owned()));
        assert!(keys(None, &json!({})).is_empty());
    }

    #[test]
    fn a_pair_is_read_in_both_forms() {
        let pair =
            |entry: Value| from_auth(&entry).map(|c| (c.username.unwrap_or_default(), c.password.unwrap_or_default()));
        let expected = Some(("ci".to_owned(), "a:b".to_owned()));
        assert_eq!(pair(json!({"auth": STANDARD.encode("ci:a:b")})), expected);
        assert_eq!(pair(json!({"username": "ci", "password": "a:b"})), expected);
        assert_eq!(pair(json!({"auth": "???"})), None);
        assert_eq!(pair(json!({})), None);
        assert_eq!(from_auth(&json!({"identitytoken": "t"})).and_then(|c| c.identitytoken).as_deref(), Some("t"));
    }
}
