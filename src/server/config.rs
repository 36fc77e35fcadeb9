//! The server's configuration (`slipway.toml`): which repositories it serves, and what each of them may do.
//!
//! A secret stands in a file of its own or in a variable (`{ file = "..." }`, `{ env = "..." }`), or, less well, in the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::client::clone::{self, Credential};
use crate::client::git;
use crate::diagnostic::Diagnostics;
use crate::forge::kind::ForgeKind;
use crate::secret::Secret;
use crate::span::Source;
use crate::stage::Environment;
use crate::stage::settings::node_of_json;

/// Shorter webhook secrets and tokens can be guessed.
const MIN_SECRET: usize = 16;
/// A file with a secret is at most so long.
const MAX_FILE: u64 = 64 << 10;
/// Runs at once, unless the configuration says otherwise.
const MAX_RUNS: usize = 8;

/// The configuration, its secrets read.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where it listens, unless the command line says otherwise.
    pub listen: Option<String>,
    /// Its data folder, unless the command line says otherwise.
    pub data: Option<PathBuf>,
    /// Where people reach it: links in statuses.
    pub public_url: Option<String>,
    /// Whether notices may go to receivers on this machine and in private networks. Link-local addresses are never reached.
    pub private_receivers: bool,
    /// Runs at once; others wait.
    pub max_runs: usize,
    /// What whoever reads runs and logs must show; none: anybody may read.
    pub read_token: Option<Secret>,
    /// Repositories by name.
    pub repositories: BTreeMap<String, Repository>,
}

/// A repository.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Its name in the configuration and in URLs of this server.
    pub name: String,
    /// The forge.
    pub forge: ForgeKind,
    /// Where it is cloned from.
    pub url: String,
    /// What its webhooks are signed with.
    pub webhook_secret: Secret,
    /// What git signs in with.
    pub clone: Credential,
    /// The forge's API.
    pub api: Option<Api>,
    /// Who may approve.
    pub approvers: Vec<Approver>,
    /// Whether jobs without an image may run on this machine itself.
    pub host_runner: bool,
    /// Values of secrets.
    pub secrets: Vec<(String, Secret)>,
    /// Values of `vars`.
    pub vars: Vec<(String, String)>,
    /// Images of labels of `runs-on`.
    pub platforms: Vec<(String, String)>,
    /// Environments. They win over the file's, key by key.
    pub environments: Vec<Environment>,
    /// `owner/name` at the forge.
    pub project: String,
    /// Commits of history in a checkout; 0 is all.
    pub fetch_depth: u32,
}

/// The API of a forge.
#[derive(Debug, Clone)]
pub struct Api {
    /// Its root, such as `https://forge.example/api/v1`.
    pub url: String,
    /// The token.
    pub token: Secret,
}

