//! `token`: makes tokens, and explains them.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::ArgMatches;
use realtime_protocol::token::{Claims, Grant, Scope as Entry, Secret, mint};
use realtime_protocol::{ChannelName, UserId};
use realtime_server::config::parse_duration;
use realtime_server::token::{self, Algorithm, Revocations, Scope, TokenConfig, TokenKey, Verifier};
use serde_json::value::RawValue;

use super::{Failure, configuration};

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    if matches.get_flag("new-secret") {
        return new_secret();
    }
    let config = configuration(matches)?.config.tokens;
    if !config.is_used() {
        let message =
            "no [tokens] are configured; set tokens.secret to what `realtime-server token --new-secret` prints";
        return Err(Failure::Usage(message.to_owned()));
    }
    if matches.get_flag("check") { check(&config) } else { make(matches, &config) }
}

fn new_secret() -> Result<(), Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::Run(format!("the operating system gives no randomness: {error}")))?;
    Ok(writeln!(io::stdout(), "{}", URL_SAFE_NO_PAD.encode(bytes))?)
}

/// Unix seconds.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn make(matches: &ArgMatches, config: &TokenConfig) -> Result<(), Failure> {
    let usage = |what: &str, error: &dyn std::fmt::Display| Failure::Usage(format!("{what} {error}"));
    let given = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    if config.algorithm != Algorithm::Hs256 {
        let message = "with public keys only the issuer can make tokens; this server has nothing to sign them with";
        return Err(Failure::Usage(message.to_owned()));
    }
    let user = UserId::parse(given("for").unwrap_or_default()).map_err(|error| usage("user ids", &error))?;
    let channel = given("for-channel").map(ChannelName::parse).transpose();
    let channel = channel.map_err(|error| usage("channel names", &error))?;
    let entries = given("for-channels").into_iter().flat_map(|list| list.split(',')).map(Entry::parse);
    let channels = entries.collect::<Result<Vec<_>, _>>().map_err(|error| usage("channels", &error))?;
    let info = given("info").map(serde_json::from_str::<&RawValue>).transpose();
    let info = info.map_err(|error| usage("--info is not valid JSON:", &error))?;
    let ttl = parse_duration(given("ttl").unwrap_or_default()).map_err(|error| usage("--ttl:", &error))?;
    let key = key(config, given("kid"))?;
    let grant = match &channel {
        Some(channel) => Grant::Channel(channel),
        None => Grant::Connection { channels: &channels, info },
    };
    let (issued, audience) = (now(), config.audience.as_deref());
    let claims = Claims { user: &user, grant, audience, issued, expires: issued + ttl.as_secs() };
    let made = sign(&claims, key)?;
    // What the server would refuse is not worth printing.
    verifier(config)?.verify(&made, issued).map_err(|refused| Failure::Usage(refused.to_string()))?;
    Ok(writeln!(io::stdout(), "{made}")?)
}

/// A token that says this, for HS256.
pub(super) fn sign(claims: &Claims<'_>, key: &TokenKey) -> Result<String, Failure> {
    let secret = Secret::parse(key.secret().unwrap_or_default());
    let secret = secret.map_err(|error| Failure::Usage(format!("the secret {error}")))?;
    Ok(mint(claims, &secret, key.kid()))
}

fn key<'c>(config: &'c TokenConfig, kid: Option<&str>) -> Result<&'c TokenKey, Failure> {
    match kid {
        None => config.keys.first().ok_or_else(|| Failure::Usage("tokens.keys is empty".to_owned())),
        Some(kid) => config.keys.iter().find(|key| key.kid() == Some(kid)).ok_or_else(|| {
            let known: Vec<_> = config.keys.iter().filter_map(TokenKey::kid).collect();
            Failure::Usage(format!("no key has the kid {kid:?}; there are: {}", known.join(", ")))
        }),
    }
}

/// A verifier as the server has it. Which tokens were revoked only the server knows.
fn verifier(config: &TokenConfig) -> Result<Verifier, Failure> {
    let mut config = config.clone();
    if let Some(url) = config.jwks_url.take() {
        let fetched = token::fetch(&url, config.algorithm);
        config.keys.extend(fetched.map_err(|error| Failure::Run(format!("no keys from {url}: {error}")))?);
    }
    let revocations = Arc::new(Revocations::new(config.max_ttl));
    Verifier::new(&config, None, &revocations).ok_or_else(|| Failure::Usage("there are no keys".to_owned()))
}

fn check(config: &TokenConfig) -> Result<(), Failure> {
    // Not as an argument: those show in process lists.
    let text = io::read_to_string(io::stdin())
        .map_err(|error| Failure::Run(format!("cannot read standard input: {error}")))?;
    let mut out = io::stdout().lock();
    for (what, part) in ["header", "claims"].into_iter().zip(text.trim().split('.')) {
        if let Some(json) = URL_SAFE_NO_PAD.decode(part).ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
            writeln!(out, "{what}: {}", realtime_server::log::escaped(&json))?;
        }
    }
    let now = now();
    match verifier(config)?.verify(text.trim(), now) {
        Ok(claims) => {
            let what = match &claims.scope {
                Scope::Connection(channels) if channels.is_empty() => "a connection".to_owned(),
                Scope::Connection(channels) => {
                    let names: Vec<_> = channels.iter().map(|pattern| format!("{:?}", pattern.as_str())).collect();
                    format!("a connection, with {}", names.join(", "))
                }
                Scope::Channel(channel) => format!("the channel {:?}", channel.as_str()),
            };
            let left = claims.expires.saturating_sub(now);
            writeln!(out, "valid for {left} s more: user {:?}, for {what}", claims.user.as_str())?;
            writeln!(out, "(whether it was revoked only the running server knows)")?;
            Ok(())
        }
        Err(refused) => {
            writeln!(out, "refused: {refused}")?;
            Err(Failure::Told)
        }
    }
}
