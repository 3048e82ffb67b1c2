//! Who is in a presence channel.

use std::collections::BTreeMap;
use std::ops::Bound;

use realtime_protocol::UserId;
use realtime_protocol::push::Listed;

use crate::token::Info;

/// Bytes of what tokens say of users in one page: what every member is told must leave room in everybody's outbox.
const PAGE_INFO: usize = 128 * 1024;

/// Who a connection belongs to.
#[derive(Clone, Debug)]
pub struct Who {
    /// The id.
    pub user: UserId,
    /// What the token says of the user, for others to see.
    pub info: Option<Info>,
}

/// Somebody in the channel.
#[derive(Debug, Default)]
struct Presence {
    connections: u32,
    info: Option<Info>,
    /// When the last connection is gone: until when the member still counts as there.
    until: Option<u64>,
}

/// The members of one channel, by user.
#[derive(Debug, Default)]
pub struct Members(BTreeMap<UserId, Presence>);

impl Members {
    /// One more connection of somebody; whether that is news. What the newest connection says of the user counts.
    pub fn enter(&mut self, who: &Who) -> bool {
        let is_new = !self.0.contains_key(&who.user);
        let presence = self.0.entry(who.user.clone()).or_default();
        presence.connections += 1;
        presence.until = None;
        if who.info.is_some() || is_new {
            presence.info = who.info.clone();
        }
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

    /// The grace of `user` may be over at `now`; who is gone then.
    pub fn settle(&mut self, user: &UserId, now: u64) -> Option<Who> {
        let until = self.0.get(user).and_then(|presence| presence.until)?;
        if until > now {
            return None;
        }
        let (user, presence) = self.0.remove_entry(user)?;
        Some(Who { user, info: presence.info })
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At most `limit` members after `after` in the order of their ids, and whether there are more.
    pub fn page(&self, after: Option<&UserId>, limit: usize) -> (Vec<Listed>, bool) {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.0.range((start, Bound::Unbounded)).peekable();
        let (mut page, mut bytes) = (Vec::new(), 0);
        while let Some((user, presence)) = rest.next_if(|_| page.len() < limit && bytes < PAGE_INFO) {
            bytes += presence.info.as_ref().map_or(0, |info| info.get().len());
            let (user, info) = (user.clone(), presence.info.clone());
            page.push(Listed { user, info, connections: u64::from(presence.connections) });
        }
        (page, rest.peek().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(id: &str) -> Who {
        Who { user: UserId::parse(id).unwrap(), info: None }
    }

    #[test]
    fn several_connections_of_a_user_join_once_and_leave_with_the_last() {
        let (mut members, ana) = (Members::default(), who("ana"));
        assert!(members.enter(&ana));
        assert!(!members.enter(&ana));
        assert!(!members.leave(&ana.user, 100));
        assert!(members.leave(&ana.user, 100));
        assert!(members.settle(&ana.user, 99).is_none());
        assert!(members.settle(&ana.user, 100).is_some());
        assert!(members.is_empty());
    }

    #[test]
    fn who_is_back_within_the_grace_has_neither_left_nor_joined() {
        let (mut members, ana) = (Members::default(), who("ana"));
        members.enter(&ana);
        members.leave(&ana.user, 100);
        assert!(!members.enter(&ana));
        assert!(members.settle(&ana.user, 100).is_none());
        assert!(!members.is_empty());
    }

    #[test]
    fn what_the_newest_token_says_of_a_user_counts() {
        let mut members = Members::default();
        let said = |text: &str| Some(Info::from(serde_json::value::RawValue::from_string(text.to_owned()).unwrap()));
        let seen = |members: &Members| members.page(None, 9).0[0].info.as_ref().map(|info| info.get().to_owned());
        members.enter(&Who { info: said("1"), ..who("ana") });
        members.enter(&who("ana"));
        assert_eq!(seen(&members).as_deref(), Some("1"));
        members.enter(&Who { info: said("2"), ..who("ana") });
        assert_eq!(seen(&members).as_deref(), Some("2"));
    }

    fn pages(members: &Members, limit: usize) -> Vec<Vec<String>> {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let (page, more) = members.page(after.as_ref(), limit);
            seen.push(page.iter().map(|member| member.user.to_string()).collect());
            after = page.last().map(|member| member.user.clone());
            if !more {
                return seen;
            }
        }
    }

    #[test]
    fn pages_follow_each_other_without_holes() {
        let mut members = Members::default();
        for n in 0..10 {
            members.enter(&who(&format!("u{n}")));
        }
        assert_eq!(pages(&members, 3).concat(), (0..10).map(|n| format!("u{n}")).collect::<Vec<_>>());
    }

    #[test]
    fn a_page_ends_before_it_fills_outboxes() {
        let mut members = Members::default();
        let info = serde_json::value::RawValue::from_string(format!("\"{}\"", "x".repeat(4_000))).unwrap();
        let info = Some(Info::from(info));
        for n in 0..100 {
            members.enter(&Who { info: info.clone(), ..who(&format!("u{n:03}")) });
        }
        let pages = pages(&members, 500);
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [33, 33, 33, 1]);
    }
}
