//! Publishing to a crowd and waiting for every delivery.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::{Crowd, LoadError, Publisher};

/// Time without a delivery after which a run is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// How fast publications follow each other.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// A closed loop with this many publications in flight at most.
    Window(usize),
    /// An open loop with this many publications per second, whatever becomes of them.
    PerSecond(f64),
}

/// What is published.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Publications altogether.
    pub publications: usize,
    /// Bytes of each payload.
    pub size: usize,
    /// How fast.
    pub pace: Pace,
}

/// What came of it: everything was delivered.
pub struct FanOut {
    /// From the first publication to the last delivery.
    pub elapsed: Duration,
    /// Messages that arrived.
    pub delivered: u64,
    /// Bytes that arrived.
    pub bytes: u64,
    /// Nanoseconds from publishing to delivery.
    pub latency: Histogram<u64>,
}

/// Publishes `work`, one publication after the other through each of `publishers`, and reads until all is delivered.
pub fn fan_out(crowd: &mut Crowd, publishers: &mut [Publisher], work: Work) -> Result<FanOut, LoadError> {
    assert!(!publishers.is_empty(), "somebody has to publish");
    crowd.deliveries.clear();
    // due[n]: deliveries when the first n publications have arrived everywhere.
    let mut due = Vec::with_capacity(work.publications + 1);
    due.push(0);
    for number in 0..work.publications {
        due.push(due[number] + crowd.readers(number));
    }
    let total = due[work.publications];
    let start = Instant::now();
    let mut progress = (start, 0);
    let mut sent = 0;
    while crowd.deliveries.count < total {
        let now_due = match work.pace {
            Pace::PerSecond(rate) => ((start.elapsed().as_secs_f64() * rate) as usize + 1).min(work.publications),
            Pace::Window(window) => {
                let arrived = due.partition_point(|&deliveries| deliveries <= crowd.deliveries.count) - 1;
                (arrived + window).min(work.publications)
            }
        };
        while sent < now_due {
            if let Some(probe) = &mut crowd.probe {
                // Up to half of the deliveries the server is certainly still busy with this publication.
                probe.measure_until(due[sent] + (due[sent + 1] - due[sent]) / 2);
            }
            let publisher = sent % publishers.len();
            publishers[publisher].queue(sent, work.size);
            publishers[publisher].flush()?;
            sent += 1;
        }
        let mut wait = match work.pace {
            Pace::PerSecond(rate) if sent < work.publications => {
                Duration::from_secs_f64((sent as f64 / rate - start.elapsed().as_secs_f64()).clamp(0.0, 0.02))
            }
            _ => Duration::from_millis(20),
        };
        for publisher in publishers.iter_mut().filter(|publisher| publisher.blocked()) {
            publisher.flush()?;
            wait = wait.min(Duration::from_millis(1));
        }
        if crowd.pump(wait)? {
            publishers.iter_mut().try_for_each(Publisher::drain)?;
        }
        if crowd.deliveries.count > progress.1 {
            progress = (Instant::now(), crowd.deliveries.count);
        } else if progress.0.elapsed() > PATIENCE {
            let closed = crowd.closed();
            let what = format!("{} of {total} deliveries, {sent} sent, {closed} closed", progress.1);
            return Err(LoadError::Stalled { what, patience: PATIENCE });
        }
    }
    Ok(FanOut {
        elapsed: start.elapsed(),
        delivered: crowd.deliveries.count,
        bytes: crowd.deliveries.bytes,
        latency: crowd.deliveries.latency.clone(),
    })
}
