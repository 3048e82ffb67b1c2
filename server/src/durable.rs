//! The store, as the rest of the server uses it: the hub shows what the store has committed, and reads are awaited.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::StartError;
use crate::config::{Config, SyncMode};
use crate::hub::{Hub, Incoming, Publication, Stream};
use crate::store::{self, Kept, Loaded, Opened, ReadError, Sink, Store, Sync, Write};

/// What a clean stop leaves of what is kept in memory.
const SNAPSHOT: &str = "memory.snapshot";
/// The name of a copy that was asked for; the next one replaces it.
const BACKUP: &str = "backup.redb";

/// A store that runs.
#[derive(Clone)]
pub struct Durable {
    store: Store,
    directory: Arc<Path>,
    /// Held while a copy is made.
    copying: Arc<Mutex<()>>,
}

/// Takes over what the last run has left, before anything can be published.
pub fn open(mut hub: Hub, config: &Config) -> Result<(Arc<Hub>, Option<Durable>), StartError> {
    let Some(directory) = &config.data_dir else { return Ok((Arc::new(hub), None)) };
    let opened = store::open(&store::Options {
        directory: directory.clone(),
        sync: match config.history.sync {
            SyncMode::Always => Sync::Always,
            SyncMode::Interval => Sync::Interval(config.history.sync_interval),
        },
        key_ttl: config.idempotency.ttl,
        max_keys: config.idempotency.max_keys,
    })
    .map_err(StartError::Store)?;
    let Loaded { epoch, floor, streams } = opened.loaded().clone();
    let on_disk = streams.len();
    hub.load_disk(&epoch, floor, streams);
    let in_memory = hub.load(&directory.join(SNAPSHOT)).unwrap_or_else(|error| {
        warn!(%error, "what the last stop left of histories in memory cannot be used; they begin anew");
        0
    });
    info!(on_disk, in_memory, "histories from {}", directory.display());
    let hub = Arc::new(hub);
    let store = Durable::start(opened, hub.clone(), directory).map_err(StartError::Runtime)?;
    Ok((hub, Some(store)))
}

/// What is committed becomes visible in the hub.
struct Visible(Arc<Hub>);

impl Sink for Visible {
    fn committed(&self, stream: &Arc<Stream>, kept: Kept) -> u64 {
        let Kept { offset, at, payload, exclude, id } = kept;
        self.0.committed(stream, offset, at, Incoming { payload, exclude, id })
    }

    fn trimmed(&self, stream: &Stream, first: u64) {
        self.0.trimmed(stream, first);
    }
}

impl Durable {
    /// Starts the store's threads. The hub has taken over what was loaded.
    fn start(opened: Opened, hub: Arc<Hub>, directory: &Path) -> io::Result<Self> {
        let store = opened.start(Arc::new(Visible(hub)))?;
        Ok(Self { store, directory: directory.into(), copying: Arc::default() })
    }

    /// Queues a publication.
    pub fn write(&self, write: Write) {
        self.store.write(write);
    }

    /// Waits while too much is queued.
    pub async fn admission(&self) {
        self.store.admission().await;
    }

    /// The first publications of a part of a stream, in ascending order.
    pub async fn read(
        &self,
        stream: &Arc<Stream>,
        range: RangeInclusive<u64>,
        most: usize,
        max_bytes: usize,
    ) -> Result<Vec<Arc<Publication>>, ReadError> {
        let (send, receive) = oneshot::channel();
        self.read_then(stream, range, false, (most, max_bytes), move |read| {
            // Who does not wait any more needs nothing.
            let _ = send.send(read);
        });
        receive.await.unwrap_or_else(|_| Err(ReadError("the store has ended".to_owned())))
    }

    /// The first, or the newest, publications of a part of a stream; `done` is called on another thread.
    pub fn read_then(
        &self,
        stream: &Arc<Stream>,
        range: RangeInclusive<u64>,
        newest: bool,
        (most, max_bytes): (usize, usize),
        done: impl FnOnce(Result<Vec<Arc<Publication>>, ReadError>) + Send + 'static,
    ) {
        let of = stream.clone();
        let done = move |read: Result<Vec<Kept>, ReadError>| {
            let restore = |kept: Kept| {
                let Kept { offset, at, payload, exclude, id } = kept;
                Hub::restore(&of, offset, at, Incoming { payload, exclude, id })
            };
            done(read.map(|kept| kept.into_iter().map(restore).collect()));
        };
        if newest {
            self.store.newest(stream, range, most, max_bytes, done);
        } else {
            self.store.read(stream, range, most, max_bytes, done);
        }
    }

    /// Makes a consistent copy beside the store, on a thread of its own; `done` gets its path, or why there is none.
    pub fn backup(&self, done: impl FnOnce(Result<PathBuf, String>) + Send + 'static) {
        let (this, path) = (self.clone(), self.directory.join(BACKUP));
        let copy = move || {
            let copied = match this.copying.try_lock() {
                Ok(_alone) => remove_if_there(&path)
                    .map_err(|error| format!("{}: {error}", path.display()))
                    .and_then(|()| this.store.backup(&path).map_err(|error| error.to_string())),
                Err(_) => Err("a backup is being made already; try again when it is done".to_owned()),
            };
            done(copied.map(|()| path));
        };
        // Without a thread `done` is dropped, which answers that nothing came of it.
        let _ = std::thread::Builder::new().name("backup".into()).spawn(copy);
    }

    /// Leaves everything to the next start: commits and syncs what is queued, and writes down what the hub has in memory.
    pub fn leave(&self, hub: Option<&Hub>) {
        self.store.clone().close();
        if let Some(Err(error)) = hub.map(|hub| hub.save(&self.directory.join(SNAPSHOT))) {
            error!(%error, "histories in memory cannot be left to the next start");
        }
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
