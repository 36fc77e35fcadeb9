//! Carries one notice to one address, once.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::forge::contract::Forges;

use super::address::Address;
use super::http::Http;
use super::notice::Notice;
use super::reach::Reach;
use super::{email, issue, slack, webhook};

/// Why a notice did not arrive. The reasons hold no address and no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// It will not arrive.
    #[error("{0}")]
    Never(String),
    /// It may arrive later.
    #[error("{reason}")]
    Later {
        /// Why not now.
        reason: String,
        /// After which time the receiver asks to come again.
        after: Option<Duration>,
    },
}

impl Undelivered {
    /// Not now, for this reason.
    pub fn later(reason: impl Into<String>) -> Self {
        Undelivered::Later { reason: reason.into(), after: None }
    }
}

/// Carries notices.
pub struct Courier {
    http: Http,
    reach: Reach,
    forges: Option<Arc<dyn Forges>>,
}

impl Courier {
    /// Within this reach, with these forges for issues.
    pub fn new(reach: Reach, forges: Option<Arc<dyn Forges>>) -> Self {
        Self { http: Http::new(reach), reach, forges }
    }

    /// Carries `notice` to `address`. `id` is sent along where the channel has a place for it, so that the receiver can tell
    /// whether it has seen it.
    pub async fn carry(&self, id: &str, notice: &Notice, address: &Address, now: Timestamp) -> Result<(), Undelivered> {
        if let Some(lacks) = address.lacks() {
            return Err(Undelivered::Never(lacks.to_owned()));
        }
        match address {
            Address::Slack { url } => slack::send(&self.http, url, notice, now).await,
            Address::Webhook { url, headers, secret } => {
                webhook::send(&self.http, id, notice, (url, headers, secret.as_deref()), now).await
            }
            Address::Email { to, smtp: Some(smtp), from: Some(from) } => {
                email::send(self.reach, id, notice, &email::Mail { to, smtp, from }).await
            }
            Address::Email { .. } => Err(Undelivered::Never("the mail's server or sender is not known".to_owned())),
            Address::Issue { repository, labels } => {
                let forge = self.forges.as_ref().and_then(|forges| forges.forge(repository)).ok_or_else(|| {
                    Undelivered::Never(format!(
                        "no credentials for the forge of \"{repository}\" are at hand, so no issue can be made"
                    ))
                })?;
                issue::send(forge.as_ref(), id, notice, labels).await
            }
        }
    }
}
