//! Error and close codes, each declared once. `docs/protocol.md` is checked against these tables.

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal, $status:literal, $meaning:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $(#[doc = $meaning] $variant),* }

        impl $name {
            /// Every code, in the order of the manual.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The HTTP status of the same error on `POST /broadcast`.
            pub fn http_status(self) -> u16 {
                match self { $(Self::$variant => $status),* }
            }

            /// One sentence for the manual.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),* }
            }
        }
    };
}

codes! {
    /// Why a command failed; the connection stays.
    ErrorCode {
        BadRequest = "bad_request", 400, "The command is not valid: broken JSON, a missing field or one of the wrong type.";
        UnknownType = "unknown_type", 400, "The command's type is not known.";
        InvalidName = "invalid_name", 400, "A channel, event or user name is empty, too long or holds control characters.";
        Unauthorized = "unauthorized", 401, "The command needs a publisher key or, where `tokens.required` is set, a token, and none or a wrong one was given.";
        TokenInvalid = "token_invalid", 401, "The token is refused: its signature, its form or what it is for.";
        TokenExpired = "token_expired", 401, "The token has run out or was revoked; get a new one.";
        Forbidden = "forbidden", 403, "A rule does not allow it, or the publisher key is not for it.";
        TooLarge = "too_large", 413, "The publication is larger than max_publication.";
        KeyConflict = "key_conflict", 409, "The idempotency key was used for another publication.";
        LimitExceeded = "limit_exceeded", 429, "A limit of this connection, such as its number of channels, is reached.";
        RateLimited = "rate_limited", 429, "Commands arrive faster than allowed; this one was not carried out.";
        StoreFull = "store_full", 507, "The history has no room; the publication was not stored, and nobody gets it.";
        Unavailable = "unavailable", 503, "The server cannot do it now; try again, with the same idempotency key.";
    }
}

/// Why the server closes a WebSocket. 1000–1015 are RFC 6455 §7.4.1, 4000–4999 are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// The peer closed, and this is the answer.
    Normal,
    /// The peer broke RFC 6455.
    ProtocolError,
    /// A binary frame; the protocol is text.
    Unsupported,
    /// A text frame was not UTF-8.
    InvalidUtf8,
    /// A frame or message over `max_message`.
    TooBig,
    /// Commands that cannot be understood, again and again.
    BadRequest,
    /// A refused credential.
    Unauthorized,
    /// Not allowed here.
    Forbidden,
    /// The token's time is over, or it was revoked. With a new one the client may come back.
    TokenExpired,
    /// The connection took its frames too slowly; its outbox was full.
    SlowConsumer,
    /// The server, or this address, has as many connections as it may have.
    TooManyConnections,
    /// Too many commands, and more of them after the errors.
    RateLimit,
    /// The server restarts.
    GoingAway,
}

impl CloseCode {
    /// Every code, in the order of the manual.
    pub const ALL: &'static [Self] = &[
        Self::Normal,
        Self::ProtocolError,
        Self::Unsupported,
        Self::InvalidUtf8,
        Self::TooBig,
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::TokenExpired,
        Self::SlowConsumer,
        Self::TooManyConnections,
        Self::RateLimit,
        Self::GoingAway,
    ];

    /// The number in the close frame.
    pub fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::ProtocolError => 1002,
            Self::Unsupported => 1003,
            Self::InvalidUtf8 => 1007,
            Self::TooBig => 1009,
            Self::BadRequest => 4000,
            Self::Unauthorized => 4001,
            Self::Forbidden => 4003,
            Self::TokenExpired => 4004,
            Self::SlowConsumer => 4008,
            Self::TooManyConnections => 4009,
            Self::RateLimit => 4010,
            Self::GoingAway => 4012,
        }
    }

    /// The reason in the close frame and in `disconnect`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::ProtocolError => "protocol error",
            Self::Unsupported => "binary frames are not supported",
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::TooBig => "message too big",
            Self::BadRequest => "bad request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::TokenExpired => "token expired",
            Self::SlowConsumer => "slow consumer",
            Self::TooManyConnections => "too many connections",
            Self::RateLimit => "rate limit",
            Self::GoingAway => "going away",
        }
    }

    /// Whether a client may connect again by itself.
    pub fn reconnect(self) -> bool {
        match self {
            Self::TokenExpired | Self::SlowConsumer | Self::GoingAway | Self::TooManyConnections | Self::RateLimit => {
                true
            }
            Self::Normal
            | Self::ProtocolError
            | Self::Unsupported
            | Self::InvalidUtf8
            | Self::TooBig
            | Self::BadRequest
            | Self::Unauthorized
            | Self::Forbidden => false,
        }
    }
}
