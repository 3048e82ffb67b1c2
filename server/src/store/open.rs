//! Opening a store: whose it is, what its past was, what the journal holds.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use redb::{DatabaseError, StorageError};
use tracing::{info, warn};

use super::changes::{Changes, Table};
use super::database::Database;
use super::directory::Directory;
use super::environment::{Environment, System};
use super::failure::Failure;
use super::journal::Journal;
use super::meta::{Past, Run};
use super::plan::Limits;
use super::queue::Queue;
use super::state::{Counters, State};
use super::writer::Writer;
use super::{Inner, Loaded, Options, ReadJob, Sink, Store, Sync, epoch, meta, record};

/// Why a store could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The directory cannot be used.
    Directory(PathBuf, io::Error),
    /// Another process has it.
    Locked(PathBuf),
    /// Another version wrote it.
    Version(PathBuf, u64),
    /// The file is something else.
    Foreign(PathBuf),
    /// There is no room for what a start writes.
    Full(PathBuf),
    /// The file cannot be read or written; says why.
    Failed(PathBuf, String),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(path, error) => {
                write!(f, "{}: {error}; data_dir must be a directory that the server may write to", path.display())
            }
            Self::Locked(path) => write!(
                f,
                "{}: another process has this store open; stop it, or give this one a data_dir of its own",
                path.display()
            ),
            Self::Version(path, found) => write!(
                f,
                "{}: written in format {found}, and this version reads up to format {}; run the version that wrote \
                 it, or \
                 move the file away to begin with an empty store",
                path.display(),
                meta::VERSION
            ),
            Self::Foreign(path) => write!(
                f,
                "{}: this is no store of realtime-server; move it away, or choose another data_dir",
                path.display()
            ),
            Self::Full(path) => {
                write!(f, "{}: the disk is full; make room, and start the server again", path.display())
            }
            Self::Failed(path, why) => write!(
                f,
                "{}: {why}; check the disk, restore a backup, or move the file away to begin with an empty store",
                path.display()
            ),
        }
    }
}

impl std::error::Error for OpenError {}

impl OpenError {
    /// Of the directory itself.
    pub(super) fn directory(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(path.to_owned()),
            _ => Self::Directory(path.to_owned(), error),
        }
    }
}

/// A store that is open and does nothing yet.
pub struct Opened {
    database: Database,
    journal: Option<Journal>,
    state: State,
    epoch: Box<str>,
    options: Options,
}

/// Opens the store in a directory, making both if there are none.
pub fn open(options: &Options) -> Result<Opened, OpenError> {
    let system: Arc<dyn Environment> = Arc::new(System);
    open_in(options, &system)
}

/// [`open`] in another world.
pub fn open_in(options: &Options, environment: &Arc<dyn Environment>) -> Result<Opened, OpenError> {
    let directory = Directory::take(&options.directory)?;
    let path = directory.database();
    // redb trusts what it reads, and panics where a page is not what it must be.
    let opened = catch_unwind(AssertUnwindSafe(|| open_locked(options, environment, directory)));
    opened.unwrap_or(Err(Refusal::Damaged)).map_err(|refusal| match refusal {
        Refusal::Damaged => OpenError::Failed(path, "the file is damaged".to_owned()),
        Refusal::Version(found) => OpenError::Version(path, found),
        Refusal::Foreign => OpenError::Foreign(path),
        Refusal::Failed(Failure::Full) => OpenError::Full(path),
        Refusal::Failed(failure) => OpenError::Failed(path, failure.to_string()),
    })
}

/// An [`OpenError`] of the file.
enum Refusal {
    Version(u64),
    Foreign,
    Damaged,
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl From<DatabaseError> for Refusal {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Self::Foreign
            }
            DatabaseError::Storage(StorageError::Io(error)) => Self::Failed(error.into()),
            DatabaseError::UpgradeRequired(found) => Self::Version(u64::from(found)),
            error => Self::Failed(Failure::Other(error.to_string())),
        }
    }
}

