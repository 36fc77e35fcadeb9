//! `notify:`. Sends one message. The channels are those of the file's rules too.

use crate::diagnostic::Diagnostic;
use crate::model::{Node, codes};
use crate::secret::Secret;
use crate::span::Span;

use super::settings::{Reader, Settings};

/// The keys of channels that this version can do.
pub(super) const CHANNELS: [&str; 4] = ["slack", "email", "issue", "webhook"];

/// The keys of channels that wait for a later version.
pub(super) const LATER: [&str; 3] = ["teams", "pagerduty", "sms"];

/// The settings of `notify`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Notify {
    /// Where the message goes.
    pub channels: Vec<Channel>,
    /// The message; without it what is known of the run.
    pub message: Option<String>,
}

/// Where a message goes. Addresses are secrets: whoever has one can write there.
#[derive(Debug, Clone, PartialEq)]
pub enum Channel {
    /// A Slack webhook, or one that speaks like it.
    Slack {
        /// Its URL.
        url: Secret,
    },
    /// An email to some people.
    Email {
        /// Their addresses.
        to: Vec<String>,
        /// The server; without it `SLIPWAY_SMTP`.
        smtp: Option<Secret>,
        /// Who writes; without it `SLIPWAY_MAIL_FROM`.
        from: Option<String>,
    },
    /// An issue at the forge.
    Issue {
        /// Its labels.
        labels: Vec<String>,
    },
    /// JSON, sent to a URL.
    Webhook {
        /// The URL.
        url: Secret,
        /// Headers.
        headers: Vec<(String, Secret)>,
        /// Signs the body.
        secret: Option<Secret>,
    },
}

impl Channel {
    /// The key in the file.
    pub fn name(&self) -> &'static str {
        match self {
            Channel::Slack { .. } => "slack",
            Channel::Email { .. } => "email",
            Channel::Issue { .. } => "issue",
            Channel::Webhook { .. } => "webhook",
        }
    }
}

impl Notify {
    /// Reads the settings; what is wrong is reported, and then there is none.
    pub fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let keys: Vec<&'static str> = CHANNELS.into_iter().chain(LATER).chain(["message"]).collect();
        let settings = reader.map("notify", node, &keys, &[])?;
        let channels = channels(reader, &settings);
        let message = settings.get("message").and_then(|node| reader.text("message", node));
        Some(Self { channels, message })
    }
}

/// The channels that `settings` name, in the order of [`CHANNELS`]. None at all is a mistake.
pub(super) fn channels(reader: &mut Reader<'_>, settings: &Settings<'_>) -> Vec<Channel> {
    reader.not_yet(settings, &LATER);
    let mut channels = Vec::new();
    for node in settings.get("slack").map(one_or_many).unwrap_or_default() {
        channels.extend(url(reader, "slack", node).map(|url| Channel::Slack { url }));
    }
    if let Some(node) = settings.get("email") {
        channels.extend(email(reader, node));
    }
    if let Some(node) = settings.given("issue") {
        channels.extend(issue(reader, node));
    }
    for node in settings.get("webhook").map(one_or_many).unwrap_or_default() {
        channels.extend(webhook(reader, node));
    }
    for key in ["slack", "email", "webhook"] {
        if settings.given(key).is_some_and(Node::is_null) {
            empty(reader, key, settings.key_span(key));
        }
    }
    if !CHANNELS.iter().chain(&LATER).any(|key| settings.given(key).is_some()) {
        let message = format!("\"{}\" needs a channel: {}", settings.name, CHANNELS.join(", "));
        reader.push(Diagnostic::error(codes::MISSING, settings.span, message));
    }
    channels
}

/// What an expression gave is nothing: mostly a secret of that name is not there.
fn empty(reader: &mut Reader<'_>, key: &str, span: Span) {
    let diagnostic = Diagnostic::error(codes::VALUE, span, format!("\"{key}\" has no value"));
    reader.push(diagnostic.help("is its secret given?"));
}

fn one_or_many(node: &Node) -> Vec<&Node> {
    node.items().map_or_else(|| vec![node], |items| items.iter().collect())
}

