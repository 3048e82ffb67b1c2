//! What histories cost the real server: a storm of reconnecting subscribers, and publications that are kept.
//!
//! `cargo bench --bench recovery`; `TMPDIR` says on which disk the data is.

#![allow(clippy::unwrap_used, reason = "a measurement may fail")]

#[path = "../tests/proof_support/mod.rs"]
mod proof_support;
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use proof_support::flock::Link;
use proof_support::{Home, Process};
use serde_json::{Value, json};
use support::TestServer;

/// Of each rate.
const LASTS: Duration = Duration::from_secs(3);
const CLIENTS: usize = 1_000;
/// What each of them has missed.
const MISSED: u64 = 1_000;
/// Bytes of data of what is missed.
const SIZE: usize = 1_024;
const BYSTANDERS: usize = 20;
/// Between two live publications.
const PAUSE: Duration = Duration::from_millis(5);

fn main() {
    let mut out = std::io::stdout();
    for store in ["memory", "disk"] {
        for in_flight in [1, 16, 256] {
            let rate = publications(store, in_flight);
            let _ = writeln!(out, "{store}, {in_flight} in flight: {rate:.0} publications/s");
        }
    }
    for store in ["memory", "disk"] {
        let Storm { caught_up, memory, quiet, meanwhile, closed } = storm(store);
        let _ = writeln!(
            out,
            "{store}, {CLIENTS} subscribers recover {MISSED} publications of {SIZE} B: all in {caught_up:?}; peak memory \
             {memory} KiB above the start; {closed} closed as too slow; live deliveries to bystanders p99 {meanwhile:?} \
             meanwhile, {quiet:?} before"
        );
    }
}

fn start() -> (Home, Process) {
    let home = Home::new("");
    let process = home.start();
    (home, process)
}

fn command(channel: &str, number: u64, data: &str) -> String {
    let key = format!("~BwcHBwcHBwcHBwcHBwcHBw.{number}");
    json!({"type": "broadcast_update", "id": number, "channel": channel, "data": data, "key": key}).to_string()
}

/// Publications per second over one publisher's connection.
fn publications(store: &str, in_flight: usize) -> f64 {
    let (_home, process) = start();
    let mut publisher = process.server.publisher();
    let data = "x".repeat(126);
    let mut sent = 0;
    let mut send = |publisher: &mut support::Client| {
        sent += 1;
        publisher.send(&command(&format!("{store}.{}", sent % 100), sent, &data));
    };
    for _ in 0..in_flight {
        send(&mut publisher);
    }
    let (started, mut count) = (Instant::now(), 0u64);
    while started.elapsed() < LASTS {
        publisher.text();
        count += 1;
        send(&mut publisher);
    }
    count as f64 / started.elapsed().as_secs_f64()
}

struct Storm {
    caught_up: Duration,
    /// KiB.
    memory: u64,
    quiet: Duration,
    meanwhile: Duration,
    closed: u64,
}

fn storm(store: &str) -> Storm {
    let (_home, process) = start();
    let channel = format!("{store}.storm");
    let mut publisher = process.server.publisher();
    let data = "x".repeat(SIZE);
    let mut waiting = VecDeque::new();
    let mut epoch = String::new();
    for number in 1..=MISSED {
        publisher.send(&command(&channel, number, &data));
        waiting.push_back(number);
        if waiting.len() == 16 || number == MISSED {
            for _ in waiting.drain(..) {
                publisher.json()["epoch"].as_str().unwrap().clone_into(&mut epoch);
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(weather(&process, &channel, &epoch))
}

/// Bystanders on a thread of their own, so that they do not wait for the storm's other end: how late each live
/// publication was.
fn bystanders(server: TestServer) -> Receiver<Duration> {
    let began = Instant::now();
    let (say, seen) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for _ in 0..BYSTANDERS {
                let mut link = Link::open(server.address).await.unwrap().unwrap();
                link.send(&json!({"type": "subscribe", "channel": "live"}).to_string()).await;
                assert_eq!(link.next().await.unwrap().kind, "subscribed");
                let say = say.clone();
                tokio::spawn(async move {
                    while let Some(message) = link.next().await {
                        let sent = Duration::from_nanos(message.data.as_u64().unwrap());
                        // The measurement may be over.
                        let _ = say.send(began.elapsed().saturating_sub(sent));
                    }
                });
            }
            publish_live(server, began).await;
        });
    });
    seen
}

/// Bystanders, at first alone and then beside the storm.
async fn weather(process: &Process, channel: &str, epoch: &str) -> Storm {
    let address = process.server.address;
    let seen = bystanders(TestServer::elsewhere(address, process.server.key.clone()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let quiet = p99(&seen);
    let mut links = Vec::new();
    for _ in 0..CLIENTS {
        links.push(Link::open(address).await.unwrap().unwrap());
    }
    let before = memory(process, "VmRSS");
    reset_peak(process);
    p99(&seen);
    let started = Instant::now();
    let since = json!({"epoch": epoch, "offset": 0});
    let subscribe = json!({"type": "subscribe", "channel": channel, "since": since}).to_string();
    let recovering: Vec<_> = links.into_iter().map(|link| tokio::spawn(recover(link, subscribe.clone()))).collect();
    let mut closed = 0;
    let mut links = Vec::new();
    for one in recovering {
        match one.await.unwrap() {
            Some(link) => links.push(link),
            None => closed += 1,
        }
    }
    let caught_up = started.elapsed();
    let meanwhile = p99(&seen);
    let memory = memory(process, "VmHWM").saturating_sub(before);
    Storm { caught_up, memory, quiet, meanwhile, closed }
}

/// One publication after the other, each with the time at which it was sent.
async fn publish_live(server: TestServer, began: Instant) {
    let request = server.publisher_request();
    let (head, host) = (request.headers()["authorization"].to_str().unwrap().to_owned(), server.address);
    let mut link = Link::open_as(host, "/publisher", &format!("Authorization: {head}\r\n")).await.unwrap().unwrap();
    let mut interval = tokio::time::interval(PAUSE);
    loop {
        interval.tick().await;
        let sent = began.elapsed().as_nanos() as u64;
        let command = json!({"type": "broadcast_update", "channel": "live", "data": sent});
        if !link.send(&command.to_string()).await {
            // The server was ended.
            return;
        }
    }
}

/// Reads everything that was missed; `None`: it was closed before.
async fn recover(mut link: Link, subscribe: String) -> Option<Link> {
    link.send(&subscribe).await;
    let reply = link.next().await?;
    assert_eq!(reply.recovered, Some(true), "{reply:?}");
    let mut position = 0;
    while position < MISSED {
        let message = link.next().await?;
        if message.kind == "disconnect" {
            return None;
        }
        assert_eq!((&*message.kind, message.offset), ("broadcast_update", position + 1));
        assert_ne!(message.data, Value::Null);
        position += 1;
    }
    Some(link)
}

fn p99(seen: &Receiver<Duration>) -> Duration {
    let mut all: Vec<_> = seen.try_iter().collect();
    all.sort_unstable();
    all.get(all.len() * 99 / 100).copied().unwrap_or_default()
}

/// A line of the server's `/proc/PID/status`, KiB.
fn memory(process: &Process, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let of = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    of.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

/// Has the kernel count the peak from now on (proc_pid_clear_refs(5)).
fn reset_peak(process: &Process) {
    std::fs::write(format!("/proc/{}/clear_refs", process.id()), "5").unwrap();
}
