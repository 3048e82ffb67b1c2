//! Publishing by `POST` over kept connections.

use wsload::{Posts, post};

use super::{Samples, Session, sample};
use crate::bench::Bench;
use crate::error::SuiteError;
use crate::subject::{self, Kind, Options};

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;

/// Requests per second of server CPU, 128-byte payloads, nobody subscribed: publishing alone.
pub(crate) fn posts(bench: &Bench) -> Session {
    if !Kind::Nchan.installed() {
        return Err(SuiteError::Missing("nchan (nginx, libnginx-mod-nchan)"));
    }
    let kinds = [Kind::Ours(Options::default()), Kind::Nchan];
    let requests = [subject::post_request(128), subject::nchan_post(128)];
    let subjects = [kinds[0].start(bench)?, kinds[1].start(bench)?];
    let mut samples = Samples::new();
    let count = bench.size(8_000, 200);
    for round in 0..=bench.size(ROUNDS, 1) {
        for turn in 0..kinds.len() {
            let index = (round + turn) % kinds.len();
            let (kind, subject, request) = (kinds[index], &subjects[index], &requests[index]);
            let account = || subject.account.cpu().map_err(SuiteError::io("account"));
            let before = account()?;
            let posts = Posts { request, connections: CONNECTIONS, requests: count };
            post(subject.address, &posts).map_err(SuiteError::load(kind.name()))?;
            let cpu = account()? - before;
            // The first round warms both up.
            if round > 0 {
                sample(&mut samples, kind.name(), count as f64 * 1e9 / cpu as f64);
            }
        }
    }
    Ok(samples)
}
