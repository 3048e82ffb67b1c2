//! Signals: SIGTERM and SIGINT stop the server, a second one at once; SIGHUP reopens the log and reloads.

use std::io;
use std::time::{Duration, Instant};

use realtime_server::log::Log;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator;
use signal_hook::low_level::signal_name;
use tokio::sync::oneshot;
use tracing::{error, info};

use super::start::Reload;

/// The same signal again so soon is one wish: `timeout` signals the process and then its group.
const ONE_PRESS: Duration = Duration::from_millis(300);

/// Signals that have been caught and wait to be served.
pub(super) struct Signals(iterator::Signals);

impl Signals {
    pub(super) fn catch() -> io::Result<Self> {
        iterator::Signals::new([SIGTERM, SIGINT, SIGHUP]).map(Self)
    }

    /// Serves signals on a thread of their own, for the rest of the process.
    pub(super) fn serve(mut self, stop: oneshot::Sender<()>, log: Log, mut reload: Reload) -> io::Result<()> {
        let mut stop = Some(stop);
        let mut first = None;
        let serve = move || {
            for signal in self.0.forever() {
                if signal == SIGHUP {
                    hang_up(&log, &mut reload);
                    continue;
                }
                let name = signal_name(signal).unwrap_or("a signal");
                let now = Instant::now();
                let Some(stop) = stop.take() else {
                    if first.is_some_and(|(first, at)| first == signal && now - at < ONE_PRESS) {
                        continue;
                    }
                    error!("{name} again: stopping at once");
                    std::process::exit(1);
                };
                first = Some((signal, now));
                info!("{name} received");
                // Nobody listens when the server has stopped already.
                let _ = stop.send(());
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(serve).map(drop)
    }
}

fn hang_up(log: &Log, reload: &mut Reload) {
    if let Err(failure) = log.reopen() {
        error!("{failure}; the old log file stays open");
    }
    reload.again();
}
