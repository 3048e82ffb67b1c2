//! Who may publish, and what: the publisher keys, and what stands in for one on the unix socket and in development.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use realtime_protocol::{ChannelName, CommandError, ErrorCode, PublisherCommand, Target};
use subtle::{Choice, ConditionallySelectable};

use crate::config::{Config, Publisher, PublisherKey};
use crate::rate::{Bucket, Rate};
use crate::rules::Pattern;

/// What one publisher may do, on all its connections together.
#[derive(Debug)]
pub struct Grant {
    name: Arc<str>,
    /// Whose idempotency keys these are.
    scope: Box<str>,
    key: Option<PublisherKey>,
    /// `None`: all channels.
    channels: Option<Box<[Pattern]>>,
    users: bool,
    rate: Option<Rate>,
    spent: Mutex<Bucket>,
}

impl Grant {
    /// Names of those that may do everything: the application itself, by `publisher_key`, on the unix socket, and in
    /// development.
    pub const OWN: [&'static str; 3] = ["key", "unix", "dev"];
    /// They are one as to idempotency keys: what PHP repeats by another way has its effect once, too.
    const SCOPE: &'static str = "publisher";

    fn own(name: &str, key: Option<&PublisherKey>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            scope: Self::SCOPE.into(),
            key: key.cloned(),
            channels: None,
            users: true,
            rate: None,
            spent: Mutex::default(),
        })
    }

    fn named(publisher: &Publisher) -> Arc<Self> {
        Arc::new(Self {
            name: (&*publisher.name).into(),
            // No name has a blank, so that none is that of another kind of origin.
            scope: format!("{} {}", Self::SCOPE, publisher.name).into(),
            key: Some(publisher.key.clone()),
            channels: publisher.channels.clone().map(Into::into),
            users: publisher.users,
            rate: publisher.publications_per_second.map(|per_second| Rate { per_second, burst: per_second }),
            spent: Mutex::default(),
        })
    }

    /// Its name, for log and messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose idempotency keys these are: the same key of another publisher is another key.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Whether it may publish in a channel and look into it.
    pub fn covers(&self, channel: &ChannelName) -> bool {
        let Some(channels) = &self.channels else { return true };
        channels.iter().any(|pattern| pattern.matches(channel.as_str()).is_some())
    }

    /// Whether a command may be carried out, and it counts if so. What goes to several channels is asked about one by
    /// one, by [`Self::may_publish`].
    pub fn allows(&self, now: Instant, command: &PublisherCommand<'_>) -> Result<(), CommandError> {
        match command {
            PublisherCommand::Publish(publish) => match &publish.target {
                Target::Channel(channel) => self.may_publish(now, channel),
                Target::Channels(_) => Ok(()),
                Target::User(_) | Target::Connection(_) => self.users().and_then(|()| self.take(now)),
            },
            PublisherCommand::Ping => Ok(()),
            PublisherCommand::History(query) => self.channel(&query.channel),
            PublisherCommand::Presence(query) => self.channel(&query.of),
            PublisherCommand::Position(channel) | PublisherCommand::Subscribers(channel) => self.channel(channel),
            PublisherCommand::Channels(query) => self.names(&query.of),
            PublisherCommand::Backup => self.everything("backup"),
            PublisherCommand::Disconnect { .. } | PublisherCommand::Revoke(_) => self.users(),
            PublisherCommand::Unsubscribe { channel, .. } => self.users().and_then(|()| self.channel(channel)),
        }
    }

    /// Whether it may publish in a channel now, which counts if so.
    pub fn may_publish(&self, now: Instant, channel: &ChannelName) -> Result<(), CommandError> {
        self.channel(channel).and_then(|()| self.take(now).map_err(|error| error.about(channel.as_str())))
    }

    /// Whether it may send to users and connections, and say something about them.
    pub fn users(&self) -> Result<(), CommandError> {
        if self.users {
            return Ok(());
        }
        Err(forbidden(format!(
            "the publisher key {:?} may not send to users or connections; users = true allows it",
            self.name
        )))
    }

    fn channel(&self, channel: &ChannelName) -> Result<(), CommandError> {
        if self.covers(channel) {
            return Ok(());
        }
        Err(forbidden(format!("the publisher key {:?} is for other channels: {}", self.name, self.patterns()))
            .about(channel.as_str()))
    }

    /// Names that begin with `prefix` may be told when all of them are its own.
    fn names(&self, prefix: &str) -> Result<(), CommandError> {
        let Some(channels) = &self.channels else { return Ok(()) };
        if channels.iter().any(|pattern| pattern.covers_all_from(prefix)) {
            return Ok(());
        }
        Err(forbidden(format!(
            "the publisher key {:?} may list its own channels only; give a prefix that lies within one of {}",
            self.name,
            self.patterns()
        )))
    }

    fn everything(&self, what: &str) -> Result<(), CommandError> {
        if self.channels.is_none() {
            return Ok(());
        }
        Err(forbidden(format!("{what} needs a publisher key for all channels, and {:?} is for some", self.name)))
    }

    fn patterns(&self) -> String {
        let patterns: Vec<_> = self.channels.iter().flatten().map(Pattern::as_str).collect();
        patterns.join(", ")
    }

    fn take(&self, now: Instant) -> Result<(), CommandError> {
        let Some(rate) = self.rate else { return Ok(()) };
        // A bucket is never half-used, so a poisoned lock guards nothing broken.
        let taken = self.spent.lock().unwrap_or_else(PoisonError::into_inner).take(now, rate, 1);
        taken.map_err(|wait| {
            let (name, rate) = (&self.name, rate.per_second);
            let message = format!("the publisher key {name:?} may publish {rate} times a second; send it again");
            CommandError::new(ErrorCode::RateLimited, message).later(wait)
        })
    }
}

