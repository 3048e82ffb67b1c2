//! Tokens: whatever comes is refused with a reason, but what was signed.

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};

use crate::token::{Revocations, TokenConfig, TokenKey, Verifier};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: u64 = 1_764_000_000;

/// Two lines: a header and claims, which are signed as they are; the same text as a token is refused.
pub fn token(input: &[u8]) {
    static VERIFIER: LazyLock<Verifier> = LazyLock::new(verifier);
    let Ok(text) = std::str::from_utf8(input) else { return };
    let refused = VERIFIER.verify(text, NOW).err().unwrap_or_else(|| panic!("{text:?} is good, and nobody signed it"));
    assert!(!refused.to_string().is_empty(), "refused without a reason");
    let Some((header, claims)) = text.split_once('\n') else { return };
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(SECRET);
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap_or_else(|error| panic!("{error}"));
    let token = format!("{message}.{signature}");
    match VERIFIER.verify(&token, NOW) {
        Ok(said) => {
            assert!(said.expires + 10 > NOW && said.proof.issued <= NOW + 10, "out of time: {said:?}");
            let header: serde_json::Value = serde_json::from_str(header).unwrap_or_default();
            assert_eq!(header["alg"], "HS256", "another algorithm: {header}");
            assert!(VERIFIER.verify(&token[..token.len() - 1], NOW).is_err(), "a cut signature is good");
            assert!(VERIFIER.verify(&format!("{message}."), NOW).is_err(), "no signature is good");
        }
        Err(refused) => assert!(refused.to_string().len() < 1_000, "a long story: {refused}"),
    }
}

fn verifier() -> Verifier {
    let key = TokenKey::from_secret(Some("a".to_owned()), SECRET).unwrap_or_else(|error| panic!("{error}"));
    let config = TokenConfig { keys: vec![key], ..TokenConfig::default() };
    let revocations = Arc::new(Revocations::new(config.max_ttl));
    Verifier::new(&config, None, &revocations).unwrap_or_else(|| panic!("there are no keys"))
}
