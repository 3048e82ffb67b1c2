//! Orders about connections that are there, by user. They are carried out once more without harm, so a connection that
//! breaks before the answer only means that they are sent again; the number then counts who was left.

use crate::command::push_field;
use crate::error::Error;
use crate::publisher::{Publisher, Settings, Target};
use crate::query::read_receivers;

impl Publisher {
    /// Closes all connections of a user, who may not come back by themselves; how many those were. `reason` is told to
    /// them.
    pub fn disconnect_user(
        &self,
        target: &Target,
        settings: &Settings,
        user: &str,
        reason: Option<&str>,
    ) -> Result<u64, Error> {
        self.order(target, settings, "disconnect", &[("user", Some(user)), ("reason", reason)])
    }

    /// Ends a user's subscriptions of a channel; how many connections the user has.
    pub fn unsubscribe_user(
        &self,
        target: &Target,
        settings: &Settings,
        user: &str,
        channel: &str,
    ) -> Result<u64, Error> {
        self.order(target, settings, "unsubscribe", &[("user", Some(user)), ("channel", Some(channel))])
    }

    /// Makes all tokens of a user invalid that were made until now, and closes the connections that came with one; how
    /// many connections the user has.
    pub fn revoke_tokens(&self, target: &Target, settings: &Settings, user: &str) -> Result<u64, Error> {
        self.order(target, settings, "revoke", &[("user", Some(user))])
    }

    fn order(
        &self,
        target: &Target,
        settings: &Settings,
        kind: &str,
        fields: &[(&str, Option<&str>)],
    ) -> Result<u64, Error> {
        let reply = self.ask(target, settings, kind, &|text| {
            for (name, value) in fields {
                if let Some(value) = value {
                    push_field(text, name, value);
                }
            }
        })?;
        read_receivers(&reply)
    }
}
