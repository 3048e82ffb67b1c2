//! Whether a large fan-out makes everybody else wait.

use wsload::{Crowd, Probe, Publisher, Work, fan_out};

use super::{Samples, Session, sample};
use crate::bench::{Bench, OPENING, PATIENCE};
use crate::error::SuiteError;
use crate::subject::{self, Kind, Options};
use wsload::Pace;

const ROUNDS: usize = 3;
const FAN_OUTS: usize = 12;

/// Another connection's ping p99 while a fan-out is in progress ("ours"), and the CPU time of one whole, unsliced
/// fan-out by the yardstick ("limit"), ms: what the ping would wait if fan-outs were not sliced.
pub(crate) fn ping_during_fan_out(bench: &Bench) -> Session {
    let count = bench.size(15_000, 500);
    let work = Work { publications: bench.size(FAN_OUTS, 3), size: 128, pace: Pace::Window(1) };
    let mut samples = Samples::new();
    let ours = Kind::Ours(Options::default());
    for kind in [Kind::Limit, ours] {
        let failed = || SuiteError::load(kind.name());
        let subject = kind.start(bench)?;
        let mut crowd = Crowd::new(subject.address, kind.dialect(1)).map_err(failed())?;
        crowd.open(count, OPENING, PATIENCE).map_err(failed())?;
        let mut publishers = [Publisher::connect(&crowd, 0).map_err(failed())?];
        fan_out(&mut crowd, &mut publishers, Work { publications: 2, ..work }).map_err(failed())?;
        for _ in 0..bench.size(ROUNDS, 1) {
            if kind == ours {
                crowd.probe = Some(Probe::connect(subject.address, &subject::ping()).map_err(failed())?);
            }
            let before = subject.account.cpu().map_err(SuiteError::io("account"))?;
            fan_out(&mut crowd, &mut publishers, work).map_err(failed())?;
            let cpu = subject.account.cpu().map_err(SuiteError::io("account"))? - before;
            let nanoseconds = match &crowd.probe {
                Some(probe) => probe.round_trips.value_at_quantile(0.99) as f64,
                None => cpu as f64 / work.publications as f64,
            };
            sample(&mut samples, kind.name(), nanoseconds / 1e6);
        }
    }
    Ok(samples)
}
