//! What a session decides, and who is at its other end.

use std::sync::Arc;

use realtime_protocol::{
    ChannelName, CloseCode, ConnectionId, HistoryQuery, ListQuery, PublishCommand, RequestId, Since, Subscribe, UserId,
};

use crate::grant::Grant;
use crate::hub::Who;
use crate::rules::Verb;
use crate::token::{Claims, Proof};

/// Who a connection is, as the front found out.
#[derive(Debug)]
pub enum Identity {
    /// On `/` or `/ws`.
    Client {
        /// What it may publish, too, when it authenticated like a publisher.
        publisher: Option<Arc<Grant>>,
        /// What the token says that came with the request.
        token: Option<Box<Claims>>,
    },
    /// On `/__echo`.
    Echo,
    /// On `/publisher`.
    Publisher {
        /// What it may publish.
        grant: Arc<Grant>,
    },
}

/// What is to be done about a command.
#[derive(Debug)]
pub enum Action<'a> {
    /// Say this.
    Reply(String),
    /// Subscribe, and say so.
    Subscribe {
        /// For the reply.
        id: Option<RequestId>,
        /// To what, and from where.
        subscribe: Subscribe,
        /// Whether it may see who is there.
        sees_members: bool,
    },
    /// Unsubscribe, and say so if there is an id.
    Unsubscribe {
        /// For the reply.
        id: Option<RequestId>,
        /// From what.
        channel: ChannelName,
    },
    /// End a subscription that the client did not end, and say why.
    Expel {
        /// From what.
        channel: ChannelName,
        /// Why.
        reason: &'static str,
    },
    /// The connection is this user's from now on.
    Identify {
        /// For the reply.
        id: Option<RequestId>,
        /// Whose.
        who: Who,
        /// Until when its token is valid, and since when: Unix seconds.
        token: Option<Validity>,
        /// From where the user's own stream is wanted.
        since: Option<Since>,
        /// The connections that the client had before.
        previous: Vec<ConnectionId>,
    },
    /// Tell the operator that a token was refused that no token of this server's should be like, and why.
    RefusedToken(String),
    /// Tell it no more who is in a channel.
    HideMembers(ChannelName),
    /// What the connection may have has changed: [`super::Session::review`] all of its subscriptions.
    Review,
    /// Answer.
    Ask {
        /// For the reply.
        id: Option<RequestId>,
        /// What is asked.
        query: Query,
    },
    /// Publish.
    Publish {
        /// For the reply; without it only a failure is told.
        id: Option<RequestId>,
        /// What.
        publish: PublishCommand<'a>,
        /// Who.
        by: Author,
    },
    /// Close the connection; nothing more is done for it.
    Close(CloseCode),
}

/// When a token was made and ends, Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// `iat`.
    pub proof: Proof,
    /// `exp`.
    pub expires: u64,
}

/// Who publishes over a client's connection.
#[derive(Clone, Debug)]
pub enum Author {
    /// Who authenticated as a publisher.
    Publisher(Arc<Grant>),
    /// A client, as its rule lets it.
    Client {
        /// Whose client.
        user: Option<UserId>,
        /// Whether it shall not get it itself.
        exclude_self: bool,
    },
}

/// What is asked about a channel, by who may subscribe to it or publish.
#[derive(Debug)]
pub enum Query {
    /// Its history.
    History(HistoryQuery),
    /// Its members.
    Presence(ListQuery<ChannelName>),
}

impl Query {
    /// Which channel.
    pub fn channel(&self) -> &ChannelName {
        match self {
            Self::History(query) => &query.channel,
            Self::Presence(query) => &query.of,
        }
    }

    pub(super) fn verb(&self) -> Verb {
        match self {
            Self::History(_) => Verb::Subscribe,
            Self::Presence(_) => Verb::See,
        }
    }
}
