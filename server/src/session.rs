//! A client's logical state: commands in, actions out. No socket, no clock of its own, nothing to wait for.

use std::sync::Arc;
use std::time::Instant;

use realtime_protocol::{
    ChannelName, ClientCommand, ClientRequest, CloseCode, CommandError, ConnectionId, ErrorCode, HistoryQuery,
    ListQuery, PublishCommand, Register, RequestId, Since, Subscribe, UserId, push,
};

use crate::gate::Origin;
use crate::grant::Grant;
use crate::limits::{Allowance, Cost};
use crate::policy::Policy;

/// Who a connection is, as the front found out.
#[derive(Clone, Debug)]
pub enum Identity {
    /// On `/` or `/ws`.
    Client {
        /// What it may publish, too, when it authenticated like a publisher.
        publisher: Option<Arc<Grant>>,
    },
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
    },
    /// Unsubscribe, and say so if there is an id.
    Unsubscribe {
        /// For the reply.
        id: Option<RequestId>,
        /// From what.
        channel: ChannelName,
    },
    /// The connection is this user's from now on.
    Identify {
        /// For the reply.
        id: Option<RequestId>,
        /// Whose.
        user: UserId,
        /// From where the user's own stream is wanted.
        since: Option<Since>,
        /// The connections that the client had before.
        previous: Vec<ConnectionId>,
    },
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
    },
    /// Close the connection; nothing more is done for it.
    Close(CloseCode),
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
}

/// A client's state.
#[derive(Debug)]
pub struct Session {
    user: Option<UserId>,
    publisher: Option<Arc<Grant>>,
    allowance: Allowance,
}

impl Session {
    /// A session that has just begun, from this address, where that is limited.
    pub fn new(publisher: Option<Arc<Grant>>, address: Option<Origin>) -> Self {
        Self { user: None, publisher, allowance: Allowance::new(address) }
    }

    /// What it may publish, when it authenticated like a publisher.
    pub fn publisher(&self) -> Option<&Arc<Grant>> {
        self.publisher.as_ref()
    }

    /// What it may publish has changed.
    pub fn set_publisher(&mut self, grant: Arc<Grant>) {
        self.publisher = Some(grant);
    }

    /// Decides what is to be done about one message.
    pub fn on_text<'a>(&mut self, now: Instant, text: &'a str, policy: &Policy, act: &mut dyn FnMut(Action<'a>)) {
        let request = ClientRequest::parse(text);
        if let Err(refused) = self.may_ask_now(now, &request, policy) {
            return act(refused.map_or(Action::Close(CloseCode::RateLimit), |error| Action::Reply(push::error(&error))));
        }
        match request {
            Ok(ClientRequest { id, command }) => self.on_command(id, command, policy, act),
            Err(error) => act(Action::Reply(push::error(&error))),
        }
    }

    /// `Err(None)`: it was told too often already. A publisher's grant has limits of its own.
    fn may_ask_now(
        &mut self,
        now: Instant,
        request: &Result<ClientRequest<'_>, CommandError>,
        policy: &Policy,
    ) -> Result<(), Option<CommandError>> {
        if self.publisher.is_some() {
            return Ok(());
        }
        let cost = request.as_ref().map_or(Cost::COMMAND, |request| Cost::of(&request.command));
        self.allowance.take(now, cost, self.user.as_ref(), &policy.limits).map_err(|refused| {
            let id = match request {
                Ok(request) => request.id.clone(),
                Err(error) => error.id.clone(),
            };
            let error = CommandError::new(ErrorCode::RateLimited, refused.to_string()).with_id(id).later(refused.wait);
            (!refused.is_enough).then_some(error)
        })
    }

    fn on_command<'a>(
        &mut self,
        id: Option<RequestId>,
        command: ClientCommand<'a>,
        policy: &Policy,
        act: &mut dyn FnMut(Action<'a>),
    ) {
        match command {
            ClientCommand::Ping => act(Action::Reply(push::pong(id.as_ref()))),
            ClientCommand::Subscribe(subscribe) => self.subscribe(id, subscribe, policy, act),
            ClientCommand::History(query) => self.ask(id, Query::History(query), policy, act),
            ClientCommand::Presence(query) => self.ask(id, Query::Presence(query), policy, act),
            ClientCommand::Unsubscribe(channel) => act(Action::Unsubscribe { id, channel }),
            ClientCommand::Register(Register { channels, .. }) if channels.len() > policy.max_channels => {
                // Each name is answered, so that many in one command would cost much more than they cost the sender.
                let (named, most) = (channels.len(), policy.max_channels);
                let message = format!("register names {named} channels, and a connection may have {most}; name fewer");
                let error = CommandError::new(ErrorCode::LimitExceeded, message).with_id(id);
                act(Action::Reply(push::error(&error)));
            }
            ClientCommand::Register(Register { user, user_since, channels, previous }) => {
                if let Some(user) = user
                    && let Err(error) = self.identify(id.clone(), (user, user_since, previous), policy, act)
                {
                    return act(Action::Reply(push::error(&error.with_id(id))));
                }
                for channel in channels {
                    match channel {
                        Ok(channel) => self.subscribe(id.clone(), channel, policy, act),
                        Err((name, error)) => {
                            let error = CommandError::name("channel names", error).with_id(id.clone()).about(name);
                            act(Action::Reply(push::error(&error)));
                        }
                    }
                }
            }
            ClientCommand::Publish(publish) if self.publisher.is_some() => act(Action::Publish { id, publish }),
            ClientCommand::Publish(_) => {
                let error = CommandError::new(
                    ErrorCode::Unauthorized,
                    "only publishers may publish: connect to /publisher, or here, with the header \
                     Authorization: Bearer and the server's publisher key",
                );
                act(Action::Reply(push::error(&error.with_id(id))));
            }
        }
    }

