//! `RealtimeClient`. A call has three phases: PHP values become bytes; the core sends them and waits, touching nothing
//! of PHP; its answer becomes a PHP value. So whatever ends a request finds nothing half done.

#![allow(non_snake_case, clippy::too_many_arguments, reason = "the arguments are those of PHP's methods, by name")]

use std::rc::Rc;
use std::time::Duration;

use ext_php_rs::boxed::ZBox;
use ext_php_rs::exception::PhpException;
use ext_php_rs::flags::ClassFlags;
use ext_php_rs::prelude::{PhpResult, php_class, php_impl};
use ext_php_rs::types::{ZendHashTable, Zval};
use ext_php_rs::zend::ce;
use realtime_publisher as core;
use realtime_publisher::{Audience, Command, Endpoint, Key, Owner, Publication, Publisher, Settings, Target};

use crate::argument::{
    Array, DefaultedArray, DefaultedInteger, DefaultedText, Empty, Mixed, OptionalFloat, OptionalMixed, OptionalText,
    OptionalTextOrArray, Text, TextOr, TextOrArray,
};
use crate::broadcast::{Channels, Confirm, Options, batch_of};
use crate::receipt::Receipt;
use crate::{PROCESS, exception, ini, json, question, token, zend};

// The bindings read string literals as Rust.
const ACK: &str = "ack";
const NO_PREFIX: &str = "";
const NO_CHANNELS: Empty = Empty;

/// Where to publish, as whom, and for how long to wait. The connection belongs to the process.
#[php_class]
#[php(name = "RealtimeClient", flags = ClassFlags::Final.union(ClassFlags::NoDynamicProperties))]
pub(crate) struct RealtimeClient {
    target: Target,
    timeout: Option<Duration>,
    /// Whose is what it sends without waiting, and what it defers.
    owner: Owner,
}

#[php_impl]
impl RealtimeClient {
    /// Connects at the first call, not here.
    pub(crate) fn __construct(url: OptionalText, key: OptionalText, timeout: OptionalFloat) -> PhpResult<Self> {
        let (url, key, timeout) = (url.read(1)?, key.read(2)?, timeout.read_seconds(3)?);
        let endpoint = match url {
            Some(url) => Endpoint::parse(url).map_err(|error| zend::value_error(1, &error.to_string()))?,
            None => Endpoint::parse(&ini::url()).map_err(|error| setting_error("realtime.url", &error))?,
        };
        let key = match key {
            Some(key) => Key::parse(key).map_err(|error| zend::value_error(2, &error.to_string()))?,
            // The configured key goes only to the configured server.
            None if url.is_some() => None,
            None => Key::parse(&ini::key()).map_err(|error| setting_error("realtime.key", &error))?,
        };
        Ok(Self { target: Target { endpoint, key }, timeout, owner: publisher().new_owner() })
    }

    /// Publishes data to a channel or several; returns once the server has queued it, unless `confirm` says otherwise.
    #[php(defaults(confirm = ACK))]
    pub(crate) fn broadcast(
        &self,
        channel: TextOrArray,
        data: Mixed,
        event: OptionalText,
        exclude: OptionalText,
        idempotencyKey: OptionalText,
        confirm: DefaultedText,
    ) -> PhpResult<Receipt> {
        let channels = Channels::read(channel.read(1)?, 1)?;
        let options = Options::read((event, 3), Some((exclude, 4)), (idempotencyKey, 5), (confirm, 6))?;
        channels.with(|audience| self.publish(audience, options, data.value()))
    }

    /// Sends data to all connections of one user.
    #[php(defaults(confirm = ACK))]
    pub(crate) fn send_to_user(
        &self,
        user: Text,
        data: Mixed,
        event: OptionalText,
        exclude: OptionalText,
        idempotencyKey: OptionalText,
        confirm: DefaultedText,
    ) -> PhpResult<Receipt> {
        let user = user.read(1)?;
        let options = Options::read((event, 3), Some((exclude, 4)), (idempotencyKey, 5), (confirm, 6))?;
        self.publish(Audience::User(user), options, data.value())
    }

    /// Sends data to one connection.
    #[php(defaults(confirm = ACK))]
    pub(crate) fn send_to_connection(
        &self,
        connection: Text,
        data: Mixed,
        event: OptionalText,
        idempotencyKey: OptionalText,
        confirm: DefaultedText,
    ) -> PhpResult<Receipt> {
        let connection = connection.read(1)?;
        let options = Options::read((event, 3), None, (idempotencyKey, 4), (confirm, 5))?;
        self.publish(Audience::Connection(connection), options, data.value())
    }

