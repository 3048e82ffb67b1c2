//! Tokens (JWT, RFC 7519): who a connection is, and which channels it may have without more.
//!
//! The algorithm is fixed by the configuration; what a token says of its own algorithm is only compared with it
//! (RFC 8725 §3.1). Verifying is pure, with time as an argument; keys from a URL are fetched elsewhere (`jwks`).

mod claims;
mod jwks;
mod key;
mod refused;
mod revoked;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Validation, errors::ErrorKind};
use realtime_protocol::UserId;
use realtime_protocol::token::MAX_TOKEN;
use serde::Deserialize;

use self::claims::RawClaims;
use self::jwks::Remote;

pub use self::claims::{Claims, Info, Proof, Scope};
pub(crate) use self::jwks::keep_fresh;
pub use self::jwks::{JwksUrl, JwksUrlError, fetch};
pub use self::key::{Algorithm, KeyError, KeyPrint, Secret, TokenKey};
pub use self::refused::Refused;
pub use self::revoked::Revocations;

/// How far the clocks of those who make tokens may be off, seconds.
pub const SKEW: u64 = 10;

/// What tokens must be.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// The one algorithm.
    pub algorithm: Algorithm,
    /// The one secret where that is all; reading the configuration makes a key of it.
    pub secret: Option<Secret>,
    /// Keys from the configuration.
    pub keys: Vec<TokenKey>,
    /// Where more keys are, as a JWK set.
    pub jwks_url: Option<JwksUrl>,
    /// Who tokens must be for.
    pub audience: Option<String>,
    /// Whether every connection needs one.
    pub required: bool,
    /// The longest time that a token may be valid.
    pub max_ttl: Duration,
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::Hs256,
            secret: None,
            keys: Vec::new(),
            jwks_url: None,
            audience: None,
            required: false,
            max_ttl: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

impl TokenConfig {
    /// Whether there is anything to verify tokens with.
    pub fn is_used(&self) -> bool {
        !self.keys.is_empty() || self.jwks_url.is_some()
    }
}

/// Verifies tokens.
pub struct Verifier {
    config: TokenConfig,
    remote: Option<Arc<Remote>>,
    revocations: Arc<Revocations>,
}

/// The first part of a token (RFC 7515 §4.1).
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

impl Verifier {
    /// A verifier; `None` where tokens are not configured. Keys that `before` has fetched from the same URL stay.
    pub fn new(config: &TokenConfig, before: Option<&Self>, revocations: &Arc<Revocations>) -> Option<Self> {
        if !config.is_used() {
            return None;
        }
        let remote = config.jwks_url.as_ref().map(|url| {
            let known = before.and_then(|before| before.remote.clone());
            known.filter(|remote| remote.serves(url, config.algorithm)).unwrap_or_else(|| {
                let remote = Remote::new(url.clone(), config.algorithm);
                Arc::new(remote)
            })
        });
        Some(Self { config: config.clone(), remote, revocations: revocations.clone() })
    }

    /// Where more keys come from.
    pub fn remote(&self) -> Option<&Arc<Remote>> {
        self.remote.as_ref()
    }

    /// Whether every connection needs a token.
    pub fn is_required(&self) -> bool {
        self.config.required
    }

    /// Whether a token counts no more: its user's were revoked, or its key was taken out of the configuration.
    pub fn is_void(&self, user: &UserId, proof: Proof) -> bool {
        self.revocations.cover(user, proof.issued) || !self.has_key(proof)
    }

    /// Whether the key that signed a token, or the URL that it is from, is still in the configuration.
    pub fn has_key(&self, proof: Proof) -> bool {
        let local = self.config.keys.iter().map(TokenKey::print);
        local.chain(self.remote.iter().map(|remote| remote.print())).any(|print| print == proof.key)
    }

    /// What a token says, if all of it holds at `now` (Unix seconds).
    pub fn verify(&self, token: &str, now: u64) -> Result<Claims, Refused> {
        let (raw, key) = self.signed(token)?;
        let claims = raw.check(key, now, self.config.audience.as_deref(), self.config.max_ttl)?;
        if self.revocations.cover(&claims.user, claims.proof.issued) { Err(Refused::Revoked) } else { Ok(claims) }
    }

    /// The claims, once the signature is known to be right, and by which key it is.
    fn signed(&self, token: &str) -> Result<(RawClaims, KeyPrint), Refused> {
        if token.len() > MAX_TOKEN {
            return Err(Refused::TooLong);
        }
        let Header { alg, kid, crit } = header(token).ok_or(Refused::Malformed)?;
        let expected = self.config.algorithm;
        if alg != expected.as_str() {
            return Err(Refused::Algorithm { found: alg, expected: expected.as_str() });
        }
        if crit.is_some() {
            // RFC 7515 §4.1.11: who does not understand what is named there must refuse.
            return Err(Refused::Critical);
        }
        let local = self.config.keys.iter();
        let fetched = self.remote.as_ref().map(|remote| remote.keys());
        let all = local.chain(fetched.iter().flat_map(|keys| keys.iter()));
        // A token without a kid may be anybody's; one with a kid is that key's, or one's that has no name.
        let fits = |key: &&TokenKey| kid.is_none() || key.kid().is_none() || key.kid() == kid.as_deref();
        let mut refused = None;
        for key in all.filter(fits) {
            match decode(token, key, expected) {
                Ok(claims) => return Ok((claims, key.print())),
                Err(error) => refused = Some(error),
            }
        }
        if let Some(remote) = &self.remote {
            if !remote.is_ready() {
                return Err(Refused::NotReady);
            }
            // The issuer may have changed its keys since the last look.
            remote.ask();
        }
        Err(refused.unwrap_or(Refused::UnknownKey { kid }))
    }
}

/// The header, before anything is known to be right.
fn header(token: &str) -> Option<Header> {
    let mut parts = token.split('.');
    let header = parts.next()?;
    if parts.count() != 2 {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
}

fn decode(token: &str, key: &TokenKey, algorithm: Algorithm) -> Result<RawClaims, Refused> {
    // Only the signature: times and names are checked by our own clock and with messages of our own.
    let mut validation = Validation::new(algorithm.into());
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
    match jsonwebtoken::decode(token, key.decoding(), &validation) {
        Ok(data) => Ok(data.claims),
        Err(error) => Err(match error.kind() {
            ErrorKind::Json(error) => Refused::Claims(shortened(&error.to_string())),
            ErrorKind::InvalidSignature => Refused::Signature,
            _ => Refused::Malformed,
        }),
    }
}

/// What is repeated of a token, bounded.
fn shortened(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
