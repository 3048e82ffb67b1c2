//! A client's logical state: commands in, actions out. No socket, no clock of its own, nothing to wait for.

mod tokens;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use realtime_protocol::{
    ChannelName, ClientCommand, ClientRequest, CloseCode, CommandError, Connect, ConnectionId, ErrorCode, HistoryQuery,
    ListQuery, PublishCommand, Register, RequestId, Since, Subscribe, Target, Token, UserId, push,
};

use crate::gate::Origin;
use crate::grant::Grant;
use crate::hub::Who;
use crate::limits::{Allowance, Cost};
use crate::policy::Policy;
use crate::rules::{Standing, Verb};
use crate::token::{Claims, Refused, Scope, Verifier};

use self::tokens::{ChannelToken, ConnectionToken, Due, Term};

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
    /// Tell it no more who is in a channel.
    HideMembers(ChannelName),
    /// What the connection may have has changed: [`Session::review`] all of its subscriptions.
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
    publisher: Option<Arc<Grant>>,
    allowance: Allowance,
    /// Boxed, since idle connections are to be small.
    token: Option<Box<ConnectionToken>>,
    channel_tokens: Vec<ChannelToken>,
    /// Until when a token must be shown.
    connect_by: Option<Instant>,
}

impl Session {
    /// A session that has just begun, from this address, where that is limited.
    pub fn new(publisher: Option<Arc<Grant>>, address: Option<Origin>) -> Self {
        Self {
            user: None,
            publisher,
            allowance: Allowance::new(address),
            token: None,
            channel_tokens: Vec::new(),
            connect_by: None,
        }
    }

    /// What it may publish, when it authenticated like a publisher.
    pub fn publisher(&self) -> Option<&Arc<Grant>> {
        self.publisher.as_ref()
    }

    /// What it may publish has changed.
    pub fn set_publisher(&mut self, grant: Arc<Grant>) {
        self.publisher = Some(grant);
    }

    /// When the token was made by which the connection has its user.
    pub fn issued(&self) -> Option<u64> {
        self.token.as_ref().map(|token| token.issued)
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
        self.publisher.is_none() && self.token.is_none() && policy.tokens.as_ref().is_some_and(Verifier::is_required)
    }

    /// After how long [`Self::on_time`] is to be called.
    pub fn next_deadline(&self, now: Now) -> Option<Duration> {
        let of_channels = self.channel_tokens.iter().map(|token| token.term);
        let terms = self.token.iter().map(|token| token.term).chain(of_channels);
        let ends = terms.map(|term| Duration::from_secs(term.next().saturating_sub(now.unix)));
        ends.chain(self.connect_by.map(|by| by.saturating_duration_since(now.instant))).min()
    }

    /// Does what time brings: tokens that run out soon, or have.
    pub fn on_time(&mut self, now: Now, policy: &Policy, act: Act<'_, '_>) {
        // A reload may have dropped what was waited for.
        if self.connect_by.take_if(|by| now.instant >= *by).is_some() && self.needs_token(policy) {
            let message = "no token was shown in time; send connect with a token first (tokens.required)";
            act(Action::Reply(push::error(&CommandError::new(ErrorCode::Unauthorized, message))));
            return act(Action::Close(CloseCode::Unauthorized));
        }
        match self.token.as_mut().map_or(Due::Nothing, |token| token.term.due(now.unix)) {
            Due::Nothing => {}
            Due::Warning(left) => act(Action::Reply(push::token_expiring(None, left))),
            Due::End => return act(Action::Close(CloseCode::TokenExpired)),
        }
        let mut ended = Vec::new();
        for token in &mut self.channel_tokens {
            match token.term.due(now.unix) {
                Due::Nothing => {}
                Due::Warning(left) => act(Action::Reply(push::token_expiring(Some(&token.channel), left))),
                Due::End => ended.push(token.channel.clone()),
            }
        }
        self.channel_tokens.retain(|token| !ended.contains(&token.channel));
        for channel in ended {
            self.review(channel, "token expired", policy, act);
        }
    }

    /// Tokens of its user that were made up to `before` count no more. The connection has its user by a newer one.
    pub fn on_revoked(&mut self, before: u64, policy: &Policy, act: Act<'_, '_>) {
        let is_revoked = |token: &ChannelToken| token.issued <= before;
        let revoked = self.channel_tokens.iter().filter(|token| is_revoked(token));
        let revoked: Vec<_> = revoked.map(|token| token.channel.clone()).collect();
        for channel in revoked {
            self.forget_token(&channel);
            self.review(channel, "token revoked", policy, act);
        }
    }

    /// Ends a subscription, or a part of its rights, for which nothing speaks any more.
    pub fn review(&self, channel: ChannelName, reason: &'static str, policy: &Policy, act: Act<'_, '_>) {
        if self.may(Verb::Subscribe, &channel, policy).is_err() {
            act(Action::Expel { channel, reason });
        } else if self.may(Verb::See, &channel, policy).is_err() {
            act(Action::HideMembers(channel));
        }
    }

