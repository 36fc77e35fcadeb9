//! Whether a webhook comes from its forge: the signature over the raw body, compared in constant time.
//!
//! The body is looked at by nobody before this has said yes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::clock::Timestamp;
use crate::secret::Secret;

use super::kind::{ForgeKind, only};

/// A signed time may lie so far from ours.
const SKEW_MS: i64 = 5 * 60 * 1000;
/// What a signing secret of GitLab begins with; the key stands behind it in base64.
const SIGNING_SECRET: &str = "whsec_";
/// Signatures in one header that are looked at (keys in rotation).
const MAX_SIGNATURES: usize = 8;

/// Why a webhook is not taken for one of the forge. Nothing here says how near it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none of the kind that is asked for.
    #[error("the webhook has no signature of this forge")]
    Missing,
    /// It is there, and wrong.
    #[error("the signature is wrong")]
    Wrong,
    /// It was signed too long ago, or in the future.
    #[error("the signature is more than five minutes old, or from the future")]
    Stale,
}

/// Whether `body` was sent by whoever knows `secret`.
pub fn verify(
    kind: ForgeKind,
    secret: &Secret,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<(), SignatureError> {
    let key = secret.expose().as_bytes();
    match kind {
        // SHA-1 (`X-Hub-Signature`) is not looked at.
        ForgeKind::Github => {
            let given = only(headers, "x-hub-signature-256").and_then(|text| text.strip_prefix("sha256="));
            check(key, &[body], decode_hex(given.ok_or(SignatureError::Missing)?).as_deref())
        }
        ForgeKind::Gitea => {
            let given = only(headers, "x-gitea-signature").ok_or(SignatureError::Missing)?;
            check(key, &[body], decode_hex(given).as_deref())
        }
        ForgeKind::Gitlab => gitlab(secret, headers, body, now),
    }
}

/// A signed hook where the secret is made for that or a signature is there, else the token as it is.
fn gitlab(secret: &Secret, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), SignatureError> {
    let signing = secret.expose().strip_prefix(SIGNING_SECRET);
    if signing.is_none() && !headers.contains_key("webhook-signature") {
        let token = only(headers, "x-gitlab-token").ok_or(SignatureError::Missing)?;
        // Hashes are of one length, so that the comparison does not tell the secret's.
        let (given, known) = (Sha256::digest(token), Sha256::digest(secret.expose()));
        return bool::from(given.as_slice().ct_eq(known.as_slice())).then_some(()).ok_or(SignatureError::Wrong);
    }
    let key = match signing {
        Some(text) => STANDARD.decode(text).map_err(|_| SignatureError::Wrong)?,
        None => secret.expose().as_bytes().to_vec(),
    };
    let header = |name| only(headers, name).ok_or(SignatureError::Missing);
    let (id, time, signatures) = (header("webhook-id")?, header("webhook-timestamp")?, header("webhook-signature")?);
    let at: i64 = time.parse().map_err(|_| SignatureError::Wrong)?;
    if at.saturating_mul(1000).abs_diff(now.0) > SKEW_MS.unsigned_abs() {
        return Err(SignatureError::Stale);
    }
    let parts = [id.as_bytes(), b".", time.as_bytes(), b".", body];
    let given = signatures.split(' ').take(MAX_SIGNATURES).filter_map(|one| one.strip_prefix("v1,"));
    let mut right = given.map(|one| check(&key, &parts, STANDARD.decode(one).ok().as_deref()));
    right.find(Result::is_ok).unwrap_or(Err(SignatureError::Wrong))
}

fn check(key: &[u8], parts: &[&[u8]], given: Option<&[u8]>) -> Result<(), SignatureError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| SignatureError::Wrong)?;
    parts.iter().for_each(|part| mac.update(part));
    // `verify_slice` compares in constant time.
    mac.verify_slice(given.ok_or(SignatureError::Wrong)?).map_err(|_| SignatureError::Wrong)
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let bytes = text.as_bytes();
    let pairs = bytes.chunks_exact(2).map(|pair| Some((digit(pair[0])? << 4) | digit(pair[1])?));
    (bytes.len() == 64).then(|| pairs.collect()).flatten()
}

