//! Channel rules: who may subscribe to which channel. The first rule whose pattern matches counts.

mod pattern;

use std::fmt;
use std::time::Duration;

use realtime_protocol::{ChannelName, UserId};

pub use pattern::{Match, Pattern, PatternError};

/// Who may subscribe, from the weakest demand to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subscribe {
    /// Every connection.
    Anyone,
    /// Connections with a user: by a token, or claimed under `insecure_identity`.
    User,
    /// Connections with a valid token.
    Token,
    /// No connection.
    Nobody,
}

impl Subscribe {
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

/// What happens to publications that a slow reader's full outbox has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// What waits in the channel is dropped, and the reader gets it from the history once it reads again.
    CatchUp,
    /// The reader is closed.
    Disconnect,
    /// What waited longest in the channel is dropped, and the reader is told how much.
    DropOldest,
    /// Only the newest publication of the channel ever waits.
    Latest,
}

impl Overflow {
    /// Every value, in the order of the manual.
    pub const ALL: &'static [Self] = &[Self::CatchUp, Self::Disconnect, Self::DropOldest, Self::Latest];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CatchUp => "catch_up",
            Self::Disconnect => "disconnect",
            Self::DropOldest => "drop_oldest",
            Self::Latest => "latest",
        }
    }
}

/// Where a history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// In memory: it survives a clean restart, but no crash.
    Memory,
    /// On disk: what is acknowledged survives crashes.
    Disk,
}

impl StoreKind {
    /// Every value, in the order of the manual.
    pub const ALL: &'static [Self] = &[Self::Memory, Self::Disk];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

/// How much of a stream is kept, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryRule {
    /// Publications.
    pub size: usize,
    /// Their longest age.
    pub ttl: Duration,
    /// Where.
    pub store: StoreKind,
}

impl HistoryRule {
    /// The age where none is configured.
    pub const DEFAULT_TTL: Duration = Duration::from_secs(3600);
}

/// How a channel's members are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresenceRule {
    /// How long somebody whose last connection is gone still counts as there; a reload of the page takes less.
    pub grace: Duration,
    /// Whether members are told who comes and goes.
    pub events: bool,
}

impl Default for PresenceRule {
    fn default() -> Self {
        Self { grace: Duration::from_secs(3), events: true }
    }
}

/// What the hub does for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRule {
    /// What happens to slow readers.
    pub overflow: Overflow,
    /// What is kept; `None`: nothing.
    pub history: Option<HistoryRule>,
    /// How members are followed; `None`: not at all.
    pub presence: Option<PresenceRule>,
}

impl StreamRule {
    /// What holds where nothing is configured: nothing is kept and nobody is followed.
    pub const NONE: Self = Self { overflow: Overflow::Disconnect, history: None, presence: None };

    /// With a history, slow readers get the rest from there; without one they are closed.
    pub fn new(overflow: Option<Overflow>, history: Option<HistoryRule>, presence: Option<PresenceRule>) -> Self {
        let default = if history.is_some() { Overflow::CatchUp } else { Overflow::Disconnect };
        Self { overflow: overflow.unwrap_or(default), history, presence }
    }

    /// Whether it keeps something on disk.
    pub fn is_on_disk(&self) -> bool {
        self.history.is_some_and(|history| history.store == StoreKind::Disk)
    }

    /// What is left of it where nothing can be kept on disk.
    #[must_use]
    pub fn without_disk(self) -> Self {
        if self.is_on_disk() { Self { history: None, overflow: Overflow::Disconnect, ..self } } else { self }
    }
}

/// What holds for the channels that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRule {
    /// Which channels.
    pub pattern: Pattern,
    /// Who may subscribe to them.
    pub subscribe: Subscribe,
    /// What the hub does for them.
    pub stream: StreamRule,
}

/// All rules in order, and what holds where none matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Vec<ChannelRule>);

/// What the rules say about one connection and one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<'r> {
    /// The rule that matched and its number, counted from 1 as people count; `None`: the default holds.
    pub rule: Option<(usize, &'r ChannelRule)>,
    /// What is asked of the connection in the end, name and rule taken together.
    pub required: Subscribe,
    /// Whether it may subscribe, else why not.
    pub outcome: Result<(), Denied>,
}

