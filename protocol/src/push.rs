//! What the server sends: JSON text, written once and never parsed again.

use std::fmt::Write as _;

use serde_json::value::RawValue;

use crate::{ChannelName, CloseCode, CommandError, ConnectionId, EventName, RequestId, UserId, VERSION};

/// An object under construction.
struct Object(String);

impl Object {
    fn new(kind: &str) -> Self {
        Self(format!("{{\"type\":\"{kind}\""))
    }

    fn raw(mut self, key: &str, json: &str) -> Self {
        self.key(key);
        self.0.push_str(json);
        self
    }

    fn string(mut self, key: &str, text: &str) -> Self {
        self.key(key);
        self.0.push_str(&quote(text));
        self
    }

    fn number(mut self, key: &str, number: impl Into<u64>) -> Self {
        self.key(key);
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{}", number.into());
        self
    }

    fn key(&mut self, key: &str) {
        self.0.push_str(",\"");
        self.0.push_str(key);
        self.0.push_str("\":");
    }

    fn id(self, id: Option<&RequestId>) -> Self {
        match id {
            Some(id) => self.raw("id", id.as_json()),
            None => self,
        }
    }

    fn channel(self, channel: Option<&str>) -> Self {
        match channel {
            Some(channel) => self.string("channel", channel),
            None => self,
        }
    }

    fn event(self, event: Option<&EventName>) -> Self {
        match event {
            Some(event) => self.string("event", event.as_str()),
            None => self,
        }
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// `text` as a JSON string.
fn quote(text: &str) -> String {
    // A string has no reason to fail: no map keys, no custom serializer, no I/O.
    serde_json::to_string(text).unwrap_or_default()
}

/// The first message on a client's connection. `ping`: seconds of silence after which the server pings.
pub fn welcome(connection: &ConnectionId, ping: u64) -> String {
    Object::new("welcome")
        .string("connection", &connection.to_string())
        .number("version", VERSION)
        .number("ping", ping)
        .end()
}

/// A subscription stands.
pub fn subscribed(id: Option<&RequestId>, channel: &ChannelName) -> String {
    Object::new("subscribed").id(id).string("channel", channel.as_str()).end()
}

/// A subscription is over. Sent for a command only when it had an id.
pub fn unsubscribed(id: Option<&RequestId>, channel: &ChannelName) -> String {
    Object::new("unsubscribed").id(id).string("channel", channel.as_str()).end()
}

/// Answer to `ping`.
pub fn pong(id: Option<&RequestId>) -> String {
    Object::new("pong").id(id).end()
}

/// A command failed; the connection stays.
pub fn error(error: &CommandError) -> String {
    Object::new("error")
        .id(error.id.as_ref())
        .string("code", error.code.as_str())
        .string("message", &error.message)
        .channel(error.channel.as_deref())
        .end()
}

/// The connection is about to be closed. `after`: ms to wait before connecting again.
pub fn disconnect(code: CloseCode, after: Option<u64>) -> String {
    let object = Object::new("disconnect")
        .number("code", code.number())
        .string("reason", code.reason())
        .raw("reconnect", if code.reconnect() { "true" } else { "false" });
    match after {
        Some(ms) => object.number("after", ms),
        None => object,
    }
    .end()
}

/// A publication in a channel. Nothing in it depends on who receives it, so one text serves all.
pub fn broadcast_update(channel: &ChannelName, event: Option<&EventName>, data: &RawValue) -> String {
    Object::new("broadcast_update").string("channel", channel.as_str()).event(event).raw("data", data.get()).end()
}

/// So many publications of a channel without history were dropped here, since the connection was too slow.
pub fn missed(channel: &ChannelName, count: u64) -> String {
    Object::new("missed").string("channel", channel.as_str()).number("count", count).end()
}

/// What was sent to one connection, or (`user`) to all connections of the receiver's user.
pub fn message(user: bool, event: Option<&EventName>, data: &RawValue) -> String {
    let object = Object::new("message").event(event);
    if user { object.raw("user", "true") } else { object }.raw("data", data.get()).end()
}

/// A publication was queued for `receivers` connections.
pub fn ack(id: Option<&RequestId>, receivers: u64) -> String {
    Object::new("ack").id(id).number("receivers", receivers).end()
}

/// The outcome for one channel of a publication to several.
pub fn ack_channel(channel: &ChannelName, receivers: u64) -> String {
    Object::new("ack").string("channel", channel.as_str()).number("receivers", receivers).end()
}

/// The outcome of a publication to several channels, in their order: [`ack_channel`] or [`error`] each.
pub fn ack_results(id: Option<&RequestId>, receivers: u64, results: &[String]) -> String {
    Object::new("ack").id(id).number("receivers", receivers).raw("results", &list(results)).end()
}

/// Several replies as one JSON array.
pub fn list(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

/// The body of an HTTP error.
pub fn http_error(code: &str, message: &str) -> String {
    format!("{{\"error\":{{\"code\":{},\"message\":{}}}}}", quote(code), quote(message))
}

/// Who the server takes the connection for; `None` is nobody in particular.
pub fn connected(id: Option<&RequestId>, user: Option<&UserId>) -> String {
    let object = Object::new("connected").id(id);
    match user {
        Some(user) => object.string("user", user.as_str()),
        None => object.raw("user", "null"),
    }
    .end()
}
