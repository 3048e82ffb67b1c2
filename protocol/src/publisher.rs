//! Commands of publishers: on `/publisher`, in the body of `POST /broadcast`, and on `/` with a publisher key.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{PAGE, channel, quoted, truncated};
use crate::json::{check_depth, envelope, limit, request_id, string, strings};
use crate::position::since;
use crate::{
    ChannelName, CommandError, ConnectionId, ErrorCode, EventName, IdempotencyKey, NameError, RequestId, Since, UserId,
};

/// What one frame or body holds.
#[derive(Debug)]
pub enum PublisherFrame<'a> {
    /// One command, answered by one reply.
    One(Result<PublisherRequest<'a>, CommandError>),
    /// An array of commands, answered by an array of replies in the same order.
    Many(Vec<Result<PublisherRequest<'a>, CommandError>>),
}

/// One command of a publisher and the id that its reply carries.
#[derive(Debug)]
pub struct PublisherRequest<'a> {
    /// Without it there is no reply (over HTTP there always is one).
    pub id: Option<RequestId>,
    /// What is asked.
    pub command: PublisherCommand<'a>,
}

/// What a publisher may ask.
#[derive(Debug)]
pub enum PublisherCommand<'a> {
    /// Publish.
    Publish(PublishCommand<'a>),
    /// Ask for a `pong`.
    Ping,
    /// Ask for a channel's history.
    History(HistoryQuery),
    /// Ask where a channel stands.
    Position(ChannelName),
    /// Ask who is in a channel.
    Presence(ListQuery<ChannelName>),
    /// Ask which channels have subscribers; by the beginning of their names.
    Channels(ListQuery<String>),
    /// Ask how many subscribers a channel has.
    Subscribers(ChannelName),
    /// Ask for a copy of the histories on disk, beside them.
    Backup,
    /// Close connections.
    Disconnect {
        /// Whose.
        whom: Whom,
        /// What they are told; `None`: nothing in particular.
        reason: Option<Box<str>>,
    },
    /// End a user's subscriptions to a channel.
    Unsubscribe {
        /// Whose.
        user: UserId,
        /// To what.
        channel: ChannelName,
        /// What the user is told.
        reason: Option<Box<str>>,
    },
    /// Take back the tokens that a user has got until now, and close the connections that came with them.
    Revoke(UserId),
}

/// Whose connections are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// All of one user.
    User(UserId),
    /// One; `None` when no server can have given the id.
    Connection(Option<ConnectionId>),
}

/// Longest reason: with its code it must fit into a close frame (RFC 6455 §5.5).
const MAX_REASON: usize = 120;

/// A part of a channel's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Which channel.
    pub channel: ChannelName,
    /// After what; `None`: the newest.
    pub since: Option<Since>,
    /// Most publications.
    pub limit: usize,
}

impl HistoryQuery {
    pub(crate) fn read(
        name: Option<&RawValue>,
        after: Option<&RawValue>,
        most: Option<&RawValue>,
    ) -> Result<Self, CommandError> {
        Ok(Self { channel: channel(name)?, since: since("since", after)?, limit: limit(most, PAGE)? })
    }
}

/// A page of a list in the order of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery<T> {
    /// Of what.
    pub of: T,
    /// The name after which the page begins; `None`: the first page.
    pub after: Option<String>,
    /// Most entries.
    pub limit: usize,
}

impl<T> ListQuery<T> {
    pub(crate) fn read(of: T, after: Option<&RawValue>, most: Option<&RawValue>) -> Result<Self, CommandError> {
        let after = string("after", after)?.map(std::borrow::Cow::into_owned);
        Ok(Self { of, after, limit: limit(most, PAGE)? })
    }
}