/// Somebody who may approve.
#[derive(Debug, Clone)]
pub struct Approver {
    /// Who they are.
    pub name: String,
    /// Their groups.
    pub groups: Vec<String>,
    /// What they show.
    pub token: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ServerFile {
    listen: Option<String>,
    data: Option<PathBuf>,
    public_url: Option<String>,
    max_runs: Option<usize>,
    #[serde(default)]
    private_receivers: bool,
    read_token: Option<SecretFile>,
    #[serde(default)]
    repositories: BTreeMap<String, RepositoryFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RepositoryFile {
    forge: ForgeKind,
    url: String,
    webhook_secret: SecretFile,
    clone: Option<CloneFile>,
    api: Option<ApiFile>,
    #[serde(default)]
    approvers: Vec<ApproverFile>,
    #[serde(default)]
    host_runner: bool,
    #[serde(default)]
    secrets: BTreeMap<String, SecretFile>,
    #[serde(default)]
    vars: BTreeMap<String, String>,
    #[serde(default)]
    platforms: BTreeMap<String, String>,
    #[serde(default)]
    environments: Value,
    project: Option<String>,
    #[serde(default = "one")]
    fetch_depth: u32,
}

fn one() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CloneFile {
    user: Option<String>,
    token: Option<SecretFile>,
    ssh_key: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiFile {
    url: String,
    token: SecretFile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApproverFile {
    name: String,
    #[serde(default)]
    groups: Vec<String>,
    token: SecretFile,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SecretFile {
    Text(String),
    Named(NamedSecret),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedSecret {
    env: Option<String>,
    file: Option<PathBuf>,
}

/// Where secrets are looked up.
struct Lookup<'a> {
    folder: &'a Path,
    env: &'a dyn Fn(&str) -> Option<String>,
}

impl ServerConfig {
    /// Reads the file at `path`; `env` looks up a variable. The error says what is wrong where, and never shows a value.
    pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("failed to read \"{}\": {e}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::read(&text, folder, env)
            .map_err(|e| format!("\"{}\" is no configuration of a server: {e}", path.display()))
    }

    /// Reads a configuration; paths in it stand on `folder`.
    pub fn read(text: &str, folder: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        // The message without the source line: a secret may stand in it.
        let file: ServerFile = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        let lookup = Lookup { folder, env };
        if file.repositories.is_empty() {
            return Err("it names no repository; add [repositories.NAME]".to_owned());
        }
        let mut repositories = BTreeMap::new();
        for (name, repository) in file.repositories {
            let read = lookup.repository(&name, repository).map_err(|e| format!("repository \"{name}\": {e}"))?;
            repositories.insert(name, read);
        }
        Ok(Self {
            listen: file.listen,
            data: file.data.map(|data| folder.join(data)),
            public_url: file.public_url.map(|url| url.trim_end_matches('/').to_owned()),
            private_receivers: file.private_receivers,
            max_runs: file.max_runs.unwrap_or(MAX_RUNS).max(1),
            read_token: file.read_token.map(|token| lookup.long(&token, "read-token")).transpose()?,
            repositories,
        })
    }
}

/// Environments as a pipeline has them.
fn environments(value: &Value) -> Result<Vec<Environment>, String> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    let mut diagnostics = Diagnostics::new(Source::new("slipway.toml", ""));
    let environments = Environment::read_all(&node_of_json(value), &mut diagnostics, false);
    match diagnostics.list.first() {
        Some(first) => Err(format!("environments: {}", first.message)),
        None => Ok(environments),
    }
}

impl Lookup<'_> {
    fn repository(&self, name: &str, file: RepositoryFile) -> Result<Repository, String> {
        let plain = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !plain {
            return Err("its name stands in URLs: use letters, digits, \"-\" and \"_\"".to_owned());
        }
        clone::check_url(&file.url)?;
        let project = file.project.unwrap_or_else(|| git::path_of(&file.url));
        if !project.contains('/') {
            return Err(
                "the URL does not end in OWNER/NAME; say what it is called at the forge by \"project\"".to_owned()
            );
        }
        let mut approvers: Vec<Approver> = Vec::new();
        for approver in file.approvers {
            let token = self.long(&approver.token, &format!("the token of approver \"{}\"", approver.name))?;
            if approvers.iter().any(|known| known.token.expose() == token.expose()) {
                return Err(format!("approver \"{}\" has the token of another one", approver.name));
            }
            approvers.push(Approver { name: approver.name, groups: approver.groups, token });
        }
        let secrets = file
            .secrets
            .iter()
            .map(|(name, secret)| Ok((name.clone(), self.secret(secret, &format!("secret \"{name}\""))?)));
        let api = file.api.map(|api| {
            let url = url::Url::parse(&api.url).map_err(|e| format!("api.url is no URL: {e}"))?;
            if !matches!(url.scheme(), "https" | "http") {
                return Err("api.url is neither https nor http".to_owned());
            }
            Ok(Api { url: api.url.trim_end_matches('/').to_owned(), token: self.secret(&api.token, "api.token")? })
        });
        Ok(Repository {
            name: name.to_owned(),
            forge: file.forge,
            url: file.url,
            webhook_secret: self.long(&file.webhook_secret, "webhook-secret")?,
            clone: self.credential(file.clone)?,
            api: api.transpose()?,
            approvers,
            host_runner: file.host_runner,
            secrets: secrets.collect::<Result<_, String>>()?,
            vars: file.vars.into_iter().collect(),
            platforms: file.platforms.into_iter().collect(),
            environments: environments(&file.environments)?,
            project,
            fetch_depth: file.fetch_depth,
        })
    }

    fn credential(&self, file: Option<CloneFile>) -> Result<Credential, String> {
        match file {
            None => Ok(Credential::None),
            Some(CloneFile { token: Some(token), user, ssh_key: None }) => {
                let user = user.unwrap_or_else(|| "x-access-token".to_owned());
                Ok(Credential::Token { user, token: self.secret(&token, "clone.token")? })
            }
            Some(CloneFile { token: None, user: None, ssh_key: Some(key) }) => {
                Ok(Credential::Key(self.folder.join(key)))
            }
            Some(_) => Err("\"clone\" has either a \"token\" (with a \"user\") or an \"ssh-key\"".to_owned()),
        }
    }

    fn long(&self, secret: &SecretFile, what: &str) -> Result<Secret, String> {
        let value = self.secret(secret, what)?;
        if value.expose().len() < MIN_SECRET {
            return Err(format!("{what} is shorter than {MIN_SECRET} characters"));
        }
        Ok(value)
    }

    fn secret(&self, secret: &SecretFile, what: &str) -> Result<Secret, String> {
        let value = match secret {
            SecretFile::Text(text) => text.clone(),
            SecretFile::Named(NamedSecret { env: Some(name), file: None }) => {
                (self.env)(name).ok_or_else(|| format!("{what}: the variable \"{name}\" is not set"))?
            }
            SecretFile::Named(NamedSecret { env: None, file: Some(path) }) => {
                let path = self.folder.join(path);
                let failed = |e: std::io::Error| format!("{what}: failed to read \"{}\": {e}", path.display());
                if std::fs::metadata(&path).map_err(failed)?.len() > MAX_FILE {
                    return Err(format!("{what}: \"{}\" is larger than {} KiB", path.display(), MAX_FILE >> 10));
                }
                std::fs::read_to_string(&path).map_err(failed)?.trim_end_matches(['\r', '\n']).to_owned()
            }
            SecretFile::Named(_) => return Err(format!("{what} has either \"env\" or \"file\"")),
        };
        if value.is_empty() {
            return Err(format!("{what} is empty"));
        }
        Ok(Secret::new(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ServerConfig, String> {
        let env = |name: &str| (name == "HOOK").then(|| "0123456789abcdef".to_owned());
        ServerConfig::read(text, Path::new("/etc/slipway"), &env)
    }

    const SHOP: &str = "[repositories.shop]\nforge = \"gitea\"\nurl = \"https://forge.example/o/shop.git\"\n";

    #[test]
    fn a_repository_is_read_whole() {
        let config = read(&format!(
            "public-url = \"https://ci.example/\"\n{SHOP}webhook-secret = {{ env = \"HOOK\" }}\nhost-runner = true\n\
             clone = {{ user = \"bot\", token = \"t\" }}\napi = {{ url = \"https://forge.example/api/v1/\", token = \"a\" }}\n\
             vars = {{ REGION = \"eu\" }}\nsecrets = {{ KEY = \"value\" }}\n\
             [[repositories.shop.approvers]]\nname = \"ann\"\ngroups = [\"ops\"]\ntoken = \"fedcba9876543210\"\n\
             [repositories.shop.environments.production]\nnamespace = \"shop\"\n"
        ))
        .unwrap();
        let shop = &config.repositories["shop"];
        assert_eq!((config.public_url.as_deref(), config.max_runs), (Some("https://ci.example"), MAX_RUNS));
        assert_eq!(shop.webhook_secret.expose(), "0123456789abcdef");
        assert!(matches!(&shop.clone, Credential::Token { user, token } if user == "bot" && token.expose() == "t"));
        assert_eq!(shop.api.as_ref().map(|api| api.url.as_str()), Some("https://forge.example/api/v1"));
        assert_eq!(
            (shop.approvers[0].name.as_str(), shop.approvers[0].groups.as_slice()),
            ("ann", &["ops".to_owned()][..])
        );
        assert_eq!(shop.environments[0].namespace.as_deref(), Some("shop"));
        assert_eq!(shop.project, "o/shop");
        assert!(shop.host_runner && shop.fetch_depth == 1);
        // What is printed for people who look for a mistake shows no secret.
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("0123456789abcdef") && !shown.contains("fedcba9876543210") && !shown.contains("\"value\"")
        );
    }

    #[test]
    fn mistakes_are_named_and_values_are_not() {
        let hook = "webhook-secret = \"0123456789abcdef\"\n";
        for (text, why) in [
            ("", "it names no repository"),
            ("lisen = \"a\"", "unknown field `lisen`"),
            (&format!("{SHOP}{hook}tokn = 1"), "unknown field `tokn`"),
            (&format!("{SHOP}webhook-secret = \"short\""), "repository \"shop\": webhook-secret is shorter than 16"),
            (&format!("{SHOP}webhook-secret = {{ env = \"NONE\" }}"), "the variable \"NONE\" is not set"),
            (&format!("{SHOP}webhook-secret = {{ }}"), "webhook-secret has either \"env\" or \"file\""),
            (&format!("{SHOP}{hook}clone = {{ user = \"a\" }}"), "\"clone\" has either a \"token\""),
            (&format!("{SHOP}{hook}api = {{ url = \"file:///x\", token = \"t\" }}"), "neither https nor http"),
            (&SHOP.replace("https://forge.example", "ext::sh -c x"), "missing field `webhook-secret`"),
            (&format!("{}{hook}", SHOP.replace("https://forge.example/", "ext::sh")), "repository \"shop\": the URL"),
            (&format!("{}{hook}", SHOP.replace(".shop", ".\"a/b\"")), "letters, digits"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why) && !error.contains("0123456789abcdef"), "{text}: {error}");
        }
    }
}
