//! Clients that mean harm.

use std::io::{Error, Result, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use wsload::frame;

use crate::CHANNELS;
use crate::server::{Server, channel};
use crate::socket::{Socket, connect};
use crate::tally::Tally;

/// Longer than a server lets an attack go on; what is not ended by then, the attacker ends.
const LONGEST: Duration = Duration::from_secs(60);

/// What a hostile client does.
const KINDS: &[&str] = &[
    "subscribes to everything and never reads",
    "sends half a request",
    "sends a request byte by byte",
    "sends garbage instead of a request",
    "floods with commands",
    "sends garbage instead of frames",
    "sends frames without a mask",
    "sends fragments without end",
    "sends a compressed bomb",
    "subscribes to random names",
    "connects and leaves",
    "shows a forged token",
    "asks for histories without reading",
    "never answers a ping",
];

/// Does one kind of harm, again and again.
pub(crate) async fn run(server: Rc<Server>, tally: Rc<Tally>, number: usize, rest: Duration) {
    // All at once at the start would be another test.
    sleep(rest.mul_f64(fastrand::f64())).await;
    while !tally.is_stopped() {
        let kind = number % KINDS.len();
        let outcome = timeout(LONGEST, attack(server.address, kind)).await;
        tally.attack(KINDS[kind], outcome.is_ok_and(|done| done.is_err()));
        sleep(rest.mul_f64(2.0 * fastrand::f64())).await;
    }
}

/// An error is the server's end of it, as far as the attacker can see.
async fn attack(address: SocketAddr, kind: usize) -> Result<()> {
    match kind {
        0 => never_read(address).await,
        1 => half_a_request(address).await,
        2 => byte_by_byte(address).await,
        3 => garbage_request(address).await,
        4 => flood(address).await,
        5 => garbage_frames(address).await,
        6 => unmasked(address).await,
        7 => fragments(address).await,
        8 => bomb(address).await,
        9 => random_names(address).await,
        10 => leave(address).await,
        11 => forged_token(address).await,
        12 => ask_without_reading(address).await,
        _ => silent(address).await,
    }
}

/// Reads until the server ends it.
async fn until_end(stream: &mut TcpStream) -> Result<()> {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).await? > 0 {}
    Err(Error::other("ended by the server"))
}

async fn never_read(address: SocketAddr) -> Result<()> {
    let mut socket = Socket::open(address, "/", "").await?;
    for number in 0..CHANNELS {
        let command = json!({"type": "subscribe", "channel": channel(number), "since": "earliest"});
        socket.send(&command.to_string()).await?;
    }
    sleep(LONGEST / 2).await;
    Ok(())
}

async fn half_a_request(address: SocketAddr) -> Result<()> {
    let mut stream = connect(address).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: webs").await?;
    until_end(&mut stream).await
}

