//! Tokens as they are made: JSON Web Tokens (RFC 7519) in their compact form (RFC 7515 §7.1), signed with HMAC and
//! SHA-256 ("HS256", RFC 7518 §3.2).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::Sha256;

use crate::{ChannelName, NameError, UserId};

/// Fewest bytes of a secret: a shorter one would be easier to guess than the signature (RFC 7518 §3.2).
pub const MIN_SECRET: usize = 32;

/// Longest token, bytes; request heads and messages have bounds of their own.
pub const MAX_TOKEN: usize = 16 * 1024;

/// Longest `info`, bytes of JSON: it is repeated to every member of every presence channel.
pub const MAX_INFO: usize = 4 * 1024;

/// A secret that tokens are signed with. No message and no debug output shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

/// A secret of fewer than [`MIN_SECRET`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretTooShort {
    /// How many it has.
    pub bytes: usize,
}

impl fmt::Display for SecretTooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "has {} bytes, and must have at least {MIN_SECRET}; make one with: realtime-server token --new-secret",
            self.bytes
        )
    }
}

impl std::error::Error for SecretTooShort {}

impl Secret {
    /// Takes the bytes as they are: what looks like base64 or hexadecimal is not decoded.
    pub fn parse(bytes: &[u8]) -> Result<Self, SecretTooShort> {
        if bytes.len() < MIN_SECRET {
            return Err(SecretTooShort { bytes: bytes.len() });
        }
        Ok(Self(bytes.into()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A channel, or, with a `*` at the end, all whose names begin alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scope(Box<str>);

/// Why a text is no [`Scope`]; it completes "channels …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeError {
    /// As for names of channels.
    Name(NameError),
    /// `*` before the end.
    StarInside,
    /// A brace that is no `{user}`, a second `{user}`, or one right before `*`: servers take it for no pattern, and so the
    /// whole token for none.
    Brace,
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::StarInside => f.write_str("must have no * but at the end, where it stands for the rest of a name"),
            Self::Brace => f.write_str(
                "must have no braces but those of {user}, which stands for the token's user, once and not right before *",
            ),
        }
    }
}

impl std::error::Error for ScopeError {}

impl Scope {
    /// Reads a name, or a pattern such as `orders.*`.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let name = ChannelName::parse(text).map_err(ScopeError::Name)?;
        let literal = text.strip_suffix('*').unwrap_or(text);
        if literal.contains('*') {
            return Err(ScopeError::StarInside);
        }
        let (before, after) = literal.split_once("{user}").unwrap_or((literal, ""));
        let is_all_of_many = text.ends_with("{user}*");
        if is_all_of_many || before.contains(['{', '}']) || after.contains(['{', '}']) {
            return Err(ScopeError::Brace);
        }
        Ok(Self(name.as_str().into()))
    }
}

/// What a token says. Times are in seconds since the Unix epoch (RFC 7519 §2, `NumericDate`).
#[derive(Clone, Copy, Debug)]
pub struct Claims<'a> {
    /// Whose it is.
    pub user: &'a UserId,
    /// What it is good for.
    pub grant: Grant<'a>,
    /// For which server, where several share a secret.
    pub audience: Option<&'a str>,
    /// When it is made.
    pub issued: u64,
    /// From when on it is refused.
    pub expires: u64,
}

/// What a token is good for.
#[derive(Clone, Copy, Debug)]
pub enum Grant<'a> {
    /// A connection.
    Connection {
        /// What may be subscribed to without more.
        channels: &'a [Scope],
        /// What others see of the user, JSON.
        info: Option<&'a RawValue>,
    },
    /// A subscription.
    Channel(&'a ChannelName),
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

#[derive(Serialize)]
struct Payload<'a> {
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Scope]>::is_empty")]
    channels: &'a [Scope],
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    iat: u64,
    exp: u64,
}

/// Makes a token. `key_id` names the secret, for a server that knows several.
pub fn mint(claims: &Claims<'_>, secret: &Secret, key_id: Option<&str>) -> String {
    let Claims { user, grant, audience, issued, expires } = *claims;
    let (channel, channels, info) = match grant {
        Grant::Connection { channels, info } => (None, channels, info),
        Grant::Channel(channel) => (Some(channel.as_str()), &[][..], None),
    };
    let payload = Payload { sub: user.as_str(), channel, channels, info, aud: audience, iat: issued, exp: expires };
    sign(&json(&Header { alg: "HS256", typ: "JWT", kid: key_id }), &json(&payload), &secret.0)
}

