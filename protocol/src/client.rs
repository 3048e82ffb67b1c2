//! Commands of browsers, on `/` and `/ws`.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{check_depth, envelope, request_id, string, strings};
use crate::position::{mode, since};
use crate::publisher::{HistoryQuery, ListQuery, PublishCommand, publish_command};
use crate::{ChannelName, CommandError, ConnectionId, ErrorCode, Mode, NameError, RequestId, Since, Target, UserId};

/// Most publications, members or channels in one reply.
pub(crate) const PAGE: usize = 1_000;
/// Most former connections that a subscriber may name.
const MAX_PREVIOUS: usize = 16;

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
    Subscribe(Subscribe),
    /// Leave one channel.
    Unsubscribe(ChannelName),
    /// Subscribe to several channels, and say who one is.
    Register(Register),
    /// Ask for a `pong`.
    Ping,
    /// Ask for a channel's history.
    History(HistoryQuery),
    /// Ask who is in a channel.
    Presence(ListQuery<ChannelName>),
    /// Say by a token who one is.
    Connect(Connect),
    /// Publish in a channel where its rule lets clients.
    Publish {
        /// What. Its target is a channel.
        publish: PublishCommand<'a>,
        /// Whether the client itself shall not get it.
        exclude_self: bool,
    },
    /// Publish like a publisher; only for a client that authenticated with a publisher key.
    Broadcast(PublishCommand<'a>),
}

/// A token is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// The token.
    pub token: Box<str>,
    /// From where the user's own stream is wanted.
    pub user_since: Option<Since>,
    /// The connections that this client had before.
    pub previous: Vec<ConnectionId>,
}

/// Tokens are secrets.
impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect").field("user_since", &self.user_since).finish_non_exhaustive()
    }
}

/// A subscription that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// To what.
    pub channel: ChannelName,
    /// From where; `None`: from now on.
    pub since: Option<Since>,
    /// What is wanted of what was missed.
    pub mode: Mode,
    /// The connections that this client had before: what excluded them is not for it.
    pub previous: Vec<ConnectionId>,
    /// A token for this channel.
    pub token: Option<Token>,
}

/// A token as it came; it shows in no debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub Box<str>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// Several subscriptions at once, and an identity.
#[derive(Debug)]
pub struct Register {
    /// The claimed user; what it counts for is the session's decision.
    pub user: Option<UserId>,
    /// From where the user's own stream is wanted.
    pub user_since: Option<Since>,
    /// Each channel in order, or the name as it came and why it is none.
    pub channels: Vec<Result<Subscribe, (String, NameError)>>,
    /// The connections that this client had before.
    pub previous: Vec<ConnectionId>,
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
    since: Option<&'a RawValue>,
    #[serde(borrow)]
    user_since: Option<&'a RawValue>,
    #[serde(borrow)]
    mode: Option<&'a RawValue>,
    #[serde(borrow)]
    previous: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
    #[serde(borrow)]
    limit: Option<&'a RawValue>,
    #[serde(borrow)]
    token: Option<&'a RawValue>,
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
        "subscribe" => subscribe(fields).map(ClientCommand::Subscribe),
        "unsubscribe" => channel(fields.channel).map(ClientCommand::Unsubscribe),
        "register" => register(fields).map(ClientCommand::Register),
        "ping" => Ok(ClientCommand::Ping),
        "history" => HistoryQuery::read(fields.channel, fields.since, fields.limit).map(ClientCommand::History),
        "presence" => {
            ListQuery::read(channel(fields.channel)?, fields.after, fields.limit).map(ClientCommand::Presence)
        }
        "connect" => connect(fields).map(ClientCommand::Connect),
        "publish" => publish(text),
        "broadcast_update" => publish_command(text).map(|(publish, _)| ClientCommand::Broadcast(publish)),
        other => Err(CommandError::new(
            ErrorCode::UnknownType,
            format!(
                "unknown type {}; known are connect, subscribe, unsubscribe, register, publish, history, presence and \
                 ping",
                quoted(other)
            ),
        )),
    }
}