    fn subscribe<'a>(
        &self,
        id: Option<RequestId>,
        subscribe: Subscribe,
        policy: &Policy,
        act: &mut dyn FnMut(Action<'a>),
    ) {
        match self.may_see(&subscribe.channel, policy) {
            Ok(()) => act(Action::Subscribe { id, subscribe }),
            Err(error) => act(Action::Reply(push::error(&error.with_id(id)))),
        }
    }

    fn ask<'a>(&self, id: Option<RequestId>, query: Query, policy: &Policy, act: &mut dyn FnMut(Action<'a>)) {
        match self.may_see(query.channel(), policy) {
            Ok(()) => act(Action::Ask { id, query }),
            Err(error) => act(Action::Reply(push::error(&error.with_id(id)))),
        }
    }

    /// Rules are about browsers. Who may publish in a channel may also look on, as `tail` does.
    fn may_see(&self, channel: &ChannelName, policy: &Policy) -> Result<(), CommandError> {
        if self.publisher.as_ref().is_some_and(|grant| grant.covers(channel)) {
            return Ok(());
        }
        policy
            .rules
            .for_channel(channel, self.user.as_ref())
            .outcome
            .map_err(|denied| CommandError::new(ErrorCode::Forbidden, denied.to_string()).about(channel.as_str()))
    }

    /// A claimed user counts only where the configuration says so; else the connection stays anonymous.
    fn identify<'a>(
        &mut self,
        id: Option<RequestId>,
        (user, since, previous): (UserId, Option<Since>, Vec<ConnectionId>),
        policy: &Policy,
        act: &mut dyn FnMut(Action<'a>),
    ) -> Result<(), CommandError> {
        if !policy.insecure_identity {
            act(Action::Reply(push::connected(id.as_ref(), None)));
            return Ok(());
        }
        match &self.user {
            Some(known) if *known != user => Err(CommandError::new(
                ErrorCode::Forbidden,
                "this connection is registered as another user; open a new one",
            )),
            _ => {
                self.user = Some(user.clone());
                act(Action::Identify { id, user, since, previous });
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn publisher() -> Option<Arc<Grant>> {
        let config = Config { dev: true, ..Config::default() };
        Policy::new(&config).grants.dev().cloned()
    }

    fn said(session: &mut Session, config: &Config, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        session.on_text(Instant::now(), text, &Policy::new(config), &mut |action| seen.push(format!("{action:?}")));
        seen
    }

    #[test]
    fn a_claimed_user_counts_only_under_insecure_identity() {
        let text = r#"{"action":"register","userId":42,"channels":["a",""]}"#;
        let safe = said(&mut Session::new(None, None), &Config::default(), text);
        assert!(safe[0].contains(r#"\"user\":null"#), "{safe:?}");
        assert!(safe[1].starts_with("Subscribe"), "{safe:?}");
        assert!(safe[2].contains("invalid_name"), "{safe:?}");
        let config = Config { insecure_identity: true, ..Config::default() };
        let mut session = Session::new(None, None);
        assert!(said(&mut session, &config, text)[0].contains(r#"UserId("42")"#));
        let other = said(&mut session, &config, r#"{"action":"register","userId":"43","channels":["a"]}"#);
        assert!(other.len() == 1 && other[0].contains("forbidden"), "{other:?}");
    }

    #[test]
    fn only_who_authenticated_as_a_publisher_may_publish() {
        let text = r#"{"type":"broadcast_update","id":1,"channel":"a","data":1}"#;
        let refused = said(&mut Session::new(None, None), &Config::default(), text);
        assert!(refused[0].contains("unauthorized") && refused[0].contains("/publisher"), "{refused:?}");
        assert!(said(&mut Session::new(publisher(), None), &Config::default(), text)[0].starts_with("Publish"));
    }

    #[test]
    fn who_authenticated_as_a_publisher_may_look_on_anywhere() {
        let text = r#"{"type":"subscribe","channel":"private-x"}"#;
        assert!(said(&mut Session::new(None, None), &Config::default(), text)[0].contains("forbidden"));
        assert!(said(&mut Session::new(publisher(), None), &Config::default(), text)[0].starts_with("Subscribe"));
    }
}
