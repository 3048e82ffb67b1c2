//! Tokens as a page's PHP signs them.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

/// What they are signed with, on a server that nobody else can reach.
pub(crate) const SECRET: &str = "soaksoaksoaksoaksoaksoaksoaksoaksoaksoaksoak";

/// Seconds that a token of a good client is good for: short, so that all of them are renewed again and again.
const LIFE: i64 = 90;

/// A token that the server takes.
pub(crate) fn good(user: &str) -> String {
    signed(SECRET, "HS256", user, LIFE)
}

/// One that it must not take.
pub(crate) fn forged() -> String {
    match fastrand::u8(0..4) {
        0 => signed("another secret, which is as long as the right one", "HS256", "admin", LIFE),
        1 => signed(SECRET, "HS256", "admin", -LIFE),
        2 => signed(SECRET, "HS512", "admin", LIFE),
        _ => {
            let token = signed(SECRET, "none", "admin", LIFE);
            token[..=token.rfind('.').unwrap_or(0)].to_owned()
        }
    }
}

/// RFC 7519 with the HMAC of RFC 7518, section 3.2.
fn signed(secret: &str, algorithm: &str, user: &str, life: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({"alg": algorithm, "typ": "JWT"}));
    let claims = part(json!({"sub": user, "iat": now, "exp": now + life}));
    let text = format!("{head}.{claims}");
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}
