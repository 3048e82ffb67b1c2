//! Whose a connection is: tokens that are shown, renewed, taken back and run out, and claimed users.

use std::time::{Duration, Instant};

use realtime_protocol::{
    ChannelName, CloseCode, CommandError, Connect, ConnectionId, ErrorCode, RequestId, Since, Token, UserId, push,
};

use super::tokens::{ChannelToken, ConnectionToken, Due, Term};
use super::{Act, Action, Now, Session, Validity};
use crate::hub::Who;
use crate::policy::Policy;
use crate::token::{Claims, Proof, Refused, Scope, Verifier};

impl Session {
    /// What may take back the token by which the connection has its user.
    pub fn proof(&self) -> Option<Proof> {
        self.token.as_ref().map(|token| token.proof)
    }

    /// Whether one of its tokens is void.
    pub fn holds(&self, is_void: &dyn Fn(Proof) -> bool) -> bool {
        self.proof().into_iter().chain(self.channel_tokens.iter().map(|token| token.proof)).any(is_void)
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
            None if self.needs_token(policy) => self.connect_by = Some((now.instant + patience).into()),
            None => {}
        }
    }

    pub(super) fn needs_token(&self, policy: &Policy) -> bool {
        self.publisher.is_none() && self.token.is_none() && policy.tokens.as_ref().is_some_and(Verifier::is_required)
    }

    /// After how long [`Self::on_time`] is to be called.
    pub fn next_deadline(&self, now: Now) -> Option<Duration> {
        let of_channels = self.channel_tokens.iter().map(|token| token.term);
        let terms = self.token.iter().map(|token| token.term).chain(of_channels);
        let ends = terms.map(|term| Duration::from_secs(term.next().saturating_sub(now.unix)));
        ends.chain(self.connect_by.map(|by| Instant::from(by).saturating_duration_since(now.instant))).min()
    }

    /// Does what time brings: tokens that run out soon, or have.
    pub fn on_time(&mut self, now: Now, policy: &Policy, act: Act<'_, '_>) {
        // A reload may have dropped what was waited for.
        if self.connect_by.take_if(|by| *by <= now.instant.into()).is_some() && self.needs_token(policy) {
            let message = "no token was shown in time, and this server takes nobody without one (tokens.required): give the \
                           page's client a token function, as in new Realtime(url, {token: () => fetch('/token.php')})";
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

    /// Tokens for channels that are void count no more. The one by which the connection has its user is not among them.
    pub fn on_revoked(&mut self, is_void: impl Fn(Proof) -> bool, policy: &Policy, act: Act<'_, '_>) {
        let revoked = self.channel_tokens.iter().filter(|token| is_void(token.proof));
        let revoked: Vec<_> = revoked.map(|token| token.channel.clone()).collect();
        for channel in revoked {
            self.forget_token(&channel);
            self.review(channel, "token revoked", policy, act);
        }
    }

    pub(super) fn connect<'a>(
        &mut self,
        now: Now,
        id: Option<RequestId>,
        connect: Connect,
        policy: &Policy,
        act: Act<'_, 'a>,
    ) {
        let Connect { token, user_since: since, previous } = connect;
        let verified = policy.verify(&token, now.unix).map_err(Refused::into_error_and_code);
        let shown = Shown { id: id.clone(), since, previous };
        if let Err((error, code)) = verified.and_then(|claims| self.accept(now, claims, shown, act)) {
            self.refuse((error.with_id(id), code), act);
        }
    }

    /// Who has shown a token before goes on until that one ends; for others there is nothing to go on with.
    fn refuse(&self, (error, code): (CommandError, CloseCode), act: Act<'_, '_>) {
        act(Action::Reply(push::error(&error)));
        // One that has run out is an everyday matter.
        if error.code == ErrorCode::TokenInvalid {
            act(Action::RefusedToken(error.message));
        }
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
        let Claims { user, proof, expires, info, scope } = claims;
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
        let before = self.token.replace(Box::new(ConnectionToken { term, expires, proof, channels }));
        let Shown { id, since, previous } = shown;
        let token = Some(Validity { proof, expires });
        act(Action::Identify { id, who: Who { user, info }, token, since, previous });
        if before.is_some() {
            act(Action::Review);
        }
        Ok(())
    }

    /// Takes over a token for one channel.
    pub(super) fn take_token(
        &mut self,
        now: Now,
        channel: &ChannelName,
        token: &Token,
        policy: &Policy,
    ) -> Result<(), CommandError> {
        let verified = policy.verify(&token.0, now.unix);
        let checked = verified.and_then(|Claims { user, proof, expires, scope, .. }| match scope {
            Scope::Connection(_) => Err(Refused::ForConnection),
            Scope::Channel(other) if other != *channel => Err(Refused::OtherChannel(other)),
            Scope::Channel(_) if self.user.as_ref() != Some(&user) => Err(Refused::OtherUser(user)),
            Scope::Channel(_) => Ok((proof, expires)),
        });
        let (proof, expires) = checked.map_err(|refused| refused.into_error().about(channel.as_str()))?;
        let term = Term::new(now.unix, expires);
        let most = policy.max_channels;
        if let Some(known) = self.channel_tokens.iter_mut().find(|known| known.channel == *channel) {
            (known.term, known.proof) = (term, proof);
        } else if self.channel_tokens.len() < most {
            self.channel_tokens.push(ChannelToken { channel: channel.clone(), term, proof });
        } else {
            return Err(too_many_channels(channel, most));
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

    /// A claimed user counts when it is the token's, or where the configuration says so; else the connection stays
    /// anonymous.
    pub(super) fn identify<'a>(
        &mut self,
        user: UserId,
        shown: Shown,
        policy: &Policy,
        act: Act<'_, 'a>,
    ) -> Result<(), CommandError> {
        let Shown { id, since, previous } = shown;
        let token = self.token.as_ref().map(|token| Validity { proof: token.proof, expires: token.expires });
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
pub(super) struct Shown {
    pub(super) id: Option<RequestId>,
    pub(super) since: Option<Since>,
    pub(super) previous: Vec<ConnectionId>,
}

fn another_user() -> CommandError {
    CommandError::new(ErrorCode::Forbidden, "this connection is another user's; open a new one")
}

/// A connection has as many channels as it may have.
pub fn too_many_channels(channel: &ChannelName, most: usize) -> CommandError {
    let message = format!("a connection may have {most} channels; unsubscribe from one first");
    CommandError::new(ErrorCode::LimitExceeded, message).about(channel.as_str())
}
