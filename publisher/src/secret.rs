//! The publisher key, which no message, trace or debug output shows.

use std::fmt;

/// A publisher key that can stand in a header.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

/// A key with characters that a header cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyError;

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must contain only visible ASCII characters")
    }
}

impl std::error::Error for KeyError {}

impl Key {
    /// Reads a key; an empty one is none.
    pub fn parse(text: &str) -> Result<Option<Self>, KeyError> {
        match text {
            "" => Ok(None),
            text if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Some(Self(text.to_owned()))),
            _ => Err(KeyError),
        }
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}