    /// Publishes many in one round trip, in order, each by itself.
    pub(crate) fn batch(&self, items: Array) -> PhpResult<ZBox<ZendHashTable>> {
        let batch = batch_of(items.read(1)?)?;
        let outcomes = publisher().batch(&self.target, &self.settings(), batch).map_err(exception::of)?;
        exception::outcomes(outcomes)
    }

    /// Sends what is deferred and waits for everything outstanding.
    pub(crate) fn flush(&self) -> PhpResult<ZBox<ZendHashTable>> {
        let outcomes = publisher().flush(self.owner, &self.target, &self.settings()).map_err(exception::of)?;
        exception::outcomes(outcomes)
    }

    /// Drops this object's deferred broadcasts, and says how many.
    pub(crate) fn discard(&self) -> i64 {
        i64::try_from(publisher().discard(self.owner)).unwrap_or(i64::MAX)
    }

    /// What this process has done so far.
    pub(crate) fn stats(&self) -> PhpResult<ZBox<ZendHashTable>> {
        let core::Stats { sent, acknowledged, resent, failed, dropped, connects, outstanding, deferred } =
            publisher().stats();
        let mut table = ZendHashTable::with_capacity(8);
        table.insert("sent", sent)?;
        table.insert("acknowledged", acknowledged)?;
        table.insert("resent", resent)?;
        table.insert("failed", failed)?;
        table.insert("dropped", dropped)?;
        table.insert("outstanding", outstanding)?;
        table.insert("deferred", deferred)?;
        table.insert("connects", connects)?;
        Ok(table)
    }

    /// Sends a whole message of the protocol, as an array or as JSON.
    pub(crate) fn send(&self, message: TextOrArray) -> PhpResult<Receipt> {
        let command = match message.read(1)? {
            TextOr::Text(text) => publisher().message(text),
            TextOr::Array(array) => publisher().message(json::encode(array)?.as_str()),
        };
        let command = command.map_err(|error| zend::value_error(1, &error.to_string()))?;
        Ok(Receipt::new(&self.exchange(command).map_err(exception::of)?)?)
    }

    /// As broadcast(), for pages that must never suffer: a failure is logged, once for each cause, and null is returned.
    #[php(defaults(confirm = ACK))]
    pub(crate) fn try_broadcast(
        &self,
        channel: TextOrArray,
        data: Mixed,
        event: OptionalText,
        exclude: OptionalText,
        idempotencyKey: OptionalText,
        confirm: DefaultedText,
    ) -> PhpResult<Option<Receipt>> {
        let attempt = || -> PhpResult<Result<Receipt, core::Error>> {
            let channels = Channels::read(channel.read(1)?, 1)?;
            let options = Options::read((event, 3), Some((exclude, 4)), (idempotencyKey, 5), (confirm, 6))?;
            channels.with(|audience| self.try_publish(audience, options, data.value()))
        };
        let failure = match attempt() {
            Ok(Ok(receipt)) => return Ok(Some(receipt)),
            Ok(Err(error)) => (error.cause(), error.to_string()),
            Err(exception) => {
                let thrown = zend::take_exception().ok_or(exception)?;
                (thrown.clone(), thrown)
            }
        };
        PROCESS.get().log_once(failure, self.settings().retry_after);
        Ok(None)
    }

    /// The round trip to the server and back, in seconds.
    pub(crate) fn ping(&self) -> PhpResult<f64> {
        let receipt = self.exchange(publisher().ping()).map_err(exception::of)?;
        Ok(receipt.round_trip.as_secs_f64())
    }

    /// Publications of a channel: the newest, or those since a position.
    #[php(defaults(limit = 100))]
    pub(crate) fn history(
        &self,
        channel: Text,
        limit: DefaultedInteger,
        since: OptionalTextOrArray,
    ) -> PhpResult<ZBox<ZendHashTable>> {
        let channel = channel.read(1)?;
        let limit = question::limit(limit.read(2)?, 2)?;
        let since = question::since(since.read(3)?, 3)?;
        let history = publisher().history(&self.target, &self.settings(), channel, limit, since.as_core());
        question::history(&history.map_err(exception::of)?)
    }

    /// Where a channel's history stands; null when it keeps none.
    pub(crate) fn position(&self, channel: Text) -> PhpResult<Option<ZBox<ZendHashTable>>> {
        let position = publisher().position(&self.target, &self.settings(), channel.read(1)?);
        position.map_err(exception::of)?.map(question::position).transpose()
    }

    /// Who is in a channel.
    pub(crate) fn presence(&self, channel: Text) -> PhpResult<ZBox<ZendHashTable>> {
        let members = publisher().presence(&self.target, &self.settings(), channel.read(1)?);
        question::decoded(&members.map_err(exception::of)?)
    }

    /// Channels with subscribers, and how many they have.
    #[php(defaults(prefix = NO_PREFIX))]
    pub(crate) fn channels(&self, prefix: DefaultedText) -> PhpResult<ZBox<ZendHashTable>> {
        let channels = publisher().channels(&self.target, &self.settings(), prefix.read(1)?);
        question::channels(channels.map_err(exception::of)?)
    }

