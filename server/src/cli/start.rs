//! `start`: says what it will do, raises the limit on files, and hands over to the library.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use realtime_server::config::{Config, Loaded, Sources, load};
use realtime_server::{StartError, log, run as run_server};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::signals::Signals;
use super::{Failure, arguments};

pub(super) fn run(sources: &Sources) -> Result<(), Failure> {
    // From here on no signal kills the process before it can clean up.
    let signals = Signals::catch().map_err(|error| Failure::Run(format!("cannot catch signals: {error}")))?;
    let loaded = load(sources)?;
    let log = log::init(&loaded.config).map_err(|error| Failure::Run(error.to_string()))?;
    announce(&loaded);
    raise_file_limit();
    let (stop, stopping) = oneshot::channel();
    let shutdown = async {
        // A sender that is gone without a word means that nobody can stop the server any more: stop it.
        let _ = stopping.await;
    };
    let config = loaded.config;
    let server = match run_server(config.clone(), shutdown) {
        Ok(server) => server,
        Err(failure) => return Err(cannot_start(&failure, &log)),
    };
    signals
        .serve(stop, log.clone(), Reload { sources: sources.clone(), running: config, reloader: server.reloader() })
        .map_err(|error| Failure::Run(format!("cannot start a thread: {error}")))?;
    server.wait().map_err(|crashed| {
        error!("{crashed}");
        told(&log, &crashed)
    })?;
    info!("stopped");
    Ok(())
}

/// Reading the configuration again.
pub(super) struct Reload {
    sources: Sources,
    running: Config,
    reloader: realtime_server::Reloader,
}

impl Reload {
    /// Takes over what can change while running; when anything is wrong, nothing.
    pub(super) fn again(&mut self) {
        let loaded = match load(&self.sources) {
            Ok(loaded) => loaded,
            Err(mistakes) => {
                for mistake in mistakes.iter() {
                    error!("{mistake}");
                }
                return error!("the configuration has mistakes; the old one stays in force");
            }
        };
        for warning in &loaded.warnings {
            warn!("{warning}");
        }
        for name in loaded.config.waiting_for_a_restart(&self.running) {
            warn!("the new value of {name} counts from the next start on");
        }
        if self.running.data_dir.is_none() && loaded.config.needs_disk() {
            return error!(
                "history.store = \"disk\" needs the data_dir with which the server was started, and that was none; restart \
                 it. The old configuration stays in force"
            );
        }
        self.running.take_over(loaded.config);
        self.reloader.reload(&self.running);
        info!("reloaded the publisher keys, the allowed origins, the keys of tokens and the channel rules");
    }
}

fn cannot_start(failure: &StartError, log: &log::Log) -> Failure {
    error!("{failure}");
    told(log, failure)
}

/// What stands in a log file is said to whoever started the server, too.
fn told(log: &log::Log, failure: &impl ToString) -> Failure {
    if log.is_file() { Failure::Run(failure.to_string()) } else { Failure::Told }
}

fn announce(loaded: &Loaded) {
    let config = &loaded.config;
    let file = loaded.file.as_ref().map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
    info!(config = file, "{} starts", arguments::VERSION);
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    if config.dev {
        warn!(
            "dev: every process on this machine may publish without a key, and browsers are believed who they are; not \
             for production, and never behind a proxy"
        );
    } else if config.insecure_identity {
        warn!("insecure_identity: browsers are believed who they are, so anybody can receive anybody's messages");
    }
    if !config.has_publisher_key() && !config.dev {
        info!(
            "nobody can publish over TCP, since there is no publisher key; make one with `realtime-server key` and set \
             it as publisher_key (REALTIME_PUBLISHER_KEY) here and as realtime.key in PHP"
        );
    }
}

/// Each connection is a file; the default soft limit is for programs that use `select()`.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(hard)
    });
    match raised {
        Ok(limit) => info!("up to {limit} open files"),
        Err(error) => warn!("the limit on open files cannot be raised: {error}"),
    }
}
