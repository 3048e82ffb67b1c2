//! A store on a disk that a test can crash, fill or break, and what is needed to talk to it.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod disk;

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use realtime_protocol::{ChannelName, IdempotencyKey};
use realtime_server::internals::store::{
    Environment, Kept, Key, Opened, Options, ReadError, Retention, Sink, Store, Sync, Write, WriteError, Written,
    open_in,
};
use realtime_server::internals::{AppId, Payload, Stream, StreamName};
use serde_json::value::RawValue;

pub const TTL: Duration = Duration::from_secs(300);
/// Hangs fail instead of lasting; nothing waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn options(directory: &Path, sync: Sync) -> Options {
    Options { directory: directory.to_owned(), sync, key_ttl: TTL, max_keys: 1_000_000 }
}

pub fn stream(name: &str) -> Arc<Stream> {
    Arc::new(Stream { app: AppId::DEFAULT, name: StreamName::Channel(ChannelName::parse(name).unwrap()) })
}

pub fn payload(data: &str) -> Arc<Payload> {
    let data = RawValue::from_string(serde_json::to_string(data).unwrap()).unwrap();
    Arc::new(Payload { event: None, data, user: None })
}

pub fn text(kept: &Kept) -> String {
    serde_json::from_str(kept.payload.data.get()).unwrap()
}

pub fn key(name: &str, data: &str) -> Key {
    let digest = data.bytes().fold(7, |digest: u64, byte| digest.wrapping_mul(31) ^ u64::from(byte));
    Key { origin: "php".into(), key: IdempotencyKey::parse(name).unwrap(), digest }
}

pub const KEEP_ALL: Retention = Retention { size: 1_000_000, ttl: None };

/// What the sink was shown, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    Committed { stream: Stream, offset: u64, data: String },
    Trimmed { stream: Stream, first: u64 },
}

/// Has three receivers for everything.
pub struct Watch {
    all: Mutex<Vec<Shown>>,
    next: Mutex<Sender<Shown>>,
}

impl Sink for Watch {
    fn committed(&self, stream: &Arc<Stream>, kept: Kept) -> u64 {
        self.show(Shown::Committed { stream: (**stream).clone(), offset: kept.offset, data: text(&kept) });
        3
    }

    fn trimmed(&self, stream: &Stream, first: u64) {
        self.show(Shown::Trimmed { stream: stream.clone(), first });
    }
}

impl Watch {
    fn show(&self, shown: Shown) {
        self.all.lock().unwrap().push(shown.clone());
        // The test may have ended.
        let _ = self.next.lock().unwrap().send(shown);
    }
}

/// A store that runs, and what it has shown.
pub struct Running {
    pub store: Store,
    pub epoch: String,
    watch: Arc<Watch>,
    shown: Mutex<Receiver<Shown>>,
}

pub fn start(opened: Opened) -> Running {
    let epoch = opened.loaded().epoch.to_string();
    let (next, shown) = channel();
    let watch = Arc::new(Watch { all: Mutex::default(), next: Mutex::new(next) });
    Running { store: opened.start(watch.clone()).unwrap(), epoch, watch, shown: Mutex::new(shown) }
}

pub fn run(options: &Options, environment: Arc<impl Environment>) -> Running {
    let environment: Arc<dyn Environment> = environment;
    start(open_in(options, &environment).unwrap_or_else(|error| panic!("{error}")))
}

/// The outcome of a write that is under way.
pub struct Pending(Receiver<Result<Written, WriteError>>);

impl Pending {
    pub fn wait(self) -> Result<Written, WriteError> {
        self.0.recv_timeout(PATIENCE).expect("every write is answered")
    }
}

impl Running {
    pub fn send(&self, stream: &Arc<Stream>, data: &str, key: Option<Key>, retention: Retention) -> Pending {
        let (done, outcome) = channel();
        self.store.write(Write {
            stream: stream.clone(),
            payload: payload(data),
            exclude: None,
            id: None,
            key,
            retention,
            // The test may have ended.
            done: Box::new(move |result| drop(done.send(result))),
        });
        Pending(outcome)
    }

    pub fn publish(&self, stream: &Arc<Stream>, data: &str) -> Result<Written, WriteError> {
        self.send(stream, data, None, KEEP_ALL).wait()
    }

    pub fn publish_once(&self, stream: &Arc<Stream>, data: &str, name: &str) -> Result<Written, WriteError> {
        self.send(stream, data, Some(key(name, data)), KEEP_ALL).wait()
    }

    pub fn read(&self, stream: &Arc<Stream>, from: u64) -> Result<Vec<Kept>, ReadError> {
        let (done, outcome) = channel();
        self.store.read(stream, from..=u64::MAX, usize::MAX, usize::MAX, move |result| done.send(result).unwrap());
        outcome.recv_timeout(PATIENCE).expect("every read is answered")
    }

    /// Offset and data of what is kept.
    pub fn history(&self, stream: &Arc<Stream>) -> Vec<(u64, String)> {
        self.read(stream, 0).unwrap().iter().map(|kept| (kept.offset, text(kept))).collect()
    }

    /// Waits until the sink is shown this.
    pub fn wait_for(&self, expected: &Shown) {
        let shown = self.shown.lock().unwrap();
        while shown.recv_timeout(PATIENCE).expect("it is shown") != *expected {}
    }

    pub fn shown(&self) -> Vec<Shown> {
        self.watch.all.lock().unwrap().clone()
    }
}