fn forbidden(message: String) -> CommandError {
    CommandError::new(ErrorCode::Forbidden, message)
}

/// Everybody who may publish.
#[derive(Debug)]
pub struct Grants {
    by_key: Box<[Arc<Grant>]>,
    unix: Arc<Grant>,
    dev: Option<Arc<Grant>>,
}

impl Grants {
    /// Those of a configuration.
    pub fn new(config: &Config) -> Self {
        let [key, unix, dev] = Grant::OWN;
        let single = config.publisher_key.iter().map(|secret| Grant::own(key, Some(secret)));
        Self {
            by_key: single.chain(config.publishers.iter().map(Grant::named)).collect(),
            unix: Grant::own(unix, None),
            dev: config.dev.then(|| Grant::own(dev, None)),
        }
    }

    /// Whose key this is. The time that it takes tells neither where it differs from a key nor from which.
    pub fn by_key(&self, presented: &str) -> Option<&Arc<Grant>> {
        let mut found = u64::MAX;
        for (index, grant) in (0..).zip(&self.by_key) {
            let is_it = grant.key.as_ref().map_or(Choice::from(0), |key| key.is(presented));
            found.conditional_assign(&index, is_it);
        }
        self.by_key.get(usize::try_from(found).ok()?)
    }

    /// That of the unix socket.
    pub fn unix(&self) -> &Arc<Grant> {
        &self.unix
    }

    /// That of processes on this machine, in development.
    pub fn dev(&self) -> Option<&Arc<Grant>> {
        self.dev.as_ref()
    }

    /// What a grant that was given under another configuration is now: that of its key, whatever it is called. `None`: the
    /// key is there no more.
    pub fn renewed(&self, held: &Grant) -> Option<&Arc<Grant>> {
        let mut all = self.by_key.iter().chain([&self.unix]).chain(&self.dev);
        match &held.key {
            Some(key) => all.find(|grant| grant.key.as_ref() == Some(key)),
            None => all.find(|grant| grant.key.is_none() && grant.name == held.name),
        }
    }
}

#[cfg(test)]
mod tests;
