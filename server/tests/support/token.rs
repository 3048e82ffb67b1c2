//! Tokens as an application makes them.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use realtime_server::config::Config;
use realtime_server::token::{TokenConfig, TokenKey};
use serde_json::{Value, json};

use super::config;

pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Verifies what [`token`] makes.
pub fn with_tokens() -> Config {
    let keys = vec![TokenKey::from_secret(None, SECRET.as_bytes()).unwrap()];
    Config { tokens: TokenConfig { keys, ..TokenConfig::default() }, ..config() }
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token with these claims, beside a user and an hour's time.
pub fn token(claims: Value) -> String {
    signed(SECRET, claims)
}

/// The same, signed with any secret.
#[allow(clippy::needless_pass_by_value, reason = "tests write the claims where they call it")]
pub fn signed(secret: &str, claims: Value) -> String {
    let mut all = json!({"sub": "u7", "iat": now(), "exp": now() + 3600});
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    encode(&Header::default(), &all, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

/// A token of this user that is valid, or a little longer than that, for so many seconds.
pub fn ending_in(seconds: u64) -> String {
    // A token is accepted for ten seconds after its end.
    token(json!({"iat": now() - 60, "exp": now() + seconds - 10}))
}

/// `connect` with this token.
pub fn connect(token: &str) -> String {
    json!({"type": "connect", "id": 1, "token": token}).to_string()
}
