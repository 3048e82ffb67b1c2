//! The tokens that a session has shown, and when they end.

use realtime_protocol::{ChannelName, UserId};

use crate::rules::Pattern;
use crate::token::{Proof, SKEW};

/// A time limit that is announced before it comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    /// When it is over, Unix seconds.
    ends: u64,
    /// When that is announced.
    warns: u64,
    is_announced: bool,
}

/// What a term's time has come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// For nothing yet.
    Nothing,
    /// To say that it ends in so many seconds.
    Warning(u64),
    /// To end.
    End,
}

impl Term {
    /// The term of a token that says `expires` and is shown at `now`. It ends as much later as is tolerated when tokens are
    /// shown, else one could be shown and be over at once.
    pub(super) fn new(now: u64, expires: u64) -> Self {
        let ends = expires.saturating_add(SKEW);
        // Announced before the token itself has run out, so that it is renewed while it is good elsewhere, too. One that is
        // shown late has only what is tolerated.
        let until = if expires > now { expires } else { ends };
        let left = until.saturating_sub(now);
        // Time for the page to fetch a new one, and to try again when that fails.
        let lead = (left / 10).clamp(5, 60).min(left / 2);
        Self { ends, warns: until - lead, is_announced: false }
    }

    /// When it is to be looked at again, Unix seconds.
    pub(super) fn next(&self) -> u64 {
        if self.is_announced { self.ends } else { self.warns }
    }

    pub(super) fn due(&mut self, now: u64) -> Due {
        if now >= self.ends {
            Due::End
        } else if now >= self.warns && !self.is_announced {
            self.is_announced = true;
            Due::Warning(self.ends - now)
        } else {
            Due::Nothing
        }
    }
}

/// The connection's token.
#[derive(Debug)]
pub(super) struct ConnectionToken {
    /// Until when it holds.
    pub(super) term: Term,
    /// `exp` as the client knows it.
    pub(super) expires: u64,
    /// What may take it back before.
    pub(super) proof: Proof,
    /// What may be subscribed to without more.
    pub(super) channels: Box<[Pattern]>,
}

impl ConnectionToken {
    /// Whether it names a channel, for a connection of `user`.
    pub(super) fn names(&self, channel: &ChannelName, user: Option<&UserId>) -> bool {
        self.channels
            .iter()
            .filter_map(|pattern| pattern.matches(channel.as_str()))
            .any(|matched| matched.user.is_none_or(|owner| user.is_some_and(|user| user.as_str() == owner)))
    }
}

/// A token for one channel.
#[derive(Debug)]
pub(super) struct ChannelToken {
    pub(super) channel: ChannelName,
    pub(super) term: Term,
    /// What may take it back before.
    pub(super) proof: Proof,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_announced_once_and_in_time() {
        let mut term = Term::new(1_000, 4_600);
        assert_eq!(term.next(), 4_540);
        assert_eq!(term.due(4_539), Due::Nothing);
        assert_eq!(term.due(4_542), Due::Warning(68));
        assert_eq!(term.due(4_543), Due::Nothing);
        assert_eq!((term.next(), term.due(4_609), term.due(4_610)), (4_610, Due::Nothing, Due::End));
    }

    #[test]
    fn a_term_of_a_minute_is_announced_before_the_token_has_run_out() {
        let mut term = Term::new(1_000, 1_060);
        assert_eq!((term.next(), term.due(1_054)), (1_054, Due::Warning(16)));
    }

    #[test]
    fn a_short_term_leaves_half_of_it_to_use() {
        let mut term = Term::new(1_000, 994);
        assert_eq!(term.next(), 1_002);
        assert_eq!((term.due(1_002), term.due(1_004)), (Due::Warning(2), Due::End));
    }

    #[test]
    fn a_clock_that_jumps_ahead_ends_it_without_a_warning() {
        assert_eq!(Term::new(1_000, 4_600).due(10_000), Due::End);
    }
}
