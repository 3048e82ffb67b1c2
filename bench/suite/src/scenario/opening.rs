//! How many connections a second of server CPU opens.

use std::time::Duration;

use super::{Samples, Session, sample};
use crate::bench::{Bench, OPENING, PATIENCE};
use crate::error::SuiteError;
use crate::subject::{Kind, Options};

const ROUNDS: usize = 4;

/// Handshake and subscription, connections per second of server CPU.
pub(crate) fn opening(bench: &Bench) -> Session {
    open_and_close(bench, bench.size(8_000, 300), &[Kind::Ours(Options::default()), Kind::Nchan])
}

/// The same over TLS; every handshake is a whole one.
pub(crate) fn opening_over_tls(bench: &Bench) -> Session {
    open_and_close(bench, bench.size(3_000, 100), &[Kind::Ours(Options { tls: true, ..Options::default() })])
}

fn open_and_close(bench: &Bench, count: usize, kinds: &[Kind]) -> Session {
    let mut subjects = Vec::new();
    for kind in kinds.iter().copied().filter(|kind| kind.installed()) {
        subjects.push((kind, kind.start(bench)?));
    }
    let mut samples = Samples::new();
    for round in 0..=bench.size(ROUNDS, 1) {
        for (kind, subject) in &subjects {
            let failed = || SuiteError::load(kind.name());
            let account = || subject.account.cpu().map_err(SuiteError::io("account"));
            let mut crowd = subject.crowd(kind.dialect(1)).map_err(failed())?;
            let before = account()?;
            crowd.open(count, OPENING, PATIENCE).map_err(failed())?;
            let cpu = account()? - before;
            // The first opening touches the code and the memory of all later ones.
            if round > 0 {
                sample(&mut samples, kind.name(), count as f64 * 1e9 / cpu as f64);
            }
            drop(crowd);
            // Closing is not part of it: let the server finish.
            std::thread::sleep(bench.time(Duration::from_secs(1)));
        }
    }
    Ok(samples)
}
