//! `slipway.toml` of the user: environments (clusters, approvers, variables) and the key of backups. It stands outside of any
//! checkout, so that a change to a repository cannot change who approves and where things go.

use std::path::PathBuf;

use crate::diagnostic::Diagnostics;
use crate::secret::Secret;
use crate::span::Source;
use crate::stage::Environment;
use crate::stage::settings::node_of_json;
use crate::store::contract::StoreError;

/// What the file says.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Environments; they win over a pipeline's, key by key.
    pub environments: Vec<Environment>,
    /// The key of backups that name none.
    pub backup_key: Option<Secret>,
}

/// Keys of the file.
const KEYS: [&str; 2] = ["environments", "backup"];

/// `$SLIPWAY_CONFIG`, else `$XDG_CONFIG_HOME/slipway/slipway.toml`, else `~/.config/slipway/slipway.toml`.
pub fn path() -> Option<PathBuf> {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    given("SLIPWAY_CONFIG").or_else(|| {
        let base = given("XDG_CONFIG_HOME").or_else(|| given("HOME").map(|home| home.join(".config")))?;
        Some(base.join("slipway/slipway.toml"))
    })
}

/// Reads the user's file; one that is not there says nothing.
pub fn load() -> Result<Config, StoreError> {
    let Some(path) = path() else { return Ok(Config::default()) };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Config::default()),
        Err(error) => return Err(StoreError::failed(format!("read \"{}\"", path.display()), error)),
    };
    read(&text).map_err(|reason| StoreError::Unreadable(format!("\"{}\": {reason}", path.display())))
}

/// Reads the text of a configuration.
pub fn read(text: &str) -> Result<Config, String> {
    let whole: serde_json::Value = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut config = Config::default();
    for key in whole.as_object().into_iter().flat_map(|map| map.keys()) {
        if !KEYS.contains(&key.as_str()) {
            return Err(format!("\"{key}\" is not a key; known keys: {}", KEYS.join(", ")));
        }
    }
    if let Some(environments) = whole.get("environments") {
        let mut diagnostics = Diagnostics::new(Source::new("slipway.toml", text));
        config.environments = Environment::read_all(&node_of_json(environments), &mut diagnostics, false);
        if let Some(first) = diagnostics.list.first() {
            return Err(format!("environments: {}", first.message));
        }
    }
    if let Some(key) = whole.get("backup").and_then(|backup| backup.get("key")) {
        let key = key.as_str().ok_or("backup.key is a text")?;
        config.backup_key = Some(Secret::new(key));
    }
    Ok(config)
}

/// The user's environments.
pub fn environments() -> Result<Vec<Environment>, StoreError> {
    load().map(|config| config.environments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_are_read_and_mistakes_named() {
        let config = read(
            "[environments.production]\nnamespace = \"shop\"\napprovers = [\"ops\"]\ncluster = {context = \"prod\"}\n[backup]\nkey = \"k\"\n",
        )
        .expect("valid");
        let production = &config.environments[0];
        assert_eq!((production.name.as_str(), production.namespace.as_deref()), ("production", Some("shop")));
        assert_eq!(
            (production.approvers.as_slice(), production.cluster.context.as_deref()),
            (&["ops".to_owned()][..], Some("prod"))
        );
        assert_eq!(config.backup_key.expect("a key").expose(), "k");
        assert!(read("[environment.x]\n").is_err_and(|e| e.contains("\"environment\" is not a key")));
        assert!(
            read("[environments.x]\nnamespaces = \"a\"\n").is_err_and(|e| e.contains("\"namespaces\" is not a key"))
        );
    }
}
