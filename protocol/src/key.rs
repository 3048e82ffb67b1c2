//! Idempotency keys: with one, a command that is sent again has its effect once.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::NameError;
use crate::name::{MAX_NAME, check};

/// What tells a key that a publisher library made from one of the application.
const MADE: char = '~';

/// An idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IdempotencyKey {
    /// The application's own, 1 to 200 bytes without control characters.
    Application(Box<str>),
    /// Made by a publisher library: a random prefix of its process and a counter, so that the server needs to remember
    /// only the last ones of each prefix. Written `~` + 22 characters of base64url + `.` + the counter.
    Made {
        /// The process.
        prefix: [u8; 16],
        /// Counts its commands.
        counter: u64,
    },
}

/// Why a key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// As for names.
    Name(NameError),
    /// It begins with `~` and is none that a library makes.
    Reserved,
}

impl std::fmt::Display for KeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Reserved => f.write_str("must not begin with ~, which marks the keys that libraries make"),
        }
    }
}

impl std::error::Error for KeyError {}

impl IdempotencyKey {
    /// Reads a key as it comes.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        check(text, MAX_NAME).map_err(KeyError::Name)?;
        let Some(made) = text.strip_prefix(MADE) else { return Ok(Self::Application(text.into())) };
        let read = || {
            let (prefix, counter) = made.split_once('.')?;
            let mut bytes = [0; 16];
            let whole = URL_SAFE_NO_PAD.decode_slice(prefix, &mut bytes) == Ok(bytes.len());
            let counter = counter.parse().ok().filter(|_| !counter.starts_with('+'))?;
            whole.then_some(Self::Made { prefix: bytes, counter })
        };
        read().ok_or(KeyError::Reserved)
    }
}

/// The key as it is written.
impl std::fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Application(key) => f.write_str(key),
            Self::Made { prefix, counter } => write!(f, "{MADE}{}.{counter}", URL_SAFE_NO_PAD.encode(prefix)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_libraries_are_told_from_those_of_applications() {
        let made = IdempotencyKey::Made { prefix: [7; 16], counter: 41 };
        assert_eq!(IdempotencyKey::parse(&made.to_string()), Ok(made));
        assert_eq!(IdempotencyKey::parse("order-42"), Ok(IdempotencyKey::Application("order-42".into())));
        for reserved in ["~", "~x", "~BwcHBwcHBwcHBwcHBwcHBw", "~BwcHBwcHBwcHBwcHBwcHBw.", "~BwcHBwcHBwcHBwcHBwcHBw.+1"]
        {
            assert_eq!(IdempotencyKey::parse(reserved), Err(KeyError::Reserved), "{reserved}");
        }
        assert_eq!(IdempotencyKey::parse(""), Err(KeyError::Name(NameError::Empty)));
        assert_eq!(IdempotencyKey::parse("a\n"), Err(KeyError::Name(NameError::Control)));
    }
}
