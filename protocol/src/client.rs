//! Commands of browsers, on `/` and `/ws`.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{check_depth, envelope, request_id, string, strings};
use crate::publisher::{PublishCommand, publish_command};
use crate::{ChannelName, CommandError, ErrorCode, NameError, RequestId, UserId};

/// One command of a client and the id that its reply carries.
#[derive(Debug)]
pub struct ClientRequest<'a> {
    /// The reply's id; without it only failures are answered where the protocol says so.
    pub id: Option<RequestId>,
    /// What is asked.
    pub command: ClientCommand<'a>,
}

/// What a client may ask.
#[derive(Debug)]
pub enum ClientCommand<'a> {
    /// Subscribe to one channel.
    Subscribe(ChannelName),
    /// Leave one channel.
    Unsubscribe(ChannelName),
    /// Subscribe to several channels, and say who one is.
    Register {
        /// The claimed user; what it counts for is the session's decision.
        user: Option<UserId>,
        /// Each channel in order, or the name as it came and why it is none.
        channels: Vec<Result<ChannelName, (String, NameError)>>,
    },
    /// Ask for a `pong`.
    Ping,
    /// Publish; only for a client that authenticated with a publisher key.
    Publish(PublishCommand<'a>),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    channel: Option<&'a RawValue>,
    #[serde(borrow)]
    channels: Option<&'a RawValue>,
    #[serde(borrow, rename = "userId")]
    user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl<'a> ClientRequest<'a> {
    /// Reads one command. The error says what to answer.
    pub fn parse(text: &'a str) -> Result<Self, CommandError> {
        let fields: Envelope<'a> = envelope(text)?;
        let id = request_id(fields.id)?;
        check_depth(text, fields.data)
            .and_then(|()| command(text, &fields))
            .map(|command| Self { id: id.clone(), command })
            .map_err(|error| error.with_id(id))
    }
}

fn command<'a>(text: &'a str, fields: &Envelope<'a>) -> Result<ClientCommand<'a>, CommandError> {
    let kind = match string("type", fields.kind)? {
        Some(kind) => kind,
        None => string("action", fields.action)?
            .ok_or_else(|| CommandError::bad_request("a command needs a type, for example {\"type\":\"ping\"}"))?,
    };
    match &*kind {
        "subscribe" => channel(fields).map(ClientCommand::Subscribe),
        "unsubscribe" => channel(fields).map(ClientCommand::Unsubscribe),
        "register" => register(fields),
        "ping" => Ok(ClientCommand::Ping),
        "broadcast_update" => publish_command(text).map(ClientCommand::Publish),
        other => Err(CommandError::new(
            ErrorCode::UnknownType,
            format!("unknown type {}; known are subscribe, unsubscribe, register and ping", quoted(other)),
        )),
    }
}

fn channel(fields: &Envelope<'_>) -> Result<ChannelName, CommandError> {
    let name = string("channel", fields.channel)?.ok_or_else(|| CommandError::bad_request("channel is missing"))?;
    ChannelName::parse(&name).map_err(|error| CommandError::name("channel names", error).about(truncated(&name)))
}

fn register<'a>(fields: &Envelope<'a>) -> Result<ClientCommand<'a>, CommandError> {
    let channels = strings("channels", fields.channels)?.unwrap_or_default();
    Ok(ClientCommand::Register {
        user: fields.user_id.map(user).transpose()?.flatten(),
        channels: channels
            .iter()
            .map(|name| ChannelName::parse(name).map_err(|error| (truncated(name), error)))
            .collect(),
    })
}

/// A user id is a string or an integer, which tutorials use; the integer counts as its decimal text.
fn user(raw: &RawValue) -> Result<Option<UserId>, CommandError> {
    let text = raw.get();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let id = if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        text.into()
    } else {
        match string("userId", Some(raw)) {
            Ok(Some(id)) => id,
            Ok(None) => return Ok(None),
            Err(error) if text.starts_with('"') => return Err(error),
            Err(_) => return Err(CommandError::bad_request("userId must be a string or an integer")),
        }
    };
    UserId::parse(&id).map(Some).map_err(|error| CommandError::name("user ids", error))
}

/// What is repeated to the sender, bounded.
pub(crate) fn truncated(text: &str) -> String {
    const MOST: usize = 200;
    if text.len() <= MOST {
        return text.to_owned();
    }
    let end = (0..=MOST).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    format!("{}…", &text[..end])
}

pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", truncated(text))
}
