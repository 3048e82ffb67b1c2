//! Keys from a URL (JWK set, RFC 7517): fetched at the start, again from time to time, and when a token names a key
//! that is not known.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hyper::Uri;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use rustls::crypto::aws_lc_rs;
use tokio::sync::Notify;
use tracing::{info, warn};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::{Algorithm, KeyPrint, TokenKey};
use crate::Shared;
use crate::tls::system_authorities;

/// How often keys are fetched without a reason.
const FRESH: Duration = Duration::from_secs(600);
/// How long after a fetch the next one may be, whatever tokens name: whoever sends forged ones must not make this
/// server hammer the issuer.
const PAUSE: Duration = Duration::from_secs(10);
/// Time for one fetch.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest JWK set, bytes.
const MAX_SET: u64 = 1 << 20;
/// Most keys that are taken from a set: each is tried on tokens that name none.
const MAX_KEYS: usize = 32;

/// Where a JWK set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksUrl(Box<str>);

/// Why a text is no such URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwksUrlError {
    /// No URL with a host.
    Malformed,
    /// Not https, and not on this machine.
    NotSafe,
}

impl fmt::Display for JwksUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a URL; it looks like \"https://login.example.com/.well-known/jwks.json\"",
            Self::NotSafe => {
                "keys over plain http could be anybody's: write https://…, or http:// with localhost or 127.0.0.1"
            }
        })
    }
}

impl std::error::Error for JwksUrlError {}

impl FromStr for JwksUrl {
    type Err = JwksUrlError;

    fn from_str(text: &str) -> Result<Self, JwksUrlError> {
        let uri: Uri = text.parse().map_err(|_| JwksUrlError::Malformed)?;
        let host = uri.host().ok_or(JwksUrlError::Malformed)?;
        match uri.scheme_str() {
            Some("https") => Ok(Self(text.into())),
            Some("http") if matches!(host, "localhost" | "127.0.0.1" | "[::1]") => Ok(Self(text.into())),
            Some("http") => Err(JwksUrlError::NotSafe),
            _ => Err(JwksUrlError::Malformed),
        }
    }
}

impl JwksUrl {
    /// What stands for its keys for `algorithm`.
    fn print(&self, algorithm: Algorithm) -> KeyPrint {
        KeyPrint::of(format!("{} {self}", algorithm.as_str()).as_bytes())
    }
}

impl fmt::Display for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The keys of one URL as far as they are known.
pub struct Remote {
    url: JwksUrl,
    algorithm: Algorithm,
    keys: ArcSwapOption<Vec<TokenKey>>,
    asked: Notify,
}

impl Remote {
    pub(super) fn new(url: JwksUrl, algorithm: Algorithm) -> Self {
        Self { url, algorithm, keys: ArcSwapOption::empty(), asked: Notify::new() }
    }

    pub(super) fn serves(&self, url: &JwksUrl, algorithm: Algorithm) -> bool {
        self.url == *url && self.algorithm == algorithm
    }

    /// What stands for its keys.
    pub(super) fn print(&self) -> KeyPrint {
        self.url.print(self.algorithm)
    }

    /// Whether keys were fetched at all.
    pub(super) fn is_ready(&self) -> bool {
        self.keys.load().is_some()
    }

    pub(super) fn keys(&self) -> Arc<Vec<TokenKey>> {
        self.keys.load_full().unwrap_or_default()
    }

    /// Asks for a fetch before its time.
    pub(super) fn ask(&self) {
        self.asked.notify_one();
    }
}

/// Fetches the keys of whatever policy is in force, for ever.
pub(crate) async fn keep_fresh(shared: Arc<Shared>) {
    loop {
        let Some(remote) = shared.policy.load().tokens.as_ref().and_then(|tokens| tokens.remote().cloned()) else {
            // A reload may bring a URL.
            shared.reloaded.notified().await;
            continue;
        };
        let (url, algorithm) = (remote.url.clone(), remote.algorithm);
        let fetched = tokio::task::spawn_blocking(move || fetch(&url, algorithm)).await;
        match fetched.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(keys) => {
                if !remote.is_ready() {
                    info!(keys = keys.len(), "token keys from {}", remote.url);
                }
                remote.keys.store(Some(Arc::new(keys)));
            }
            Err(error) => {
                let kept =
                    if remote.is_ready() { "those of before stay" } else { "tokens are refused until they come" };
                warn!(%error, "no token keys from {}; {kept}", remote.url);
            }
        }
        let rest = async {
            tokio::time::sleep(PAUSE).await;
            if remote.is_ready() {
                let _ = tokio::time::timeout(FRESH, remote.asked.notified()).await;
            }
        };
        tokio::select! {
            () = rest => {}
            // With another URL perhaps; and whoever reloads because the keys have changed need not wait.
            () = shared.reloaded.notified() => {}
        }
    }
}

