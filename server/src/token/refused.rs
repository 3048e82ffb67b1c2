//! Why a token is refused.

use std::fmt;

use realtime_protocol::token::MAX_TOKEN;
use realtime_protocol::{ChannelName, CloseCode, CommandError, ErrorCode, NameError, UserId};

use super::SKEW;

/// Why a token is refused; the text is meant for who sent it, and repeats nothing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The server verifies no tokens.
    NotConfigured,
    /// The keys are not fetched yet.
    NotReady,
    /// Longer than any token should be.
    TooLong,
    /// Not three parts in base64url with JSON in them.
    Malformed,
    /// Another algorithm than the configured one.
    Algorithm {
        /// What the token says.
        found: String,
        /// What is configured.
        expected: &'static str,
    },
    /// It demands extensions (`crit`).
    Critical,
    /// No key has its `kid`.
    UnknownKey {
        /// The key's name in the token.
        kid: Option<String>,
    },
    /// The signature is not that of any key.
    Signature,
    /// The claims are no JSON object of the kind that is needed.
    Claims(String),
    /// A claim that must be there is not.
    Missing(&'static str),
    /// `sub` is no user id.
    User(NameError),
    /// `channel` is no channel name.
    Channel(NameError),
    /// An entry of `channels` is neither a name nor a pattern.
    Channels(String),
    /// `info` is too long.
    Info {
        /// Its bytes.
        found: usize,
        /// The most.
        max: usize,
    },
    /// `aud` is somebody else.
    Audience,
    /// `iat` or `nbf` is in the future.
    Early {
        /// Which of them.
        claim: &'static str,
        /// Seconds until then.
        by: u64,
    },
    /// `exp` is past.
    Expired {
        /// Seconds since then.
        since: u64,
    },
    /// It is valid for longer than may be.
    TooLongValid {
        /// Seconds.
        max: u64,
    },
    /// The user's tokens up to then were revoked.
    Revoked,
    /// A channel token in `connect`.
    ForChannel(ChannelName),
    /// A connection token as a channel token.
    ForConnection,
    /// A channel token for another channel.
    OtherChannel(ChannelName),
    /// A token of another user than the connection's.
    OtherUser(UserId),
}

impl Refused {
    /// The code of the error.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Expired { .. } | Self::Revoked => ErrorCode::TokenExpired,
            Self::NotReady => ErrorCode::Unavailable,
            Self::OtherUser(_) => ErrorCode::Forbidden,
            _ => ErrorCode::TokenInvalid,
        }
    }

    /// How a connection ends that has nothing else to show.
    pub fn close_code(&self) -> CloseCode {
        match self.code() {
            ErrorCode::TokenExpired => CloseCode::TokenExpired,
            ErrorCode::Unavailable => CloseCode::GoingAway,
            _ => CloseCode::Unauthorized,
        }
    }

    /// The error that its sender gets, and the code with which a connection ends that has nothing else to show.
    pub fn into_error_and_code(self) -> (CommandError, CloseCode) {
        let code = self.close_code();
        (self.into_error(), code)
    }

    /// The error that its sender gets.
    pub fn into_error(self) -> CommandError {
        CommandError::new(self.code(), self.to_string())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConfigured => f.write_str("this server verifies no tokens: its configuration has no [tokens]"),
            Self::NotReady => f.write_str("the keys for tokens are not there yet (tokens.jwks_url); try again"),
            Self::TooLong => write!(f, "the token is longer than {MAX_TOKEN} bytes"),
            Self::Malformed => {
                f.write_str("this is not a signed JWT: three parts in base64url, with points between them")
            }
            Self::Algorithm { found, expected } => {
                let found: String = found.chars().take(20).collect();
                write!(f, "the token's algorithm is {found:?}, and the server takes {expected:?} only")
            }
            Self::Critical => f.write_str("the token demands extensions (crit) that the server does not know"),
            Self::UnknownKey { kid: Some(kid) } => {
                let kid: String = kid.chars().take(60).collect();
                write!(f, "no key of the server has the token's kid {kid:?} (in PHP it is realtime.token_kid)")
            }
            Self::UnknownKey { kid: None } => f.write_str("the server has no keys for tokens"),
            Self::Signature => f.write_str(
                "the signature is wrong: the token was changed, or signed with another key than the server's [tokens] has (a \
                 secret is realtime.token_secret in PHP)",
            ),
            Self::Claims(error) => write!(f, "the token's claims cannot be read: {error}"),
            Self::Missing("aud") => f.write_str(
                "the token has no aud, and this server takes those only that name its tokens.audience (in PHP \
                 realtime.token_audience)",
            ),
            Self::Missing(claim) => write!(f, "the token has no {claim}"),
            Self::User(error) => write!(f, "sub: user ids {error}"),
            Self::Channel(error) => write!(f, "channel: channel names {error}"),
            Self::Channels(error) => write!(f, "channels: {error}"),
            Self::Info { found, max } => write!(f, "info has {found} bytes, and may have {max}"),
            Self::Audience => f.write_str(
                "the token is for another server: its aud is not this one's tokens.audience (in PHP realtime.token_audience)",
            ),
            Self::Early { claim, by } => write!(
                f,
                "the token counts only from {by} s on ({claim}); the clock of the machine that made it is ahead, or this \
                 server's is behind ({SKEW} s are tolerated)"
            ),
            Self::Expired { since } => write!(f, "the token ran out {since} s ago (exp); get a new one"),
            Self::TooLongValid { max } => {
                write!(f, "the token is valid for longer than {max} s (tokens.max_ttl); make it shorter")
            }
            Self::Revoked => f.write_str("the token was revoked; get a new one"),
            Self::ForChannel(channel) => {
                write!(f, "this token is for the channel {:?} only and belongs into subscribe; a connection wants one of connectionToken()", channel.as_str())
            }
            Self::ForConnection => {
                f.write_str("this token is for a connection and belongs into connect; a single channel wants one of channelToken()")
            }
            Self::OtherChannel(channel) => write!(f, "the token is for the channel {:?}", channel.as_str()),
            Self::OtherUser(user) => write!(
                f,
                "the token is {:?}'s, and the connection is not; connect with a token of that user first",
                user.as_str()
            ),
        }
    }
}

impl std::error::Error for Refused {}
