//! Keys that change while connections are open.

use std::rc::Rc;

use realtime_protocol::CloseCode;
use tracing::{debug, info};

use super::Shard;
use super::connection::{Connection, Peer};
use crate::grant::Grant;

impl Shard {
    /// Keys have changed, of publishers or of tokens. Who is there by one that is gone is closed, since a key is taken away
    /// because it is in wrong hands; the others may do from now on what their keys allow now.
    pub(super) async fn renew(self: &Rc<Self>) {
        self.renew_grants();
        self.renew_tokens().await;
    }

    fn renew_grants(self: &Rc<Self>) {
        let publishers: Vec<_> =
            self.connections.borrow().iter().map(|(_, c)| c).filter(|c| c.publishes()).cloned().collect();
        let closed = publishers.iter().filter(|connection| !self.renew_grant(connection)).count();
        if closed > 0 {
            info!(closed, "closed publishers whose key is no longer in the configuration");
        }
    }

    async fn renew_tokens(self: &Rc<Self>) {
        // It may be all of them, which is no reason to let the others wait.
        const AT_A_TIME: usize = 64;
        // Looked up each time, since meanwhile another reload may bring a key back.
        let is_void = |proof| !self.shared.policy.load().has_key(proof);
        let holders: Vec<_> =
            self.connections.borrow().iter().map(|(_, c)| c).filter(|c| c.holds(&is_void)).cloned().collect();
        for (at, connection) in holders.iter().enumerate() {
            self.take_back(connection, &is_void, Some(self.spread(at, holders.len())));
            if at % AT_A_TIME == AT_A_TIME - 1 {
                tokio::task::yield_now().await;
            }
        }
        if !holders.is_empty() {
            info!(connections = holders.len(), "took back tokens whose key is no longer in the configuration");
        }
    }

    /// The grant of one connection; whether it stays.
    pub(super) fn renew_grant(self: &Rc<Self>, connection: &Rc<Connection>) -> bool {
        let Some(held) = connection.grant() else { return true };
        match self.shared.policy.load().grants.renewed(&held) {
            Some(now) => {
                connection.set_grant(now.clone());
                self.review_lost(connection, &held, now);
                true
            }
            None => {
                debug!(publisher = held.name(), "its key is no longer in the configuration");
                self.close(connection, CloseCode::Unauthorized);
                false
            }
        }
    }

    /// What a client had subscribed to by its key stays only where the key, or a rule, still speaks for it.
    fn review_lost(self: &Rc<Self>, connection: &Rc<Connection>, held: &Grant, now: &Grant) {
        let Peer::Client(session) = &connection.peer else { return };
        let lost = self.channel_names(connection).into_iter().filter(|name| held.covers(name) && !now.covers(name));
        let lost: Vec<_> = lost.collect();
        if lost.is_empty() {
            return;
        }
        self.in_session(connection, session, |session, _, policy, act| {
            for channel in lost {
                session.review(channel, "the publisher key is for other channels now", policy, act);
            }
        });
    }
}
