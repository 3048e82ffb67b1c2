//! A client that wants its publications.

use std::io::Result;
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::CHANNELS;
use crate::server::{Server, channel, is_for_users};
use crate::socket::{Said, Socket, Way};
use crate::tally::Tally;
use crate::token;

/// What is of interest in what the server says.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    epoch: Option<String>,
    offset: Option<u64>,
    data: Option<u64>,
    recovered: Option<bool>,
    code: Option<&'a str>,
}

/// Where a client stands.
struct Client {
    tally: Rc<Tally>,
    channel: usize,
    way: Way,
    /// Whose it is, where the channel is for users only.
    user: Option<String>,
    /// Its number in the channel, once it was subscribed.
    number: Option<usize>,
    position: Option<(String, u64)>,
}

/// Subscribes, and after each disconnection again from where it stood.
pub(crate) async fn run(server: Rc<Server>, tally: Rc<Tally>, number: usize) {
    let channel = number % CHANNELS;
    let way = Way::of(number / CHANNELS);
    let user = is_for_users(channel).then(|| format!("u{number}"));
    let mut client = Client { tally, channel, way, user, number: None, position: None };
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
        let mut socket = Socket::open(&server.doors, self.way, "/", "").await?;
        self.authenticate(&mut socket).await?;
        let mut command = json!({"type": "subscribe", "channel": channel(self.channel)});
        if let Some((epoch, offset)) = &self.position {
            command["since"] = json!({"epoch": epoch, "offset": offset});
        }
        socket.send(&command.to_string()).await?;
        loop {
            match socket.next().await? {
                Said::Text(text) => {
                    let message: Message<'_> = serde_json::from_slice(&text)?;
                    match message.kind {
                        "token_expiring" => self.authenticate(&mut socket).await?,
                        "error" => return Ok(format!("error: {}", message.code.unwrap_or_default())),
                        _ => self.on_message(message),
                    }
                }
                Said::Close(why) => return Ok(why),
            }
        }
    }

    /// Says who it is, if it is somebody.
    async fn authenticate(&self, socket: &mut Socket) -> Result<()> {
        let Some(user) = &self.user else { return Ok(()) };
        self.tally.authenticate();
        socket.send(&json!({"type": "connect", "token": token::good(user)}).to_string()).await
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
