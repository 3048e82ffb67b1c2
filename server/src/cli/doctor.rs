//! `doctor`: checks what goes wrong in practice; each failure comes with its mend.

mod limits;
mod page;
mod server;
mod socket;
mod tls;
mod tokens;

use std::fmt;
use std::io::{self, Write};

use clap::ArgMatches;
use realtime_server::log::escaped;

use super::{Failure, configuration};

/// What one check found.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// As it should be.
    Good(String),
    /// Nothing wrong, and worth knowing.
    Note(String),
    /// Wrong, and how to mend it.
    Bad { what: String, mend: String },
}

impl Finding {
    fn bad(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Bad { what: what.into(), mend: mend.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good(what) => write!(f, "ok    {}", escaped(what)),
            Self::Note(what) => write!(f, "note  {}", escaped(what)),
            Self::Bad { what, mend } => write!(f, "FAIL  {}\n      mend: {}", escaped(what), escaped(mend)),
        }
    }
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let loaded = configuration(matches)?;
    let config = &loaded.config;
    let file = loaded.file.as_ref().map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
    let mut findings = vec![Finding::Good(format!("the configuration has no mistakes (read from {file})"))];
    let reachable = server::reachable(config);
    let is_reachable = matches!(reachable, Finding::Good(_));
    findings.push(reachable);
    findings.extend(tls::check(config));
    let socket = socket::Socket::find(config);
    findings.push(server::key(config, is_reachable, socket.is_live()));
    findings.extend(tokens::check(config, is_reachable));
    findings.extend(socket.check(matches.get_one::<String>("web-user").map(String::as_str))?);
    if let Some(page) = matches.get_one::<String>("page") {
        findings.push(page::check(config, page, matches.get_one::<String>("host").map(String::as_str))?);
    }
    findings.push(limits::check(socket.server()));

    let mut out = io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    if findings.iter().any(|finding| matches!(finding, Finding::Bad { .. })) { Err(Failure::Told) } else { Ok(()) }
}
