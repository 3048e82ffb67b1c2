//! A client's logical state: commands in, actions out. No socket, no clock of its own, nothing to wait for.

use std::time::{Duration, Instant};

use realtime_protocol::{
    ChannelName, ClientCommand, ClientRequest, CloseCode, CommandError, ConnectionId, ErrorCode, HistoryQuery,
    ListQuery, PublishCommand, Register, RequestId, Since, Subscribe, UserId, push,
};

use crate::policy::Policy;

/// Who a connection is, as the front found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// On `/` or `/ws`.
    Client {
        /// It may publish too, as it authenticated like a publisher.
        publisher: bool,
    },
    /// On `/__echo`.
    Echo,
    /// On `/publisher`.
    Publisher {
        /// How it authenticated, for the log.
        name: &'static str,
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
    publisher: bool,
    allowance: Allowance,
}

impl Session {
    /// A session that has just begun.
    pub fn new(publisher: bool) -> Self {
        Self { user: None, publisher, allowance: Allowance::default() }
    }

    /// Whether it may publish.
    pub fn is_publisher(&self) -> bool {
        self.publisher
    }

    /// Decides what is to be done about one message.
    pub fn on_text<'a>(&mut self, now: Instant, text: &'a str, policy: &Policy, act: &mut dyn FnMut(Action<'a>)) {
        if !self.publisher {
            match self.allowance.take(now, policy.rate) {
                Taken::Yes => {}
                Taken::No => {
                    let rate = policy.rate.per_second;
                    let message = format!("more than {rate} commands a second; wait and send it again");
                    let id = ClientRequest::parse(text).ok().and_then(|request| request.id);
                    let error = CommandError::new(ErrorCode::RateLimited, message).with_id(id);
                    return act(Action::Reply(push::error(&error)));
                }
                Taken::TooOften => return act(Action::Close(CloseCode::RateLimit)),
            }
        }
        match ClientRequest::parse(text) {
            Ok(ClientRequest { id, command }) => self.on_command(id, command, policy, act),
            Err(error) => act(Action::Reply(push::error(&error))),
        }
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
            ClientCommand::Publish(publish) if self.publisher => act(Action::Publish { id, publish }),
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

    /// Rules are about browsers. Who may publish everywhere may also look on, as `tail` does.
    fn may_see(&self, channel: &ChannelName, policy: &Policy) -> Result<(), CommandError> {
        if self.publisher {
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

/// How fast a client may send commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In a second, over time.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

/// A token bucket in time: each command takes the time that it is worth.
#[derive(Debug, Default)]
struct Allowance {
    /// The time up to which the allowance is used.
    used_to: Option<Instant>,
    refused: u32,
}

enum Taken {
    Yes,
    No,
    /// It goes on after as many errors as the burst has commands.
    TooOften,
}

impl Allowance {
    fn take(&mut self, now: Instant, rate: Rate) -> Taken {
        let cost = Duration::from_secs(1) / rate.per_second;
        let used_to = self.used_to.unwrap_or(now).max(now) + cost;
        if used_to > now + cost * rate.burst {
            self.refused += 1;
            return if self.refused > rate.burst { Taken::TooOften } else { Taken::No };
        }
        if used_to <= now + cost {
            self.refused = 0;
        }
        self.used_to = Some(used_to);
        Taken::Yes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn said(session: &mut Session, config: &Config, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        session.on_text(Instant::now(), text, &Policy::new(config), &mut |action| seen.push(format!("{action:?}")));
        seen
    }

    #[test]
    fn a_claimed_user_counts_only_under_insecure_identity() {
        let text = r#"{"action":"register","userId":42,"channels":["a",""]}"#;
        let safe = said(&mut Session::new(false), &Config::default(), text);
        assert!(safe[0].contains(r#"\"user\":null"#), "{safe:?}");
        assert!(safe[1].starts_with("Subscribe"), "{safe:?}");
        assert!(safe[2].contains("invalid_name"), "{safe:?}");
        let config = Config { insecure_identity: true, ..Config::default() };
        let mut session = Session::new(false);
        assert!(said(&mut session, &config, text)[0].contains(r#"UserId("42")"#));
        let other = said(&mut session, &config, r#"{"action":"register","userId":"43","channels":["a"]}"#);
        assert!(other.len() == 1 && other[0].contains("forbidden"), "{other:?}");
    }

    #[test]
    fn only_who_authenticated_as_a_publisher_may_publish() {
        let text = r#"{"type":"broadcast_update","id":1,"channel":"a","data":1}"#;
        let refused = said(&mut Session::new(false), &Config::default(), text);
        assert!(refused[0].contains("unauthorized") && refused[0].contains("/publisher"), "{refused:?}");
        assert!(said(&mut Session::new(true), &Config::default(), text)[0].starts_with("Publish"));
    }

    #[test]
    fn who_authenticated_as_a_publisher_may_look_on_anywhere() {
        let text = r#"{"type":"subscribe","channel":"private-x"}"#;
        assert!(said(&mut Session::new(false), &Config::default(), text)[0].contains("forbidden"));
        assert!(said(&mut Session::new(true), &Config::default(), text)[0].starts_with("Subscribe"));
    }

    #[test]
    fn the_allowance_gives_a_burst_then_a_rate_then_errors_then_the_end() {
        let mut allowance = Allowance::default();
        let rate = Rate { per_second: 100, burst: 200 };
        let start = Instant::now();
        let taken = |a: &mut Allowance, at: Instant| match a.take(at, rate) {
            Taken::Yes => 'y',
            Taken::No => 'n',
            Taken::TooOften => 'x',
        };
        let burst: String = (0..=rate.burst).map(|_| taken(&mut allowance, start)).collect();
        assert_eq!(burst, "y".repeat(200) + "n");
        assert_eq!(taken(&mut allowance, start + Duration::from_millis(10)), 'y');
        assert_eq!(taken(&mut allowance, start + Duration::from_millis(10)), 'n');
        assert_eq!(taken(&mut allowance, start + Duration::from_secs(60)), 'y');
        let flood: String = (0..500).map(|_| taken(&mut allowance, start + Duration::from_secs(60))).collect();
        assert_eq!(flood, "y".repeat(199) + &"n".repeat(200) + &"x".repeat(101));
    }
}
