//! Servers under test: started on their own core, found ready, accounted, and ended.

mod limit;
mod nchan;
mod ours;
mod redis;

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use wsload::account::Account;
use wsload::{Crowd, Dialect, LoadError};

use crate::bench::{Bench, SERVER_CORE};
use crate::error::SuiteError;

pub(crate) use nchan::post_request as nchan_post;
pub(crate) use ours::{Lifted, Options, ping, post_request};

const START: Duration = Duration::from_secs(5);
const STOP: Duration = Duration::from_secs(3);

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Our server.
    Ours(Options),
    /// Nothing but `send()`.
    Limit,
    /// The same through `io_uring`.
    Uring,
    /// Redis, whose subscribers speak plain TCP.
    Redis,
    /// nginx with nchan, one worker.
    Nchan,
}

/// A server that runs.
pub(crate) struct Subject {
    name: &'static str,
    child: Child,
    log: PathBuf,
    /// Where it listens, without TLS.
    pub(crate) address: SocketAddr,
    /// Where it listens with TLS, and its certificate, where subscribers are to speak TLS.
    pub(crate) tls: Option<(SocketAddr, PathBuf)>,
    /// The processes that do the work.
    pub(crate) account: Account,
}

impl Kind {
    /// What it is called in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours(_) => "ours",
            Self::Limit => "limit",
            Self::Uring => "limit, io_uring",
            Self::Redis => "Redis",
            Self::Nchan => "nchan",
        }
    }

    /// Whether it can be started here. Ours and the yardstick are always there: without them nothing is measured.
    pub(crate) fn installed(self) -> bool {
        match self {
            Self::Ours(_) | Self::Limit | Self::Uring => true,
            Self::Redis => redis::installed(),
            Self::Nchan => nchan::installed(),
        }
    }

    /// How it is spoken to, over so many channels.
    pub(crate) fn dialect(self, channels: usize) -> Dialect {
        match self {
            Self::Ours(_) => ours::dialect(channels),
            Self::Limit | Self::Uring => limit::dialect(),
            Self::Redis => redis::dialect(channels),
            Self::Nchan => nchan::dialect(channels),
        }
    }

    /// Starts it.
    pub(crate) fn start(self, bench: &Bench) -> Result<Subject, SuiteError> {
        match self {
            Self::Ours(options) => ours::start(bench, options),
            Self::Limit => limit::start(bench, false),
            Self::Uring => limit::start(bench, true),
            Self::Redis => redis::start(bench),
            Self::Nchan => nchan::start(bench),
        }
    }
}

/// How a start is noticed.
enum Ready {
    /// The log says `listening on ADDRESS`.
    Log,
    /// Somebody accepts connections there.
    Port(SocketAddr),
}

/// Starts `command`, pinned to the servers' core, its output in a log of its own.
fn spawn(bench: &Bench, name: &'static str, command: &Command, ready: &Ready) -> Result<Subject, SuiteError> {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let log = bench.scratch.join(format!("{}.log", STARTED.fetch_add(1, Ordering::Relaxed)));
    let failed = |what: &str| SuiteError::io(format!("{what} {name}"));
    let output = File::create(&log).map_err(failed("make a log for"))?;
    // taskset replaces itself by the server, so that the child is the server.
    let mut pinned = Command::new("taskset");
    pinned.arg("-c").arg(SERVER_CORE.to_string()).arg(command.get_program()).args(command.get_args());
    pinned.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    pinned.stdin(Stdio::null()).stdout(output.try_clone().map_err(failed("log"))?).stderr(output);
    let child = pinned.spawn().map_err(failed("start"))?;
    let account = Account::new([child.id()]);
    // Owned from here on, so that whatever fails ends the process.
    let mut subject = Subject { name, child, log, address: SocketAddr::from(([127, 0, 0, 1], 0)), tls: None, account };
    let deadline = Instant::now() + START;
    loop {
        let address = match ready {
            Ready::Log => listening(&subject.log, "listening on "),
            Ready::Port(address) => TcpStream::connect(address).ok().map(|_| *address),
        };
        if let Some(address) = address {
            subject.address = address;
            return Ok(subject);
        }
        let ended = subject.child.try_wait().map_err(failed("wait for"))?.is_some();
        if ended || Instant::now() > deadline {
            return Err(SuiteError::Start { name, log: tail(&subject.log) });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn listening(log: &Path, words: &str) -> Option<SocketAddr> {
    let text = fs::read_to_string(log).ok()?;
    let words = text.split(words).skip(1);
    words.filter_map(|rest| rest.split(|c: char| c.is_whitespace() || c == '\x1b').next()?.parse().ok()).next()
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}

/// A port that was free a moment ago.
fn free_port() -> Result<SocketAddr, SuiteError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(SuiteError::io("find a free port"))?;
    listener.local_addr().map_err(SuiteError::io("find a free port"))
}

/// Whether `program` can be found.
fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).any(|folder| folder.join(program).is_file())
}

impl Subject {
    /// A crowd for it, over TLS if it speaks that.
    pub(crate) fn crowd(&self, dialect: Dialect) -> Result<Crowd, LoadError> {
        match &self.tls {
            None => Crowd::new(self.address, dialect),
            Some((address, certificate)) => Crowd::over_tls(*address, dialect, certificate),
        }
    }

    /// The end of its log, for messages about failures.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for Subject {
    /// Ends it: politely first, since nginx's master takes its workers along.
    fn drop(&mut self) {
        let terminated =
            Pid::from_raw(self.child.id().cast_signed()).is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        let deadline = Instant::now() + STOP;
        while terminated && Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // Nothing is lost by what fails here: the process is gone already, or belongs to nobody else.
        let _ = self.child.kill();
        let _ = self.child.wait();
        eprintln!("{} did not stop when asked and was killed", self.name);
    }
}
