//! Who is in which channel: counted with subscriptions, told to those who are there.

use std::collections::{BTreeMap, BinaryHeap};
use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError};

use realtime_protocol::push::{self, Listed};
use realtime_protocol::{ChannelName, UserId};
use serde_json::value::RawValue;

use super::entry::Entry;
use super::members::{Members, Who};
use super::publish::Woken;
use super::{Hub, Publication, Stream, StreamName};

/// Members in one reply of `subscribed`; the rest is asked for.
const FIRST_PAGE: usize = 500;

/// Whose grace ends when.
#[derive(Default)]
pub(super) struct Leaving {
    by_time: BTreeMap<(u64, u64), (Arc<Stream>, UserId)>,
    count: u64,
}

type Text = fn(&ChannelName, &UserId, Option<&str>) -> String;

impl Hub {
    /// A connection of somebody has come into the stream.
    pub(super) fn come(&self, entry: &mut Entry, who: Option<&Who>, woken: &mut Woken) {
        let (Some(_), Some(who)) = (entry.rule.presence, who) else { return };
        if entry.members.get_or_insert_default().enter(who) {
            self.tell(entry, who, push::join, woken);
        }
    }

    /// A connection of `user` has left the stream.
    pub(super) fn go(&self, entry: &mut Entry, user: Option<&UserId>) {
        let (Some(presence), Some(user), Some(members)) = (entry.rule.presence, user, &mut entry.members) else {
            return;
        };
        let until = self.now() + u64::try_from(presence.grace.as_millis()).unwrap_or(0);
        if members.leave(user, until) {
            let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
            leaving.count += 1;
            let at = (until, leaving.count);
            leaving.by_time.insert(at, (entry.stream.clone(), user.clone()));
        }
    }

    /// A subscriber has said who it is after it subscribed.
    pub fn identify(&self, stream: &Stream, who: &Who) {
        let hash = self.hasher.hash_one(stream);
        let mut woken = Woken::default();
        if let Some(entry) = self.stripe(hash).entries.find_mut(hash, |entry| *entry.stream == *stream) {
            self.come(entry, Some(who), &mut woken);
        }
        self.wake(woken);
    }

    /// Lets go of those whose grace is over.
    pub(super) fn settle_members(&self, now: u64) {
        let over = {
            let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
            let later = leaving.by_time.split_off(&(now + 1, 0));
            std::mem::replace(&mut leaving.by_time, later)
        };
        for (stream, user) in over.into_values() {
            let hash = self.hasher.hash_one(&*stream);
            let mut woken = Woken::default();
            {
                let mut stripe = self.stripe(hash);
                let Some(entry) = stripe.entries.find_mut(hash, |entry| *entry.stream == *stream) else { continue };
                let Some(members) = &mut entry.members else { continue };
                let Some(gone) = members.settle(&user, now) else { continue };
                if members.is_empty() {
                    entry.members = None;
                }
                self.tell(entry, &gone, push::leave, &mut woken);
                self.free_if_unused(&mut stripe, hash, &stream);
            }
            self.wake(woken);
        }
    }

    fn tell(&self, entry: &Entry, who: &Who, text: Text, woken: &mut Woken) {
        if let (true, StreamName::Channel(channel)) =
            (entry.rule.presence.is_some_and(|presence| presence.events), &entry.stream.name)
        {
            let text = text(channel, &who.user, who.info.as_deref().map(RawValue::get));
            let publication = Publication::presence(entry.stream.clone(), entry.offset, text);
            self.hand_out(entry, &Arc::new(publication), woken);
        }
    }

    pub(super) fn first_members(&self, entry: &Entry) -> Option<(Vec<Listed>, bool)> {
        entry.rule.presence?;
        Some(entry.members.as_ref().map_or((Vec::new(), false), |members| members.page(None, FIRST_PAGE)))
    }

    /// A page of a channel's members, and whether there are more.
    pub fn members(&self, stream: &Stream, after: Option<&UserId>, limit: usize) -> (Vec<Listed>, bool) {
        let hash = self.hasher.hash_one(stream);
        let stripe = self.stripe(hash);
        let members: Option<&Members> =
            stripe.entries.find(hash, |entry| *entry.stream == *stream).and_then(|entry| entry.members.as_deref());
        members.map_or((Vec::new(), false), |members| members.page(after, limit))
    }

    /// How many subscribers a stream has.
    pub fn subscribers(&self, stream: &Stream) -> u64 {
        let hash = self.hasher.hash_one(stream);
        self.stripe(hash).entries.find(hash, |entry| *entry.stream == *stream).map_or(0, Entry::subscribers)
    }

    /// A page of the channels that begin with `prefix` and have subscribers, by name, and whether there are more.
    pub fn channels(&self, prefix: &str, after: Option<&str>, limit: usize) -> (Vec<(ChannelName, u64)>, bool) {
        // The first names of all: the largest one goes whenever there is one too many.
        let mut first = BinaryHeap::new();
        let mut more = false;
        for stripe in 0..Self::STRIPES {
            for entry in &self.lock(stripe).entries {
                let StreamName::Channel(channel) = &entry.stream.name else { continue };
                let name = channel.as_str();
                if entry.interests.is_empty() || !name.starts_with(prefix) || after.is_some_and(|after| name <= after) {
                    continue;
                }
                let is_full = first.len() == limit;
                more |= is_full;
                if is_full && first.peek().is_some_and(|(last, _): &(ChannelName, u64)| name > last.as_str()) {
                    continue;
                }
                first.push((channel.clone(), entry.subscribers()));
                if is_full {
                    first.pop();
                }
            }
        }
        (first.into_sorted_vec(), more)
    }
}