/// The HMAC-SHA-256 of `body` in hexadecimal digits, as GitHub and Gitea send it.
pub fn sign(secret: &Secret, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return String::new() };
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn of(kind: ForgeKind, secret: &str, list: &[(&'static str, &str)], body: &[u8]) -> Result<(), SignatureError> {
        verify(kind, &Secret::new(secret), &headers(list), body, NOW)
    }

    #[test]
    fn githubs_own_example_is_right() {
        let body = b"Hello, World!";
        let given = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let secret = "It's a Secret to Everybody";
        assert_eq!(of(ForgeKind::Github, secret, &[("x-hub-signature-256", given)], body), Ok(()));
        assert_eq!(sign(&Secret::new(secret), body), given[7..]);
        assert_eq!(of(ForgeKind::Gitea, secret, &[("x-gitea-signature", &given[7..])], body), Ok(()));
    }

    #[test]
    fn t01_what_is_forged_is_refused() {
        let (body, secret) = (&b"{\"a\":1}"[..], "s");
        let right = format!("sha256={}", sign(&Secret::new(secret), body));
        let is = |name, value: &str, body: &[u8]| of(ForgeKind::Github, secret, &[(name, value)], body);
        assert_eq!(is("x-hub-signature-256", &right, body), Ok(()));
        assert_eq!(is("x-hub-signature-256", &right, b"{\"a\":2}"), Err(SignatureError::Wrong));
        assert_eq!(is("x-hub-signature-256", &right, b"{\"a\": 1}"), Err(SignatureError::Wrong));
        assert_eq!(is("x-hub-signature", "sha1=0011", body), Err(SignatureError::Missing));
        for garbage in ["", "sha256=", "sha256=zz", "sha1=00", &right[..70], &format!("{right}00"), "sha256=ﬀ"] {
            let list = http::HeaderValue::from_bytes(garbage.as_bytes()).unwrap();
            let mut headers = HeaderMap::new();
            headers.insert("x-hub-signature-256", list);
            let result = verify(ForgeKind::Github, &Secret::new(secret), &headers, body, NOW);
            assert!(result.is_err(), "{garbage}");
        }
        let other = format!("sha256={}", sign(&Secret::new("t"), body));
        assert_eq!(is("x-hub-signature-256", &other, body), Err(SignatureError::Wrong));
        // Two of them: nobody knows which one counts.
        assert_eq!(
            verify(
                ForgeKind::Github,
                &Secret::new(secret),
                &{
                    let mut two = headers(&[("x-hub-signature-256", &right)]);
                    two.append("x-hub-signature-256", right.parse().unwrap());
                    two
                },
                body,
                NOW
            ),
            Err(SignatureError::Missing)
        );
    }

    #[test]
    fn t03_gitlabs_signed_hooks_grow_old() {
        let key = STANDARD.encode(b"0123456789abcdef");
        let secret = format!("whsec_{key}");
        let signed = |at: i64, body: &[u8]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(b"0123456789abcdef").unwrap();
            mac.update(format!("id-1.{at}.").as_bytes());
            mac.update(body);
            format!("v1,AAAA v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        };
        let is = |at: i64, body: &[u8]| {
            let (time, signature) = (at.to_string(), signed(at, b"{}"));
            let list = [("webhook-id", "id-1"), ("webhook-timestamp", &time), ("webhook-signature", &signature)];
            of(ForgeKind::Gitlab, &secret, &list, body)
        };
        assert_eq!(is(1_700_000_000, b"{}"), Ok(()));
        assert_eq!(is(1_700_000_000, b"[]"), Err(SignatureError::Wrong));
        assert_eq!(is(1_699_999_701, b"{}"), Ok(()));
        assert_eq!(is(1_699_999_699, b"{}"), Err(SignatureError::Stale));
        assert_eq!(is(1_700_000_301, b"{}"), Err(SignatureError::Stale));
        assert_eq!(is(i64::MAX, b"{}"), Err(SignatureError::Stale));
        // A secret that signs is never sent as a token.
        assert_eq!(of(ForgeKind::Gitlab, &secret, &[("x-gitlab-token", &secret)], b"{}"), Err(SignatureError::Missing));
    }

    #[test]
    fn gitlabs_token_is_compared_whole() {
        let is = |token: &str| of(ForgeKind::Gitlab, "token", &[("x-gitlab-token", token)], b"{}");
        assert_eq!(is("token"), Ok(()));
        assert_eq!(
            (is("toke"), is("tokens"), is("")),
            (Err(SignatureError::Wrong), Err(SignatureError::Wrong), Err(SignatureError::Wrong))
        );
        assert_eq!(of(ForgeKind::Gitlab, "token", &[], b"{}"), Err(SignatureError::Missing));
    }
}