/// Why a subscription is refused; the text is meant for who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The rule asks for a user and the connection has none.
    NoUser,
    /// The channel is another user's.
    OtherUser,
    /// The rule asks for a token.
    NeedsToken,
    /// The name asks for a token by itself.
    Protected,
    /// The rule shuts the channel to browsers.
    Nobody,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoUser => {
                "this channel is for known users only; register with a userId, which counts only where the server's \
                 insecure_identity is on"
            }
            Self::OtherUser => "this channel belongs to another user",
            Self::NeedsToken => "this channel needs a token, and this server accepts none yet",
            Self::Protected => {
                "channels that begin with private- or presence- need a token, and this server accepts none yet"
            }
            Self::Nobody => "no client may subscribe to this channel",
        })
    }
}

impl std::error::Error for Denied {}

impl Rules {
    /// Rules in the order of the configuration.
    pub fn new(rules: Vec<ChannelRule>) -> Self {
        Self(rules)
    }

    /// What the hub does for `channel`.
    pub fn stream(&self, channel: &ChannelName) -> StreamRule {
        self.0
            .iter()
            .find(|rule| rule.pattern.matches(channel.as_str()).is_some())
            .map_or(StreamRule::NONE, |rule| rule.stream)
    }

    /// Whether a connection of `user` may subscribe to `channel`.
    ///
    /// A pattern with `{user}` decides also over channels of the same shape that are other users': were they passed
    /// on to the next rule, `user:{user}:*` alone would leave everybody's channels to the default, which is "anyone".
    pub fn for_channel(&self, channel: &ChannelName, user: Option<&UserId>) -> Decision<'_> {
        let found =
            self.0.iter().enumerate().find_map(|(index, rule)| {
                rule.pattern.matches(channel.as_str()).map(|matched| (index + 1, rule, matched))
            });
        let asked = found.map_or(Subscribe::Anyone, |(_, rule, _)| rule.subscribe);
        let least = if channel.is_protected() { Subscribe::Token } else { Subscribe::Anyone };
        let required = asked.max(least);
        let outcome = match required {
            Subscribe::Nobody => Err(Denied::Nobody),
            Subscribe::Token if asked < least => Err(Denied::Protected),
            // Nothing verifies tokens, so no connection has one.
            Subscribe::Token => Err(Denied::NeedsToken),
            Subscribe::User if user.is_none() => Err(Denied::NoUser),
            Subscribe::User | Subscribe::Anyone => owned_by(found.and_then(|(.., matched)| matched.user), user),
        };
        Decision { rule: found.map(|(number, rule, _)| (number, rule)), required, outcome }
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

/// For the operator, as `check-config --channel` prints it.
impl fmt::Display for StreamRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.history {
            Some(HistoryRule { size, ttl, store }) => write!(
                f,
                "history: {size} publications for {} ({})",
                crate::config::show_duration(ttl),
                store.as_str()
            )?,
            None => f.write_str("history: none")?,
        }
        match self.presence {
            Some(PresenceRule { grace, events }) => write!(
                f,
                "; presence: {} after {}",
                if events { "join and leave are told, leave" } else { "without events, gone" },
                crate::config::show_duration(grace)
            )?,
            None => f.write_str("; presence: none")?,
        }
        write!(f, "; overflow: {}", self.overflow.as_str())
    }
}