fn open_locked(options: &Options, environment: &Arc<dyn Environment>, directory: Directory) -> Result<Opened, Refusal> {
    let path = directory.database();
    if !environment.exists(&path)? {
        create(&path, environment)?;
    }
    let sync_failed = directory.has_sync_failed()?;
    let database = Database::open(path, environment.clone(), Some(directory), sync_failed)?;
    let past = look(&database)?;
    let boot = environment.boot();
    let break_with = epoch::decide(&past, sync_failed, boot.as_deref());
    let epoch = if break_with.is_some() { format!("{:016x}", random()?).into() } else { past.epoch };
    if let Some(reason) = break_with {
        warn!("the store begins another epoch: {reason}; browsers load their state anew");
    }
    let run = Run { life: random()?, is_unsynced: options.sync != Sync::Always, boot };
    let unclean = past.unclean.filter(|old| epoch::is_same_boot(old.boot.as_deref(), run.boot.as_deref()));
    let journal = take_journal(&database, environment, unclean)?;
    let mut changes = Changes::default();
    meta::begin(&mut changes, &epoch, &run);
    // A store of an older format lacks some.
    database.create_tables(&changes)?;
    database.with_directory(Directory::forget_failed_sync)?;
    // Only now that what it held is synced may it go.
    let journal = match options.sync {
        Sync::Interval(_) => Some(Journal::new(environment.open(&journal)?, run.life)?),
        Sync::Always if environment.exists(&journal)? => {
            environment.remove(&journal)?;
            None
        }
        Sync::Always => None,
    };
    let state = State::load(&database.view()?)?;
    Ok(Opened { database, journal, state, epoch, options: options.clone() })
}

/// Makes an empty store. It gets its name when it is whole, so that a crash leaves none or a good one.
fn create(path: &Path, environment: &Arc<dyn Environment>) -> Result<(), Refusal> {
    let unfinished = path.with_extension("new");
    if environment.exists(&unfinished)? {
        environment.remove(&unfinished)?;
    }
    let database = Database::open(unfinished.clone(), environment.clone(), None, false)?;
    let mut changes = Changes::default();
    meta::create(&mut changes, &format!("{:016x}", random()?), &Counters::default().to_bytes());
    database.create_tables(&changes)?;
    database.close()?;
    Ok(environment.rename(&unfinished, path)?)
}

/// Checks that the file is ours and readable, and asks for its past.
fn look(database: &Database) -> Result<Past, Refusal> {
    let view = database.view()?;
    if !view.has(Table::Meta)? {
        return Err(Refusal::Foreign);
    }
    let format = view.get(Table::Meta, meta::FORMAT)?.ok_or(Refusal::Foreign)?;
    match record::parse_numbers(&format)? {
        [meta::OLDEST..=meta::VERSION] => Ok(Past::load(&view)?),
        [other] => Err(Refusal::Version(other)),
    }
}

/// Applies what the run before has left in its journal; returns where that is.
fn take_journal(
    database: &Database,
    environment: &Arc<dyn Environment>,
    unclean: Option<Run>,
) -> Result<PathBuf, Refusal> {
    let path = database.path.with_extension("journal");
    if let Some(run) = unclean
        && environment.exists(&path)?
    {
        let mut groups = 0;
        Journal::replay(&*environment.open(&path)?, run.life, |changes| {
            groups += 1;
            database.commit_unsynced(changes)
        })?;
        info!(groups, "took over what the run before had committed and not synced");
    }
    Ok(path)
}

fn random() -> Result<u64, Refusal> {
    getrandom::u64().map_err(|error| Refusal::Failed(Failure::Other(format!("no random numbers ({error})"))))
}

impl Opened {
    /// What is in it.
    pub fn loaded(&self) -> Loaded {
        let streams =
            self.state.streams.iter().map(|(stream, place)| ((**stream).clone(), place.top, place.first)).collect();
        Loaded { epoch: self.epoch.clone(), floor: self.state.counters.floor, streams }
    }

    /// Starts the threads that write and read.
    pub fn start(self, sink: Arc<dyn Sink>) -> io::Result<Store> {
        let Self { database, journal, state, options, .. } = self;
        let (database, queue) = (Arc::new(database), Arc::new(Queue::default()));
        let limits = Limits {
            key_ttl: u64::try_from(options.key_ttl.as_millis()).unwrap_or(u64::MAX),
            max_keys: options.max_keys as u64,
        };
        let interval = match options.sync {
            Sync::Always => None,
            Sync::Interval(interval) => Some(interval),
        };
        let (reads, jobs) = mpsc::channel();
        let reader = thread::Builder::new().name("store-read".into()).spawn({
            let database = database.clone();
            move || run_reads(&database, &jobs)
        })?;
        let writer = Writer::new(database.clone(), journal, state, limits, queue.clone(), sink);
        let writer = thread::Builder::new().name("store-write".into()).spawn(move || writer.run(interval))?;
        Ok(Store(Arc::new(Inner { queue, database, reads, threads: Mutex::new(vec![writer, reader]) })))
    }
}

fn run_reads(database: &Database, jobs: &mpsc::Receiver<Option<ReadJob>>) {
    while let Ok(Some(job)) = jobs.recv() {
        job(database);
    }
}
