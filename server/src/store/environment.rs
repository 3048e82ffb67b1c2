//! What the store stands on: files, the clock, the machine. A trait, so that a test can put in its place a disk that
//! forgets, fails or is full.

use std::fmt::Debug;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::fault;
pub use crate::fault::Point;

/// A file, read and written at offsets.
pub trait Storage: Debug + Send + Sync + 'static {
    /// Its length, bytes.
    fn length(&self) -> io::Result<u64>;
    /// Fills `into` from `offset`.
    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts it, or fills it up with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Returns once what was written survives a power loss.
    fn sync(&self) -> io::Result<()>;
}

/// The world around a store.
pub trait Environment: Send + Sync + 'static {
    /// Opens a file, creating it empty.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Storage>>;
    /// Whether there is such a file.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Gives a synced file another name, durably; what had that name is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Bytes that can still be written below this directory.
    fn free(&self, directory: &Path) -> io::Result<u64>;
    /// Milliseconds since 1970; the store itself sees to it that they never go back.
    fn now(&self) -> u64;
    /// What tells this run of the machine from the one before; `None` when it cannot be known.
    fn boot(&self) -> Option<String>;
    /// Called at each point of the writer; a test may end the process here.
    fn reach(&self, point: Point) {
        fault::reach(point);
    }
}

/// The real one.
#[derive(Debug)]
pub struct System;

impl Environment for System {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Storage>> {
        // Publications may be confidential, so the files are the owner's only.
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        Ok(Box::new(OnDisk { file, path: path.to_owned() }))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)?;
        sync_parent(to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn free(&self, directory: &Path) -> io::Result<u64> {
        let found = nix::sys::statvfs::statvfs(directory)?;
        // The types of these differ between platforms.
        #[allow(clippy::useless_conversion, reason = "u32 on some platforms")]
        Ok(u64::from(found.blocks_available()).saturating_mul(u64::from(found.fragment_size())))
    }

    fn now(&self) -> u64 {
        // A clock before 1970 is as wrong as one at 1970.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
    }

    fn boot(&self) -> Option<String> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(id.trim().to_owned())
    }
}

#[derive(Debug)]
struct OnDisk {
    file: File,
    /// For tests of a disk that fails.
    path: PathBuf,
}

impl Storage for OnDisk {
    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        fault::sync(&self.path)?;
        self.file.sync_data()
    }
}

/// Makes a directory that only its owner may read, and those above it.
pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    sync_parent(path)
}

/// A new name survives a power loss once its directory is synced.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
