//! `actions/checkout`: done by Slipway itself, from the local tree as it stands.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::clock::humanize;
use crate::clock::instant;
use crate::workspace::contract::Workspaces;

/// What `with:` asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CheckoutInputs {
    /// Below the workspace.
    pub path: PathBuf,
}

impl CheckoutInputs {
    /// From the evaluated `with:`; what would need the network is refused. `repository` is the run's own.
    pub fn read(with: &[(String, String)], repository: &str) -> Result<Self, String> {
        let mut inputs = Self::default();
        for (name, value) in with {
            match name.to_lowercase().as_str() {
                "repository" if !value.is_empty() && !value.eq_ignore_ascii_case(repository) => {
                    return Err(format!(
                        "actions/checkout of another repository (\"{value}\") is not possible here: Slipway takes the local tree; clone it in a \"run\" step"
                    ));
                }
                "path" => {
                    let path = Path::new(value);
                    if path.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
                        return Err(format!("path \"{value}\" leaves the workspace; give one below it"));
                    }
                    inputs.path = path.to_owned();
                }
                _ => {}
            }
        }
        Ok(inputs)
    }
}

/// Copies the checkout at `from` into `workspace`; gives the line that the log shows.
pub async fn copy(workspaces: Arc<dyn Workspaces>, from: PathBuf, to: PathBuf) -> Result<String, String> {
    let began = instant();
    let shown = from.display().to_string();
    let result = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&to)?;
        workspaces.populate(&from, &to)
    });
    match result.await {
        Ok(Ok(totals)) => Ok(format!(
            "copied {} files ({} KiB) of the checkout in {}",
            totals.files,
            totals.bytes.div_ceil(1024),
            humanize(began.elapsed())
        )),
        Ok(Err(error)) => Err(format!("failed to copy the checkout \"{shown}\": {error}")),
        Err(error) => Err(format!("failed to copy the checkout \"{shown}\": {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_the_workspace() {
        let with = |value: &str| [("path".to_owned(), value.to_owned())];
        assert_eq!(CheckoutInputs::read(&with("a/b"), "o/r").expect("below").path, Path::new("a/b"));
        assert!(CheckoutInputs::read(&with("../a"), "o/r").is_err());
        assert!(CheckoutInputs::read(&with("/a"), "o/r").is_err());
        assert!(CheckoutInputs::read(&[("repository".into(), "x/y".into())], "o/r").is_err());
    }
}