    /// How many connections have subscribed to a channel.
    pub(crate) fn subscribers(&self, channel: Text) -> PhpResult<i64> {
        let subscribers = publisher().subscribers(&self.target, &self.settings(), channel.read(1)?);
        count(subscribers)
    }

    /// A token for the connections of a user, signed here.
    #[php(defaults(channels = NO_CHANNELS, ttl = 3600))]
    pub(crate) fn connection_token(
        &self,
        user: Text,
        channels: DefaultedArray,
        ttl: DefaultedInteger,
        info: OptionalMixed,
    ) -> PhpResult<String> {
        let user = token::user(user.read(1)?, 1)?;
        let channels = token::scopes(channels.read(2)?, 2)?;
        token::connection(&user, &channels, token::ttl(ttl.read(3)?, 3)?, info.value())
    }

    /// A token for one channel, signed here.
    #[php(defaults(ttl = 3600))]
    pub(crate) fn channel_token(&self, channel: Text, user: Text, ttl: DefaultedInteger) -> PhpResult<String> {
        let channel = channel.read(1)?;
        let user = token::user(user.read(2)?, 2)?;
        token::channel(channel, 1, &user, token::ttl(ttl.read(3)?, 3)?)
    }

    /// Closes all connections of a user, and says how many.
    pub(crate) fn disconnect_user(&self, user: Text, reason: OptionalText) -> PhpResult<i64> {
        let (user, reason) = (user.read(1)?, reason.read(2)?);
        count(publisher().disconnect_user(&self.target, &self.settings(), user, reason))
    }

    /// Ends a user's subscriptions of a channel, and says how many connections the user has.
    pub(crate) fn unsubscribe_user(&self, user: Text, channel: Text) -> PhpResult<i64> {
        let (user, channel) = (user.read(1)?, channel.read(2)?);
        count(publisher().unsubscribe_user(&self.target, &self.settings(), user, channel))
    }

    /// Makes the tokens of a user invalid that were made until now, and says how many connections the user has.
    pub(crate) fn revoke_tokens(&self, user: Text) -> PhpResult<i64> {
        count(publisher().revoke_tokens(&self.target, &self.settings(), user.read(1)?))
    }
}

impl RealtimeClient {
    fn publish(&self, audience: Audience<'_>, options: Options<'_>, data: &Zval) -> PhpResult<Receipt> {
        self.try_publish(audience, options, data)?.map_err(exception::of)
    }

    /// The first phase: encoding may run code of the application, which may use this very object. Then the second: no
    /// PHP value is held, and no code of PHP can run.
    fn try_publish(
        &self,
        audience: Audience<'_>,
        options: Options<'_>,
        data: &Zval,
    ) -> PhpResult<Result<Receipt, core::Error>> {
        let Options { event, exclude, key, confirm } = options;
        let data = json::encode(data)?;
        let publication = Publication { audience, event, exclude, key, data: data.as_str() };
        let key = match confirm {
            Confirm::Ack => {
                return match self.exchange(publisher().publication(&publication)) {
                    Ok(receipt) => Ok(Ok(Receipt::new(&receipt)?)),
                    Err(error) => Ok(Err(error)),
                };
            }
            Confirm::Later => {
                let command = publisher().publication(&publication);
                publisher().send(self.owner, &self.target, &self.settings(), command).map(|sent| {
                    if let Some(error) = sent.forgotten {
                        zend::log(&format!("RealtimeClient: a broadcast with confirm: 'later' failed: {error}"));
                    }
                    sent.key
                })
            }
            Confirm::Deferred => {
                // What the end of the request will need of the settings.
                self.settings();
                publisher().defer(self.owner, &self.target, &publication)
            }
        };
        match key {
            Ok(key) => Ok(Ok(Receipt::pending(&key)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    fn exchange(&self, command: Command) -> Result<core::Receipt, core::Error> {
        publisher().call(&self.target, &self.settings(), command)
    }

    fn settings(&self) -> Rc<Settings> {
        let settings = PROCESS.get().settings();
        match self.timeout {
            Some(timeout) => Rc::new(Settings { timeout, ..(*settings).clone() }),
            None => settings,
        }
    }
}

fn publisher() -> &'static Publisher {
    &PROCESS.get().publisher
}

fn count(number: Result<u64, core::Error>) -> PhpResult<i64> {
    Ok(i64::try_from(number.map_err(exception::of)?).unwrap_or(i64::MAX))
}

fn setting_error(setting: &str, error: &dyn std::error::Error) -> PhpException {
    PhpException::new(format!("{setting} {error}"), 0, ce::value_error())
}
