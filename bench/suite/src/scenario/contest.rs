//! Fan-out by several servers in turn.

use std::time::Duration;

use wsload::{Crowd, Dialect, FanOut, Pace, Publisher, Subscribe, Work, fan_out};

use super::{Samples, Session, document, memory, sample};
use crate::bench::{Bench, OPENING, PATIENCE};
use crate::error::SuiteError;
use crate::subject::{Kind, Subject};

/// Fan-outs of a session that do not count: the first touches every socket, buffer and code page.
const WARM_UPS: usize = 1;

/// Time to look at what has arrived.
const GLANCE: Duration = Duration::from_millis(1);

/// One contestant and its work.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    /// What its measurements are called.
    pub(crate) label: &'static str,
    pub(crate) kind: Kind,
    pub(crate) subscribers: usize,
    pub(crate) channels: usize,
    pub(crate) publishers: usize,
    pub(crate) work: Work,
    /// Publish some KiB of JSON around the payload.
    pub(crate) json: bool,
    /// Subscribers offer permessage-deflate.
    pub(crate) deflate: bool,
    /// Channels that exist besides, each with one subscriber.
    pub(crate) other_channels: usize,
}

/// What is measured of a fan-out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Metric {
    /// Server CPU per delivered message, µs.
    Cpu,
    /// Median of publish → delivered, µs.
    Median,
    /// 99th percentile of the same, µs.
    Tail,
    /// Bytes on the wire per delivered message.
    Bytes,
}

/// Sides that alternate.
pub(crate) struct Contest {
    pub(crate) sides: Vec<Side>,
    pub(crate) metric: Metric,
    /// Rounds of a session; servers are started anew for every session.
    pub(crate) rounds: usize,
}

/// A side in action.
struct Running {
    side: Side,
    subject: Subject,
    crowd: Crowd,
    publishers: Vec<Publisher>,
    others: Option<Crowd>,
}

impl Side {
    /// One channel, one publisher, a closed loop.
    pub(crate) fn new(kind: Kind, subscribers: usize, publications: usize, window: usize) -> Self {
        let work = Work { publications, size: 128, pace: Pace::Window(window) };
        let (json, deflate) = (false, false);
        Self {
            label: kind.name(),
            kind,
            subscribers,
            channels: 1,
            publishers: 1,
            work,
            json,
            deflate,
            other_channels: 0,
        }
    }

    pub(crate) fn label(self, label: &'static str) -> Self {
        Self { label, ..self }
    }

    pub(crate) fn channels(self, channels: usize) -> Self {
        Self { channels, ..self }
    }

    pub(crate) fn publishers(self, publishers: usize) -> Self {
        Self { publishers, ..self }
    }

    pub(crate) fn other_channels(self, other_channels: usize) -> Self {
        Self { other_channels, ..self }
    }

    /// Some KiB of JSON instead of a bare payload, to subscribers who take it compressed or not.
    pub(crate) fn json(self, deflate: bool) -> Self {
        Self { json: true, deflate, ..self }
    }

    fn dialect(&self) -> Dialect {
        let mut dialect = self.kind.dialect(self.channels);
        if self.json {
            dialect.template = document::around_payload(&dialect.template);
        }
        if let (true, Subscribe::WebSocket(upgrade)) = (self.deflate, &mut dialect.subscribe) {
            upgrade.headers.push("Sec-WebSocket-Extensions: permessage-deflate".to_owned());
        }
        dialect
    }

    pub(crate) fn size(mut self, size: usize) -> Self {
        self.work.size = size;
        self
    }

    pub(crate) fn paced(mut self, per_second: f64) -> Self {
        self.work.pace = Pace::PerSecond(per_second);
        self
    }
}

impl Contest {
    /// One session. Rivals that are not installed are left out.
    pub(crate) fn session(self, bench: &Bench) -> Session {
        let mut running = Vec::new();
        for side in self.sides.into_iter().filter(|side| side.kind.installed()) {
            running.push(Running::start(bench, side)?);
        }
        let mut samples = Samples::new();
        let rounds = bench.size(self.rounds, 1);
        for round in 0..WARM_UPS + rounds {
            let count = running.len();
            for turn in 0..count {
                // Everybody comes first, second, … equally often.
                running.iter_mut().try_for_each(Running::attend)?;
                let side = &mut running[(round + turn) % count];
                let value = side.measure(self.metric)?;
                if round >= WARM_UPS {
                    sample(&mut samples, side.side.label, value);
                }
            }
        }
        Ok(samples)
    }
}

impl Running {
    fn start(bench: &Bench, side: Side) -> Result<Self, SuiteError> {
        let failed = SuiteError::load(side.kind.name());
        let subject = side.kind.start(bench)?;
        let others = match side.other_channels {
            0 => None,
            channels => Some(memory::other_channels(&subject, channels)?),
        };
        let open = || {
            let mut crowd = subject.crowd(side.dialect())?;
            crowd.open(side.subscribers, OPENING, PATIENCE)?;
            let publishers = (0..side.publishers)
                .map(|number| Publisher::connect_to(&crowd, number, subject.address))
                .collect::<Result<Vec<_>, _>>()?;
            Ok((crowd, publishers))
        };
        let (crowd, publishers) = open().map_err(failed)?;
        Ok(Self { side, subject, crowd, publishers, others })
    }

    /// Answers what servers ask while others have their turn: heartbeats above all.
    fn attend(&mut self) -> Result<(), SuiteError> {
        let mut crowds = self.others.iter_mut().chain([&mut self.crowd]);
        crowds.try_for_each(|crowd| crowd.hold(GLANCE)).map_err(SuiteError::load(self.side.kind.name()))
    }

    fn measure(&mut self, metric: Metric) -> Result<f64, SuiteError> {
        let name = self.side.kind.name();
        let done = self.run().map_err(SuiteError::load(name));
        let (done, cpu) = done.map_err(|error| self.with_log(error))?;
        let micros = |quantile| done.latency.value_at_quantile(quantile) as f64 / 1e3;
        Ok(match metric {
            Metric::Cpu => cpu as f64 / 1e3 / done.delivered as f64,
            Metric::Median => micros(0.5),
            Metric::Tail => micros(0.99),
            Metric::Bytes => done.bytes as f64 / done.delivered as f64,
        })
    }

    fn run(&mut self) -> Result<(FanOut, u64), wsload::LoadError> {
        let account = &self.subject.account;
        let cpu = || account.cpu().map_err(|source| wsload::LoadError::Io { what: "account", source });
        let before = cpu()?;
        let done = fan_out(&mut self.crowd, &mut self.publishers, self.side.work)?;
        Ok((done, cpu()? - before))
    }

    /// What the server said about it goes to the terminal: the error itself knows only the client's half.
    fn with_log(&self, error: SuiteError) -> SuiteError {
        eprintln!("{}: {}", self.side.label, self.subject.log_tail());
        error
    }
}
