//! Who asks: readers by a token or by nothing, approvers by theirs. Tokens are compared in constant time, all of them each time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::secret::Secret;

use super::config::{Approver, Repository, ServerConfig};
use super::refusal::Refusal;

/// What somebody shows: a bearer's token, or the password of a browser's form (the user does not matter).
fn shown(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(rest.trim().to_owned()),
        "basic" => {
            let bytes = STANDARD.decode(rest.trim()).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            text.split_once(':').map(|(_, password)| password.to_owned())
        }
        _ => None,
    }
}

/// Hashes are of one length, so that the comparison does not tell a token's.
fn same(token: &Secret, given: &str) -> Choice {
    Sha256::digest(token.expose()).as_slice().ct_eq(Sha256::digest(given).as_slice())
}

/// Lets readers through: anybody where no token is set, else whoever shows it, and every approver.
pub fn reader(config: &ServerConfig, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(token) = &config.read_token else { return Ok(()) };
    let given = shown(headers).unwrap_or_default();
    let approvers = config.repositories.values().flat_map(|repository| &repository.approvers);
    let right = approvers.fold(same(token, &given), |right, approver| right | same(&approver.token, &given));
    if bool::from(right) {
        return Ok(());
    }
    let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "show the read token");
    Err(refusal.with(header::WWW_AUTHENTICATE, "Basic realm=\"slipway\""))
}

/// The approver of `repository` whose token it is. Only a bearer's: a browser sends none by itself, so that no page can make
/// somebody approve.
pub fn approver<'r>(repository: &'r Repository, headers: &HeaderMap) -> Result<&'r Approver, Refusal> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let is_bearer = bearer.is_some_and(|value| value.get(..7).is_some_and(|word| word.eq_ignore_ascii_case("bearer ")));
    let given = if is_bearer { shown(headers).unwrap_or_default() } else { String::new() };
    let mut found = None;
    for approver in &repository.approvers {
        if bool::from(same(&approver.token, &given)) {
            found = Some(approver);
        }
    }
    found.ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, "this takes the token of an approver of the repository"))
}
