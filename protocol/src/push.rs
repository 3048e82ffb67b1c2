//! What the server sends: JSON text, written once and never parsed again.

use std::fmt::Write as _;

use serde_json::value::RawValue;

use crate::{ChannelName, CloseCode, CommandError, ConnectionId, EventName, Mode, RequestId, UserId, VERSION};

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

    fn boolean(self, key: &str, value: bool) -> Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    fn number_if(self, key: &str, number: Option<u64>) -> Self {
        match number {
            Some(number) => self.number(key, number),
            None => self,
        }
    }

    fn number_or_null(self, key: &str, number: Option<u64>) -> Self {
        match number {
            Some(number) => self.number(key, number),
            None => self.raw(key, "null"),
        }
    }

    fn string_or_null(self, key: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.string(key, text),
            None => self.raw(key, "null"),
        }
    }

    /// Whose it is: a channel's or the receiving user's.
    fn of(self, of: Of<'_>) -> Self {
        match of {
            Of::Channel(channel) => self.string("channel", channel.as_str()),
            Of::User => self.raw("user", "true"),
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

/// The stream that a push is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of<'a> {
    /// A channel.
    Channel(&'a ChannelName),
    /// What is sent to the receiver's user.
    User,
}

/// Where a subscription to a stream with history begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    /// The life of the store.
    pub epoch: &'a str,
    /// What comes next is after this offset.
    pub offset: u64,
    /// The newest offset.
    pub top: u64,
    /// Whether everything since the position that was named follows, else why not; `None`: none was named.
    pub recovered: Option<Result<(), &'static str>>,
    /// What follows of what was missed.
    pub mode: Mode,
}

/// A member of a presence channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Who.
    pub user: &'a UserId,
    /// What the user's token says of the user: JSON.
    pub info: Option<&'a str>,
    /// With so many connections; not told of one who comes or goes.
    pub connections: Option<u64>,
}

impl Member<'_> {
    fn to_json(self) -> String {
        let Self { user, info, connections } = self;
        let info = info.unwrap_or("null");
        match connections {
            Some(count) => format!("{{\"user\":{},\"info\":{info},\"connections\":{count}}}", quote(user.as_str())),
            None => format!("{{\"user\":{},\"info\":{info}}}", quote(user.as_str())),
        }
    }
}

/// A member as lists have it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Who.
    pub user: UserId,
    /// What the user's token says of the user.
    pub info: Option<std::sync::Arc<RawValue>>,
    /// Connections in the channel.
    pub connections: u64,
}

/// A page of members, and after whom the next one begins.
#[derive(Clone, Copy, Debug)]
pub struct Members<'a> {
    /// In the order of their ids.
    pub members: &'a [Listed],
    /// The last one's id, when there are more.
    pub next: Option<&'a str>,
}

impl<'a> Members<'a> {
    /// A page, and whether there are `more` after it.
    pub fn page(members: &'a [Listed], more: bool) -> Self {
        Self { members, next: members.last().filter(|_| more).map(|member| member.user.as_str()) }
    }
}

impl Object {
    fn members(self, members: Members<'_>) -> Self {
        let json = |Listed { user, info, connections }: &Listed| {
            Member { user, info: info.as_deref().map(RawValue::get), connections: Some(*connections) }.to_json()
        };
        let items: Vec<_> = members.members.iter().map(json).collect();
        self.raw("members", &list(&items)).next(members.next)
    }

    fn next(self, next: Option<&str>) -> Self {
        match next {
            Some(next) => self.string("next", next),
            None => self,
        }
    }
}

/// A subscription stands.
pub fn subscribed(
    id: Option<&RequestId>,
    of: Of<'_>,
    standing: Option<Standing<'_>>,
    members: Option<Members<'_>>,
) -> String {
    let mut object = Object::new("subscribed").id(id).of(of);
    if let Some(Standing { epoch, offset, top, recovered, mode }) = standing {
        object = object.string("epoch", epoch).number("offset", offset).number("top", top);
        if let Some(recovered) = recovered {
            object = object.boolean("recovered", recovered.is_ok());
            if let Err(reason) = recovered {
                object = object.string("reason", reason);
            }
        }
        if mode == Mode::Latest {
            object = object.string("mode", "latest");
        }
    }
    match members {
        Some(members) => object.members(members),
        None => object,
    }
    .end()
}

/// A subscription is over. Sent for a command only when it had an id; without a command it has a `reason`.
pub fn unsubscribed(id: Option<&RequestId>, channel: &ChannelName, reason: Option<&str>) -> String {
    let object = Object::new("unsubscribed").id(id).string("channel", channel.as_str());
    match reason {
        Some(reason) => object.string("reason", reason),
        None => object,
    }
    .end()
}

