//! `RealtimeClient`. A call has three phases: PHP values become bytes; the core sends them and waits, touching nothing
//! of PHP; its answer becomes a PHP value. So whatever ends a request finds nothing half done.

use std::time::Duration;

use ext_php_rs::exception::PhpException;
use ext_php_rs::flags::ClassFlags;
use ext_php_rs::prelude::{PhpResult, php_class, php_impl};
use ext_php_rs::types::Zval;
use ext_php_rs::zend::ce;
use realtime_publisher as core;
use realtime_publisher::{Audience, Command, Endpoint, Key, Publication, Settings, Target};

use crate::argument::{Mixed, OptionalFloat, OptionalText, Text, TextOr, TextOrArray, channel_names};
use crate::receipt::Receipt;
use crate::{PROCESS, exception, ini, json, zend};

/// Where to publish, as whom, and for how long to wait. The connection belongs to the process.
#[php_class]
#[php(name = "RealtimeClient", flags = ClassFlags::Final.union(ClassFlags::NoDynamicProperties))]
pub(crate) struct RealtimeClient {
    target: Target,
    timeout: Option<Duration>,
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
        Ok(Self { target: Target { endpoint, key }, timeout })
    }

    /// Publishes data to a channel or several; returns once the server has queued it.
    pub(crate) fn broadcast(
        &self,
        channel: TextOrArray,
        data: Mixed,
        event: OptionalText,
        exclude: OptionalText,
    ) -> PhpResult<Receipt> {
        let message = Broadcast { channel: channel.read(1)?, event: event.read(3)?, exclude: exclude.read(4)? };
        self.call(message.command(data.value())?)
    }

    /// Sends data to all connections of one user.
    pub(crate) fn send_to_user(
        &self,
        user: Text,
        data: Mixed,
        event: OptionalText,
        exclude: OptionalText,
    ) -> PhpResult<Receipt> {
        let (user, event, exclude) = (user.read(1)?, event.read(3)?, exclude.read(4)?);
        self.call(command(Audience::User(user), event, exclude, data.value())?)
    }

    /// Sends data to one connection.
    pub(crate) fn send_to_connection(&self, connection: Text, data: Mixed, event: OptionalText) -> PhpResult<Receipt> {
        let (connection, event) = (connection.read(1)?, event.read(3)?);
        self.call(command(Audience::Connection(connection), event, None, data.value())?)
    }

    /// Sends a whole message of the protocol, as an array or as JSON.
    pub(crate) fn send(&self, message: TextOrArray) -> PhpResult<Receipt> {
        let id = PROCESS.get().publisher.next_id();
        let command = match message.read(1)? {
            TextOr::Text(text) => Command::message(id, text),
            TextOr::Array(array) => Command::message(id, json::encode(array)?.as_str()),
        };
        self.call(command.map_err(|error| zend::value_error(1, &error.to_string()))?)
    }

    /// As broadcast(), for pages that must never suffer: a failure is logged, and null is returned.
    pub(crate) fn try_broadcast(
        &self,
        channel: TextOrArray,
        data: Mixed,
        event: OptionalText,
        exclude: OptionalText,
    ) -> PhpResult<Option<Receipt>> {
        let prepare = || -> PhpResult<Command> {
            let message = Broadcast { channel: channel.read(1)?, event: event.read(3)?, exclude: exclude.read(4)? };
            message.command(data.value())
        };
        let failure = match prepare() {
            Ok(command) => match self.exchange(command) {
                Ok(receipt) => return Ok(Some(Receipt::new(&receipt)?)),
                Err(error) => error.to_string(),
            },
            Err(exception) => zend::take_exception().ok_or(exception)?,
        };
        PROCESS.get().log_once(&failure, ini::retry_after());
        Ok(None)
    }

    /// The round trip to the server and back, in seconds.
    pub(crate) fn ping(&self) -> PhpResult<f64> {
        let command = Command::ping(PROCESS.get().publisher.next_id());
        let receipt = self.exchange(command).map_err(exception::of)?;
        Ok(receipt.round_trip.as_secs_f64())
    }
}

impl RealtimeClient {
    fn call(&self, command: Command) -> PhpResult<Receipt> {
        let receipt = self.exchange(command).map_err(exception::of)?;
        Ok(Receipt::new(&receipt)?)
    }

    /// The second phase: no PHP value is held, and no code of PHP can run.
    fn exchange(&self, command: Command) -> Result<core::Receipt, core::Error> {
        let settings = Settings {
            connect_timeout: ini::connect_timeout(),
            timeout: self.timeout.unwrap_or_else(ini::timeout),
            retry_after: ini::retry_after(),
            tls_authority: ini::tls_ca(),
        };
        PROCESS.get().publisher.call(&self.target, &settings, command)
    }
}

/// The arguments of a broadcast, but for its data.
struct Broadcast<'a> {
    channel: TextOr<'a>,
    event: Option<&'a str>,
    exclude: Option<&'a str>,
}

impl Broadcast<'_> {
    fn command(self, data: &Zval) -> PhpResult<Command> {
        let Self { channel, event, exclude } = self;
        match channel {
            TextOr::Text(name) => command(Audience::Channel(name), event, exclude, data),
            TextOr::Array(array) => {
                let names = channel_names(array, 1)?;
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                command(Audience::Channels(&names), event, exclude, data)
            }
        }
    }
}

/// The first phase. Encoding may run code of the application, which may use this very object.
fn command(audience: Audience<'_>, event: Option<&str>, exclude: Option<&str>, data: &Zval) -> PhpResult<Command> {
    let data = json::encode(data)?;
    let publication = Publication { audience, event, exclude, data: data.as_str() };
    Ok(Command::publish(PROCESS.get().publisher.next_id(), &publication))
}

fn setting_error(setting: &str, error: &dyn std::error::Error) -> PhpException {
    PhpException::new(format!("{setting} {error}"), 0, ce::value_error())
}
