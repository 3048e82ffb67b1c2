//! Clients that mean harm.

use std::io::{Error, Result, Write};
use std::rc::Rc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use wsload::frame;

use crate::CHANNELS;
use crate::server::{Server, channel};
use crate::socket::{Doors, Said, Socket, Way, Wire};
use crate::tally::Tally;
use crate::token;

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
    "stops amid a TLS handshake",
    "sends garbage instead of TLS",
    "shakes hands and leaves",
];

/// Does one kind of harm, again and again.
pub(crate) async fn run(server: Rc<Server>, tally: Rc<Tally>, number: usize, rest: Duration) {
    // All at once at the start would be another test.
    sleep(rest.mul_f64(fastrand::f64())).await;
    while !tally.is_stopped() {
        let kind = number % KINDS.len();
        let outcome = timeout(LONGEST, attack(&server.doors, &tally, Way::of(number / KINDS.len()), kind)).await;
        tally.attack(KINDS[kind], outcome.is_ok_and(|done| done.is_err()));
        sleep(rest.mul_f64(2.0 * fastrand::f64())).await;
    }
}

/// An error is the server's end of it, as far as the attacker can see.
async fn attack(doors: &Doors, tally: &Tally, way: Way, kind: usize) -> Result<()> {
    match kind {
        0 => never_read(doors, way).await,
        1 => half_a_request(doors, way).await,
        2 => byte_by_byte(doors, way).await,
        3 => garbage_request(doors, way).await,
        4 => flood(doors, way).await,
        5 => garbage_frames(doors, way).await,
        6 => unmasked(doors, way).await,
        7 => fragments(doors, way).await,
        8 => bomb(doors, way).await,
        9 => random_names(doors, way).await,
        10 => leave(doors, way).await,
        11 => forged_token(doors, tally, way).await,
        12 => ask_without_reading(doors, way).await,
        13 => silent(doors, way).await,
        14 => half_a_hello(doors).await,
        15 => no_hello(doors).await,
        _ => hello_and_goodbye(doors).await,
    }
}

/// Reads until the server ends it.
async fn until_end(stream: &mut (impl Wire + ?Sized)) -> Result<()> {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).await? > 0 {}
    Err(Error::other("ended by the server"))
}

/// Some who mean harm have an account.
async fn authenticate(socket: &mut Socket) -> Result<()> {
    let token = token::good(&format!("mallory-{}", fastrand::u32(0..100)));
    socket.send(&json!({"type": "connect", "token": token}).to_string()).await
}

async fn never_read(doors: &Doors, way: Way) -> Result<()> {
    let mut socket = Socket::open(doors, way, "/", "").await?;
    authenticate(&mut socket).await?;
    for number in 0..CHANNELS {
        let command = json!({"type": "subscribe", "channel": channel(number), "since": "earliest"});
        socket.send(&command.to_string()).await?;
    }
    sleep(LONGEST / 2).await;
    Ok(())
}

async fn half_a_request(doors: &Doors, way: Way) -> Result<()> {
    let mut stream = doors.connect(way).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: webs").await?;
    until_end(&mut *stream).await
}

