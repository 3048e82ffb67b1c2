//! Names that come from outside, valid by their type once parsed.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Longest channel or event name, in bytes.
pub const MAX_NAME: usize = 200;
/// Longest user id, in bytes.
pub const MAX_USER: usize = 128;

/// Why a name was refused; the text completes "channel names …", "user ids …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// The name has no bytes.
    Empty,
    /// The name has more bytes than allowed.
    TooLong {
        /// The most bytes that a name of this kind may have.
        max: usize,
    },
    /// The name holds a control character (U+0000–U+001F, U+007F–U+009F).
    Control,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("must not be empty"),
            Self::TooLong { max } => write!(f, "must not be longer than {max} bytes"),
            Self::Control => f.write_str("must not contain control characters"),
        }
    }
}

impl std::error::Error for NameError {}

pub(crate) fn check(raw: &str, max: usize) -> Result<(), NameError> {
    if raw.is_empty() {
        Err(NameError::Empty)
    } else if raw.len() > max {
        Err(NameError::TooLong { max })
    } else if raw.chars().any(char::is_control) {
        Err(NameError::Control)
    } else {
        Ok(())
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks `raw`; see [`NameError`] for what is refused.
            pub fn parse(raw: &str) -> Result<Self, NameError> {
                check(raw, $max)?;
                Ok(Self(raw.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A channel's name: 1 to 200 bytes of UTF-8 without control characters.
    ChannelName,
    MAX_NAME
);
name!(
    /// The application's name on a publication: 1 to 200 bytes of UTF-8 without control characters.
    EventName,
    MAX_NAME
);
name!(
    /// An authenticated user's id: 1 to 128 bytes of UTF-8 without control characters.
    UserId,
    MAX_USER
);

impl ChannelName {
    /// Whether the name itself asks for protection, whatever the rules say (`private-…`, `presence-…`).
    pub fn is_protected(&self) -> bool {
        self.0.starts_with("private-") || self.0.starts_with("presence-")
    }
}

/// The id of one connection, told only to that connection. Who knows it may exclude or address the connection, so
/// 96 of its 144 bits are random; the rest says where the server finds it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId([u8; Self::LEN]);

impl ConnectionId {
    /// Bytes in an id.
    pub const LEN: usize = 18;

    /// An id of these bytes.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The id's bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Reads the text form; `None` when no server can have given this id.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; Self::LEN];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(Self::LEN) => Some(Self(bytes)),
            _ => None,
        }
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; Self::LEN.div_ceil(3) * 4];
        match URL_SAFE_NO_PAD.encode_slice(self.0, &mut text) {
            Ok(n) => f.write_str(std::str::from_utf8(&text[..n]).map_err(|_| fmt::Error)?),
            Err(_) => Err(fmt::Error),
        }
    }
}

/// Ids are capabilities, so debug output shows only enough to tell two apart.
impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_string();
        write!(f, "ConnectionId({}…)", &text[..6])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_limited_in_bytes_and_free_of_control_characters() {
        assert!(ChannelName::parse("orders.42").is_ok());
        assert!(ChannelName::parse("__proto__").is_ok());
        assert!(ChannelName::parse(&"é".repeat(100)).is_ok());
        assert_eq!(ChannelName::parse(""), Err(NameError::Empty));
        assert_eq!(ChannelName::parse(&"é".repeat(101)), Err(NameError::TooLong { max: 200 }));
        for bad in ["a\nb", "a\0", "\u{7f}", "\u{85}"] {
            assert_eq!(ChannelName::parse(bad), Err(NameError::Control), "{bad:?}");
        }
        assert_eq!(UserId::parse(&"u".repeat(129)), Err(NameError::TooLong { max: 128 }));
    }

    #[test]
    fn connection_ids_survive_their_text_form_and_foreign_text_is_none() {
        let id = ConnectionId::from_bytes([7; 18]);
        assert_eq!(ConnectionId::parse(&id.to_string()), Some(id));
        for foreign in ["", "c1a", "%%%", &"A".repeat(25), &"A".repeat(5000)] {
            assert_eq!(ConnectionId::parse(foreign), None, "{foreign:?}");
        }
    }
}