/// A URL of a channel. Messages do not repeat it: it may be a secret.
fn url(reader: &mut Reader<'_>, name: &str, node: &Node) -> Option<Secret> {
    let text = reader.text(name, node)?;
    if !reader.is_open(node) && !["https://", "http://"].iter().any(|scheme| text.starts_with(scheme)) {
        let help = if text.is_empty() {
            "it is empty: is its secret given?"
        } else {
            "what is given does not begin with https:// or http://"
        };
        reader.refuse(node, format!("\"{name}\" is a URL"), Some(help.to_owned()));
        return None;
    }
    Some(Secret::new(text))
}

fn email(reader: &mut Reader<'_>, node: &Node) -> Option<Channel> {
    if node.entries().is_none() {
        return Some(Channel::Email { to: addresses(reader, "email", node)?, smtp: None, from: None });
    }
    let settings = reader.map("email", node, &["to", "smtp", "from"], &["to"])?;
    let to = addresses(reader, "to", settings.get("to")?)?;
    let smtp = match settings.get("smtp") {
        Some(node) => Some(server(reader, node)?),
        None => None,
    };
    let from = match settings.get("from") {
        Some(node) => Some(addresses(reader, "from", node)?.into_iter().next()?),
        None => None,
    };
    Some(Channel::Email { to, smtp, from })
}

fn addresses(reader: &mut Reader<'_>, name: &str, node: &Node) -> Option<Vec<String>> {
    let mut list = Vec::new();
    for one in one_or_many(node) {
        let text = reader.text(name, one)?;
        // An expression may give several, with commas between.
        for address in text.split(',').map(str::trim) {
            let sound = address.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
            if !reader.is_open(one) && (!sound || address.contains(char::is_control)) {
                reader.refuse(one, format!("\"{name}\" is an email address, not \"{address}\""), None);
                return None;
            }
            list.push(address.to_owned());
        }
    }
    if list.is_empty() {
        reader.refuse(node, format!("\"{name}\" names nobody"), Some("give an email address".to_owned()));
    }
    (!list.is_empty()).then_some(list)
}

fn server(reader: &mut Reader<'_>, node: &Node) -> Option<Secret> {
    let text = reader.text("smtp", node)?;
    if !reader.is_open(node) && !["smtp://", "smtps://"].iter().any(|scheme| text.starts_with(scheme)) {
        let help = "smtp://host:25, smtps://user:password@host; it may come from a secret".to_owned();
        reader.refuse(node, "\"smtp\" is the URL of a mail server", Some(help));
        return None;
    }
    Some(Secret::new(text))
}

fn issue(reader: &mut Reader<'_>, node: &Node) -> Option<Channel> {
    if node.is_null() {
        return Some(Channel::Issue { labels: Vec::new() });
    }
    let settings = reader.map("issue", node, &["labels"], &[])?;
    let labels = settings.get("labels").map(|node| reader.texts("labels", node)).unwrap_or_default();
    Some(Channel::Issue { labels })
}

fn webhook(reader: &mut Reader<'_>, node: &Node) -> Option<Channel> {
    if node.entries().is_none() {
        return Some(Channel::Webhook { url: url(reader, "webhook", node)?, headers: Vec::new(), secret: None });
    }
    let settings = reader.map("webhook", node, &["url", "headers", "secret"], &[])?;
    let url = match settings.given("url") {
        Some(node) if !node.is_null() => url(reader, "url", node)?,
        Some(_) => {
            empty(reader, "url", settings.key_span("url"));
            return None;
        }
        None => {
            let message = "\"webhook\" needs the key \"url\"";
            reader.push(Diagnostic::error(codes::MISSING, settings.span, message));
            return None;
        }
    };
    let mut headers = Vec::new();
    if let Some(node) = settings.get("headers") {
        for (name, value) in reader.pairs("headers", node) {
            let sound =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            if !sound || value.contains(char::is_control) {
                reader.refuse(node, format!("\"{name}\" cannot be a header of a webhook"), None);
                return None;
            }
            headers.push((name, Secret::new(value)));
        }
    }
    if settings.given("secret").is_some_and(Node::is_null) {
        empty(reader, "secret", settings.key_span("secret"));
        return None;
    }
    let secret = settings.get("secret").and_then(|node| reader.text("secret", node)).map(Secret::new);
    if secret.as_ref().is_some_and(|secret| secret.expose().is_empty()) {
        let help = "leave \"secret\" out, or give its secret a value".to_owned();
        reader.refuse(node, "the webhook's \"secret\" is empty, so nothing could be signed", Some(help));
        return None;
    }
    Some(Channel::Webhook { url, headers, secret })
}
