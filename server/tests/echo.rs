//! `/__echo`, which conformance tests use.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::net::TcpStream;

use realtime_server::config::Config;
use support::{TestServer, config, start};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

fn echo(server: &TestServer) -> Result<WebSocket<TcpStream>, u16> {
    match tungstenite::client(server.request("/__echo"), server.socket()) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_is_sent_comes_back() {
    let server = start(Config { echo: true, ..config() });
    let mut socket = echo(&server).unwrap();
    for message in [Message::text("a"), Message::binary(vec![0xff; 70_000 / 2]), Message::text("é".repeat(5_000))] {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
}

#[test]
fn its_limits_are_those_of_every_client() {
    let server = start(Config { echo: true, max_message: 1_000, ..config() });
    let mut socket = echo(&server).unwrap();
    socket.send(Message::binary(vec![0; 1_001])).unwrap();
    let Message::Close(Some(close)) = socket.read().unwrap() else { panic!("it is not closed") };
    assert_eq!(close.code, CloseCode::Size);
}

#[test]
fn there_is_none_unless_it_is_asked_for() {
    assert_eq!(echo(&TestServer::default()).unwrap_err(), 404);
}
