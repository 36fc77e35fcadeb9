//! One HTTP request of a notice, and what its answer means.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use url::Url;

use crate::clock::Timestamp;
use crate::diagnostic::chain;

use super::courier::Undelivered;
use super::reach::{Reach, Resolver, Unreachable};

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends requests within a reach. Follows no redirects: where they lead was checked by nobody.
pub(super) struct Http {
    /// Made for the first request: most runs send none.
    client: OnceLock<Client>,
    reach: Reach,
}

impl Http {
    pub(super) fn new(reach: Reach) -> Self {
        Self { client: OnceLock::new(), reach }
    }

    fn client(&self) -> Result<&Client, Undelivered> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // Another one may be installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE / 2)
            .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Resolver(self.reach));
        // A proxy would resolve names by itself, past the reach.
        let builder = if self.reach.private { builder } else { builder.no_proxy() };
        let client =
            builder.build().map_err(|e| Undelivered::later(format!("no HTTP client can be made: {}", chain(&e))))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Posts JSON. The reason of a failure names neither URL nor headers.
    pub(super) async fn post(
        &self,
        url: &str,
        body: Vec<u8>,
        headers: HeaderMap,
        now: Timestamp,
    ) -> Result<(), Undelivered> {
        let url = Url::parse(url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| Undelivered::Never("its URL is no http or https URL".to_owned()))?;
        self.reach.check(&url).await.map_err(|why| match why {
            Unreachable::Refused(why) => Undelivered::Never(why),
            Unreachable::Unknown(why) => Undelivered::later(why),
        })?;
        let request = self.client()?.post(url).headers(headers).header("content-type", "application/json").body(body);
        let mut answer = request.send().await.map_err(|e| Undelivered::later(chain(&e.without_url())))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let after = retry_after(answer.headers(), now);
        let mut said = Vec::new();
        while said.len() <= 200
            && let Ok(Some(bytes)) = answer.chunk().await
        {
            said.extend_from_slice(&bytes);
        }
        let reason = format!("it answered {}{}", status.as_u16(), word(&said));
        Err(match passes(status) {
            true => Undelivered::Later { reason, after },
            false => Undelivered::Never(reason),
        })
    }
}

/// Whether the answer may be another one later.
fn passes(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 423 | 425 | 429)
}

/// `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    Some(Timestamp(date.timestamp_millis()).since(now))
}

/// What the receiver said, when it is a plain word such as `no_service`. Anything else could repeat what it was sent.
fn word(said: &[u8]) -> String {
    match std::str::from_utf8(said).map(str::trim) {
        Ok(text)
            if (1..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') =>
        {
            format!(" ({text})")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let with = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a value"));
            retry_after(&headers, Timestamp(1_445_412_420_000))
        };
        assert_eq!(with("120"), Some(Duration::from_secs(120)));
        assert_eq!(with("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(with("Wed, 21 Oct 2015 07:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(with("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), Timestamp(0)), None);
    }

    #[test]
    fn only_plain_words_of_an_answer_are_repeated() {
        assert_eq!(word(b"no_service\n"), " (no_service)");
        assert_eq!(word(b"bad token xoxb-1"), "");
        assert_eq!(word(b""), "");
    }
}
