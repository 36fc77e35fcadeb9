//! Forges: GitHub, GitLab, Gitea. Webhooks in, statuses, issues and tags out. `contract` is the port (floor 5); the rest are
//! adapters (floor 6).

pub mod contract;
pub mod gitea;
pub mod github;
pub mod gitlab;
pub mod kind;
pub mod release;
mod rest;
pub mod signature;
pub mod trust;
pub mod webhook;

use std::sync::Arc;

use crate::secret::Secret;

use contract::{Forge, ForgeError};
use kind::ForgeKind;

/// The API of one repository (`owner/name`) at a forge.
pub fn connect(kind: ForgeKind, api: &str, token: &Secret, project: &str) -> Result<Arc<dyn Forge>, ForgeError> {
    Ok(match kind {
        ForgeKind::Github => Arc::new(github::Github::new(api, token, project)?),
        ForgeKind::Gitlab => Arc::new(gitlab::Gitlab::new(api, token, project)?),
        ForgeKind::Gitea => Arc::new(gitea::Gitea::new(api, token, project)?),
    })
}