/// A publication on its way in.
#[derive(Debug)]
pub struct PublishCommand<'a> {
    /// Who shall get it.
    pub target: Target,
    /// The application's name on it.
    pub event: Option<EventName>,
    /// Any JSON value, forwarded byte for byte.
    pub data: &'a RawValue,
    /// The connection that shall not get it.
    pub exclude: Option<ConnectionId>,
    /// With it, the same command sent again has its effect once.
    pub key: Option<IdempotencyKey>,
}

/// Who shall get a publication.
#[derive(Debug)]
pub enum Target {
    /// The subscribers of one channel.
    Channel(ChannelName),
    /// The subscribers of each channel, each with a result of its own; a name that is none as it came, with the reason.
    Channels(Vec<Result<ChannelName, (String, NameError)>>),
    /// All connections of one user.
    User(UserId),
    /// One connection; `None` when no server can have given the id.
    Connection(Option<ConnectionId>),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    channel: Option<&'a RawValue>,
    #[serde(borrow)]
    channels: Option<&'a RawValue>,
    #[serde(borrow)]
    user: Option<&'a RawValue>,
    #[serde(borrow)]
    connection: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    exclude: Option<&'a RawValue>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    since: Option<&'a RawValue>,
    #[serde(borrow)]
    prefix: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
    #[serde(borrow)]
    limit: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
}

/// `"data":null` is a value to publish, not a missing field, which `Option` would make of it.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> PublisherFrame<'a> {
    /// Reads a command or an array of commands; what is wrong with one command spoils no other.
    pub fn parse(text: &'a str) -> Self {
        if !text.trim_start().starts_with('[') {
            return Self::One(PublisherRequest::parse(text));
        }
        match serde_json::from_str::<Vec<&'a RawValue>>(text) {
            Ok(items) => Self::Many(items.into_iter().map(|item| PublisherRequest::parse(item.get())).collect()),
            Err(error) => Self::One(Err(CommandError::bad_request(format!("not valid JSON: {error}")))),
        }
    }
}

impl<'a> PublisherRequest<'a> {
    fn parse(text: &'a str) -> Result<Self, CommandError> {
        let fields: Envelope<'a> = envelope(text)?;
        let id = request_id(fields.id)?;
        check_depth(text, fields.data)
            .and_then(|()| command(&fields))
            .map(|command| Self { id: id.clone(), command })
            .map_err(|error| error.with_id(id))
    }
}

/// Reads the same fields from a client's frame, whose depth was checked.
/// Besides the command, what `exclude` says, which for a client may be "self".
pub(crate) fn publish_command(text: &str) -> Result<(PublishCommand<'_>, Option<String>), CommandError> {
    let fields: Envelope<'_> = envelope(text)?;
    let exclude = string("exclude", fields.exclude)?.map(std::borrow::Cow::into_owned);
    Ok((publish(&fields)?, exclude))
}

fn command<'a>(fields: &Envelope<'a>) -> Result<PublisherCommand<'a>, CommandError> {
    let kind = string("type", fields.kind)?.ok_or_else(|| {
        CommandError::bad_request("a command needs a type, for example {\"type\":\"broadcast_update\",…}")
    })?;
    match &*kind {
        "broadcast_update" => publish(fields).map(PublisherCommand::Publish),
        "ping" => Ok(PublisherCommand::Ping),
        "history" => HistoryQuery::read(fields.channel, fields.since, fields.limit).map(PublisherCommand::History),
        "position" => channel(fields.channel).map(PublisherCommand::Position),
        "presence" => {
            ListQuery::read(channel(fields.channel)?, fields.after, fields.limit).map(PublisherCommand::Presence)
        }
        "channels" => {
            let prefix = string("prefix", fields.prefix)?.unwrap_or_default().into_owned();
            ListQuery::read(prefix, fields.after, fields.limit).map(PublisherCommand::Channels)
        }
        "subscribers" => channel(fields.channel).map(PublisherCommand::Subscribers),
        "backup" => Ok(PublisherCommand::Backup),
        "disconnect" => Ok(PublisherCommand::Disconnect { whom: whom(fields)?, reason: reason(fields.reason)? }),
        "unsubscribe" => Ok(PublisherCommand::Unsubscribe {
            user: user(fields.user)?,
            channel: channel(fields.channel)?,
            reason: reason(fields.reason)?,
        }),
        "revoke" => user(fields.user).map(PublisherCommand::Revoke),
        other => Err(CommandError::new(
            ErrorCode::UnknownType,
            format!(
                "unknown type {}; known are broadcast_update, history, position, presence, channels, subscribers, \
                 disconnect, unsubscribe, revoke, backup and ping",
                quoted(other)
            ),
        )),
    }
}

