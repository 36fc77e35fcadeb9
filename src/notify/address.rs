//! Where a notice goes, in the form in which the outbox keeps it (sealed: addresses are secrets).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::stage::Channel;

/// The mail server and sender for channels that name none: `SLIPWAY_SMTP` and `SLIPWAY_MAIL_FROM`.
#[derive(Debug, Clone, Default)]
pub struct MailDefaults {
    /// The server's URL.
    pub smtp: Option<Secret>,
    /// Who writes.
    pub from: Option<String>,
}

impl MailDefaults {
    /// From variables: `get` looks one up.
    pub fn of(get: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| get(name).filter(|value| !value.is_empty());
        Self { smtp: set("SLIPWAY_SMTP").map(Secret::new), from: set("SLIPWAY_MAIL_FROM") }
    }

    /// These, and where they say nothing `other`.
    pub fn or(self, other: &MailDefaults) -> Self {
        Self { smtp: self.smtp.or_else(|| other.smtp.clone()), from: self.from.or_else(|| other.from.clone()) }
    }
}

/// An address. Its `Debug` shows the channel only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "channel", rename_all = "kebab-case")]
pub enum Address {
    /// A Slack webhook.
    Slack {
        /// Its URL.
        url: String,
    },
    /// Email.
    Email {
        /// To whom.
        to: Vec<String>,
        /// The server's URL.
        smtp: Option<String>,
        /// From whom.
        from: Option<String>,
    },
    /// An issue.
    Issue {
        /// The repository.
        repository: String,
        /// Labels.
        labels: Vec<String>,
    },
    /// A webhook.
    Webhook {
        /// Its URL.
        url: String,
        /// Headers.
        headers: Vec<(String, String)>,
        /// Signs the body.
        secret: Option<String>,
    },
}

impl Address {
    /// The address of a channel in a run of `repository`.
    pub fn of(channel: &Channel, repository: &str, mail: &MailDefaults) -> Self {
        let clear = |secret: &Secret| secret.expose().to_owned();
        match channel {
            Channel::Slack { url } => Address::Slack { url: clear(url) },
            Channel::Email { to, smtp, from } => Address::Email {
                to: to.clone(),
                smtp: smtp.as_ref().or(mail.smtp.as_ref()).map(clear),
                from: from.clone().or_else(|| mail.from.clone()),
            },
            Channel::Issue { labels } => Address::Issue { repository: repository.to_owned(), labels: labels.clone() },
            Channel::Webhook { url, headers, secret } => Address::Webhook {
                url: clear(url),
                headers: headers.iter().map(|(name, value)| (name.clone(), clear(value))).collect(),
                secret: secret.as_ref().map(clear),
            },
        }
    }

    /// The channel's name.
    pub fn channel(&self) -> &'static str {
        match self {
            Address::Slack { .. } => "slack",
            Address::Email { .. } => "email",
            Address::Issue { .. } => "issue",
            Address::Webhook { .. } => "webhook",
        }
    }

    /// What is missing to send there at all.
    pub fn lacks(&self) -> Option<&'static str> {
        match self {
            Address::Email { smtp: None, .. } => Some("there is no mail server: set \"smtp\", or SLIPWAY_SMTP"),
            Address::Email { from: None, .. } => Some("nobody is named who writes: set \"from\", or SLIPWAY_MAIL_FROM"),
            Address::Issue { repository, .. } if repository.is_empty() => {
                Some("the repository is not known, so there is no place for an issue")
            }
            _ => None,
        }
    }

    /// The address for people, without secrets: `slack`, `email to a@example.com`.
    pub fn shown(&self) -> String {
        match self {
            Address::Email { to, .. } => format!("email to {}", to.join(", ")),
            Address::Issue { labels, .. } if !labels.is_empty() => format!("issue labelled {}", labels.join(", ")),
            other => other.channel().to_owned(),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.channel())
    }
}
