//! A client's logical state: commands in, actions out. No socket, no clock of its own, nothing to wait for.

mod allowance;
mod grant;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use realtime_protocol::{
    ChannelName, ClientCommand, ClientRequest, CloseCode, CommandError, Connect, ConnectionId, ErrorCode, HistoryQuery,
    ListQuery, PublishCommand, Register, RequestId, Since, Subscribe, Target, Token, UserId, push,
};

use crate::hub::Who;
use crate::policy::Policy;
use crate::rules::{Standing, Verb};
use crate::token::{Claims, Refused, Scope};

pub use self::allowance::Rate;

use self::allowance::{Allowance, Taken};
use self::grant::{ChannelGrant, Due, Grant, Term};

/// The time, by both clocks: one that only goes on, and the one by which tokens end.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For rates and deadlines.
    pub instant: Instant,
    /// Seconds since 1970, for tokens.
    pub unix: u64,
}

impl Now {
    /// What the clocks show.
    pub fn read() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { instant: Instant::now(), unix }
    }
}

/// Who a connection is, as the front found out.
#[derive(Debug)]
pub enum Identity {
    /// On `/` or `/ws`.
    Client {
        /// It may publish too, as it authenticated like a publisher.
        publisher: bool,
        /// What the token says that came with the request.
        token: Option<Box<Claims>>,
    },
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
    /// What the connection may have has changed: end those subscriptions that [`Session::may_subscribe`] refuses.
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
    pub issued: u64,
    /// `exp`.
    pub expires: u64,
}

/// Who publishes over a client's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// Who authenticated as a publisher.
    Publisher,
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

    fn verb(&self) -> Verb {
        match self {
            Self::History(_) => Verb::Subscribe,
            Self::Presence(_) => Verb::See,
        }
    }
}

type Act<'f, 'a> = &'f mut dyn FnMut(Action<'a>);

/// A client's state.
#[derive(Debug)]
pub struct Session {
    user: Option<UserId>,
    publisher: bool,
    allowance: Allowance,
    /// What the connection's token says; boxed, since idle connections are to be small.
    grant: Option<Box<Grant>>,
    /// What tokens for single channels say.
    granted: Vec<ChannelGrant>,
    /// Until when a token must be shown.
    connect_by: Option<Instant>,
}

impl Session {
    /// A session that has just begun.
    pub fn new(publisher: bool) -> Self {
        Self {
            user: None,
            publisher,
            allowance: Allowance::default(),
            grant: None,
            granted: Vec::new(),
            connect_by: None,
        }
    }

    /// Whether it may publish.
    pub fn is_publisher(&self) -> bool {
        self.publisher
    }

    /// When the token was made by which the connection has its user.
    pub fn issued(&self) -> Option<u64> {
        self.grant.as_ref().map(|grant| grant.issued)
    }