    /// Decides what is to be done about one message.
    pub fn on_text<'a>(&mut self, now: Now, text: &'a str, policy: &Policy, act: Act<'_, 'a>) {
        let request = ClientRequest::parse(text);
        if let Err(refused) = self.may_ask_now(now.instant, &request, policy) {
            return act(refused.map_or(Action::Close(CloseCode::RateLimit), |error| Action::Reply(push::error(&error))));
        }
        match request {
            Ok(ClientRequest { id, command }) => self.on_command(now, id, command, policy, act),
            Err(error) => act(Action::Reply(push::error(&error))),
        }
    }

    /// `Err(None)`: it was told too often already. A publisher's grant has limits of its own, which hold for what it is
    /// for; what a rule lets it publish besides, as any client, it publishes as slowly.
    fn may_ask_now(
        &mut self,
        now: Instant,
        request: &Result<ClientRequest<'_>, CommandError>,
        policy: &Policy,
    ) -> Result<(), Option<CommandError>> {
        let is_by_rule = matches!(request, Ok(ClientRequest { command: ClientCommand::Publish { publish, .. }, .. })
            if matches!(&publish.target, Target::Channel(channel) if self.grant_for(channel).is_none()));
        if self.publisher.is_some() && !is_by_rule {
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
            ClientCommand::Publish { publish, exclude_self } => {
                self.publish(now.instant, id, (publish, exclude_self), policy, act);
            }
            ClientCommand::Broadcast(publish) => {
                if let Some(grant) = &self.publisher {
                    return act(Action::Publish { id, publish, by: Author::Publisher(grant.clone()) });
                }
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
        if self.token.is_none() {
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
        let before = self.token.replace(Box::new(ConnectionToken { term, expires, issued, channels }));
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
            .and_then(|()| self.may(Verb::Subscribe, channel, policy));
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
        let checked = verified.and_then(|Claims { user, issued, expires, scope, .. }| match scope {
            Scope::Connection(_) => Err(Refused::ForConnection),
            Scope::Channel(other) if other != *channel => Err(Refused::OtherChannel(other)),
            Scope::Channel(_) if self.user.as_ref() != Some(&user) => Err(Refused::OtherUser(user)),
            Scope::Channel(_) => Ok((issued, expires)),
        });
        let (issued, expires) = checked.map_err(|refused| refused.into_error().about(channel.as_str()))?;
        let term = Term::new(now.unix, expires);
        let most = policy.max_channels;
        if let Some(known) = self.channel_tokens.iter_mut().find(|known| known.channel == *channel) {
            (known.term, known.issued) = (term, issued);
        } else if self.channel_tokens.len() < most {
            self.channel_tokens.push(ChannelToken { channel: channel.clone(), term, issued });
        } else {
            let message = format!("a connection may have {most} channels; unsubscribe from one first");
            return Err(CommandError::new(ErrorCode::LimitExceeded, message).about(channel.as_str()));
        }
        Ok(())
    }

    /// A channel was left, so a token for it counts no more.
    pub fn forget_token(&mut self, channel: &ChannelName) {
        self.channel_tokens.retain(|token| token.channel != *channel);
        if self.channel_tokens.is_empty() {
            self.channel_tokens = Vec::new();
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
        now: Instant,
        id: Option<RequestId>,
        (publish, exclude_self): (PublishCommand<'a>, bool),
        policy: &Policy,
        act: Act<'_, 'a>,
    ) {
        let outcome = match &publish.target {
            Target::Channel(channel) => match self.grant_for(channel) {
                Some(grant) => grant.may_publish(now, channel),
                None => self.may(Verb::Publish, channel, policy),
            },
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

    /// What it may publish in a channel like a publisher.
    fn grant_for(&self, channel: &ChannelName) -> Option<&Grant> {
        self.publisher.as_deref().filter(|grant| grant.covers(channel))
    }

    /// Rules are about browsers. Who may publish in a channel may also look on, as `tail` does.
    fn may(&self, verb: Verb, channel: &ChannelName, policy: &Policy) -> Result<(), CommandError> {
        if self.grant_for(channel).is_some() {
            return Ok(());
        }
        let user = self.user.as_ref();
        let is_named = self.token.as_ref().is_some_and(|token| token.names(channel, user))
            || self.channel_tokens.iter().any(|token| token.channel == *channel);
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
        let token = self.token.as_ref().map(|token| Validity { issued: token.issued, expires: token.expires });
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
    use crate::token::{TokenConfig, TokenKey};

    fn publisher() -> Option<Arc<Grant>> {
        let config = Config { dev: true, ..Config::default() };
        crate::policy::of(&config).grants.dev().cloned()
    }

    fn said(session: &mut Session, config: &Config, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        session.on_text(Now::read(), text, &crate::policy::of(config), &mut |action| seen.push(format!("{action:?}")));
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
    fn who_was_to_show_a_token_stays_when_none_is_needed_any_more() {
        let tokens = |required| {
            let keys = vec![TokenKey::from_secret(None, &[7; 32]).unwrap()];
            Config { tokens: TokenConfig { keys, required, ..TokenConfig::default() }, ..Config::default() }
        };
        for (is_still_needed, said) in [(false, 0), (true, 2)] {
            let (mut session, now, mut seen) = (Session::new(None, None), Now::read(), Vec::new());
            let patience = Duration::from_secs(5);
            session.begin(now, None, &crate::policy::of(&tokens(true)), patience, &mut |action| {
                panic!("{action:?}");
            });
            assert_eq!(session.next_deadline(now), Some(patience));
            let later = Now { instant: now.instant + patience, ..now };
            session.on_time(later, &crate::policy::of(&tokens(is_still_needed)), &mut |action| {
                seen.push(format!("{action:?}"));
            });
            assert_eq!(seen.len(), said, "{seen:?}");
            assert_eq!(session.next_deadline(later), None);
        }
    }

    #[test]
    fn who_authenticated_as_a_publisher_may_look_on_anywhere() {
        let text = r#"{"type":"subscribe","channel":"private-x"}"#;
        assert!(said(&mut Session::new(None, None), &Config::default(), text)[0].contains("forbidden"));
        assert!(said(&mut Session::new(publisher(), None), &Config::default(), text)[0].starts_with("Subscribe"));
    }
}
