//! Tokens: what the arguments and the settings say. They are signed here, without the server.

use std::time::{SystemTime, UNIX_EPOCH};

use ext_php_rs::exception::PhpException;
use ext_php_rs::prelude::PhpResult;
use ext_php_rs::types::{ZendHashTable, Zval};
use ext_php_rs::zend::ce;
use realtime_protocol::token::{self, Claims, Grant, MAX_INFO, MAX_TOKEN, Scope, Secret};
use realtime_protocol::{ChannelName, UserId};

use crate::argument::names;
use crate::{ini, json, zend};

/// Longest lifetime in seconds, 68 years: more only ever comes from a time that was taken for a lifetime.
const MAX_TTL: i64 = i32::MAX as i64;

/// Reads `$user`.
pub(crate) fn user(user: &str, number: u32) -> PhpResult<UserId> {
    UserId::parse(user).map_err(|error| zend::value_error(number, &error.to_string()))
}

/// Reads `$ttl`.
pub(crate) fn ttl(ttl: i64, number: u32) -> PhpResult<u64> {
    match u64::try_from(ttl) {
        Ok(seconds @ 1..) if ttl <= MAX_TTL => Ok(seconds),
        _ => Err(zend::value_error(number, &format!("must be greater than 0 and at most {MAX_TTL} seconds"))),
    }
}

/// Reads `$channels`.
pub(crate) fn scopes(channels: Option<&ZendHashTable>, number: u32) -> PhpResult<Vec<Scope>> {
    let Some(channels) = channels else { return Ok(Vec::new()) };
    let scope = |name: &String| {
        Scope::parse(name).map_err(|error| {
            zend::value_error(number, &format!("must contain only names and patterns of channels, which {error}"))
        })
    };
    names(channels, number)?.iter().map(scope).collect()
}

/// A token for a connection. Encoding `info` may run any code of the application.
pub(crate) fn connection(user: &UserId, channels: &[Scope], ttl: u64, info: Option<&Zval>) -> PhpResult<String> {
    let info = info.map(json::encode).transpose()?;
    let info = info.as_ref().map(json::Json::as_raw).transpose()?;
    if let Some(bytes) = info.map(|info| info.get().len()).filter(|bytes| *bytes > MAX_INFO) {
        let message = format!("must not be longer than {MAX_INFO} bytes as JSON, {bytes} given");
        return Err(zend::value_error(4, &message));
    }
    let token = sign(user, Grant::Connection { channels, info }, ttl)?;
    if token.len() > MAX_TOKEN {
        let (bytes, message) =
            (token.len(), "are too many or too long: use patterns such as orders.*, or channelToken()");
        let message = format!("{message} (the token would have {bytes} bytes, and servers take {MAX_TOKEN})");
        return Err(zend::value_error(2, &message));
    }
    Ok(token)
}

/// A token for one channel.
pub(crate) fn channel(channel: &str, number: u32, user: &UserId, ttl: u64) -> PhpResult<String> {
    let name = ChannelName::parse(channel).map_err(|error| zend::value_error(number, &error.to_string()))?;
    sign(user, Grant::Channel(&name), ttl)
}

fn sign(user: &UserId, grant: Grant<'_>, ttl: u64) -> PhpResult<String> {
    let secret = secret()?;
    let (key_id, audience) = (ini::token_kid(), ini::token_audience());
    let issued = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let claims = Claims { user, grant, audience: given(&audience), issued, expires: issued + ttl };
    Ok(token::mint(&claims, &secret, given(&key_id)))
}

/// Read at each use, so that no object holds it.
fn secret() -> PhpResult<Secret> {
    let setting = ini::token_secret();
    let wrong = |message: String| PhpException::new(message, 0, ce::value_error());
    if setting.is_empty() {
        return Err(wrong(
            "realtime.token_secret is not set: write realtime.token_secret=\"…\" into php.ini, with the secret that \
             the server has as tokens.secret; make one with: realtime-server token --new-secret"
                .to_owned(),
        ));
    }
    Secret::parse(&setting).map_err(|error| wrong(format!("realtime.token_secret {error}")))
}

fn given(setting: &str) -> Option<&str> {
    (!setting.is_empty()).then_some(setting)
}
