//! Where a run of the server comes from: a small file in the run's folder, written when all that the run needs is there. A run
//! without it is not driven: its delivery is still being worked on.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The file's name in the run's folder.
const NAME: &str = "origin.json";
/// The version of the file.
pub const VERSION: u32 = 1;

/// Where a run comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Origin {
    /// The version of this form.
    pub v: u32,
    /// The repository's name in the configuration.
    pub repository: String,
    /// The forge's id of the delivery.
    pub delivery: String,
    /// The commit.
    pub sha: String,
    /// The branch, tag or pull request.
    pub reference: String,
    /// What its statuses are called: `slipway/NAME`.
    pub context: String,
    /// Who caused it.
    pub actor: String,
    /// Why the run is not trusted, when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untrusted: Option<String>,
}

impl Origin {
    /// Writes it whole, or not at all.
    pub fn write(&self, run_folder: &Path) -> io::Result<()> {
        let part = run_folder.join(format!(".{NAME}"));
        fs::write(&part, serde_json::to_vec(self)?)?;
        fs::File::open(&part)?.sync_all()?;
        fs::rename(part, run_folder.join(NAME))
    }

    /// Reads it; `None` when the run is no run of the server, or not ready.
    pub fn read(run_folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(run_folder.join(NAME)).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Origin::read(folder.path()), None);
        let origin = Origin {
            v: VERSION,
            repository: "shop".to_owned(),
            delivery: "d-1".to_owned(),
            sha: "a".repeat(40),
            reference: "refs/heads/main".to_owned(),
            context: "slipway/ci".to_owned(),
            actor: "ann".to_owned(),
            untrusted: None,
        };
        origin.write(folder.path()).unwrap();
        assert_eq!(Origin::read(folder.path()), Some(origin));
        fs::write(folder.path().join(NAME), "{\"v\":").unwrap();
        assert_eq!(Origin::read(folder.path()), None);
    }
}
