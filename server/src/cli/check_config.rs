//! `check-config`: the effective configuration, or what the rules say about a channel.

use std::io::{self, Write};

use clap::ArgMatches;
use realtime_protocol::{ChannelName, UserId};
use realtime_server::rules::Rules;

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
    let rules = Rules::new(loaded.config.channels);
    let who = user
        .as_ref()
        .map_or("a connection without a user".to_owned(), |user| format!("user {user:?}", user = user.as_str()));
    writeln!(out, "{:?} for {who}: {}", channel.as_str(), rules.for_channel(&channel, user.as_ref()))?;
    writeln!(out, "{}", rules.stream(&channel))?;
    if user.is_some() && !loaded.config.insecure_identity {
        writeln!(
            out,
            "Note: insecure_identity is off, and this version accepts no tokens, so no connection has a user."
        )?;
    }
    Ok(())
}
