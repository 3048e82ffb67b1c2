//! The key that publishers over TCP present.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use realtime_protocol::PUBLISHER_KEY_PREFIX;
use subtle::{Choice, ConstantTimeEq};

/// Characters after the prefix: 43 of base62 hold 256 bits.
const RANDOM_CHARS: usize = 43;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A publisher's key. Its debug output never shows it, and comparisons take the same time wherever two keys differ.
#[derive(Clone)]
pub struct PublisherKey(Box<str>);

/// What a key must look like. It never repeats what was given, which may be a secret of another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Nothing was given.
    Empty,
    /// It does not begin with `rtk_`.
    Prefix,
    /// The part after the prefix has another length.
    Length {
        /// The characters that it has.
        found: usize,
    },
    /// A character that is neither letter nor digit.
    Character,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the key is empty"),
            Self::Prefix => write!(f, "a publisher key begins with {PUBLISHER_KEY_PREFIX}"),
            Self::Length { found } => {
                write!(
                    f,
                    "a publisher key has {RANDOM_CHARS} characters after {PUBLISHER_KEY_PREFIX}, this one {found}"
                )
            }
            Self::Character => {
                write!(f, "a publisher key has only letters and digits (ASCII) after {PUBLISHER_KEY_PREFIX}")
            }
        }?;
        f.write_str("; make one with: realtime-server key")
    }
}

impl std::error::Error for KeyError {}

impl FromStr for PublisherKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        let random = text.strip_prefix(PUBLISHER_KEY_PREFIX).ok_or(KeyError::Prefix)?;
        if !random.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(KeyError::Character);
        }
        if random.len() != RANDOM_CHARS {
            return Err(KeyError::Length { found: random.len() });
        }
        Ok(Self(text.into()))
    }
}

impl PublisherKey {
    /// A new random key. Fails only where the operating system has no randomness to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        /// The largest multiple of 62 in a byte: bytes from here on would favour the first letters.
        const FAIR: u8 = 62 * 4;
        let mut text = String::with_capacity(PUBLISHER_KEY_PREFIX.len() + RANDOM_CHARS);
        text.push_str(PUBLISHER_KEY_PREFIX);
        let whole = text.len() + RANDOM_CHARS;
        let mut bytes = [0; 64];
        while text.len() < whole {
            getrandom::fill(&mut bytes)?;
            let fair = bytes.iter().filter(|&&byte| byte < FAIR);
            text.extend(fair.map(|byte| char::from(BASE62[usize::from(byte % 62)])).take(whole - text.len()));
        }
        Ok(Self(text.into()))
    }

    /// The key in a file that holds nothing else; blanks around it do not count. The error names the file.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = fs::read_to_string(path).map_err(|error| format!("cannot read the key file {shown}: {error}"))?;
        text.trim().parse().map_err(|error| format!("{shown} holds no publisher key: {error}"))
    }

    /// Whether `presented` is this key, in time that does not depend on where they differ.
    pub fn matches(&self, presented: &str) -> bool {
        self.is(presented).into()
    }

    /// The same, for who compares with several keys and must not stop at the right one.
    pub(crate) fn is(&self, presented: &str) -> Choice {
        self.0.as_bytes().ct_eq(presented.as_bytes())
    }

    /// The key itself, for the `Authorization` header of our own clients.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl PartialEq for PublisherKey {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl Eq for PublisherKey {}

impl fmt::Debug for PublisherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublisherKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_keys_are_valid_and_never_equal() {
        let a = PublisherKey::generate().unwrap();
        let b = PublisherKey::generate().unwrap();
        assert_eq!(a.secret().parse::<PublisherKey>().unwrap(), a);
        assert_ne!(a, b);
        assert!(a.matches(a.secret()));
        assert!(!a.matches(b.secret()));
        assert!(!a.matches(&a.secret()[..46]));
        assert!(!a.matches(""));
    }

    #[test]
    fn generated_keys_use_the_whole_alphabet() {
        let seen: std::collections::HashSet<char> = (0..200)
            .flat_map(|_| PublisherKey::generate().unwrap().secret()[4..].chars().collect::<Vec<_>>())
            .collect();
        // 8,600 draws leave out one of 62 characters once in 10^58.
        assert_eq!(seen.len(), 62);
    }

    #[test]
    fn what_is_no_key_says_why_without_repeating_it() {
        let error = |text: &str| text.parse::<PublisherKey>().unwrap_err();
        assert_eq!(error(""), KeyError::Empty);
        assert_eq!(error("hunter2"), KeyError::Prefix);
        assert_eq!(error("RTK_aaaa"), KeyError::Prefix);
        assert_eq!(error(&format!("rtk_{}", "a".repeat(42))), KeyError::Length { found: 42 });
        assert_eq!(error(&format!("rtk_{}", "a".repeat(44))), KeyError::Length { found: 44 });
        assert_eq!(error(&format!("rtk_{} ", "a".repeat(43))), KeyError::Character);
        assert_eq!(error(&format!("rtk_{}", "é".repeat(43))), KeyError::Character);
        assert!(!error("hunter2").to_string().contains("hunter2"));
    }

    #[test]
    fn debug_output_hides_the_key() {
        let key = PublisherKey::generate().unwrap();
        assert_eq!(format!("{key:?}"), "PublisherKey(hidden)");
    }
}
