//! Forges: GitHub, GitLab, Gitea. Webhooks in, statuses, issues and tags out. `contract` is the port (floor 5); the rest are
//! adapters (floor 6).

pub mod contract;
pub mod gitea;
pub mod github;
pub mod gitlab;
pub mod kind;
pub mod signature;
pub mod trust;
pub mod webhook;