/// A token runs out in so many seconds: that of one channel, or the connection's.
pub fn token_expiring(channel: Option<&ChannelName>, seconds: u64) -> String {
    Object::new("token_expiring").channel(channel.map(ChannelName::as_str)).number("in", seconds).end()
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
        .number_if("after", error.after)
        .end()
}

/// The connection is about to be closed. `reason`: instead of the code's own. `after`: ms to wait before connecting
/// again.
pub fn disconnect(code: CloseCode, reason: Option<&str>, after: Option<u64>) -> String {
    Object::new("disconnect")
        .number("code", code.number())
        .string("reason", reason.unwrap_or(code.reason()))
        .raw("reconnect", if code.reconnect() { "true" } else { "false" })
        .number_if("after", after)
        .end()
}

/// A publication: nothing in it depends on who receives it, so one text serves all.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// The application's name on it.
    pub event: Option<&'a EventName>,
    /// JSON, forwarded byte for byte.
    pub data: &'a RawValue,
    /// Its place in the stream's history, when that has one.
    pub offset: Option<u64>,
    /// The offset before it, where that is not the number before.
    pub prev: Option<u64>,
    /// Stands for the application's idempotency key, so that a page notices what it gets twice.
    pub id: Option<&'a str>,
    /// The user whose client published it; `None`: a publisher did, or nobody in particular.
    pub user: Option<&'a UserId>,
}

impl Object {
    /// All of a publication but its data.
    fn publication(self, publication: Publication<'_>) -> Self {
        let Publication { event, offset, prev, id, user, .. } = publication;
        let object = match offset {
            Some(offset) => self.number("offset", offset),
            None => self,
        };
        let object = match prev {
            Some(prev) => object.number("prev", prev),
            None => object,
        };
        let object = match id {
            Some(id) => object.string("id", id),
            None => object,
        };
        object.by(user).event(event)
    }

    /// Whose client published it.
    fn by(self, user: Option<&UserId>) -> Self {
        match user {
            Some(user) => self.string("user", user.as_str()),
            None => self,
        }
    }

    fn data(self, publication: Publication<'_>) -> Self {
        self.raw("data", publication.data.get())
    }
}

/// A publication in a channel.
pub fn broadcast_update(channel: &ChannelName, publication: Publication<'_>) -> String {
    let object = Object::new("broadcast_update").string("channel", channel.as_str());
    object.publication(publication).data(publication).end()
}

/// What was sent to one connection, or (`user`) to all connections of the receiver's user.
pub fn message(user: bool, publication: Publication<'_>) -> String {
    let object = Object::new("message").publication(publication);
    if user { object.raw("user", "true") } else { object }.data(publication).end()
}

/// So many publications of a stream without history were dropped here, since the connection was too slow.
pub fn missed(of: Of<'_>, count: u64) -> String {
    Object::new("missed").of(of).number("count", count).end()
}

/// Publications of a stream with history that are not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap<'a> {
    /// The life of the store.
    pub epoch: &'a str,
    /// The first one.
    pub from: u64,
    /// The last one.
    pub to: u64,
    /// Why.
    pub reason: &'static str,
    /// Whether the history still has them.
    pub recoverable: bool,
}

/// The publications of this gap are not sent.
pub fn missed_range(of: Of<'_>, gap: Gap<'_>) -> String {
    let Gap { epoch, from, to, reason, recoverable } = gap;
    Object::new("missed")
        .of(of)
        .string("epoch", epoch)
        .number("from", from)
        .number("to", to)
        .number("offset", to)
        .string("reason", reason)
        .boolean("recoverable", recoverable)
        .end()
}

/// Nothing up to this offset was meant for the receiver.
pub fn position(of: Of<'_>, offset: u64) -> String {
    Object::new("position").of(of).number("offset", offset).end()
}

/// A user has come into a presence channel.
pub fn join(channel: &ChannelName, user: &UserId, info: Option<&str>) -> String {
    let member = Member { user, info, connections: None }.to_json();
    Object::new("join").string("channel", channel.as_str()).raw("member", &member).end()
}

/// A user has left a presence channel.
pub fn leave(channel: &ChannelName, user: &UserId, info: Option<&str>) -> String {
    let member = Member { user, info, connections: None }.to_json();
    Object::new("leave").string("channel", channel.as_str()).raw("member", &member).end()
}

/// What became of a publication in one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// Connections that it was queued for.
    pub receivers: u64,
    /// Its place, when the stream has a history.
    pub position: Option<crate::Position>,
    /// Its idempotency key had been used for it before, so that it was not published again.
    pub duplicate: bool,
}

