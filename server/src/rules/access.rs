//! Who may do what in a channel, and why not.

use std::fmt;

use realtime_protocol::{ChannelName, UserId};

use super::{ChannelRule, Rules};

/// Who may, from the weakest demand to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Every connection.
    Anyone,
    /// Connections with a user: by a token, or claimed under `insecure_identity`.
    User,
    /// Connections with a token that names the channel.
    Token,
    /// No connection.
    Nobody,
}

impl Access {
    /// Every value, in the order of the manual.
    pub const ALL: &'static [Self] = &[Self::Anyone, Self::User, Self::Token, Self::Nobody];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::User => "user",
            Self::Token => "token",
            Self::Nobody => "nobody",
        }
    }
}

/// What is to be done in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Subscribe, and read the history.
    Subscribe,
    /// Publish.
    Publish,
    /// See who is there.
    See,
}

impl Verb {
    /// Every one, in the order of the manual.
    pub const ALL: &'static [Self] = &[Self::Subscribe, Self::Publish, Self::See];

    /// The rule's key.
    pub fn key(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::See => "presence.visible_to",
        }
    }
}

/// Who a connection is, as far as rules ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing<'a> {
    /// Its user.
    pub user: Option<&'a UserId>,
    /// Whether it has a token that names the channel.
    pub is_named: bool,
}

/// What the rules say about one connection and one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<'r> {
    /// What was asked.
    pub verb: Verb,
    /// The rule that matched and its number, counted from 1 as people count; `None`: the default holds.
    pub rule: Option<(usize, &'r ChannelRule)>,
    /// What the rule, or the default, asks for.
    pub asked: Access,
    /// What is asked of the connection in the end, name and rule taken together.
    pub required: Access,
    /// Whether it may, else why not.
    pub outcome: Result<(), Denied>,
}

/// Why something is refused; the text is meant for who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The rule asks for a user and the connection has none.
    NoUser,
    /// The channel is another user's.
    OtherUser,
    /// The rule asks for a token that names the channel.
    NeedsToken,
    /// The name asks for such a token by itself.
    Protected,
    /// The rule shuts the channel to clients.
    Nobody(Verb),
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoUser => {
                "this channel is for known users only: connect with a token (in PHP: connectionToken()); a claimed \
                 userId counts only where the server's insecure_identity is on"
            }
            Self::OtherUser => "this channel belongs to another user",
            Self::NeedsToken => {
                "this channel needs a token that names it: in the channels of the connection's token, or a channel token \
                 (in PHP: channelToken())"
            }
            Self::Protected => {
                "channels that begin with private- or presence- need a token that names them: in the channels of the \
                 connection's token, or a channel token (in PHP: channelToken())"
            }
            Self::Nobody(Verb::Subscribe) => "no client may subscribe to this channel",
            Self::Nobody(Verb::Publish) => {
                "clients may not publish in this channel; publish through PHP, or let them by publish = \"user\" in the \
                 channel's rule"
            }
            Self::Nobody(Verb::See) => "no client may see who is in this channel",
        })
    }
}

impl std::error::Error for Denied {}

impl Rules {
    /// Whether a connection may do something in a channel. Who may not subscribe may not see who is there either.
    ///
    /// A pattern with `{user}` decides also over channels of the same shape that are other users': were they passed
    /// on to the next rule, `user:{user}:*` alone would leave everybody's channels to the default.
    pub fn decide(&self, verb: Verb, channel: &ChannelName, standing: Standing<'_>) -> Decision<'_> {
        let found = self.find(channel);
        let rule = found.map(|(number, rule, _)| (number, rule));
        let subscribe = found.and_then(|(_, rule, _)| rule.subscribe).unwrap_or(self.default);
        let asked = match verb {
            Verb::Subscribe => subscribe,
            Verb::Publish => found.map_or(Access::Nobody, |(_, rule, _)| rule.publish),
            Verb::See => found.map_or(subscribe, |(_, rule, _)| rule.visible_to.max(subscribe)),
        };
        let least = if channel.is_protected() { Access::Token } else { Access::Anyone };
        let required = asked.max(least);
        let outcome = match required {
            Access::Nobody => Err(Denied::Nobody(verb)),
            Access::Token if standing.is_named => Ok(()),
            Access::Token if asked < least => Err(Denied::Protected),
            Access::Token => Err(Denied::NeedsToken),
            Access::User if standing.user.is_none() => Err(Denied::NoUser),
            Access::User | Access::Anyone => Ok(()),
        };
        // A token that names another user's channel does not open it: rules cap what tokens say.
        let owner = found.and_then(|(.., matched)| matched.user);
        let outcome = outcome.and_then(|()| owned_by(owner, standing.user));
        Decision { verb, rule, asked, required, outcome }
    }
}

/// Whether the channel is `user`'s, when its name says whose it is.
fn owned_by(owner: Option<&str>, user: Option<&UserId>) -> Result<(), Denied> {
    match (owner, user) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(Denied::NoUser),
        (Some(owner), Some(user)) if owner == user.as_str() => Ok(()),
        (Some(_), Some(_)) => Err(Denied::OtherUser),
    }
}

/// One line for the operator, as `check-config --channel` prints it.
impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome {
            Ok(()) => f.write_str("allowed")?,
            Err(denied) => write!(f, "refused: {denied}")?,
        }
        let asked = self.asked.as_str();
        match self.rule {
            Some((number, rule)) => {
                let (pattern, key) = (rule.pattern.as_str(), self.verb.key());
                write!(f, " (rule {number}: pattern {pattern:?}, {key} {asked:?}")?;
                if self.required != self.asked {
                    write!(f, ", raised to {:?} by the name", self.required.as_str())?;
                }
                f.write_str(")")
            }
            None => write!(f, " (no rule matches; the default is {:?})", self.required.as_str()),
        }
    }
}

#[cfg(test)]
mod tests;