/// Reads the `channel` of a command.
pub(crate) fn channel(raw: Option<&RawValue>) -> Result<ChannelName, CommandError> {
    let name = string("channel", raw)?.ok_or_else(|| CommandError::bad_request("channel is missing"))?;
    ChannelName::parse(&name).map_err(|error| CommandError::name("channel names", error).about(truncated(&name)))
}

fn subscribe(fields: &Envelope<'_>) -> Result<Subscribe, CommandError> {
    let channel = channel(fields.channel)?;
    let read = || {
        let token = string("token", fields.token)?.map(|token| Token(token.into()));
        Ok((since("since", fields.since)?, mode(fields.mode)?, previous(fields.previous)?, token))
    };
    let (since, mode, previous, token) = read().map_err(|error: CommandError| error.about(channel.as_str()))?;
    Ok(Subscribe { channel, since, mode, previous, token })
}

fn connect(fields: &Envelope<'_>) -> Result<Connect, CommandError> {
    let token = string("token", fields.token)?.ok_or_else(|| CommandError::bad_request("token is missing"))?;
    let user_since = since("user_since", fields.user_since)?;
    Ok(Connect { token: token.into(), user_since, previous: previous(fields.previous)? })
}

/// A client publishes in one channel, and excludes nobody but itself.
fn publish(text: &str) -> Result<ClientCommand<'_>, CommandError> {
    let (mut publish, exclude) = publish_command(text)?;
    if !matches!(publish.target, Target::Channel(_)) {
        return Err(CommandError::bad_request("a client publishes in one channel; name it as channel"));
    }
    let exclude_self = match exclude.as_deref() {
        None => false,
        Some("self") => true,
        Some(_) => return Err(CommandError::bad_request("exclude must be \"self\" here, or be left out")),
    };
    publish.exclude = None;
    Ok(ClientCommand::Publish { publish, exclude_self })
}

/// Ids that no server can have given are left out: nothing excluded them.
fn previous(raw: Option<&RawValue>) -> Result<Vec<ConnectionId>, CommandError> {
    let ids = strings("previous", raw)?.unwrap_or_default();
    if ids.len() > MAX_PREVIOUS {
        let message = format!("previous names {} connections, and may name {MAX_PREVIOUS}", ids.len());
        return Err(CommandError::bad_request(message));
    }
    Ok(ids.iter().filter_map(|id| ConnectionId::parse(id)).collect())
}

fn register(fields: &Envelope<'_>) -> Result<Register, CommandError> {
    let channels = strings("channels", fields.channels)?.unwrap_or_default();
    let previous = previous(fields.previous)?;
    let positions = Positions::read(fields.since)?;
    let channel = |name: &str| match ChannelName::parse(name) {
        Ok(channel) => {
            let since = positions.of(name)?;
            Ok(Ok(Subscribe { channel, since, mode: Mode::Stream, previous: previous.clone(), token: None }))
        }
        Err(error) => Ok(Err((truncated(name), error))),
    };
    Ok(Register {
        user: fields.user_id.map(user).transpose()?.flatten(),
        user_since: since("user_since", fields.user_since)?,
        channels: channels.iter().map(|name| channel(name)).collect::<Result<_, CommandError>>()?,
        previous,
    })
}

/// `since` of a `register`: positions by channel.
struct Positions<'a>(std::collections::HashMap<std::borrow::Cow<'a, str>, &'a RawValue>);

impl<'a> Positions<'a> {
    fn read(raw: Option<&'a RawValue>) -> Result<Self, CommandError> {
        match raw.map(RawValue::get) {
            None | Some("null") => Ok(Self(std::collections::HashMap::new())),
            Some(text) => serde_json::from_str(text)
                .map(Self)
                .map_err(|_| CommandError::bad_request("since must be an object of positions by channel here")),
        }
    }

    fn of(&self, channel: &str) -> Result<Option<Since>, CommandError> {
        since("since", self.0.get(channel).copied()).map_err(|error| error.about(truncated(channel)))
    }
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
