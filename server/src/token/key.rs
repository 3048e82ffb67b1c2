//! Keys that tokens are verified with.

use std::fmt;
use std::path::Path;

use jsonwebtoken::DecodingKey;
use realtime_protocol::token::MIN_SECRET;
use sha2::{Digest, Sha256};

/// How tokens are signed (RFC 7518 §3, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256: one secret for those who make tokens and for the server.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every one, in the order of the manual.
    pub const ALL: &'static [Self] = &[Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];

    /// The name in a token's header and in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Hs256 => Self::HS256,
            Algorithm::Rs256 => Self::RS256,
            Algorithm::Es256 => Self::ES256,
            Algorithm::EdDsa => Self::EdDSA,
        }
    }
}

/// A secret as the configuration has it; it shows in no debug output.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// This text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Tells a key from others, after a reload, too: a part of its hash. Keys of a JWK set share one, which stands for the set,
/// since the issuer may leave a key out while tokens that it signed are still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPrint(u64);

impl KeyPrint {
    pub(super) fn of(key: &[u8]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(Sha256::digest(key));
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// One key. Its debug output shows its name only.
#[derive(Clone)]
pub struct TokenKey {
    kid: Option<String>,
    print: KeyPrint,
    decoding: DecodingKey,
    /// The same, for making tokens on the command line.
    secret: Option<Box<[u8]>>,
}

/// Why something is no key. It never repeats what was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// A secret for an algorithm with public keys, or the other way round.
    Kind(Algorithm),
    /// A secret that is too short.
    Short {
        /// Its bytes.
        found: usize,
    },
    /// The file cannot be read.
    File(String),
    /// Not a public key of the algorithm's kind.
    NoKey(Algorithm),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(Algorithm::Hs256) => f.write_str("HS256 has a secret, as a text or in a file"),
            Self::Kind(algorithm) => {
                write!(
                    f,
                    "{} has public keys, each in a PEM file: file = \"/etc/realtime/token.pem\"",
                    algorithm.as_str()
                )
            }
            Self::Short { found } => write!(
                f,
                "a secret has at least {MIN_SECRET} bytes, and this one {found}; make one with: realtime-server token \
                 --new-secret"
            ),
            Self::File(error) => f.write_str(error),
            Self::NoKey(algorithm) => {
                write!(f, "it holds no public key for {} in PEM (-----BEGIN PUBLIC KEY-----)", algorithm.as_str())
            }
        }
    }
}

impl std::error::Error for KeyError {}

impl TokenKey {
    /// A secret for HS256.
    pub fn from_secret(kid: Option<String>, secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < MIN_SECRET {
            return Err(KeyError::Short { found: secret.len() });
        }
        let (print, decoding) = (KeyPrint::of(secret), DecodingKey::from_secret(secret));
        Ok(Self { kid, print, decoding, secret: Some(secret.into()) })
    }

    /// A key for `algorithm` from a file: a secret, around which blanks do not count, or a public key in PEM.
    pub fn from_file(kid: Option<String>, algorithm: Algorithm, path: &Path) -> Result<Self, KeyError> {
        let unreadable = |error| KeyError::File(format!("cannot read the key file {}: {error}", path.display()));
        let bytes = std::fs::read(path).map_err(unreadable)?;
        match algorithm {
            Algorithm::Hs256 => Self::from_secret(kid, bytes.trim_ascii()),
            _ => Self::from_pem(kid, algorithm, &bytes),
        }
    }

    /// A public key in PEM.
    pub fn from_pem(kid: Option<String>, algorithm: Algorithm, pem: &[u8]) -> Result<Self, KeyError> {
        let decoding = match algorithm {
            Algorithm::Hs256 => return Err(KeyError::Kind(algorithm)),
            Algorithm::Rs256 => DecodingKey::from_rsa_pem(pem),
            Algorithm::Es256 => DecodingKey::from_ec_pem(pem),
            Algorithm::EdDsa => DecodingKey::from_ed_pem(pem),
        };
        let decoding = decoding.map_err(|_| KeyError::NoKey(algorithm))?;
        // Of the key, not of the file, which may be written otherwise.
        let print = KeyPrint::of(decoding.try_get_as_bytes().map_err(|_| KeyError::NoKey(algorithm))?);
        Ok(Self { kid, print, decoding, secret: None })
    }

    /// A key of the JWK set that `print` stands for.
    pub(super) fn from_jwk(kid: Option<String>, print: KeyPrint, decoding: DecodingKey) -> Self {
        Self { kid, print, decoding, secret: None }
    }

    /// Its name in tokens.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The secret, when it is one.
    pub fn secret(&self) -> Option<&[u8]> {
        self.secret.as_deref()
    }

    /// What tells it from others.
    pub(super) fn print(&self) -> KeyPrint {
        self.print
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({:?}, hidden)", self.kid)
    }
}