/// Fetches the keys for `algorithm` from a JWK set.
pub fn fetch(url: &JwksUrl, algorithm: Algorithm) -> Result<Vec<TokenKey>, String> {
    let tls = match url.0.starts_with("https:") {
        true => TlsConfig::builder()
            .root_certs(roots()?)
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .build(),
        false => TlsConfig::default(),
    };
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .tls_config(tls)
        .build()
        .new_agent();
    let mut response = agent.get(&*url.0).call().map_err(|error| error.to_string())?;
    if !response.status().is_success() {
        return Err(format!("the answer is {}", response.status()));
    }
    let text = response.body_mut().with_config().limit(MAX_SET).read_to_string().map_err(|error| error.to_string())?;
    keys(&text, algorithm, url.print(algorithm))
}

/// The machine's certificate authorities.
fn roots() -> Result<RootCerts, String> {
    let found = system_authorities().map_err(|error| error.to_string())?;
    Ok(RootCerts::Specific(Arc::new(found.iter().map(|der| Certificate::from_der(der).to_owned()).collect())))
}

/// Those keys of a JWK set that can verify signatures of `algorithm`. `print` stands for all of them.
fn keys(text: &str, algorithm: Algorithm, print: KeyPrint) -> Result<Vec<TokenKey>, String> {
    let JwkSet { keys } = serde_json::from_str(text).map_err(|error| format!("the answer is no JWK set: {error}"))?;
    let key = |jwk: &Jwk| Some(TokenKey::from_jwk(jwk.common.key_id.clone(), print, DecodingKey::from_jwk(jwk).ok()?));
    let keys: Vec<_> = keys.iter().filter(|jwk| is_for(jwk, algorithm)).filter_map(key).take(MAX_KEYS).collect();
    if keys.is_empty() {
        return Err(format!("no key of the set is for {}", algorithm.as_str()));
    }
    Ok(keys)
}

fn is_for(jwk: &Jwk, algorithm: Algorithm) -> bool {
    use jsonwebtoken::jwk::{AlgorithmParameters as Kind, EllipticCurve};
    let common = &jwk.common;
    let signs = common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    let says = common.key_algorithm.is_none_or(|named| named.to_string() == algorithm.as_str());
    let is_kind = match (&jwk.algorithm, algorithm) {
        (Kind::RSA(_), Algorithm::Rs256) => true,
        (Kind::EllipticCurve(ec), Algorithm::Es256) => ec.curve == EllipticCurve::P256,
        (Kind::OctetKeyPair(pair), Algorithm::EdDsa) => pair.curve == EllipticCurve::Ed25519,
        // A set is public, so a secret in it is none.
        _ => false,
    };
    signs && says && is_kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for good in ["https://login.example.com/jwks.json", "http://127.0.0.1:9/a", "http://localhost/a"] {
            assert!(good.parse::<JwksUrl>().is_ok(), "{good}");
        }
        for bad in ["http://login.example.com/jwks.json", "http://127.0.0.1.evil.example/"] {
            assert_eq!(bad.parse::<JwksUrl>(), Err(JwksUrlError::NotSafe), "{bad}");
        }
        for bad in ["", "/jwks.json", "ftp://example.com/", "file:///etc/passwd", "example.com"] {
            assert_eq!(bad.parse::<JwksUrl>(), Err(JwksUrlError::Malformed), "{bad}");
        }
    }

    #[test]
    fn only_keys_for_the_algorithm_are_taken_from_a_set() {
        let set = r#"{"keys":[
            {"kty":"OKP","crv":"Ed25519","kid":"a","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
            {"kty":"OKP","crv":"Ed25519","kid":"b","use":"enc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
            {"kty":"oct","kid":"c","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
            {"kty":"strange","kid":"d"}
        ]}"#;
        let keys = |text, algorithm| keys(text, algorithm, KeyPrint::of(b"a set"));
        let found = keys(set, Algorithm::EdDsa).unwrap();
        assert_eq!(found.iter().map(TokenKey::kid).collect::<Vec<_>>(), [Some("a")]);
        assert!(keys(set, Algorithm::Rs256).unwrap_err().contains("RS256"));
        assert!(keys(set, Algorithm::Hs256).unwrap_err().contains("HS256"), "a secret in a public set is none");
        assert!(keys("[]", Algorithm::Rs256).unwrap_err().contains("no JWK set"));
    }
}
