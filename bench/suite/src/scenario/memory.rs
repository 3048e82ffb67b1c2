//! Memory of connections and channels, and whether it comes back.

use std::time::Duration;

use wsload::{Crowd, Dialect, frame};

use super::{Samples, Session, sample};
use crate::bench::{Bench, OPENING, PATIENCE};
use crate::error::SuiteError;
use crate::subject::{Kind, Lifted, Options, Subject};

/// How long after the work memory is read: allocators give back after a second or so.
const SETTLE: Duration = Duration::from_secs(5);
/// Channels of each connection that only holds channels; below the default limit of 128.
const CHANNELS_EACH: usize = 100;
/// Connections that come and go before anything is measured, so that code pages and first buffers do not count.
const WARM_UP: usize = 200;

/// KiB of server memory per idle, subscribed connection.
pub(crate) fn idle(bench: &Bench) -> Session {
    idle_on(bench, &[Kind::Ours(Options::default()), Kind::Redis, Kind::Nchan])
}

/// The same over TLS.
pub(crate) fn idle_over_tls(bench: &Bench) -> Session {
    idle_on(bench, &[Kind::Ours(Options { tls: true, ..Options::default() })])
}

fn idle_on(bench: &Bench, kinds: &[Kind]) -> Session {
    let count = bench.size(15_000, 500);
    let mut samples = Samples::new();
    for kind in kinds.iter().copied().filter(|kind| kind.installed()) {
        let subject = kind.start(bench)?;
        let before = resident(&subject)?;
        let mut crowd = open(kind, &subject, count)?;
        crowd.hold(bench.time(SETTLE)).map_err(SuiteError::load(kind.name()))?;
        let each = (resident(&subject)? - before) / count as f64;
        sample(&mut samples, kind.name(), each);
    }
    Ok(samples)
}

/// KiB each of connections whose handshakes were all in flight at once.
pub(crate) fn handshakes_held(bench: &Bench) -> Session {
    let half = half_sent(bench)?;
    Ok(Samples::from([("ours".to_owned(), vec![(half.held - half.before) / half.count as f64])]))
}

/// Memory after all of them closed, as a multiple of that before.
pub(crate) fn handshakes_closed(bench: &Bench) -> Session {
    let half = half_sent(bench)?;
    Ok(Samples::from([("ours".to_owned(), vec![half.closed / half.before])]))
}

struct HalfSent {
    count: usize,
    before: f64,
    held: f64,
    closed: f64,
}

/// Begins many handshakes at once, leaves them half-sent, completes them, and closes all.
fn half_sent(bench: &Bench) -> Result<HalfSent, SuiteError> {
    let kind = Kind::Ours(Options { lifted: Lifted::Handshakes, ..Options::default() });
    let failed = || SuiteError::load(kind.name());
    let count = bench.size(10_000, 300);
    let subject = kind.start(bench)?;
    warm_up(bench, kind, &subject)?;
    let before = resident(&subject)?;
    let mut crowd = Crowd::new(subject.address, kind.dialect(1)).map_err(failed())?;
    crowd.begin(count).map_err(failed())?;
    // Long enough for the server to have taken every first half.
    crowd.hold(bench.time(Duration::from_secs(2))).map_err(failed())?;
    crowd.complete(PATIENCE).map_err(failed())?;
    crowd.hold(bench.time(SETTLE)).map_err(failed())?;
    let held = resident(&subject)?;
    drop(crowd);
    std::thread::sleep(bench.time(SETTLE));
    Ok(HalfSent { count, before, held, closed: resident(&subject)? })
}