async fn byte_by_byte(address: SocketAddr) -> Result<()> {
    let mut stream = connect(address).await?;
    for byte in b"GET / HTTP/1.1\r\nHost: example.com\r\nX-Slow: ".iter().chain(std::iter::repeat_n(&b'x', 1000)) {
        stream.write_all(&[*byte]).await?;
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

async fn garbage_request(address: SocketAddr) -> Result<()> {
    let mut stream = connect(address).await?;
    match fastrand::u8(0..3) {
        0 => stream.write_all(&garbage(fastrand::usize(1..4000))).await?,
        1 => stream.write_all(format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(60_000)).as_bytes()).await?,
        _ => {
            stream.write_all(b"GET / HTTP/1.1\r\n").await?;
            for number in 0..2000 {
                stream.write_all(format!("X-{number}: {number}\r\n").as_bytes()).await?;
            }
        }
    }
    until_end(&mut stream).await
}

async fn flood(address: SocketAddr) -> Result<()> {
    let mut socket = Socket::open(address, "/", "").await?;
    let mut bytes = Vec::new();
    for number in 0..1000 {
        let command = json!({"type": "subscribe", "id": number, "channel": format!("flood-{number}")});
        frame::text(command.to_string().as_bytes(), &mut bytes);
    }
    socket.stream.write_all(&bytes).await?;
    until_end(&mut socket.stream).await
}

async fn garbage_frames(address: SocketAddr) -> Result<()> {
    let mut socket = Socket::open(address, "/", "").await?;
    socket.stream.write_all(&garbage(2000)).await?;
    until_end(&mut socket.stream).await
}

async fn unmasked(address: SocketAddr) -> Result<()> {
    let mut socket = Socket::open(address, "/", "").await?;
    socket.stream.write_all(b"\x81\x0f{\"type\":\"ping\"}").await?;
    until_end(&mut socket.stream).await
}

async fn fragments(address: SocketAddr) -> Result<()> {
    let mut socket = Socket::open(address, "/", "").await?;
    socket.stream.write_all(&[0x01, 0x81, 0, 0, 0, 0, b'"']).await?;
    // One that is empty, and one of a byte.
    let more = [[0x00, 0x80, 0, 0, 0, 0].as_slice(), &[0x00, 0x81, 0, 0, 0, 0, b'x']].concat().repeat(100);
    loop {
        socket.stream.write_all(&more).await?;
        sleep(Duration::from_millis(100)).await;
    }
}

async fn bomb(address: SocketAddr) -> Result<()> {
    let mut socket = Socket::open(address, "/", "Sec-WebSocket-Extensions: permessage-deflate\r\n").await?;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&vec![b' '; 4 << 20])?;
    let bomb = encoder.finish()?;
    let length = u16::try_from(bomb.len()).map_err(Error::other)?;
    let head = [&[0xC1, 0xFE][..], &length.to_be_bytes(), &[0; 4]].concat();
    socket.stream.write_all(&[head, bomb].concat()).await?;
    until_end(&mut socket.stream).await
}

async fn random_names(address: SocketAddr) -> Result<()> {
    let mut socket = Socket::open(address, "/", "").await?;
    for _ in 0..100 {
        let name = format!("random-{:x}", fastrand::u64(..));
        socket.send(&json!({"type": "subscribe", "channel": name}).to_string()).await?;
        socket.send(&json!({"type": "unsubscribe", "channel": name}).to_string()).await?;
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn leave(address: SocketAddr) -> Result<()> {
    for _ in 0..10 {
        let stream = connect(address).await?;
        if fastrand::bool() {
            // A reset instead of a farewell.
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        }
        drop(stream);
        drop(Socket::open(address, "/", "").await?);
    }
    Ok(())
}

async fn forged_token(address: SocketAddr) -> Result<()> {
    // {"alg":"none"} and {"sub":"admin"}, unsigned.
    const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.";
    if fastrand::bool() {
        let mut socket = Socket::open(address, "/", &format!("Authorization: Bearer {TOKEN}\r\n")).await?;
        return until_end(&mut socket.stream).await;
    }
    let mut socket = Socket::open(address, "/", "").await?;
    socket.send(&json!({"type": "connect", "token": TOKEN}).to_string()).await?;
    // A server without tokens only says so.
    match timeout(Duration::from_secs(5), until_end(&mut socket.stream)).await {
        Ok(ended) => ended,
        Err(_) => Ok(()),
    }
}

async fn ask_without_reading(address: SocketAddr) -> Result<()> {
    let mut socket = Socket::open(address, "/", "").await?;
    for number in 0..300 {
        let command = json!({"type": "history", "id": number, "channel": channel(number % CHANNELS), "limit": 1000});
        socket.send(&command.to_string()).await?;
        sleep(Duration::from_millis(15)).await;
    }
    sleep(LONGEST / 4).await;
    Ok(())
}

/// The server pings after a while and waits no longer than it says.
async fn silent(address: SocketAddr) -> Result<()> {
    let mut socket = Socket::open(address, "/", "").await?;
    until_end(&mut socket.stream).await
}

fn garbage(length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| fastrand::u8(..)).take(length).collect()
}
