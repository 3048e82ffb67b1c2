//! Our server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wsload::{Dialect, Publish, Subscribe, Upgrade};

use super::{Ready, Subject, listening, spawn};
use crate::bench::Bench;
use crate::error::SuiteError;

/// What a row changes of its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Threads that own connections.
    pub(crate) shards: usize,
    /// Which limits are out of the row's way.
    pub(crate) lifted: Lifted,
    /// Whether subscribers speak TLS.
    pub(crate) tls: bool,
}

/// Limits that a row would run into, since it does in a second what clients do in hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifted {
    /// All are as they are by default.
    Nothing,
    /// Handshakes in flight, and the time that they may take.
    Handshakes,
    /// Commands and subscriptions of one client.
    Commands,
}

impl Lifted {
    fn variables(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Nothing => &[],
            Self::Handshakes => &[("REALTIME_MAX_HANDSHAKES", "20000"), ("REALTIME_HANDSHAKE_TIMEOUT", "60s")],
            Self::Commands => &[
                ("REALTIME_COMMANDS_PER_SECOND", "100000"),
                ("REALTIME_COMMAND_BURST", "100000"),
                ("REALTIME_SUBSCRIPTIONS_PER_SECOND", "0"),
            ],
        }
    }
}

impl Default for Options {
    /// One shard on one core, as the yardstick is one thread; the default limits.
    fn default() -> Self {
        Self { shards: 1, lifted: Lifted::Nothing, tls: false }
    }
}

pub(super) fn dialect(channels: usize) -> Dialect {
    Dialect {
        subscribe: Subscribe::WebSocket(Upgrade {
            path: "/".to_owned(),
            frames: vec![r#"{"type":"subscribe","channel":"{c}"}"#.to_owned()],
            ready: "subscribed".to_owned(),
            ..Upgrade::default()
        }),
        publish: Publish::WebSocket(Upgrade { path: "/publisher".to_owned(), ..Upgrade::default() }),
        template: r#"{"type":"broadcast_update","channel":"{c}","data":"{p}"}"#.to_owned(),
        channel: "bench".to_owned(),
        channels,
    }
}

/// A client's ping and what its answer contains.
pub(crate) fn ping() -> Upgrade {
    Upgrade {
        path: "/".to_owned(),
        frames: vec![r#"{"type":"ping"}"#.to_owned()],
        ready: r#""pong""#.to_owned(),
        ..Upgrade::default()
    }
}

/// `POST /broadcast` with a payload of `size` bytes.
pub(crate) fn post_request(size: usize) -> Upgrade {
    let data = "x".repeat(size);
    Upgrade {
        path: "/broadcast".to_owned(),
        headers: vec!["Content-Type: application/json".to_owned()],
        frames: vec![format!(r#"{{"type":"broadcast_update","channel":"bench","data":"{data}"}}"#)],
        ..Upgrade::default()
    }
}

pub(super) fn start(bench: &Bench, options: Options) -> Result<Subject, SuiteError> {
    let mut command = Command::new(&bench.server);
    command.args(["start", "--dev", "--listen", "127.0.0.1:0", "--unix-socket", "off", "--shards"]);
    command.arg(options.shards.to_string());
    // Subscribers of contestants that wait for their turn answer no pings. Where a turn took longer than silence may last
    // (a loaded machine), all of them were closed: "0 deliveries, 1 sent, 500 closed". The yardstick pings nobody either.
    command.env("REALTIME_PING_INTERVAL", "1h");
    command.envs(options.lifted.variables().iter().copied());
    if !options.tls {
        return spawn(bench, "ours", &command, &Ready::Log);
    }
    let certificate = certificate(&bench.scratch)?;
    command
        .args(["--tls-listen", "127.0.0.1:0", "--tls-cert"])
        .arg(&certificate)
        .arg("--tls-key")
        .arg(key(&certificate));
    let mut subject = spawn(bench, "ours", &command, &Ready::Log)?;
    let address = listening(&subject.log, "listening with TLS on ")
        .ok_or_else(|| SuiteError::Start { name: "ours", log: subject.log_tail() })?;
    subject.tls = Some((address, certificate));
    Ok(subject)
}

fn key(certificate: &Path) -> PathBuf {
    certificate.with_extension("key")
}

/// A certificate for localhost as most servers have it today, ECDSA with P-256, and its key beside it.
fn certificate(scratch: &Path) -> Result<PathBuf, SuiteError> {
    let failed = || SuiteError::io("make a certificate");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
        .map_err(|error| failed()(std::io::Error::other(error)))?;
    let path = scratch.join("tls.pem");
    fs::write(&path, made.cert.pem()).map_err(failed())?;
    fs::write(key(&path), made.signing_key.serialize_pem()).map_err(failed())?;
    Ok(path)
}
