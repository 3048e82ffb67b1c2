//! `check-config`: the effective configuration, or who may do what in a channel, and why.

use std::io::{self, Write};

use clap::ArgMatches;
use realtime_protocol::{ChannelName, UserId};
use realtime_server::rules::{Rules, Standing, Verb};

use super::{Failure, configuration};

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let loaded = configuration(matches)?;
    if matches.get_flag("quiet") {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    let Some(channel) = matches.get_one::<String>("channel") else {
        let file = loaded.file.as_ref().map_or("no file".to_owned(), |file| file.display().to_string());
        writeln!(out, "# The effective configuration, read from {file}, REALTIME_ variables and flags.")?;
        return Ok(write!(out, "{}", loaded.effective())?);
    };
    let channel = ChannelName::parse(channel).map_err(|error| Failure::Usage(format!("channel names {error}")))?;
    let user = matches.get_one::<String>("user").map(|id| UserId::parse(id)).transpose();
    let user = user.map_err(|error| Failure::Usage(format!("user ids {error}")))?;
    let with_tokens = loaded.config.tokens.is_used();
    let rules = Rules::new(loaded.config.channels, with_tokens);
    let who = user
        .as_ref()
        .map_or("a connection without a user".to_owned(), |user| format!("user {user:?}", user = user.as_str()));
    let standing = Standing { user: user.as_ref(), is_named: matches.get_flag("token") };
    let token = if standing.is_named { " with a token that names it" } else { "" };
    writeln!(out, "{:?} for {who}{token}:", channel.as_str())?;
    for verb in Verb::ALL {
        writeln!(out, "{}: {}", verb.key(), rules.decide(*verb, &channel, standing))?;
    }
    writeln!(out, "{}", rules.stream(&channel))?;
    if user.is_some() && !loaded.config.insecure_identity && !with_tokens {
        writeln!(out, "Note: no [tokens] are configured and insecure_identity is off, so no connection has a user.")?;
    }
    Ok(())
}
