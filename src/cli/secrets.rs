//! Secrets of the command line: `SLIPWAY_SECRET_<NAME>`, `--secret-file`, `--secret`. Values are [`Secret`] from the moment
//! they are read.

use std::path::Path;

use crate::cli::source;
use crate::exit::Exit;
use crate::secret::Secret;

/// Options that give secrets.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SecretArgs {
    /// A secret; a bare name takes its value from the environment
    #[arg(long = "secret", value_name = "K=V|K", value_parser = parse)]
    pub secrets: Vec<(String, Option<Secret>)>,
    /// A file of secrets, `K=V` a line
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<std::path::PathBuf>,
}

impl SecretArgs {
    /// The secrets that they give, see [`gather`].
    pub fn read(&self) -> Result<Vec<(String, Secret)>, (String, Exit)> {
        gather(&self.secrets, self.secret_file.as_deref())
    }
}

/// `--secret K=V` or `--secret K`.
fn parse(text: &str) -> Result<(String, Option<Secret>), String> {
    match text.split_once('=') {
        // The text is not repeated: it holds the value.
        Some(("", _)) | None if text.is_empty() || text.starts_with('=') => {
            Err("write it as NAME=VALUE or NAME".into())
        }
        Some((key, value)) => Ok((key.to_owned(), Some(Secret::new(value)))),
        None => Ok((text.to_owned(), None)),
    }
}

/// Environment first, then the file, then the command line: the later wins. An error is
/// drawn, with the exit code that it means, and holds no value.
fn gather(given: &[(String, Option<Secret>)], file: Option<&Path>) -> Result<Vec<(String, Secret)>, (String, Exit)> {
    let mut all: Vec<(String, Secret)> = Vec::new();
    let mut put = |name: &str, value: Secret| {
        all.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        all.push((name.to_owned(), value));
    };
    for (name, value) in std::env::vars_os() {
        if let (Some(name), Some(value)) =
            (name.to_str().and_then(|n| n.strip_prefix("SLIPWAY_SECRET_")), value.to_str())
        {
            put(name, Secret::new(value));
        }
    }
    if let Some(path) = file {
        for (at, line) in source::text_of(path)?.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line.trim_start_matches("export ").split_once('=') else {
                return Err((format!("error: line {} of {path:?} is not NAME=VALUE\n", at + 1), Exit::Usage));
            };
            let value = value.trim();
            let quoted = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
            put(name.trim(), Secret::new(quoted.unwrap_or(value)));
        }
    }
    for (name, value) in given {
        let value = match value {
            Some(value) => value.clone(),
            None => std::env::var(name).map(Secret::new).map_err(|_| {
                (format!("error: --secret {name} has no value, and the environment has none\n"), Exit::Usage)
            })?,
        };
        put(name, value);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_holds_a_value() {
        assert_eq!(parse("=hidden").unwrap_err(), "write it as NAME=VALUE or NAME");
        assert_eq!(format!("{:?}", parse("A=b=c").unwrap()), "(\"A\", Some(***))");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets");
        std::fs::write(&file, "# x\nexport A='one two'\nB=2\nhidden\n").unwrap();
        let (message, exit) = gather(&[], Some(&file)).unwrap_err();
        assert!(message.contains("line 4") && !message.contains("hidden") && exit == Exit::Usage, "{message}");
        std::fs::write(&file, "# x\nexport A='one two'\nB=2\n").unwrap();
        let all = gather(&[("b".into(), Some(Secret::new("3")))], Some(&file)).unwrap();
        let own: Vec<_> = all.iter().filter(|(k, _)| k.len() == 1).map(|(k, v)| (k.as_str(), v.expose())).collect();
        assert_eq!(own, [("A", "one two"), ("b", "3")]);
    }
}
