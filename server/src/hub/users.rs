//! What is done to the connections of one user, on whatever shard they are.

use std::hash::BuildHasher;
use std::sync::Arc;

use realtime_protocol::{ChannelName, UserId};

use super::publish::Woken;
use super::{Hub, Stream, StreamName};
use crate::inbox::Item;

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    /// They are closed, and may not come back by themselves.
    Disconnect {
        /// What they are told.
        reason: Option<Box<str>>,
    },
    /// They leave a channel.
    Leave {
        /// Which.
        channel: ChannelName,
        /// What they are told.
        reason: Option<Box<str>>,
    },
    /// Those whose token was issued up to then (Unix seconds) are closed.
    Revoke {
        /// When.
        before: u64,
    },
}

impl Hub {
    /// Queues a measure for every connection of a user; returns for how many. Each connection is in its user's stream, and
    /// comes there under the same lock: one that comes later has not been reached, and looks by itself whether its token
    /// was revoked meanwhile.
    pub fn take(&self, user: &UserId, measure: Measure) -> u64 {
        let stream = Stream::new(StreamName::User(user.clone()));
        let hash = self.hasher.hash_one(&stream);
        let mut woken = Woken::default();
        let mut reached = 0;
        {
            let stripe = self.stripe(hash);
            let Some(entry) = stripe.entries.find(hash, |entry| *entry.stream == stream) else { return 0 };
            let measure = Arc::new(measure);
            for interest in &entry.interests {
                reached += u64::from(interest.subscribers);
                let (stream, measure) = (entry.stream.clone(), measure.clone());
                if self.inbox(interest.shard).push(Item::Measure { local: interest.local, stream, measure }) {
                    woken.add(interest.shard);
                }
            }
        }
        self.wake(woken);
        reached
    }
}