    /// Begins, with what the token says that came with the request. Who needs a token and has shown none has `patience`.
    pub fn begin<'a>(
        &mut self,
        now: Now,
        token: Option<Claims>,
        policy: &Policy,
        patience: Duration,
        act: Act<'_, 'a>,
    ) {
        match token {
            Some(claims) => {
                let connect = Shown { id: None, since: None, previous: Vec::new() };
                if let Err(error) = self.accept(now, claims, connect, act) {
                    self.refuse(error, act);
                }
            }
            None if self.needs_token(policy) => self.connect_by = Some(now.instant + patience),
            None => {}
        }
    }

    fn needs_token(&self, policy: &Policy) -> bool {
        !self.publisher && self.grant.is_none() && policy.tokens.as_ref().is_some_and(|tokens| tokens.is_required())
    }

    /// After how long [`Self::on_time`] is to be called.
    pub fn next_deadline(&self, now: Now) -> Option<Duration> {
        let terms = self.grant.iter().map(|grant| grant.term).chain(self.granted.iter().map(|grant| grant.term));
        let ends = terms.map(|term| Duration::from_secs(term.next().saturating_sub(now.unix)));
        ends.chain(self.connect_by.map(|by| by.saturating_duration_since(now.instant))).min()
    }

    /// Does what time brings: tokens that run out soon, or have.
    pub fn on_time(&mut self, now: Now, policy: &Policy, act: Act<'_, '_>) {
        if self.connect_by.is_some_and(|by| now.instant >= by) {
            let message = "no token was shown in time; send connect with a token first (tokens.required)";
            act(Action::Reply(push::error(&CommandError::new(ErrorCode::Unauthorized, message))));
            return act(Action::Close(CloseCode::Unauthorized));
        }
        match self.grant.as_mut().map_or(Due::Nothing, |grant| grant.term.due(now.unix)) {
            Due::Nothing => {}
            Due::Warning(left) => act(Action::Reply(push::token_expiring(None, left))),
            Due::End => return act(Action::Close(CloseCode::TokenExpired)),
        }
        let mut ended = Vec::new();
        for grant in &mut self.granted {
            match grant.term.due(now.unix) {
                Due::Nothing => {}
                Due::Warning(left) => act(Action::Reply(push::token_expiring(Some(&grant.channel), left))),
                Due::End => ended.push(grant.channel.clone()),
            }
        }
        self.granted.retain(|grant| !ended.contains(&grant.channel));
        for channel in ended {
            if self.may_subscribe(&channel, policy).is_err() {
                act(Action::Expel { channel, reason: "token expired" });
            }
        }
    }

    /// Decides what is to be done about one message.
    pub fn on_text<'a>(&mut self, now: Now, text: &'a str, policy: &Policy, act: Act<'_, 'a>) {
        if !self.publisher {
            match self.allowance.take(now.instant, policy.rate) {
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
            Ok(ClientRequest { id, command }) => self.on_command(now, id, command, policy, act),
            Err(error) => act(Action::Reply(push::error(&error))),
        }
    }

    fn on_command<'a>(
        &mut self,
        now: Now,
        id: Option<RequestId>,
        command: ClientCommand<'a>,
        policy: &Policy,
        act: Act<'_, 'a>,
    ) {
        if self.needs_token(policy) && !matches!(command, ClientCommand::Connect(_) | ClientCommand::Ping) {
            let message = "this server wants to know who you are: send connect with a token first";
            return act(Action::Reply(push::error(&CommandError::new(ErrorCode::Unauthorized, message).with_id(id))));
        }
        match command {
            ClientCommand::Ping => act(Action::Reply(push::pong(id.as_ref()))),
            ClientCommand::Connect(connect) => self.connect(now, id, connect, policy, act),
            ClientCommand::Subscribe(subscribe) => self.subscribe(now, id, subscribe, policy, act),
            ClientCommand::History(query) => self.ask(id, Query::History(query), policy, act),
            ClientCommand::Presence(query) => self.ask(id, Query::Presence(query), policy, act),
            ClientCommand::Unsubscribe(channel) => {
                self.forget_token(&channel);
                act(Action::Unsubscribe { id, channel });
            }
            ClientCommand::Register(Register { channels, .. }) if channels.len() > policy.max_channels => {
                // Each name is answered, so that many in one command would cost much more than they cost the sender.
                let (named, most) = (channels.len(), policy.max_channels);
                let message = format!("register names {named} channels, and a connection may have {most}; name fewer");
                let error = CommandError::new(ErrorCode::LimitExceeded, message).with_id(id);
                act(Action::Reply(push::error(&error)));
            }
            ClientCommand::Register(register) => self.register(now, id, register, policy, act),
            ClientCommand::Publish { publish, exclude_self } => self.publish(id, publish, exclude_self, policy, act),
            ClientCommand::Broadcast(publish) if self.publisher => {
                act(Action::Publish { id, publish, by: Author::Publisher });
            }
            ClientCommand::Broadcast(_) => {
                let error = CommandError::new(
                    ErrorCode::Unauthorized,
                    "only publishers may send broadcast_update: connect to /publisher, or here, with the header \
                     Authorization: Bearer and the server's publisher key; clients send publish, where the channel's \
                     rule lets them",
                );
                act(Action::Reply(push::error(&error.with_id(id))));
            }
        }
    }

    fn connect<'a>(&mut self, now: Now, id: Option<RequestId>, connect: Connect, policy: &Policy, act: Act<'_, 'a>) {
        let Connect { token, user_since: since, previous } = connect;
        let verified = match &policy.tokens {
            Some(tokens) => tokens.verify(&token, now.unix).map_err(Refused::into_error_and_code),
            None => Err(Refused::NotConfigured.into_error_and_code()),
        };
        let shown = Shown { id: id.clone(), since, previous };
        if let Err((error, code)) = verified.and_then(|claims| self.accept(now, claims, shown, act)) {
            self.refuse((error.with_id(id), code), act);
        }
    }

    /// Who has shown a token before goes on until that one ends; for others there is nothing to go on with.
    fn refuse(&self, (error, code): (CommandError, CloseCode), act: Act<'_, '_>) {
        act(Action::Reply(push::error(&error)));
        if self.grant.is_none() {
            act(Action::Close(code));
        }
    }

    fn accept<'a>(
        &mut self,
        now: Now,
        claims: Claims,
        shown: Shown,
        act: Act<'_, 'a>,
    ) -> Result<(), (CommandError, CloseCode)> {
        let Claims { user, issued, expires, info, scope } = claims;
        let channels = match scope {
            Scope::Connection(channels) => channels,
            Scope::Channel(channel) => return Err(Refused::ForChannel(channel).into_error_and_code()),
        };
        if self.user.as_ref().is_some_and(|known| *known != user) {
            return Err((another_user(), CloseCode::Forbidden));
        }
        self.user = Some(user.clone());
        self.connect_by = None;
        let term = Term::new(now.unix, expires);
        let before = self.grant.replace(Box::new(Grant { term, expires, issued, channels }));
        let Shown { id, since, previous } = shown;
        let token = Some(Validity { issued, expires });
        act(Action::Identify { id, who: Who { user, info }, token, since, previous });
        if before.is_some() {
            act(Action::Review);
        }
        Ok(())
    }

    fn register<'a>(&mut self, now: Now, id: Option<RequestId>, register: Register, policy: &Policy, act: Act<'_, 'a>) {
        let Register { user, user_since: since, channels, previous } = register;
        if let Some(user) = user {
            let shown = Shown { id: id.clone(), since, previous };
            if let Err(error) = self.identify(user, shown, policy, act) {
                return act(Action::Reply(push::error(&error.with_id(id))));
            }
        }
        for channel in channels {
            match channel {
                Ok(channel) => self.subscribe(now, id.clone(), channel, policy, act),
                Err((name, error)) => {
                    let error = CommandError::name("channel names", error).with_id(id.clone()).about(name);
                    act(Action::Reply(push::error(&error)));
                }
            }
        }
    }

    fn subscribe<'a>(
        &mut self,
        now: Now,
        id: Option<RequestId>,
        mut subscribe: Subscribe,
        policy: &Policy,
        act: Act<'_, 'a>,
    ) {
        let token = subscribe.token.take();
        let channel = &subscribe.channel;
        let outcome = token
            .map_or(Ok(()), |token| self.take_token(now, channel, &token, policy))
            .and_then(|()| self.may_subscribe(channel, policy));
        match outcome {
            Ok(()) => {
                let sees_members = self.may(Verb::See, channel, policy).is_ok();
                act(Action::Subscribe { id, subscribe, sees_members });
            }
            Err(error) => act(Action::Reply(push::error(&error.with_id(id)))),
        }
    }

    /// Takes over a token for one channel.
    fn take_token(
        &mut self,
        now: Now,
        channel: &ChannelName,
        token: &Token,
        policy: &Policy,
    ) -> Result<(), CommandError> {
        let verified = match &policy.tokens {
            Some(tokens) => tokens.verify(&token.0, now.unix),
            None => Err(Refused::NotConfigured),
        };
        let checked = verified.and_then(|Claims { user, expires, scope, .. }| match scope {
            Scope::Connection(_) => Err(Refused::ForConnection),
            Scope::Channel(other) if other != *channel => Err(Refused::OtherChannel(other)),
            Scope::Channel(_) if self.user.as_ref() != Some(&user) => Err(Refused::OtherUser(user)),
            Scope::Channel(_) => Ok(expires),
        });
        let expires = checked.map_err(|refused| refused.into_error().about(channel.as_str()))?;
        let term = Term::new(now.unix, expires);
        let most = policy.max_channels;
        if let Some(grant) = self.granted.iter_mut().find(|grant| grant.channel == *channel) {
            grant.term = term;
        } else if self.granted.len() < most {
            self.granted.push(ChannelGrant { channel: channel.clone(), term });
        } else {
            let message = format!("a connection may have {most} channels; unsubscribe from one first");
            return Err(CommandError::new(ErrorCode::LimitExceeded, message).about(channel.as_str()));
        }
        Ok(())
    }

    /// A channel was left, so a token for it counts no more.
    pub fn forget_token(&mut self, channel: &ChannelName) {
        self.granted.retain(|grant| grant.channel != *channel);
        if self.granted.is_empty() {
            self.granted = Vec::new();
        }
    }

    fn ask<'a>(&self, id: Option<RequestId>, query: Query, policy: &Policy, act: Act<'_, 'a>) {
        match self.may(query.verb(), query.channel(), policy) {
            Ok(()) => act(Action::Ask { id, query }),
            Err(error) => act(Action::Reply(push::error(&error.with_id(id)))),
        }
    }

    fn publish<'a>(
        &self,
        id: Option<RequestId>,
        publish: PublishCommand<'a>,
        exclude_self: bool,
        policy: &Policy,
        act: Act<'_, 'a>,
    ) {
        let outcome = match &publish.target {
            Target::Channel(channel) => self.may(Verb::Publish, channel, policy),
            // The protocol lets no client name anything else.
            _ => Err(CommandError::new(ErrorCode::BadRequest, "a client publishes in one channel")),
        };
        match outcome {
            Ok(()) => {
                let by = Author::Client { user: self.user.clone(), exclude_self };
                act(Action::Publish { id, publish, by });
            }
            Err(error) => act(Action::Reply(push::error(&error.with_id(id)))),
        }
    }

    /// Whether it may subscribe to a channel.
    pub fn may_subscribe(&self, channel: &ChannelName, policy: &Policy) -> Result<(), CommandError> {
        self.may(Verb::Subscribe, channel, policy)
    }

    /// Rules are about browsers. Who may publish everywhere may also look on, as `tail` does.
    fn may(&self, verb: Verb, channel: &ChannelName, policy: &Policy) -> Result<(), CommandError> {
        if self.publisher {
            return Ok(());
        }
        let user = self.user.as_ref();
        let is_named = self.grant.as_ref().is_some_and(|grant| grant.names(channel, user))
            || self.granted.iter().any(|grant| grant.channel == *channel);
        policy
            .rules
            .decide(verb, channel, Standing { user, is_named })
            .outcome
            .map_err(|denied| CommandError::new(ErrorCode::Forbidden, denied.to_string()).about(channel.as_str()))
    }

    /// A claimed user counts when it is the token's, or where the configuration says so; else the connection stays
    /// anonymous.
    fn identify<'a>(
        &mut self,
        user: UserId,
        shown: Shown,
        policy: &Policy,
        act: Act<'_, 'a>,
    ) -> Result<(), CommandError> {
        let Shown { id, since, previous } = shown;
        let token = self.grant.as_ref().map(|grant| Validity { issued: grant.issued, expires: grant.expires });
        if token.is_none() && !policy.insecure_identity {
            act(Action::Reply(push::connected(id.as_ref(), None, None)));
            return Ok(());
        }
        if self.user.as_ref().is_some_and(|known| *known != user) {
            return Err(another_user());
        }
        self.user = Some(user.clone());
        act(Action::Identify { id, who: Who { user, info: None }, token, since, previous });
        Ok(())
    }
}

/// What comes with a token or a claimed user.
struct Shown {
    id: Option<RequestId>,
    since: Option<Since>,
    previous: Vec<ConnectionId>,
}

fn another_user() -> CommandError {
    CommandError::new(ErrorCode::Forbidden, "this connection is another user's; open a new one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn said(session: &mut Session, config: &Config, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        session.on_text(Now::read(), text, &crate::policy::of(config), &mut |action| seen.push(format!("{action:?}")));
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
}
