//! Durable history: what is published in streams that outlive the process.
//!
//! One thread writes. What waits for it forms the next group, which is one transaction: retries are found, offsets
//! given out, publications, keys and counters written, the old trimmed. Once that is committed, and with
//! [`Sync::Always`] synced, the group is shown to the [`Sink`], and only then are its writers answered. So nobody sees
//! what a crash forgets. A group that fails has used no offset.

mod backend;
mod backup;
mod changes;
mod database;
mod directory;
mod environment;
mod epoch;
mod failure;
mod journal;
mod meta;
mod open;
mod plan;
mod queue;
mod read;
mod record;
mod state;
mod windows;
mod writer;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use realtime_protocol::{ConnectionId, IdempotencyKey};

use crate::hub::{Payload, Stream};

pub use self::backup::BackupError;
use self::database::Database;
pub use self::environment::{Environment, Point, Storage, System};
pub use self::open::{OpenError, Opened, open, open_in};
use self::queue::Queue;

/// When commits reach the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Before anybody sees them: an acknowledged publication survives power loss.
    Always,
    /// So often; a power loss takes what was acknowledged since, and the store's epoch. A killed process loses nothing.
    Interval(Duration),
}

/// How a store is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where; created if it is not there.
    pub directory: PathBuf,
    /// When commits reach the disk.
    pub sync: Sync,
    /// How long an idempotency key is known.
    pub key_ttl: Duration,
    /// How many keys are known at once.
    pub max_keys: usize,
}

/// What is kept of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Publications; at least one.
    pub size: usize,
    /// For how long; `None` for ever.
    pub ttl: Option<Duration>,
}

/// An idempotency key. Its scope is origin and stream.
#[derive(Clone, Debug)]
pub struct Key {
    /// Who publishes.
    pub origin: Box<str>,
    /// What they call it.
    pub key: IdempotencyKey,
    /// Of all that is published under the key: the same key with another digest is refused.
    pub digest: u64,
}

/// A publication in the store.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its place in the stream.
    pub offset: u64,
    /// When it was committed, ms since 1970; never less than that of an earlier one in the store.
    pub at: u64,
    /// What was published.
    pub payload: Arc<Payload>,
    /// The connection that does not get it.
    pub exclude: Option<ConnectionId>,
    /// The id by which receivers know it.
    pub id: Option<Box<str>>,
}

/// Called once with the outcome of a write, on the writer's thread.
pub type Done = Box<dyn FnOnce(Result<Written, WriteError>) + Send>;

/// What is to be published.
pub struct Write {
    /// Where.
    pub stream: Arc<Stream>,
    /// What.
    pub payload: Arc<Payload>,
    /// The connection that does not get it.
    pub exclude: Option<ConnectionId>,
    /// The id by which receivers know it.
    pub id: Option<Box<str>>,
    /// By which a retry is told.
    pub key: Option<Key>,
    /// What the stream keeps from now on.
    pub retention: Retention,
    /// Told the outcome.
    pub done: Done,
}

impl Write {
    /// About what it occupies while it waits, bytes.
    fn size(&self) -> usize {
        const ROUGH_OVERHEAD: usize = 256;
        self.payload.data.get().len() + ROUGH_OVERHEAD
    }
}

/// The outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The publication's place in its stream.
    pub offset: u64,
    /// How many received it when it was committed; 0 when that was before a restart.
    pub receivers: u64,
    /// It was there already.
    pub duplicate: bool,
}

/// Why nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The disk is full. The store goes on by itself when there is room.
    Full,
    /// The store cannot write; says why.
    Unavailable(String),
    /// The key stands for something else.
    KeyConflict,
    /// As many keys as may be are known.
    TooManyKeys,
}

impl std::fmt::Display for WriteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => f.write_str("the store's disk is full, or all but 16 MiB of it, which are kept for tidying up; make room, and it goes on by itself"),
            Self::Unavailable(why) => write!(f, "the store cannot write: {why}"),
            Self::KeyConflict => f.write_str("the idempotency key was used for something else"),
            Self::TooManyKeys => f.write_str("too many idempotency keys; wait, or raise idempotency.max_keys"),
        }
    }
}

