//! Publisher keys that change while connections are open.

use std::rc::Rc;

use realtime_protocol::CloseCode;
use tracing::info;

use super::Shard;
use super::connection::Connection;

impl Shard {
    /// Keys have changed. Who has published by one that is gone is closed, since a key is taken away because it is in
    /// wrong hands; the others may do from now on what their keys allow now.
    pub(super) fn renew_grants(self: &Rc<Self>) {
        let publishers: Vec<_> =
            self.connections.borrow().iter().map(|(_, c)| c).filter(|c| c.publishes()).cloned().collect();
        for connection in publishers {
            self.renew_grant(&connection);
        }
    }

    /// The same for one connection.
    pub(super) fn renew_grant(self: &Rc<Self>, connection: &Rc<Connection>) {
        let Some(held) = connection.grant() else { return };
        match self.shared.policy.load().grants.renewed(&held) {
            Some(now) => connection.set_grant(now.clone()),
            None => {
                info!(publisher = held.name(), "closing a publisher whose key is no longer in the configuration");
                self.close(connection, CloseCode::Unauthorized);
            }
        }
    }
}
