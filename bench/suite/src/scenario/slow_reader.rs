//! One reader stops while megabytes are published to it: what that costs the server and the other readers.

use wsload::{Crowd, Pace, Publisher, Work, fan_out};

use super::{Samples, Session, sample};
use crate::bench::{Bench, OPENING, PATIENCE};
use crate::error::SuiteError;
use crate::subject::{Kind, Options};

const READERS: usize = 20;
const SIZE: usize = 16 << 10;
const ROUNDS: usize = 3;

struct Outcome {
    /// Delivery p99 of the readers who read, µs.
    tail: f64,
    /// How far memory rose above where it was before, KiB.
    growth: f64,
}

/// Delivery p99 of the others, with a stopped reader and without, µs.
pub(crate) fn slow_reader_latency(bench: &Bench) -> Session {
    both(bench, |outcome| outcome.tail)
}

/// Peak growth of server memory during the same, KiB.
pub(crate) fn slow_reader_memory(bench: &Bench) -> Session {
    both(bench, |outcome| outcome.growth)
}

fn both(bench: &Bench, figure: impl Fn(&Outcome) -> f64) -> Session {
    let mut samples = Samples::new();
    for _ in 0..bench.size(ROUNDS, 1) {
        for (label, stopped) in [("all read", false), ("one stopped", true)] {
            sample(&mut samples, label, figure(&publish(bench, stopped)?));
        }
    }
    Ok(samples)
}

fn publish(bench: &Bench, stopped: bool) -> Result<Outcome, SuiteError> {
    let kind = Kind::Ours(Options::default());
    let failed = || SuiteError::load(kind.name());
    let memory = |what| move |error| SuiteError::io(what)(error);
    let subject = kind.start(bench)?;
    let mut crowd = Crowd::new(subject.address, kind.dialect(1)).map_err(failed())?;
    crowd.open(READERS + usize::from(stopped), OPENING, PATIENCE).map_err(failed())?;
    let mut publishers = [Publisher::connect(&crowd, 0).map_err(failed())?];
    let work = Work { publications: 100, size: SIZE, pace: Pace::Window(4) };
    fan_out(&mut crowd, &mut publishers, work).map_err(failed())?;
    if stopped {
        crowd.stop_reading(READERS).map_err(failed())?;
    }
    subject.account.reset_peak().map_err(memory("reset the peak"))?;
    let before = subject.account.memory().map_err(memory("read memory"))?.resident;
    let publications = bench.size(200_000_000, 8_000_000) / SIZE;
    let done = fan_out(&mut crowd, &mut publishers, Work { publications, ..work }).map_err(failed())?;
    let peak = subject.account.memory().map_err(memory("read memory"))?.peak;
    Ok(Outcome { tail: done.latency.value_at_quantile(0.99) as f64 / 1e3, growth: peak as f64 - before as f64 })
}
