//! The database's file, as the database sees it.

use std::io;
use std::sync::Arc;

use redb::StorageBackend;

use super::environment::{Environment, Point, Storage};
use super::failure::{Failure, Health};

/// Hands on to a [`Storage`] and notes what fails.
pub(super) struct Backend {
    pub(super) file: Box<dyn Storage>,
    pub(super) environment: Arc<dyn Environment>,
    pub(super) health: Arc<Health>,
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Backend").field(&self.file).finish()
    }
}

impl Backend {
    fn note<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &outcome {
            self.health.note(io::Error::new(error.kind(), error.to_string()).into());
        }
        outcome
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.note(self.file.length())
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.note(self.file.read(offset, into))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.environment.reach(Point::BeforeSync);
        if let Err(error) = self.file.sync() {
            // The kernel may have dropped the pages and call them clean: another sync would succeed and prove nothing.
            self.health.note(Failure::Lost(format!("the disk failed to keep what was written ({error})")));
            return Err(error);
        }
        self.environment.reach(Point::AfterSync);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.note(self.file.write(offset, bytes))
    }
}
