//! What a row does: one session of measurements, whose rounds alternate between the contestants so that the machine's
//! moods hit all of them alike.

mod contest;
mod document;
mod memory;
mod opening;
mod ping;
mod post;
mod slow_reader;

use std::collections::BTreeMap;

use crate::error::SuiteError;

pub(crate) use contest::{Contest, Metric, Side};
pub(crate) use memory::{churn, handshakes_closed, handshakes_held, idle, idle_over_tls};
pub(crate) use opening::{opening, opening_over_tls};
pub(crate) use ping::ping_during_fan_out;
pub(crate) use post::posts;
pub(crate) use slow_reader::{slow_reader_latency, slow_reader_memory};

/// Measurements by contestant; those of one index belong to one round.
pub(crate) type Samples = BTreeMap<String, Vec<f64>>;

/// What a session brings, or why it could not be held.
pub(crate) type Session = Result<Samples, SuiteError>;

/// One measurement of one contestant.
fn sample(samples: &mut Samples, label: &str, value: f64) {
    samples.entry(label.to_owned()).or_default().push(value);
}