impl std::error::Error for WriteError {}

/// Why nothing could be read; says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError(pub String);

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the store cannot be read: {}", self.0)
    }
}

impl std::error::Error for ReadError {}

/// Shown what is committed, on the writer's thread.
pub trait Sink: Send + std::marker::Sync + 'static {
    /// Visible from now on. Called in the order of offsets, before the writers of the group are answered. Returns the
    /// receivers. The first offset of a stream's new life is the store's floor and one, so it may jump.
    fn committed(&self, stream: &Arc<Stream>, kept: Kept) -> u64;
    /// Everything of the stream before offset `first` is gone. When that is all, `first` is one above the last.
    fn trimmed(&self, stream: &Stream, first: u64);
}

/// What was in the store when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The store's life: within it no offset is used twice.
    pub epoch: Box<str>,
    /// Where streams begin that are not listed.
    pub floor: u64,
    /// Each stream with its last offset and the first that is kept.
    pub streams: Vec<(Stream, u64, u64)>,
}

type ReadJob = Box<dyn FnOnce(&Database) + Send>;

struct Inner {
    queue: Arc<Queue>,
    database: Arc<Database>,
    /// `None` ends the reader. Bounded by those who ask: a connection catches up by one read at a time.
    reads: mpsc::Sender<Option<ReadJob>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A store that runs. Cheap to clone; dropped altogether it closes.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

impl Store {
    /// Queues a publication.
    pub fn write(&self, write: Write) {
        self.0.queue.push(write);
    }

    /// Waits while so much is queued (16 MiB) that more would only pile up memory.
    pub async fn admission(&self) {
        self.0.queue.admission().await;
    }

    /// Reads publications in ascending order from the start of `range`: at most so many, and of so many bytes of data
    /// except that the first is always read. `done` is called on the reader's thread.
    pub fn read(
        &self,
        stream: &Arc<Stream>,
        range: RangeInclusive<u64>,
        most: usize,
        max_bytes: usize,
        done: impl FnOnce(Result<Vec<Kept>, ReadError>) + Send + 'static,
    ) {
        let stream = stream.clone();
        self.submit(Box::new(move |database| done(read::from_start(database, &stream, range, most, max_bytes))));
    }

    /// As [`Self::read`], but the newest of `range`; they too come in ascending order.
    pub fn newest(
        &self,
        stream: &Arc<Stream>,
        range: RangeInclusive<u64>,
        most: usize,
        max_bytes: usize,
        done: impl FnOnce(Result<Vec<Kept>, ReadError>) + Send + 'static,
    ) {
        let stream = stream.clone();
        self.submit(Box::new(move |database| done(read::from_end(database, &stream, range, most, max_bytes))));
    }

    fn submit(&self, job: ReadJob) {
        if let Err(mpsc::SendError(Some(job))) = self.0.reads.send(Some(job)) {
            // The reader has ended, and the database is closed: the job says so.
            job(&self.0.database);
        }
    }

    /// Writes a consistent copy to a file that must not exist, while the store goes on. Opened in its place, the copy
    /// begins another epoch.
    pub fn backup(&self, to: &Path) -> Result<(), BackupError> {
        backup::copy(&self.0.database, to)
    }

    /// Commits and syncs what is queued, and marks the stop as clean. Later writes are refused.
    pub fn close(self) {
        self.0.queue.close();
        let threads = std::mem::take(&mut *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner));
        // The reader goes on until the writer has ended, and then learns that the database is closed.
        for (index, thread) in threads.into_iter().enumerate() {
            // A panic is on stderr, and everybody who waited was told.
            let _ = thread.join();
            if index == 0 {
                let _ = self.0.reads.send(None);
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
        let _ = self.reads.send(None);
    }
}
