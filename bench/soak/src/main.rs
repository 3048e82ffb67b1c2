//! A soak: good clients that count what they get, hostile ones that do whatever hurts, and a look at the server's memory.
//!
//! It starts a server of its own, with tokens and with TLS, over which every other client comes. Publications of every channel are numbered, so a good client sees by itself what is
//! missing, twice or out of order. It fails when a good client lost anything, and, in a run of at least half an hour, when
//! memory grew by more than 1 % an hour over the last half.
#![forbid(unsafe_code)]

mod good;
mod hostile;
mod memory;
mod publisher;
mod server;
mod socket;
mod tally;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::task::{LocalSet, spawn_local};

use crate::memory::Memory;
use crate::server::Server;
use crate::tally::Tally;

/// Channels that good clients are spread over; half of them keep their history on disk.
const CHANNELS: usize = 20;
/// Growth, % an hour, from which a long run fails.
const MOST_GROWTH: f64 = 1.0;
/// The shortest run whose growth says something.
const LONG: Duration = Duration::from_secs(30 * 60);

/// Good and hostile clients against a server, for as long as is asked.
#[derive(Parser)]
struct Arguments {
    /// The server's program.
    #[arg(long)]
    server: PathBuf,
    /// Clients, of which every other one is hostile.
    #[arg(long, default_value_t = 5000)]
    clients: usize,
    /// How long, in minutes.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Publications a second in each of 20 channels.
    #[arg(long, default_value_t = 1.0)]
    rate: f64,
    /// How long a hostile client rests between two attempts, on average, in seconds.
    #[arg(long, default_value_t = 5.0)]
    rest: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    wsload::raise_file_limit(20_000);
    let run = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| LocalSet::new().block_on(&runtime, soak(arguments)));
    match run {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(2)
        }
    }
}

async fn soak(arguments: Arguments) -> std::io::Result<bool> {
    let server = Rc::new(Server::start(&arguments.server, CHANNELS).await?);
    let tally = Rc::new(Tally::new(CHANNELS));
    let good = arguments.clients.div_ceil(2);
    for number in 0..good {
        spawn_local(good::run(server.clone(), tally.clone(), number));
        if number % 100 == 99 {
            tally.until_subscribed(number + 1).await;
        }
    }
    tally.until_subscribed(good).await;
    println!("{good} good clients are subscribed");
    for number in 0..arguments.clients - good {
        let rest = Duration::from_secs_f64(arguments.rest);
        spawn_local(hostile::run(server.clone(), tally.clone(), number, rest));
    }
    spawn_local(publisher::run(server.clone(), tally.clone(), Duration::from_secs_f64(1.0 / arguments.rate)));
    let length = Duration::from_secs_f64(arguments.minutes * 60.0);
    let memory = watch(&server, &tally, length).await;
    tally.stop();
    tally.until_complete().await;
    Ok(report(&tally, &memory, good, length))
}

/// Looks at the server's memory until the time is over, and says each minute how it goes.
async fn watch(server: &Server, tally: &Tally, length: Duration) -> Memory {
    let started = Instant::now();
    let mut memory = Memory::default();
    let mut told = 0;
    while started.elapsed() < length {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let elapsed = started.elapsed();
        memory.add(elapsed, server.resident());
        if elapsed.as_secs() / 60 > told {
            told = elapsed.as_secs() / 60;
            println!("{told} min: {}, {} MiB", tally.line(), memory.last() >> 20);
        }
    }
    memory
}

fn report(tally: &Tally, memory: &Memory, good: usize, length: Duration) -> bool {
    let is_whole = tally.report(good);
    let growth = memory.growth();
    let (first, half, last) = memory.corners();
    println!(
        "memory: {} MiB at first, {} MiB half way, {} MiB at last; over the last half {growth:+.2} % an hour",
        first >> 20,
        half >> 20,
        last >> 20
    );
    let is_long = length >= LONG;
    if !is_long {
        println!("growth is not judged in a run of less than {} minutes", LONG.as_secs() / 60);
    }
    is_whole && (!is_long || growth <= MOST_GROWTH)
}
