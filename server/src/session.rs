//! A client's logical state: commands in, actions out. No socket, no clock of its own, nothing to wait for.

mod action;
mod identity;
mod tokens;

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use realtime_protocol::{
    ChannelName, ClientCommand, ClientRequest, CloseCode, CommandError, ErrorCode, PublishCommand, Register, RequestId,
    Subscribe, Target, UserId, push,
};

use crate::gate::Origin;
use crate::grant::Grant;
use crate::limits::{Allowance, Cost};
use crate::moment::Moment;
use crate::policy::Policy;
use crate::rules::{Standing, Verb};

pub use self::action::{Action, Author, Identity, Query, Validity};
pub use self::identity::too_many_channels;

use self::identity::Shown;
use self::tokens::{ChannelToken, ConnectionToken};

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
    connect_by: Option<Moment>,
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
            let message = "this server takes nobody without a token (tokens.required): give the page's client a token \
                           function, as in new Realtime(url, {token: () => fetch('/token.php')}), or send connect first";
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
}

#[cfg(test)]
mod tests;