impl Object {
    fn ack(self, ack: &Ack) -> Self {
        let mut object = self.number("receivers", ack.receivers);
        if let Some(position) = &ack.position {
            object = object.string("epoch", &position.epoch).number("offset", position.offset);
        }
        if ack.duplicate { object.raw("duplicate", "true") } else { object }
    }
}

/// A publication was taken.
pub fn ack(id: Option<&RequestId>, ack: &Ack) -> String {
    Object::new("ack").id(id).ack(ack).end()
}

/// The outcome for one channel of a publication to several.
pub fn ack_channel(channel: &ChannelName, ack: &Ack) -> String {
    Object::new("ack").string("channel", channel.as_str()).ack(ack).end()
}

/// The outcome of a publication to several channels, in their order: [`ack_channel`] or [`error`] each.
pub fn ack_results(id: Option<&RequestId>, receivers: u64, results: &[String]) -> String {
    Object::new("ack").id(id).number("receivers", receivers).raw("results", &list(results)).end()
}

/// Publications as `history` answers them.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The life of the store; `None`: the channel has no history.
    pub epoch: Option<Box<str>>,
    /// Each as [`history_item`] writes it.
    pub publications: Vec<String>,
    /// The oldest offset that is kept; `top + 1` when none is.
    pub oldest: u64,
    /// The newest offset.
    pub top: u64,
    /// The offset after which the next page begins, when there is more.
    pub next: Option<u64>,
}

/// One publication in [`History`].
pub fn history_item(offset: u64, publication: Publication<'_>) -> String {
    let mut object = Object(format!("{{\"offset\":{offset}"));
    if let Some(id) = publication.id {
        object = object.string("id", id);
    }
    object.by(publication.user).event(publication.event).raw("data", publication.data.get()).end()
}

/// Answer to `history`.
pub fn history(id: Option<&RequestId>, channel: &ChannelName, history: &History) -> String {
    let object = Object::new("history")
        .id(id)
        .string("channel", channel.as_str())
        .raw("publications", &list(&history.publications))
        .number("oldest", history.oldest)
        .number("top", history.top)
        .string_or_null("epoch", history.epoch.as_deref());
    match history.next {
        Some(next) => object.number("next", next),
        None => object,
    }
    .end()
}

/// Answer to a publisher's `position`.
pub fn stands_at(id: Option<&RequestId>, channel: &ChannelName, position: Option<&crate::Position>) -> String {
    Object::new("position")
        .id(id)
        .string("channel", channel.as_str())
        .string_or_null("epoch", position.map(|position| &*position.epoch))
        .number_or_null("offset", position.map(|position| position.offset))
        .end()
}

/// Answer to `presence`.
pub fn presence(id: Option<&RequestId>, channel: &ChannelName, members: Members<'_>) -> String {
    Object::new("presence").id(id).string("channel", channel.as_str()).members(members).end()
}

/// Answer to `channels`: names and their subscribers.
pub fn channels(id: Option<&RequestId>, channels: &[(ChannelName, u64)], next: Option<&str>) -> String {
    let json = |(name, subscribers): &(ChannelName, u64)| {
        format!("{{\"channel\":{},\"subscribers\":{subscribers}}}", quote(name.as_str()))
    };
    let items: Vec<_> = channels.iter().map(json).collect();
    Object::new("channels").id(id).raw("channels", &list(&items)).next(next).end()
}

/// Answer to `subscribers`.
pub fn subscribers(id: Option<&RequestId>, channel: &ChannelName, subscribers: u64) -> String {
    Object::new("subscribers").id(id).string("channel", channel.as_str()).number("subscribers", subscribers).end()
}

/// Answer to `backup`: where the copy is, on the server's machine.
pub fn backup(id: Option<&RequestId>, file: &str) -> String {
    Object::new("backup").id(id).string("file", file).end()
}

/// Several replies as one JSON array.
pub fn list(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

/// The body of an HTTP error.
pub fn http_error(code: &str, message: &str) -> String {
    format!("{{\"error\":{{\"code\":{},\"message\":{}}}}}", quote(code), quote(message))
}

/// Who the server takes the connection for; `None` is nobody in particular. `expires`: the end of its token, in
/// seconds since 1970.
pub fn connected(id: Option<&RequestId>, user: Option<&UserId>, expires: Option<u64>) -> String {
    let object = Object::new("connected").id(id).string_or_null("user", user.map(UserId::as_str));
    match expires {
        Some(expires) => object.number("expires", expires),
        None => object,
    }
    .end()
}