fn user(raw: Option<&RawValue>) -> Result<UserId, CommandError> {
    let id = string("user", raw)?.ok_or_else(|| CommandError::bad_request("user is missing"))?;
    UserId::parse(&id).map_err(|error| CommandError::name("user ids", error))
}

fn whom(fields: &Envelope<'_>) -> Result<Whom, CommandError> {
    match (fields.user, string("connection", fields.connection)?) {
        (user, None) => self::user(user).map(Whom::User),
        (None, Some(id)) => Ok(Whom::Connection(ConnectionId::parse(&id))),
        (Some(_), Some(_)) => Err(CommandError::bad_request("name a user or a connection, not both")),
    }
}

fn reason(raw: Option<&RawValue>) -> Result<Option<Box<str>>, CommandError> {
    match string("reason", raw)? {
        Some(text) if text.len() > MAX_REASON => {
            let message = format!("reason has {} bytes, and may have {MAX_REASON}", text.len());
            Err(CommandError::bad_request(message))
        }
        text => Ok(text.map(Into::into)),
    }
}

fn publish<'a>(fields: &Envelope<'a>) -> Result<PublishCommand<'a>, CommandError> {
    let event = string("event", fields.event)?
        .map(|event| EventName::parse(&event).map_err(|error| CommandError::name("event names", error)))
        .transpose()?;
    Ok(PublishCommand {
        target: target(fields)?,
        event,
        data: fields.data.ok_or_else(|| CommandError::bad_request("data is missing; use null to publish nothing"))?,
        exclude: string("exclude", fields.exclude)?.and_then(|id| ConnectionId::parse(&id)),
        key: string("key", fields.key)?
            .map(|key| IdempotencyKey::parse(&key))
            .transpose()
            .map_err(|error| CommandError::new(ErrorCode::InvalidName, format!("idempotency keys {error}")))?,
    })
}

fn target(fields: &Envelope<'_>) -> Result<Target, CommandError> {
    let channel = string("channel", fields.channel)?;
    let channels = strings("channels", fields.channels)?;
    let user = string("user", fields.user)?;
    let connection = string("connection", fields.connection)?;
    match (channel, channels, user, connection) {
        (Some(name), None, None, None) => ChannelName::parse(&name)
            .map(Target::Channel)
            .map_err(|error| CommandError::name("channel names", error).about(truncated(&name))),
        (None, Some(names), None, None) if !names.is_empty() => Ok(Target::Channels(
            names.iter().map(|name| ChannelName::parse(name).map_err(|error| (truncated(name), error))).collect(),
        )),
        (None, Some(_), None, None) => Err(CommandError::bad_request("channels must not be empty")),
        (None, None, Some(id), None) => {
            UserId::parse(&id).map(Target::User).map_err(|error| CommandError::name("user ids", error))
        }
        (None, None, None, Some(id)) if id.is_empty() => Err(CommandError::name("connection ids", NameError::Empty)),
        (None, None, None, Some(id)) => Ok(Target::Connection(ConnectionId::parse(&id))),
        (None, None, None, None) => {
            Err(CommandError::bad_request("channel is missing; name a channel, channels, a user or a connection"))
        }
        _ => Err(CommandError::bad_request("name only one of channel, channels, user and connection")),
    }
}
