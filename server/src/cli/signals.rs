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
        let mut wishes = Wishes::default();
        let serve = move || {
            for signal in self.0.forever() {
                if signal == SIGHUP {
                    hang_up(&log, &mut reload);
                    continue;
                }
                let name = signal_name(signal).unwrap_or("a signal");
                match wishes.hear(signal, Instant::now()) {
                    Wish::Stop => {
                        info!("{name} received");
                        // Nobody listens when the server has stopped already.
                        let _ = stop.take().map(|stop| stop.send(()));
                    }
                    Wish::Same => {}
                    Wish::AtOnce => {
                        error!("{name} again: stopping at once");
                        std::process::exit(1);
                    }
                }
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(serve).map(drop)
    }
}

/// What a signal asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Stop,
    /// What was asked for already.
    Same,
    AtOnce,
}

/// The signal that asked for a stop first, and when.
#[derive(Default)]
struct Wishes(Option<(i32, Instant)>);

impl Wishes {
    fn hear(&mut self, signal: i32, now: Instant) -> Wish {
        match self.0 {
            None => {
                self.0 = Some((signal, now));
                Wish::Stop
            }
            Some((first, at)) if first == signal && now - at < ONE_PRESS => Wish::Same,
            Some(_) => Wish::AtOnce,
        }
    }
}

fn hang_up(log: &Log, reload: &mut Reload) {
    if let Err(failure) = log.reopen() {
        error!("{failure}; the old log file stays open");
    }
    reload.again();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_signal_at_once_is_one_wish_and_another_or_later_one_is_impatience() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        for (second, at, wish) in [
            (SIGTERM, 0, Wish::Same),
            (SIGTERM, 299, Wish::Same),
            (SIGTERM, 300, Wish::AtOnce),
            (SIGINT, 0, Wish::AtOnce),
        ] {
            let mut wishes = Wishes::default();
            assert_eq!(wishes.hear(SIGTERM, start), Wish::Stop);
            assert_eq!(wishes.hear(second, after(at)), wish, "{second} after {at} ms");
        }
        let mut wishes = Wishes::default();
        assert_eq!(wishes.hear(SIGTERM, start), Wish::Stop);
        assert_eq!(wishes.hear(SIGTERM, after(1)), Wish::Same);
        assert_eq!(wishes.hear(SIGTERM, after(301)), Wish::AtOnce, "it counts from the first");
    }
}
