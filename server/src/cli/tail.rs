//! `tail CHANNEL…`: what is published, as it comes, one line each: channel, event in brackets, data.

use std::io::{self, Write};

use clap::ArgMatches;
use realtime_protocol::ChannelName;
use realtime_server::log::escaped;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tungstenite::{Error, Message};

use super::client::Endpoint;
use super::{Failure, configuration};

/// What of a push is looked at.
#[derive(Deserialize)]
struct Push<'a> {
    #[serde(rename = "type")]
    kind: String,
    channel: Option<String>,
    event: Option<String>,
    message: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let channels = channels(matches)?;
    let mut left = matches.get_one::<u64>("count").copied();
    let endpoint = Endpoint::chosen(matches, &configuration(matches)?.config, false)?;
    let mut socket = endpoint.connect("/", None)?;
    let lost = |error: Error| Failure::Run(format!("the connection to {} broke: {error}", endpoint.address));
    for channel in &channels {
        let command = json!({ "type": "subscribe", "channel": channel.as_str() });
        socket.send(Message::text(command.to_string())).map_err(lost)?;
    }
    // Publications may be hours apart; the server's pings tell a dead connection from a quiet one.
    socket.get_ref().limit(None).map_err(|error| lost(error.into()))?;
    loop {
        let text = match socket.read().map_err(lost)? {
            Message::Text(text) => text,
            Message::Close(frame) => {
                let reason = frame.map_or("without a reason".to_owned(), |frame| frame.to_string());
                return Err(Failure::Run(format!("{} closed the connection: {reason}", endpoint.address)));
            }
            _ => continue,
        };
        let push: Push<'_> = serde_json::from_str(&text)
            .map_err(|error| Failure::Run(format!("{} sent what is no push: {error}", endpoint.address)))?;
        show(&push)?;
        if push.kind == "broadcast_update"
            && left.as_mut().is_some_and(|left| {
                *left -= 1;
                *left == 0
            })
        {
            // All is said; how the server takes our leave changes nothing.
            let _ = socket.close(None);
            return Ok(());
        }
    }
}

fn channels(matches: &ArgMatches) -> Result<Vec<ChannelName>, Failure> {
    let names = matches.get_many::<String>("channels").into_iter().flatten();
    names
        .map(|name| ChannelName::parse(name).map_err(|error| Failure::Usage(format!("channel names {error}"))))
        .collect()
}

fn show(push: &Push<'_>) -> Result<(), Failure> {
    let channel = push.channel.as_deref().unwrap_or_default();
    match &*push.kind {
        "broadcast_update" => {
            let event = push.event.as_ref().map_or(String::new(), |event| format!(" [{event}]"));
            let data = push.data.map_or("null", RawValue::get);
            let line = format!("{channel}{event} {data}");
            let mut out = io::stdout().lock();
            writeln!(out, "{}", escaped(&line))?;
            // A reader behind a pipe wants each line when it comes.
            out.flush()?;
        }
        "subscribed" => {
            let _ = writeln!(io::stderr(), "subscribed to {}", escaped(channel));
        }
        "error" => {
            let message = push.message.as_deref().unwrap_or("refused");
            let about = if channel.is_empty() { String::new() } else { format!("{channel}: ") };
            return Err(Failure::Run(format!("{about}{message}")));
        }
        _ => {}
    }
    Ok(())
}
