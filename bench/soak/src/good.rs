//! A client that wants its publications.

use std::io::Result;
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::server::{Server, channel};
use crate::socket::{Said, Socket};
use crate::tally::Tally;

/// What is of interest in what the server says.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    epoch: Option<String>,
    offset: Option<u64>,
    data: Option<u64>,
    recovered: Option<bool>,
}

/// Where a client stands.
struct Client {
    tally: Rc<Tally>,
    channel: usize,
    /// Its number in the channel, once it was subscribed.
    number: Option<usize>,
    position: Option<(String, u64)>,
}

/// Subscribes, and after each disconnection again from where it stood.
pub(crate) async fn run(server: Rc<Server>, tally: Rc<Tally>, channel: usize) {
    let mut client = Client { tally, channel, number: None, position: None };
    loop {
        let why = match client.listen(&server).await {
            Ok(why) => why,
            Err(error) => error.to_string(),
        };
        client.tally.disconnect(&why);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(100..1000))).await;
    }
}

impl Client {
    /// Listens until the server says why it closes.
    async fn listen(&mut self, server: &Server) -> Result<String> {
        let mut socket = Socket::open(server.address, "/", "").await?;
        let mut command = json!({"type": "subscribe", "channel": channel(self.channel)});
        if let Some((epoch, offset)) = &self.position {
            command["since"] = json!({"epoch": epoch, "offset": offset});
        }
        socket.send(&command.to_string()).await?;
        loop {
            match socket.next().await? {
                Said::Text(text) => self.on_message(serde_json::from_slice(&text)?),
                Said::Close(why) => return Ok(why),
            }
        }
    }

    fn on_message(&mut self, message: Message<'_>) {
        match (message.kind, message.epoch, message.offset, message.data) {
            ("subscribed", Some(epoch), Some(offset), _) => {
                if message.recovered == Some(false) {
                    self.tally.disconnect("the history had too little for a client that came back");
                }
                self.position = Some((epoch, offset));
                self.number.get_or_insert_with(|| self.tally.enter(self.channel));
            }
            ("broadcast_update", _, Some(offset), Some(number)) => {
                if let (Some((_, last)), Some(client)) = (&mut self.position, self.number) {
                    *last = offset;
                    self.tally.see(self.channel, client, number);
                }
            }
            ("position", _, Some(offset), _) => {
                if let Some((_, last)) = &mut self.position {
                    *last = offset;
                }
            }
            _ => {}
        }
    }
}
