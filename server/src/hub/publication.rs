//! What is published, and the streams that it is published in.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use realtime_protocol::{ChannelName, ConnectionId, EventName, UserId, push};
use serde_json::value::RawValue;

use crate::directory::Place;
use crate::ws;

/// The application that a stream belongs to; there is one for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AppId(pub u32);

impl AppId {
    /// The app of everything that names none.
    pub const DEFAULT: Self = Self(0);
}

/// What can be subscribed to and published in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StreamName {
    /// A channel.
    Channel(ChannelName),
    /// What is sent to one user, on all connections.
    User(UserId),
}

impl StreamName {
    /// The stream as pushes name it.
    pub fn of(&self) -> push::Of<'_> {
        match self {
            Self::Channel(channel) => push::Of::Channel(channel),
            Self::User(_) => push::Of::User,
        }
    }
}

/// A stream of one app: the hub's key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    /// Whose.
    pub app: AppId,
    /// Which.
    pub name: StreamName,
}

impl Stream {
    /// A stream of the default app.
    pub fn new(name: StreamName) -> Self {
        Self { app: AppId::DEFAULT, name }
    }

    /// A channel of the default app.
    pub fn channel(name: ChannelName) -> Self {
        Self::new(StreamName::Channel(name))
    }
}

/// What a publisher gave.
#[derive(Debug)]
pub struct Payload {
    /// The application's name on it.
    pub event: Option<EventName>,
    /// JSON, forwarded byte for byte.
    pub data: Box<RawValue>,
    /// The user whose client published it.
    pub user: Option<UserId>,
}

/// A publication on its way in.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// What it says.
    pub payload: Arc<Payload>,
    /// Who does not get it.
    pub exclude: Option<ConnectionId>,
    /// Stands for the application's idempotency key.
    pub id: Option<Box<str>>,
}

/// The connection that does not get a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// Its id, by which it is known again when it comes back as another connection.
    pub id: ConnectionId,
    /// Where it is; `None`: it is gone.
    pub place: Option<Place>,
}

/// A publication's place in its stream's history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// When it was published, ms since 1970 by a clock that never goes back.
    pub at: u64,
    /// The offset before it in the stream, where that is not the number before.
    pub prev: Option<u64>,
}

#[derive(Debug)]
enum Content {
    /// What was published; kept in a history or not.
    Payload { payload: Arc<Payload>, id: Option<Box<str>>, kept: Option<Kept> },
    /// Who comes and goes in a presence channel.
    Presence(String),
}

/// One immutable item of a stream, or what is sent to one connection.
#[derive(Debug)]
pub struct Publication {
    /// The stream; `None` when it goes to one connection.
    pub stream: Option<Arc<Stream>>,
    /// Its place in the stream, from 1; that of the publication before it for what has none itself.
    pub offset: u64,
    /// The connection that does not get it.
    pub exclude: Option<Exclusion>,
    content: Content,
    frame: OnceLock<Bytes>,
    deflated: OnceLock<Bytes>,
}

impl Publication {
    fn make(stream: Option<Arc<Stream>>, offset: u64, exclude: Option<Exclusion>, content: Content) -> Self {
        Self { stream, offset, exclude, content, frame: OnceLock::new(), deflated: OnceLock::new() }
    }

    /// The next one of a stream. `kept`: its place in the history, when the stream has one.
    pub fn new(
        stream: Arc<Stream>,
        offset: u64,
        exclude: Option<Exclusion>,
        incoming: Incoming,
        kept: Option<Kept>,
    ) -> Self {
        let Incoming { payload, id, .. } = incoming;
        Self::make(Some(stream), offset, exclude, Content::Payload { payload, id, kept })
    }

    /// What is sent to one connection.
    pub fn direct(payload: Arc<Payload>) -> Self {
        Self::make(None, 0, None, Content::Payload { payload, id: None, kept: None })
    }

    /// A `join` or `leave`, after the publication at `offset`.
    pub fn presence(stream: Arc<Stream>, offset: u64, text: String) -> Self {
        Self::make(Some(stream), offset, None, Content::Presence(text))
    }

    /// Whether it tells who comes or goes; it then has no offset of its own.
    pub fn is_presence(&self) -> bool {
        matches!(self.content, Content::Presence(_))
    }

    /// Its place in the history, when the stream has one.
    pub fn kept(&self) -> Option<&Kept> {
        match &self.content {
            Content::Payload { kept, .. } => kept.as_ref(),
            Content::Presence(_) => None,
        }
    }

    /// The offset before it in the stream.
    pub fn prev(&self) -> u64 {
        self.kept().and_then(|kept| kept.prev).unwrap_or(self.offset.wrapping_sub(1))
    }

    /// What stands for the application's idempotency key.
    pub fn id(&self) -> Option<&str> {
        match &self.content {
            Content::Payload { id, .. } => id.as_deref(),
            Content::Presence(_) => None,
        }
    }

    /// What was published.
    pub fn payload(&self) -> Option<&Arc<Payload>> {
        match &self.content {
            Content::Payload { payload, .. } => Some(payload),
            Content::Presence(_) => None,
        }
    }

    /// The complete frame, made when the first receiver needs it and shared by all.
    pub fn frame(&self) -> &Bytes {
        self.frame.get_or_init(|| ws::text_frame(&self.text()))
    }

    /// The frame for those who take compressed messages: `compress`ed when its text has `min_size` bytes and that makes
    /// it shorter, else [`Self::frame`].
    pub fn deflated(&self, min_size: usize, compress: impl FnOnce(&[u8]) -> Option<Bytes>) -> &Bytes {
        if self.frame().len() < min_size {
            return self.frame();
        }
        self.deflated.get_or_init(|| compress(self.text().as_bytes()).unwrap_or_else(|| self.frame().clone()))
    }

    fn text(&self) -> String {
        let (payload, id, kept) = match &self.content {
            Content::Payload { payload, id, kept } => (payload, id.as_deref(), kept.as_ref()),
            Content::Presence(text) => return text.clone(),
        };
        let publication = push::Publication {
            event: payload.event.as_ref(),
            data: &payload.data,
            offset: kept.map(|_| self.offset),
            prev: kept.and_then(|kept| kept.prev),
            id,
            user: payload.user.as_ref(),
        };
        match self.stream.as_deref().map(|stream| &stream.name) {
            Some(StreamName::Channel(channel)) => push::broadcast_update(channel, publication),
            Some(StreamName::User(_)) => push::message(true, publication),
            None => push::message(false, publication),
        }
    }

    /// As `history` answers it.
    pub fn history_item(&self) -> Option<String> {
        let payload = self.payload()?;
        let (event, user, id) = (payload.event.as_ref(), payload.user.as_ref(), self.id());
        let publication = push::Publication { event, data: &payload.data, offset: None, prev: None, id, user };
        Some(push::history_item(self.offset, publication))
    }

    /// About what it occupies, bytes: while it waits, or (about twice the data, for its frame) in a history.
    pub fn size(&self) -> usize {
        const ROUGH_OVERHEAD: usize = 256;
        let data = self.payload().map_or(0, |payload| payload.data.get().len());
        data * (1 + usize::from(self.kept().is_some())) + ROUGH_OVERHEAD
    }
}