/// Memory after a million random channels were subscribed to and left, as a multiple of that before. The connections
/// that did it are open both times.
pub(crate) fn churn(bench: &Bench) -> Session {
    let kind = Kind::Ours(Options { lifted: Lifted::Commands, ..Options::default() });
    let failed = || SuiteError::load(kind.name());
    let (connections, turns) = (bench.size(1_000, 20), bench.size(10, 1));
    let subject = kind.start(bench)?;
    let mut crowd = open(kind, &subject, connections)?;
    // One channel each is enough to touch the code and the first buffers, which are not what is asked about.
    come_and_go(&mut crowd, 1, |index| random_names(turns * connections + index)[..1].to_vec())?;
    crowd.hold(bench.time(SETTLE)).map_err(failed())?;
    let before = resident(&subject)?;
    for turn in 0..turns {
        // As many are subscribed to at once as the connections may have, so that tables grow before they shrink.
        come_and_go(&mut crowd, CHANNELS_EACH, |index| random_names(turn * connections + index))?;
    }
    crowd.hold(bench.time(SETTLE)).map_err(failed())?;
    Ok(Samples::from([("ours".to_owned(), vec![resident(&subject)? / before])]))
}

/// Everybody subscribes to its `each` channels, then leaves them.
fn come_and_go(crowd: &mut Crowd, each: usize, names: impl Fn(usize) -> Vec<String>) -> Result<(), SuiteError> {
    crowd
        .ask(|index| register(&names(index)), (r#""subscribed""#, each), OPENING, PATIENCE)
        .and_then(|()| crowd.ask(|index| unsubscribe(&names(index)), (r#""unsubscribed""#, each), OPENING, PATIENCE))
        .map_err(SuiteError::load("ours"))
}

/// So many channels with one subscriber each, and the connections that hold them. Those connections themselves begin in
/// a channel of their own: in the measured one they would be a thousand more receivers.
pub(super) fn other_channels(subject: &Subject, channels: usize) -> Result<Crowd, SuiteError> {
    let dialect = Dialect { channel: "elsewhere".to_owned(), ..Kind::Ours(Options::default()).dialect(1) };
    let mut crowd = Crowd::new(subject.address, dialect).map_err(SuiteError::load("ours"))?;
    crowd.open(channels.div_ceil(CHANNELS_EACH), OPENING, PATIENCE).map_err(SuiteError::load("ours"))?;
    crowd
        .ask(|index| register(&random_names(index)), (r#""subscribed""#, CHANNELS_EACH), OPENING, PATIENCE)
        .map_err(SuiteError::load("ours"))?;
    Ok(crowd)
}

/// Reproducible names without any order or common beginning (splitmix64).
fn random_names(batch: usize) -> Vec<String> {
    let numbers = (0..CHANNELS_EACH).map(|number| (batch * CHANNELS_EACH + number) as u64);
    numbers
        .map(|number| {
            let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            format!("{:016x}", mixed ^ (mixed >> 31))
        })
        .collect()
}

fn register(names: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::text(format!(r#"{{"action":"register","channels":["{}"]}}"#, names.join(r#"",""#)).as_bytes(), &mut out);
    out
}

fn unsubscribe(names: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    for name in names {
        frame::text(format!(r#"{{"type":"unsubscribe","id":1,"channel":"{name}"}}"#).as_bytes(), &mut out);
    }
    out
}

fn open(kind: Kind, subject: &Subject, count: usize) -> Result<Crowd, SuiteError> {
    let mut crowd = subject.crowd(kind.dialect(1)).map_err(SuiteError::load(kind.name()))?;
    crowd.open(count, OPENING, PATIENCE).map_err(|error| {
        eprintln!("{}: {}", kind.name(), subject.log_tail());
        SuiteError::load(kind.name())(error)
    })?;
    Ok(crowd)
}

fn warm_up(bench: &Bench, kind: Kind, subject: &Subject) -> Result<(), SuiteError> {
    drop(open(kind, subject, WARM_UP)?);
    std::thread::sleep(bench.time(SETTLE));
    Ok(())
}

fn resident(subject: &Subject) -> Result<f64, SuiteError> {
    Ok(subject.account.memory().map_err(SuiteError::io("read memory"))?.resident as f64)
}
