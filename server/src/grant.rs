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
mod tests {
    use realtime_protocol::PublisherFrame;

    use super::*;

    fn publisher(name: &str, channels: Option<&[&str]>) -> Publisher {
        let channels = channels.map(|list| list.iter().map(|text| Pattern::parse(text).unwrap()).collect());
        let key = PublisherKey::generate().unwrap();
        Publisher { name: name.into(), key, key_file: None, channels, users: false, publications_per_second: None }
    }

    fn refusal(grant: &Grant, command: &str) -> Option<CommandError> {
        let PublisherFrame::One(Ok(request)) = PublisherFrame::parse(command) else { panic!("{command}") };
        grant.allows(Instant::now(), &request.command).err()
    }

    #[test]
    fn each_key_is_found_among_all_and_nothing_else_is() {
        let publishers: Vec<_> = (0..20).map(|n| publisher(&format!("p{n}"), None)).collect();
        let single = PublisherKey::generate().unwrap();
        let config =
            Config { publishers: publishers.clone(), publisher_key: Some(single.clone()), ..Config::default() };
        let grants = Grants::new(&config);
        let name = |presented: &str| grants.by_key(presented).map(|grant| grant.name().to_owned());
        assert_eq!(name(single.secret()).as_deref(), Some("key"));
        for publisher in &publishers {
            assert_eq!(name(publisher.key.secret()).as_deref(), Some(&*publisher.name));
        }
        for other in ["", "rtk_", &single.secret()[..46], PublisherKey::generate().unwrap().secret()] {
            assert_eq!(name(other), None);
        }
        assert!(Grants::new(&Config::default()).by_key(single.secret()).is_none());
    }

    #[test]
    fn a_key_reaches_its_own_channels_only_whatever_the_command() {
        let grant = Grant::named(&publisher("shop", Some(&["orders.*", "status"])));
        for (command, allowed) in [
            (r#"{"type":"broadcast_update","channel":"orders.1","data":1}"#, true),
            (r#"{"type":"broadcast_update","channel":"status","data":1}"#, true),
            (r#"{"type":"broadcast_update","channel":"status2","data":1}"#, false),
            (r#"{"type":"broadcast_update","user":"u7","data":1}"#, false),
            (r#"{"type":"broadcast_update","connection":"c","data":1}"#, false),
            (r#"{"type":"history","channel":"orders.1"}"#, true),
            (r#"{"type":"history","channel":"chat"}"#, false),
            (r#"{"type":"position","channel":"chat"}"#, false),
            (r#"{"type":"presence","channel":"chat"}"#, false),
            (r#"{"type":"subscribers","channel":"chat"}"#, false),
            (r#"{"type":"channels"}"#, false),
            (r#"{"type":"channels","prefix":"order"}"#, false),
            (r#"{"type":"channels","prefix":"orders."}"#, true),
            (r#"{"type":"channels","prefix":"orders.4"}"#, true),
            (r#"{"type":"channels","prefix":"status"}"#, false),
            (r#"{"type":"backup"}"#, false),
            (r#"{"type":"disconnect","user":"u7"}"#, false),
            (r#"{"type":"disconnect","connection":"c"}"#, false),
            (r#"{"type":"revoke","user":"u7"}"#, false),
            (r#"{"type":"unsubscribe","user":"u7","channel":"orders.1"}"#, false),
            (r#"{"type":"ping"}"#, true),
        ] {
            let refused = refusal(&grant, command);
            assert_eq!(refused.is_none(), allowed, "{command}: {refused:?}");
            if let Some(error) = refused {
                assert_eq!(error.code, ErrorCode::Forbidden);
                assert!(error.message.contains("\"shop\""), "{error}");
            }
        }
        let users = Grant::named(&Publisher { users: true, ..publisher("shop", Some(&["orders.*"])) });
        for command in [
            r#"{"type":"broadcast_update","user":"u7","data":1}"#,
            r#"{"type":"revoke","user":"u7"}"#,
            r#"{"type":"unsubscribe","user":"u7","channel":"orders.1"}"#,
        ] {
            assert_eq!(refusal(&users, command), None);
        }
        assert!(refusal(&users, r#"{"type":"unsubscribe","user":"u7","channel":"chat"}"#).is_some());
        let all = Grant::named(&publisher("cron", None));
        assert_eq!(refusal(&all, r#"{"type":"backup"}"#), None);
    }

    #[test]
    fn a_key_has_its_rate_on_all_connections_together() {
        let limited = Publisher { publications_per_second: Some(2), ..publisher("slow", None) };
        let (grant, now) = (Grant::named(&limited), Instant::now());
        let channel = ChannelName::parse("c").unwrap();
        assert_eq!((0..2).map(|_| grant.may_publish(now, &channel)).collect::<Vec<_>>(), [Ok(()), Ok(())]);
        let refused = grant.may_publish(now, &channel).unwrap_err();
        assert_eq!((refused.code, refused.after), (ErrorCode::RateLimited, Some(500)));
        assert_eq!(grant.may_publish(now + std::time::Duration::from_millis(500), &channel), Ok(()));
    }

    #[test]
    fn a_grant_lasts_as_long_as_its_key() {
        let (shop, cron) = (publisher("shop", Some(&["orders.*"])), publisher("cron", None));
        let grants = |publishers: &[&Publisher]| {
            Grants::new(&Config { publishers: publishers.iter().copied().cloned().collect(), ..Config::default() })
        };
        let before = grants(&[&shop, &cron]);
        let held = before.by_key(shop.key.secret()).unwrap();
        let wider = Publisher { channels: None, ..shop.clone() };
        let now = grants(&[&wider]);
        assert!(now.renewed(held).unwrap().covers(&ChannelName::parse("chat").unwrap()));
        assert!(now.renewed(before.by_key(cron.key.secret()).unwrap()).is_none());
        assert!(grants(&[&publisher("shop", None)]).renewed(held).is_none(), "another key");
        let renamed = grants(&[&Publisher { name: "old".into(), ..shop.clone() }]);
        assert_eq!(renamed.renewed(held).unwrap().name(), "old");
        assert!(now.renewed(before.unix()).is_some());
        let dev = Grants::new(&Config { dev: true, ..Config::default() });
        assert!(now.renewed(dev.dev().unwrap()).is_none());
    }

    #[test]
    fn idempotency_keys_count_by_name_and_the_application_is_one() {
        let config = Config {
            publisher_key: Some(PublisherKey::generate().unwrap()),
            publishers: vec![publisher("publisher", None), publisher("shop", None)],
            dev: true,
            ..Config::default()
        };
        let grants = Grants::new(&config);
        let of = |index: usize| grants.by_key[index].scope();
        assert!(of(0) == grants.unix().scope() && of(0) == grants.dev().unwrap().scope());
        assert!(of(0) != of(1) && of(1) != of(2) && of(0) != of(2));
    }

    #[test]
    fn debug_output_shows_no_key() {
        let shop = publisher("shop", None);
        let grants = Grants::new(&Config { publishers: vec![shop.clone()], ..Config::default() });
        assert!(!format!("{grants:?} {shop:?}").contains(&shop.key.secret()[4..]));
    }
}
