//! Commands of publishers: on `/publisher`, in the body of `POST /broadcast`, and on `/` with a publisher key.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{quoted, truncated};
use crate::json::{check_depth, envelope, request_id, string, strings};
use crate::{ChannelName, CommandError, ConnectionId, ErrorCode, EventName, NameError, RequestId, UserId};

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
pub(crate) fn publish_command(text: &str) -> Result<PublishCommand<'_>, CommandError> {
    publish(&envelope(text)?)
}

fn command<'a>(fields: &Envelope<'a>) -> Result<PublisherCommand<'a>, CommandError> {
    let kind = string("type", fields.kind)?.ok_or_else(|| {
        CommandError::bad_request("a command needs a type, for example {\"type\":\"broadcast_update\",…}")
    })?;
    match &*kind {
        "broadcast_update" => publish(fields).map(PublisherCommand::Publish),
        "ping" => Ok(PublisherCommand::Ping),
        other => Err(CommandError::new(
            ErrorCode::UnknownType,
            format!("unknown type {}; known are broadcast_update and ping", quoted(other)),
        )),
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