/// One line for the operator, as `check-config --channel` prints it.
impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome {
            Ok(()) => f.write_str("allowed")?,
            Err(denied) => write!(f, "refused: {denied}")?,
        }
        match self.rule {
            Some((number, rule)) => {
                write!(
                    f,
                    " (rule {number}: pattern {:?}, subscribe {:?}",
                    rule.pattern.as_str(),
                    rule.subscribe.as_str()
                )?;
                if self.required != rule.subscribe {
                    write!(f, ", raised to {:?} by the name", self.required.as_str())?;
                }
                f.write_str(")")
            }
            None => write!(f, " (no rule matches; the default is {:?})", self.required.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(list: &[(&str, Subscribe)]) -> Rules {
        let rule = |&(pattern, subscribe)| ChannelRule {
            pattern: Pattern::parse(pattern).unwrap(),
            subscribe,
            stream: StreamRule::NONE,
        };
        Rules::new(list.iter().map(rule).collect())
    }

    fn outcome(rules: &Rules, channel: &str, user: Option<&str>) -> Result<(), Denied> {
        let user = user.map(|id| UserId::parse(id).unwrap());
        rules.for_channel(&ChannelName::parse(channel).unwrap(), user.as_ref()).outcome
    }

    #[test]
    fn without_a_matching_rule_anyone_may_subscribe_but_not_to_protected_names() {
        let none = Rules::default();
        assert_eq!(outcome(&none, "orders.42", None), Ok(()));
        assert_eq!(outcome(&none, "private", None), Ok(()));
        assert_eq!(outcome(&none, "private-orders", Some("u7")), Err(Denied::Protected));
        assert_eq!(outcome(&none, "presence-room", Some("u7")), Err(Denied::Protected));
    }

    #[test]
    fn no_rule_opens_protected_names_and_rules_may_close_them() {
        let open = rules(&[("presence-*", Subscribe::Nobody), ("*", Subscribe::Anyone)]);
        assert_eq!(outcome(&open, "private-orders", None), Err(Denied::Protected));
        assert_eq!(outcome(&open, "presence-room", None), Err(Denied::Nobody));
        let user = rules(&[("private-{user}", Subscribe::User)]);
        assert_eq!(outcome(&user, "private-u7", Some("u7")), Err(Denied::Protected));
    }

    #[test]
    fn the_first_matching_rule_counts() {
        let rules = rules(&[
            ("news.internal.*", Subscribe::Nobody),
            ("news.*", Subscribe::Anyone),
            ("staff.*", Subscribe::User),
            ("vault", Subscribe::Token),
        ]);
        assert_eq!(outcome(&rules, "news.sports", None), Ok(()));
        assert_eq!(outcome(&rules, "news.internal.salaries", Some("u7")), Err(Denied::Nobody));
        assert_eq!(outcome(&rules, "staff.lunch", None), Err(Denied::NoUser));
        assert_eq!(outcome(&rules, "staff.lunch", Some("u7")), Ok(()));
        assert_eq!(outcome(&rules, "vault", Some("u7")), Err(Denied::NeedsToken));
        assert_eq!(outcome(&rules, "vault2", None), Ok(()));
    }

    #[test]
    fn a_users_channels_are_open_to_that_user_only() {
        let rules = rules(&[("user:{user}:*", Subscribe::User)]);
        assert_eq!(outcome(&rules, "user:u7:orders", Some("u7")), Ok(()));
        assert_eq!(outcome(&rules, "user:u7:", Some("u7")), Ok(()));
        for other in ["u", "u77", "U7", "*", "{user}", "u7:orders"] {
            assert_eq!(outcome(&rules, "user:u7:orders", Some(other)), Err(Denied::OtherUser), "{other}");
        }
        assert_eq!(outcome(&rules, "user:u7:orders", None), Err(Denied::NoUser));
        assert_eq!(outcome(&rules, "user::orders", Some("u7")), Err(Denied::OtherUser));
        assert_eq!(outcome(&rules, "user:u7", Some("u8")), Ok(()), "of another shape, so the default holds");
    }

    #[test]
    fn an_id_with_the_character_after_user_never_matches() {
        let rules = rules(&[("user:{user}:*", Subscribe::User)]);
        assert_eq!(outcome(&rules, "user:a:b:c", Some("a:b")), Err(Denied::OtherUser));
        assert_eq!(outcome(&rules, "user:a:b:c", Some("a")), Ok(()));
    }

    #[test]
    fn an_owned_channel_needs_its_user_even_under_anyone() {
        let rules = rules(&[("user_{user}", Subscribe::Anyone)]);
        assert_eq!(outcome(&rules, "user_u7", Some("u7")), Ok(()));
        assert_eq!(outcome(&rules, "user_u7", Some("u8")), Err(Denied::OtherUser));
        assert_eq!(outcome(&rules, "user_u7", None), Err(Denied::NoUser));
    }

    #[test]
    fn a_decision_explains_itself_to_the_operator() {
        let rules = rules(&[("orders.*", Subscribe::Anyone), ("private-*", Subscribe::User)]);
        let said = |channel: &str| rules.for_channel(&ChannelName::parse(channel).unwrap(), None).to_string();
        assert_eq!(said("orders.42"), r#"allowed (rule 1: pattern "orders.*", subscribe "anyone")"#);
        assert_eq!(said("else"), r#"allowed (no rule matches; the default is "anyone")"#);
        assert_eq!(
            said("private-x"),
            "refused: channels that begin with private- or presence- need a token, and this server accepts none yet \
             (rule 2: pattern \"private-*\", subscribe \"user\", raised to \"token\" by the name)"
        );
    }
}
