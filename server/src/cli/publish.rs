//! `publish CHANNEL JSON`: one publication and what became of it.

use std::io::{self, Write};

use clap::ArgMatches;
use realtime_protocol::{ChannelName, EventName};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tungstenite::{Error, Message};

use super::client::Endpoint;
use super::{Failure, configuration};

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let command = command(matches)?;
    let endpoint = Endpoint::chosen(matches, &configuration(matches)?.config, true)?;
    let mut socket = endpoint.connect("/publisher")?;
    let lost = |error: Error| Failure::Run(format!("{} did not answer: {error}", endpoint.address));
    socket.send(Message::text(command)).map_err(lost)?;
    let reply = loop {
        match socket.read().map_err(lost)? {
            Message::Text(text) => break text,
            Message::Close(frame) => {
                let reason = frame.map_or("without a reason".to_owned(), |frame| frame.to_string());
                return Err(Failure::Run(format!("{} closed the connection: {reason}", endpoint.address)));
            }
            _ => {}
        }
    };
    // The server has answered; how it takes our leave changes nothing.
    let _ = socket.close(None);
    let reply: Value = serde_json::from_str(&reply)
        .map_err(|error| Failure::Run(format!("{} answered what is no JSON: {error}", endpoint.address)))?;
    match (reply["type"].as_str(), reply["receivers"].as_u64()) {
        (Some("ack"), Some(1)) => Ok(writeln!(io::stdout(), "1 receiver")?),
        (Some("ack"), Some(receivers)) => Ok(writeln!(io::stdout(), "{receivers} receivers")?),
        _ => {
            let text = |field: &str| reply[field].as_str().unwrap_or("?").to_owned();
            Err(Failure::Run(format!("refused ({}): {}", text("code"), text("message"))))
        }
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
