//! The store's directory, which belongs to one process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::environment::create_directory;
use super::open::OpenError;

/// What the lock file says after a sync has failed. It is not in the database, which takes nothing then.
const SYNC_FAILED: &str = "a sync failed\n";

/// The directory, locked until this is dropped or the process ends, however it ends.
pub(super) struct Directory {
    path: PathBuf,
    lock: File,
}

impl Directory {
    /// Creates it if need be, and locks it.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let failed = |error: io::Error| OpenError::directory(path, error);
        if !path.try_exists().map_err(failed)? {
            create_directory(path).map_err(failed)?;
        }
        let file = path.join("store.lock");
        let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(file);
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join("store.redb")
    }

    /// Whether the run before has ended by a failed sync.
    pub(super) fn has_sync_failed(&self) -> io::Result<bool> {
        let mut text = String::new();
        (&self.lock).read_to_string(&mut text)?;
        Ok(!text.is_empty())
    }

    /// Has the next run look closely. Kept as well as a disk can that has just failed.
    pub(super) fn note_failed_sync(&self) -> io::Result<()> {
        (&self.lock).write_all(SYNC_FAILED.as_bytes())?;
        self.lock.sync_all()
    }

    /// The next run need not look closely any more.
    pub(super) fn forget_failed_sync(&self) -> io::Result<()> {
        self.lock.set_len(0)?;
        io::Seek::rewind(&mut &self.lock)?;
        self.lock.sync_all()
    }
}
