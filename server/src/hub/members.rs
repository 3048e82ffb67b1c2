//! Who is in a presence channel.

use std::collections::BTreeMap;
use std::ops::Bound;

use realtime_protocol::UserId;

/// Somebody in the channel.
#[derive(Debug, Default)]
struct Presence {
    connections: u32,
    /// When the last connection is gone: until when the member still counts as there.
    until: Option<u64>,
}

/// The members of one channel, by user.
#[derive(Debug, Default)]
pub struct Members(BTreeMap<UserId, Presence>);

impl Members {
    /// One more connection of `user`; whether that is news.
    pub fn enter(&mut self, user: &UserId) -> bool {
        let is_new = !self.0.contains_key(user);
        let presence = self.0.entry(user.clone()).or_default();
        presence.connections += 1;
        presence.until = None;
        is_new
    }

    /// One connection less; whether it was the last one, so that [`Self::settle`] is to be called at `until`.
    pub fn leave(&mut self, user: &UserId, until: u64) -> bool {
        let Some(presence) = self.0.get_mut(user) else { return false };
        presence.connections = presence.connections.saturating_sub(1);
        let is_last = presence.connections == 0;
        presence.until = is_last.then_some(until);
        is_last
    }

    /// The grace of `user` may be over at `now`; whether it is, and the user gone.
    pub fn settle(&mut self, user: &UserId, now: u64) -> bool {
        let is_over = self.0.get(user).and_then(|presence| presence.until).is_some_and(|until| until <= now);
        if is_over {
            self.0.remove(user);
        }
        is_over
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At most `limit` members after `after` in the order of their ids, with their connections, and whether there are
    /// more.
    pub fn page(&self, after: Option<&UserId>, limit: usize) -> (Vec<(UserId, u64)>, bool) {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.0.range((start, Bound::Unbounded));
        let page = rest.by_ref().take(limit).map(|(user, p)| (user.clone(), u64::from(p.connections))).collect();
        (page, rest.next().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    #[test]
    fn several_connections_of_a_user_join_once_and_leave_with_the_last() {
        let (mut members, ana) = (Members::default(), user("ana"));
        assert!(members.enter(&ana));
        assert!(!members.enter(&ana));
        assert!(!members.leave(&ana, 100));
        assert!(members.leave(&ana, 100));
        assert!(!members.settle(&ana, 99));
        assert!(members.settle(&ana, 100));
        assert!(members.is_empty());
    }

    #[test]
    fn who_is_back_within_the_grace_has_neither_left_nor_joined() {
        let (mut members, ana) = (Members::default(), user("ana"));
        members.enter(&ana);
        members.leave(&ana, 100);
        assert!(!members.enter(&ana));
        assert!(!members.settle(&ana, 100));
        assert!(!members.is_empty());
    }

    #[test]
    fn pages_follow_each_other_without_holes() {
        let mut members = Members::default();
        for n in 0..10 {
            members.enter(&user(&format!("u{n}")));
        }
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let (page, more) = members.page(after.as_ref(), 3);
            seen.extend(page.iter().map(|(user, _)| user.to_string()));
            after = page.last().map(|(user, _)| user.clone());
            if !more {
                break;
            }
        }
        assert_eq!(seen, (0..10).map(|n| format!("u{n}")).collect::<Vec<_>>());
    }
}
