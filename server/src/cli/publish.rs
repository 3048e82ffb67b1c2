//! `publish CHANNEL JSON`: one publication and what became of it.

use std::io::{self, Write};

use clap::ArgMatches;
use realtime_protocol::{ChannelName, EventName};
use serde_json::json;
use serde_json::value::RawValue;

use super::client::Endpoint;
use super::{Failure, configuration};

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let command = command(matches)?;
    let endpoint = Endpoint::chosen(matches, &configuration(matches)?.config, true)?;
    let reply = endpoint.exchange(command, false)?;
    match reply["receivers"].as_u64() {
        Some(1) => Ok(writeln!(io::stdout(), "1 receiver")?),
        receivers => Ok(writeln!(io::stdout(), "{} receivers", receivers.unwrap_or(0))?),
    }
}

/// The command to send, checked here, so that mistakes are told without a server.
fn command(matches: &ArgMatches) -> Result<String, Failure> {
    // Both are required arguments.
    let given = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let channel = ChannelName::parse(&given("channel"));
    let channel = channel.map_err(|error| Failure::Usage(format!("channel names {error}")))?;
    let event = matches.get_one::<String>("event").map(|name| EventName::parse(name)).transpose();
    let event = event.map_err(|error| Failure::Usage(format!("event names {error}")))?;
    let data = match given("data") {
        dash if dash == "-" => io::read_to_string(io::stdin())
            .map_err(|error| Failure::Run(format!("cannot read standard input: {error}")))?,
        data => data,
    };
    let data: &RawValue = serde_json::from_str(data.trim()).map_err(|error| {
        Failure::Usage(format!("the data is not valid JSON: {error}; a string needs quotes of its own: '\"text\"'"))
    })?;
    let mut command = json!({ "id": 1, "type": "broadcast_update", "channel": channel.as_str() });
    if let Some(event) = event {
        command["event"] = event.as_str().into();
    }
    // The data goes through as it is: parsing it would round large numbers.
    let head = command.to_string();
    Ok(format!("{},\"data\":{data}}}", &head[..head.len() - 1]))
}
