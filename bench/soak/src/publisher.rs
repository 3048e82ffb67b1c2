//! The publisher: numbers, one after the other, in every channel.

use std::io::{Error, Result};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::CHANNELS;
use crate::server::{KEY, Server, channel};
use crate::socket::{Said, Socket, Way};
use crate::tally::Tally;

/// Publishes in all channels each `interval` until it is over.
pub(crate) async fn run(server: Rc<Server>, tally: Rc<Tally>, interval: Duration) {
    let mut next = 1;
    while !tally.is_stopped() {
        // The keys make it harmless to send again what may have arrived.
        if let Err(error) = publish(&server, &tally, &mut next, interval).await {
            eprintln!("the publisher connects again: {error}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

async fn publish(server: &Server, tally: &Tally, next: &mut u64, interval: Duration) -> Result<()> {
    let mut socket =
        Socket::open(&server.doors, Way::Plain, "/publisher", &format!("Authorization: Bearer {KEY}\r\n")).await?;
    let mut ticks = tokio::time::interval(interval);
    while !tally.is_stopped() {
        ticks.tick().await;
        let number = *next;
        let commands = (0..CHANNELS).map(|of| {
            let (channel, key) = (channel(of), format!("{of}-{number}"));
            json!({"id": of, "type": "broadcast_update", "channel": channel, "data": number, "key": key})
        });
        socket.send(&Value::from_iter(commands).to_string()).await?;
        let Said::Text(replies) = socket.next().await? else {
            return Err(Error::other("the server closed the publisher's connection"));
        };
        let replies: Vec<Value> = serde_json::from_slice(&replies)?;
        if let Some(refused) = replies.iter().find(|reply| reply["type"] != "ack") {
            return Err(Error::other(refused.to_string()));
        }
        (0..CHANNELS).for_each(|of| tally.publish(of, number));
        *next += 1;
    }
    Ok(())
}