/// The compact form of a header and a payload: both and the signature over them in base64url, with dots between.
fn sign(header: &str, payload: &str, key: &[u8]) -> String {
    let mut token = String::with_capacity((header.len() + payload.len() + 32) * 4 / 3 + 8);
    URL_SAFE_NO_PAD.encode_string(header, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    mac.update(token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(mac.finalize().into_bytes(), &mut token);
    token
}

fn json(value: &impl Serialize) -> String {
    // Structs of strings and numbers have no reason to fail.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    /// Header and payload of what `grant` becomes, for the user `u"7` at 1,000 for an hour.
    fn minted(grant: Grant<'_>, audience: Option<&str>, key_id: Option<&str>) -> [String; 2] {
        let user = UserId::parse("u\"7").unwrap();
        let claims = Claims { user: &user, grant, audience, issued: 1_000, expires: 4_600 };
        let token = mint(&claims, &Secret::parse(SECRET).unwrap(), key_id);
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts.len(), 3, "{token}");
        let decoded = |part| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        let [header, payload] = [decoded(parts[0]), decoded(parts[1])];
        assert_eq!(sign(&header, &payload, SECRET), token);
        [header, payload]
    }

    #[test]
    fn the_signature_is_that_of_the_rfc() {
        // RFC 7515, A.1.1; the line breaks are part of it.
        let header = "{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}";
        let payload = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        assert_eq!(
            sign(header, payload, &URL_SAFE_NO_PAD.decode(key).unwrap()),
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
             cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        );
    }

    #[test]
    fn a_connection_token_says_who_what_and_how_long() {
        let channels = [Scope::parse("user:u7").unwrap(), Scope::parse("orders.*").unwrap()];
        let info: &RawValue = serde_json::from_str("{\"name\": \"Ana\"}").unwrap();
        let grant = Grant::Connection { channels: &channels, info: Some(info) };
        assert_eq!(
            minted(grant, Some("shop"), Some("2026")),
            [
                r#"{"alg":"HS256","typ":"JWT","kid":"2026"}"#,
                r#"{"sub":"u\"7","channels":["user:u7","orders.*"],"info":{"name": "Ana"},"aud":"shop","iat":1000,"exp":4600}"#,
            ]
        );
        let nothing = Grant::Connection { channels: &[], info: None };
        assert_eq!(
            minted(nothing, None, None),
            [r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"sub":"u\"7","iat":1000,"exp":4600}"#]
        );
    }

    #[test]
    fn a_channel_token_names_its_channel() {
        let channel = ChannelName::parse("orders.42").unwrap();
        let [_, payload] = minted(Grant::Channel(&channel), None, None);
        assert_eq!(payload, r#"{"sub":"u\"7","channel":"orders.42","iat":1000,"exp":4600}"#);
    }

    #[test]
    fn short_secrets_are_refused_and_none_is_shown() {
        assert_eq!(Secret::parse(&SECRET[1..]), Err(SecretTooShort { bytes: 31 }));
        assert_eq!(format!("{:?}", Secret::parse(SECRET)), "Ok(Secret(…))");
    }

    #[test]
    fn a_scope_is_a_name_or_the_beginning_of_names() {
        for good in ["*", "orders.*", "orders.42", "é"] {
            assert!(Scope::parse(good).is_ok(), "{good}");
        }
        for bad in ["*.orders", "a**", "a*b"] {
            assert_eq!(Scope::parse(bad), Err(ScopeError::StarInside), "{bad}");
        }
        for good in ["user:{user}", "user:{user}:*", "{user}.inbox"] {
            assert!(Scope::parse(good).is_ok(), "{good}");
        }
        // The server would refuse the whole token.
        for bad in ["orders.{42}", "a}", "{User}", "{user}*", "{user}:{user}"] {
            assert_eq!(Scope::parse(bad), Err(ScopeError::Brace), "{bad}");
        }
        assert_eq!(Scope::parse(""), Err(ScopeError::Name(NameError::Empty)));
        assert_eq!(Scope::parse("a\n"), Err(ScopeError::Name(NameError::Control)));
    }
}
