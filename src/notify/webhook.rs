//! Webhooks: the notice as JSON, with a key that tells repetitions, and a signature.

use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

use crate::clock::Timestamp;

use super::courier::Undelivered;
use super::http::Http;
use super::notice::Notice;

/// HMAC-SHA-256 of the body under the webhook's secret, as `sha256=` and hexadecimal digits.
pub(super) const SIGNATURE: &str = "x-slipway-signature";

/// URL, headers and secret of a webhook.
pub(super) type Target<'a> = (&'a str, &'a [(String, String)], Option<&'a str>);

pub(super) async fn send(
    http: &Http,
    id: &str,
    notice: &Notice,
    (url, given, secret): Target<'_>,
    now: Timestamp,
) -> Result<(), Undelivered> {
    let body = notice.json(id).to_string().into_bytes();
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        headers.insert(header(name.as_str())?, value_of(value, name)?);
    }
    // Ours come last: nobody else says who it is and whether it is genuine.
    headers.insert(header("idempotency-key")?, value_of(id, "idempotency-key")?);
    headers.insert(header("x-slipway-event")?, value_of(&notice.event, "x-slipway-event")?);
    if let Some(secret) = secret {
        headers.insert(header(SIGNATURE)?, value_of(&signature(secret, &body), SIGNATURE)?);
    }
    http.post(url, body, headers, now).await
}

/// `sha256=` and the hexadecimal digits.
pub(super) fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length is a key");
    mac.update(body);
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

fn header(name: &str) -> Result<HeaderName, Undelivered> {
    HeaderName::try_from(name).map_err(|_| Undelivered::Never(format!("\"{name}\" cannot be a header")))
}

/// The message leaves the value out: it may be a secret.
fn value_of(value: &str, name: &str) -> Result<HeaderValue, Undelivered> {
    HeaderValue::from_str(value)
        .map_err(|_| Undelivered::Never(format!("the header \"{name}\" has a value that cannot be sent")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_usual_one() {
        // The example of RFC 4231, test case 2.
        assert_eq!(
            signature("Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