async fn byte_by_byte(doors: &Doors, way: Way) -> Result<()> {
    let mut stream = doors.connect(way).await?;
    for byte in b"GET / HTTP/1.1\r\nHost: example.com\r\nX-Slow: ".iter().chain(std::iter::repeat_n(&b'x', 1000)) {
        stream.write_all(&[*byte]).await?;
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

async fn garbage_request(doors: &Doors, way: Way) -> Result<()> {
    let mut stream = doors.connect(way).await?;
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
    until_end(&mut *stream).await
}

async fn flood(doors: &Doors, way: Way) -> Result<()> {
    let mut socket = Socket::open(doors, way, "/", "").await?;
    let mut bytes = Vec::new();
    for number in 0..1000 {
        let command = json!({"type": "subscribe", "id": number, "channel": format!("flood-{number}")});
        frame::text(command.to_string().as_bytes(), &mut bytes);
    }
    socket.stream.write_all(&bytes).await?;
    until_end(&mut *socket.stream).await
}

async fn garbage_frames(doors: &Doors, way: Way) -> Result<()> {
    let mut socket = Socket::open(doors, way, "/", "").await?;
    socket.stream.write_all(&garbage(2000)).await?;
    until_end(&mut *socket.stream).await
}

async fn unmasked(doors: &Doors, way: Way) -> Result<()> {
    let mut socket = Socket::open(doors, way, "/", "").await?;
    socket.stream.write_all(b"\x81\x0f{\"type\":\"ping\"}").await?;
    until_end(&mut *socket.stream).await
}

async fn fragments(doors: &Doors, way: Way) -> Result<()> {
    let mut socket = Socket::open(doors, way, "/", "").await?;
    socket.stream.write_all(&[0x01, 0x81, 0, 0, 0, 0, b'"']).await?;
    // One that is empty, and one of a byte.
    let more = [[0x00, 0x80, 0, 0, 0, 0].as_slice(), &[0x00, 0x81, 0, 0, 0, 0, b'x']].concat().repeat(100);
    loop {
        socket.stream.write_all(&more).await?;
        sleep(Duration::from_millis(100)).await;
    }
}

async fn bomb(doors: &Doors, way: Way) -> Result<()> {
    let mut socket = Socket::open(doors, way, "/", "Sec-WebSocket-Extensions: permessage-deflate\r\n").await?;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&vec![b' '; 4 << 20])?;
    let bomb = encoder.finish()?;
    let length = u16::try_from(bomb.len()).map_err(Error::other)?;
    let head = [&[0xC1, 0xFE][..], &length.to_be_bytes(), &[0; 4]].concat();
    socket.stream.write_all(&[head, bomb].concat()).await?;
    until_end(&mut *socket.stream).await
}

async fn random_names(doors: &Doors, way: Way) -> Result<()> {
    let mut socket = Socket::open(doors, way, "/", "").await?;
    for _ in 0..100 {
        let name = format!("random-{:x}", fastrand::u64(..));
        socket.send(&json!({"type": "subscribe", "channel": name}).to_string()).await?;
        socket.send(&json!({"type": "unsubscribe", "channel": name}).to_string()).await?;
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn leave(doors: &Doors, way: Way) -> Result<()> {
    for _ in 0..10 {
        let stream = doors.knock(way).await?;
        if fastrand::bool() {
            // A reset instead of a farewell.
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        }
        drop(stream);
        drop(Socket::open(doors, way, "/", "").await?);
    }
    Ok(())
}

async fn forged_token(doors: &Doors, tally: &Tally, way: Way) -> Result<()> {
    let token = token::forged();
    let in_header = fastrand::bool();
    let header = if in_header { format!("Authorization: Bearer {token}\r\n") } else { String::new() };
    let mut socket = Socket::open(doors, way, "/", &header).await?;
    if !in_header {
        socket.send(&json!({"type": "connect", "token": token}).to_string()).await?;
    }
    loop {
        match socket.next().await? {
            Said::Text(text) => {
                let message: Value = serde_json::from_slice(&text)?;
                if message["type"] == "connected" {
                    tally.breach();
                }
            }
            Said::Close(why) => return Err(Error::other(why)),
        }
    }
}

async fn ask_without_reading(doors: &Doors, way: Way) -> Result<()> {
    let mut socket = Socket::open(doors, way, "/", "").await?;
    authenticate(&mut socket).await?;
    for number in 0..300 {
        let command = json!({"type": "history", "id": number, "channel": channel(number % CHANNELS), "limit": 1000});
        socket.send(&command.to_string()).await?;
        sleep(Duration::from_millis(15)).await;
    }
    sleep(LONGEST / 4).await;
    Ok(())
}

/// The server pings after a while and waits no longer than it says.
async fn silent(doors: &Doors, way: Way) -> Result<()> {
    let mut socket = Socket::open(doors, way, "/", "").await?;
    until_end(&mut *socket.stream).await
}

/// The head of a record of 512 bytes with a ClientHello, and a part of it.
async fn half_a_hello(doors: &Doors) -> Result<()> {
    let mut stream = doors.knock(Way::Tls).await?;
    stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xFC, 0x03, 0x03]).await?;
    until_end(&mut stream).await
}

async fn no_hello(doors: &Doors) -> Result<()> {
    let mut stream = doors.knock(Way::Tls).await?;
    stream.write_all(&garbage(fastrand::usize(1..4000))).await?;
    until_end(&mut stream).await
}

async fn hello_and_goodbye(doors: &Doors) -> Result<()> {
    for _ in 0..5 {
        drop(doors.connect(Way::Tls).await?);
    }
    Ok(())
}

fn garbage(length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| fastrand::u8(..)).take(length).collect()
}
