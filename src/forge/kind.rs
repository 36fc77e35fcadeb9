//! Which forge speaks, and the names that it gives to things in its webhooks.

use http::HeaderMap;

/// A kind of forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForgeKind {
    /// GitHub, and GitHub Enterprise Server.
    Github,
    /// GitLab.
    Gitlab,
    /// Gitea, and Forgejo.
    Gitea,
}

/// Ids of deliveries are at most so long; those of forges are UUIDs.
const MAX_ID: usize = 128;

impl ForgeKind {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            ForgeKind::Github => "github",
            ForgeKind::Gitlab => "gitlab",
            ForgeKind::Gitea => "gitea",
        }
    }

    /// The event's name as the forge has it, from the headers.
    pub fn event(self, headers: &HeaderMap) -> Option<&str> {
        let name = match self {
            ForgeKind::Github => "x-github-event",
            ForgeKind::Gitlab => "x-gitlab-event",
            ForgeKind::Gitea => "x-gitea-event",
        };
        only(headers, name).filter(|event| is_plain(event))
    }

    /// The id of the delivery: the same when the forge sends it again.
    pub fn delivery(self, headers: &HeaderMap) -> Option<&str> {
        let names: &[&str] = match self {
            ForgeKind::Github => &["x-github-delivery"],
            ForgeKind::Gitlab => &["idempotency-key", "webhook-id", "x-gitlab-event-uuid"],
            ForgeKind::Gitea => &["x-gitea-delivery"],
        };
        names.iter().find_map(|name| only(headers, name)).filter(|id| is_plain(id))
    }

    /// Where the head of a pull request can be fetched from.
    pub fn head_ref(self, number: u64) -> String {
        match self {
            ForgeKind::Gitlab => format!("refs/merge-requests/{number}/head"),
            ForgeKind::Github | ForgeKind::Gitea => format!("refs/pull/{number}/head"),
        }
    }
}

/// The value of a header that stands there exactly once: of two, nobody knows which one a proxy in front has looked at.
pub fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Short, and of signs that can stand in a log line or a file's name.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ID && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_stands_twice_is_none() {
        let mut headers = HeaderMap::new();
        headers.append("x-github-delivery", "a".parse().unwrap());
        assert_eq!(ForgeKind::Github.delivery(&headers), Some("a"));
        assert_eq!(ForgeKind::Gitea.delivery(&headers), None);
        headers.append("x-github-delivery", "b".parse().unwrap());
        assert_eq!(ForgeKind::Github.delivery(&headers), None);
    }

    #[test]
    fn gitlabs_idempotency_key_goes_before_its_event_id() {
        let mut headers = HeaderMap::new();
        headers.insert("x-gitlab-event-uuid", "event".parse().unwrap());
        assert_eq!(ForgeKind::Gitlab.delivery(&headers), Some("event"));
        headers.insert("idempotency-key", "key".parse().unwrap());
        assert_eq!(ForgeKind::Gitlab.delivery(&headers), Some("key"));
        headers.insert("idempotency-key", "x".repeat(129).parse().unwrap());
        assert_eq!(ForgeKind::Gitlab.delivery(&headers), None);
    }
}
