//! The publisher's WebSocket as Autobahn's tests see it: the same sockets, buffers and limits, but any path and any message.

use std::time::{Duration, Instant};

use tungstenite::Message;
use tungstenite::client::IntoClientRequest;

use crate::connect::{Attempt, UpgradeError, connect_tcp, upgrade};
use crate::endpoint::Endpoint;
use crate::stream::{Transport, Wait};

/// Longer than any of the tests takes.
const PATIENCE: Duration = Duration::from_secs(100);

/// Connects to `base`, as in `ws://127.0.0.1:9001`, with this path, and sends what `answer` makes of each message, until
/// either side has closed. The error says why there was no connection.
pub fn converse(base: &str, path: &str, mut answer: impl FnMut(Message) -> Option<Message>) -> Result<(), String> {
    let started = Instant::now();
    let attempt = Attempt { started, deadline: started + PATIENCE, authority: None };
    let tcp = match Endpoint::parse(base) {
        Ok(Endpoint::Tcp(tcp)) if !tcp.tls => tcp,
        _ => return Err(format!("{base:?} is no ws:// address")),
    };
    let stream = connect_tcp(&tcp, attempt).map_err(|error| error.to_string())?;
    let request = format!("ws://{}{path}", tcp.authority()).into_client_request().map_err(|error| error.to_string())?;
    let (mut socket, _) = upgrade(Transport::Plain(stream), request, attempt).map_err(|error| match error {
        UpgradeError::Connect(cause) => cause.to_string(),
        UpgradeError::Refused(response) => format!("the upgrade was answered with {}", response.status()),
    })?;
    socket.get_mut().socket().set_wait(Wait::Until(attempt.deadline));
    // What the server does wrong ends the connection without a word, as it does for the publisher.
    while let Ok(message) = socket.read() {
        if answer(message).is_some_and(|message| socket.send(message).is_err()) {
            break;
        }
    }
    Ok(())
}
