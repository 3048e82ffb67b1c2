//! The command line. Its flags come from the configuration's table of keys.

mod arguments;
mod backup;
mod check_config;
mod client;
mod doctor;
mod publish;
mod signals;
mod start;
mod tail;
mod token;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::ArgMatches;
use realtime_server::config::{Loaded, Mistakes, PublisherKey, Sources, load};

/// Why a command failed; each way has its exit code.
#[derive(Debug)]
enum Failure {
    /// Bad configuration or usage: 2.
    Usage(String),
    /// Anything that went wrong at run time: 1.
    Run(String),
    /// The same, when everything has been said already.
    Told,
    /// Nobody reads the output any more (`tail … | head`): 0.
    OutputClosed,
}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Self {
        Self::Usage(mistakes.to_string())
    }
}

/// Only writing to standard output converts this way; every other I/O error gets its context where it happens.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Run(format!("cannot write the output: {error}"))
        }
    }
}

/// Runs the program.
pub(crate) fn run() -> ExitCode {
    let matches = arguments::command().get_matches();
    match dispatch(&matches) {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Told) => ExitCode::from(1),
        Err(Failure::Run(message)) => complain(&message, 1),
        Err(Failure::Usage(message)) => complain(&message, 2),
    }
}

fn dispatch(matches: &ArgMatches) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("start", matches)) => start::run(&sources(matches)),
        Some(("check-config", matches)) => check_config::run(matches),
        Some(("key", _)) => key(),
        Some(("token", matches)) => token::run(matches),
        Some(("version", _)) => Ok(writeln!(io::stdout(), "{}", arguments::VERSION)?),
        Some(("publish", matches)) => publish::run(matches),
        Some(("tail", matches)) => tail::run(matches),
        Some(("backup", matches)) => backup::run(matches),
        Some(("doctor", matches)) => doctor::run(matches),
        // clap admits no other.
        _ => Err(Failure::Usage("no such command; see realtime-server --help".to_owned())),
    }
}

fn complain(message: &str, code: u8) -> ExitCode {
    for line in message.lines() {
        // Whoever closed standard error does not want to know.
        let _ = writeln!(io::stderr(), "realtime-server: {}", realtime_server::log::escaped(line));
    }
    ExitCode::from(code)
}

fn key() -> Result<(), Failure> {
    let key = PublisherKey::generate()
        .map_err(|error| Failure::Run(format!("the operating system gives no randomness: {error}")))?;
    Ok(writeln!(io::stdout(), "{}", key.secret())?)
}

/// What the configuration is to be read from.
fn sources(matches: &ArgMatches) -> Sources {
    Sources {
        file: matches.get_one("config").cloned(),
        variables: std::env::vars_os().collect(),
        flags: arguments::flags(matches),
    }
}

/// Reads the configuration for a command that only looks at it; warnings go to standard error.
fn configuration(matches: &ArgMatches) -> Result<Loaded, Failure> {
    let loaded = load(&sources(matches))?;
    for warning in &loaded.warnings {
        let _ = writeln!(io::stderr(), "warning: {}", realtime_server::log::escaped(warning));
    }
    Ok(loaded)
}
