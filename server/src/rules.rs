//! Channel rules: who may subscribe, publish and see who is there. The first rule whose pattern matches counts.

mod access;
mod pattern;

use std::fmt;
use std::time::Duration;

use realtime_protocol::ChannelName;

pub use access::{Access, Decision, Denied, Standing, Verb};
pub use pattern::{Match, Pattern, PatternError};

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
    /// Who may subscribe to them; `None`: as where no rule matches.
    pub subscribe: Option<Access>,
    /// Which clients may publish in them.
    pub publish: Access,
    /// Which subscribers may see who is there.
    pub visible_to: Access,
    /// What the hub does for them.
    pub stream: StreamRule,
}

impl ChannelRule {
    /// A rule that says nothing yet.
    pub fn of(pattern: Pattern) -> Self {
        Self { pattern, subscribe: None, publish: Access::Nobody, visible_to: Access::Anyone, stream: StreamRule::NONE }
    }
}

/// All rules in order, and what holds where none matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    rules: Vec<ChannelRule>,
    default: Access,
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(Vec::new(), false)
    }
}

impl Rules {
    /// Rules in the order of the configuration. Where none says who may subscribe, anyone may, unless there are tokens.
    pub fn new(rules: Vec<ChannelRule>, with_tokens: bool) -> Self {
        Self { rules, default: if with_tokens { Access::Token } else { Access::Anyone } }
    }

    /// The rule for a channel, its number counted from 1 as people count, and what its pattern found in the name.
    fn find<'n>(&self, channel: &'n ChannelName) -> Option<(usize, &ChannelRule, Match<'n>)> {
        self.rules
            .iter()
            .enumerate()
            .find_map(|(index, rule)| rule.pattern.matches(channel.as_str()).map(|matched| (index + 1, rule, matched)))
    }

    /// What the hub does for `channel`.
    pub fn stream(&self, channel: &ChannelName) -> StreamRule {
        self.find(channel).map_or(StreamRule::NONE, |(_, rule, _)| rule.stream)
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
