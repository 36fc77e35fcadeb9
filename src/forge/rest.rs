//! Requests to the API of a forge: bounded in time and size, without redirects, and with errors that hold no credentials.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::diagnostic::chain;
use crate::secret::Secret;

use super::contract::{ForgeError, IssueRef, NewIssue};

/// An answer comes within so long.
const TIME: Duration = Duration::from_secs(20);
/// An answer is at most so long.
const MAX_ANSWER: usize = 8 << 20;
/// So much of what a forge says about a failure is passed on.
const MAX_SAID: usize = 300;
/// How long to stay away from a forge that does not say so itself.
const AWAY: Duration = Duration::from_secs(60);

/// The API of one repository.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    http: reqwest::Client,
    root: url::Url,
    /// `owner/name`.
    pub(super) project: String,
}

impl Rest {
    /// The API at `root`; `header` carries the credential in the given words.
    pub(super) fn new(root: &str, header: (&'static str, String), project: &str) -> Result<Self, ForgeError> {
        let refused = |why: &str| ForgeError::Refused(format!("failed to set up the API \"{root}\": {why}"));
        let parsed = url::Url::parse(root).map_err(|e| refused(&e.to_string()))?;
        if parsed.cannot_be_a_base() {
            return Err(refused("it is no address of a server"));
        }
        let mut value =
            HeaderValue::from_str(&header.1).map_err(|_| refused("the token holds signs that no header may"))?;
        value.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(header.0, value);
        headers.insert(USER_AGENT, HeaderValue::from_static("slipway"));
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .timeout(TIME)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| refused(&chain(&e)))?;
        Ok(Self { http, root: parsed, project: project.to_owned() })
    }

    /// The URL of these segments behind the API's root, each of them escaped.
    pub(super) fn url<'s>(&self, segments: impl IntoIterator<Item = &'s str>) -> url::Url {
        let mut url = self.root.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// `repos/OWNER/NAME/...`, as GitHub and Gitea have it.
    pub(super) fn repository_url(&self, rest: &[&str]) -> url::Url {
        self.url(std::iter::once("repos").chain(self.project.split('/')).chain(rest.iter().copied()))
    }

    /// Asks; `what` is what is tried, for errors. `None` where the forge says that there is no such thing.
    pub(super) async fn find(&self, what: &str, url: url::Url) -> Result<Option<Value>, ForgeError> {
        let (status, body, _) = self.send(what, Method::GET, url, None).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            _ => Ok(Some(body)),
        }
    }

    /// Posts; an error says what the forge said.
    pub(super) async fn post(&self, what: &str, url: url::Url, body: &Value) -> Result<Value, ForgeError> {
        let (status, answer, said) = self.send(what, Method::POST, url, Some(body)).await?;
        match status {
            StatusCode::NOT_FOUND => Err(ForgeError::Refused(format!(
                "failed to {what}: there is no such repository or commit, or no access to it{said}"
            ))),
            _ => Ok(answer),
        }
    }

    /// 2xx and 404 come back; the rest are errors.
    async fn send(
        &self,
        what: &str,
        method: Method,
        url: url::Url,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value, String), ForgeError> {
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let failed = |e: reqwest::Error| ForgeError::Failed(format!("failed to {what}: {}", chain(&e)));
        let response = request.send().await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut bytes = Vec::new();
        let mut stream = response.bytes_stream();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(failed)?;
            if bytes.len() + piece.len() > MAX_ANSWER {
                return Err(ForgeError::Refused(format!(
                    "failed to {what}: the answer is larger than {} MiB",
                    MAX_ANSWER >> 20
                )));
            }
            bytes.extend_from_slice(&piece);
        }
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let said = said(&answer);
        if status.is_success() || status == StatusCode::NOT_FOUND {
            return Ok((status, answer, said));
        }
        let message = format!("failed to {what}: the forge answers {}{said}", status.as_u16());
        let spent = headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0");
        Err(match status.as_u16() {
            429 => ForgeError::Limited { message, after: after(&headers) },
            403 if spent || headers.contains_key(RETRY_AFTER) => {
                ForgeError::Limited { message, after: after(&headers) }
            }
            503 if headers.contains_key(RETRY_AFTER) => ForgeError::Limited { message, after: after(&headers) },
            500.. | 408 => ForgeError::Failed(message),
            _ => ForgeError::Refused(message),
        })
    }
}

/// What the forge says is wrong, bounded.
fn said(answer: &Value) -> String {
    let text = ["message", "error"].iter().find_map(|key| {
        answer[*key].as_str().map(str::to_owned).or_else(|| (!answer[*key].is_null()).then(|| answer[*key].to_string()))
    });
    let text: String = text.unwrap_or_default().chars().filter(|c| !c.is_control()).take(MAX_SAID).collect();
    if text.is_empty() { text } else { format!(": {text}") }
}

fn after(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.map_or(AWAY, Duration::from_secs)
}

/// A header that signs in by a word and a token.
pub(super) fn bearer(word: &str, token: &Secret) -> (&'static str, String) {
    ("authorization", format!("{word} {}", token.expose()))
}

/// A description as long as the forge takes it.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// The body of an issue with its marker, which is not shown.
pub(super) fn marked(issue: &NewIssue) -> String {
    format!("{}\n\n{}\n", issue.body, marker(issue))
}

/// The marker as it stands in a body.
pub(super) fn marker(issue: &NewIssue) -> String {
    format!("<!-- slipway: {} -->", issue.marker)
}

/// The issue among `list` that holds the marker; `number`, `body` and `page` are the forge's names of fields.
pub(super) fn holding(list: &Value, issue: &NewIssue, [number, body, page]: [&str; 3]) -> Option<IssueRef> {
    let marker = marker(issue);
    let found = list.as_array()?.iter().find(|one| one[body].as_str().is_some_and(|text| text.contains(&marker)))?;
    reference(found, [number, page])
}

/// The issue that the forge gave.
pub(super) fn reference(issue: &Value, [number, page]: [&str; 2]) -> Option<IssueRef> {
    Some(IssueRef { number: issue[number].as_u64()?, url: issue[page].as_str().unwrap_or_default().to_owned() })
}

/// The forge made something, and did not say what.
pub(super) fn unnamed(what: &str) -> ForgeError {
    ForgeError::Refused(format!("failed to {what}: the forge's answer names no issue"))
}
