//! The load generator as a command: subscribers, publishers, and what the server spent on them.

mod arguments;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use wsload::account::Account;
use wsload::{Crowd, FanOut, Pace, Publisher, Work, fan_out};

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} {error}", arguments.label);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    wsload::raise_file_limit(200_000);
    let server = Account::new(arguments.pid.clone());
    let mut crowd = open(arguments, &server)?;
    let Some(hold) = arguments.hold else {
        return publish(arguments, &server, &mut crowd);
    };
    crowd.hold(Duration::from_secs(hold))?;
    println!("{} after {hold} s: RSS {} KiB", arguments.label, server.memory()?.resident);
    Ok(())
}

/// Opens the subscribers and tells what that cost.
fn open(arguments: &Arguments, server: &Account) -> Result<Crowd, Box<dyn Error>> {
    let (memory, cpu, start) = (server.memory()?.resident, server.cpu()?, Instant::now());
    let mut crowd = match &arguments.tls_ca {
        None => Crowd::new(arguments.addr, arguments.dialect()?)?,
        Some(certificate) => Crowd::over_tls(arguments.addr, arguments.dialect()?, certificate)?,
    };
    crowd.open(arguments.subs, arguments.opening, Duration::from_secs(arguments.limit))?;
    let (seconds, subscribers) = (start.elapsed().as_secs_f64(), arguments.subs as f64);
    let now = server.memory()?.resident;
    println!(
        "{} open: {} subscribers in {seconds:.2} s ({:.0}/s, server CPU {:.1} µs each), \
         server RSS {memory} -> {now} KiB = {:.2} KiB each",
        arguments.label,
        arguments.subs,
        subscribers / seconds,
        (server.cpu()? - cpu) as f64 / 1e3 / subscribers,
        (now as f64 - memory as f64) / subscribers,
    );
    Ok(crowd)
}

fn publish(arguments: &Arguments, server: &Account, crowd: &mut Crowd) -> Result<(), Box<dyn Error>> {
    let address = arguments.pub_addr.unwrap_or(arguments.addr);
    let mut publishers = (0..arguments.publishers)
        .map(|number| Publisher::connect_to(crowd, number, address))
        .collect::<Result<Vec<_>, _>>()?;
    if publishers.is_empty() {
        return Ok(());
    }
    let pace = arguments.rate.map_or(Pace::Window(arguments.window), Pace::PerSecond);
    let work = Work { publications: arguments.messages, size: arguments.size, pace };
    let me = Account::new([std::process::id()]);
    let (cpu, mine) = (server.cpu()?, me.cpu()?);
    let done = fan_out(crowd, &mut publishers, work)?;
    let (cpu, mine) = (server.cpu()? - cpu, me.cpu()? - mine);
    report(arguments, &done, cpu, mine);
    println!("{} server RSS {} KiB", arguments.label, server.memory()?.resident);
    Ok(())
}

fn report(arguments: &Arguments, done: &FanOut, cpu: u64, mine: u64) {
    let (seconds, delivered) = (done.elapsed.as_secs_f64(), done.delivered as f64);
    let micros = |quantile| done.latency.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "{} fan-out: {} subscribers x {} publications of {} B: {delivered} delivered in {seconds:.3} s = {:.0}/s; \
         CPU per delivery: server {:.3} µs ({:.0} % busy), generator {:.3} µs; \
         latency µs: p50 {:.0}, p90 {:.0}, p99 {:.0}, max {:.0}",
        arguments.label,
        arguments.subs,
        arguments.messages,
        arguments.size,
        delivered / seconds,
        cpu as f64 / 1e3 / delivered,
        cpu as f64 / 1e7 / seconds,
        mine as f64 / 1e3 / delivered,
        micros(0.5),
        micros(0.9),
        micros(0.99),
        micros(1.0),
    );
}
