//! The database file: opened, read by snapshots, changed by whole transactions, and opened anew after a failure.

use std::cell::OnceCell;
use std::io;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use redb::{DatabaseError, Durability, ReadTransaction, ReadableDatabase, StorageError, TableDefinition, TableError};

use super::backend::Backend;
use super::changes::{Change, Changes, Table};
use super::directory::Directory;
use super::environment::{Environment, Point};
use super::failure::{Failure, Health};
use super::record::Damaged;

/// Pages in memory. Recovery reads what is new, so the newest pages are what is asked for.
const CACHE: usize = 64 << 20;

fn definition(table: Table) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(table.name())
}

/// The database, shared by the writer and by those who read.
pub(super) struct Database {
    pub(super) path: PathBuf,
    pub(super) environment: Arc<dyn Environment>,
    health: Arc<Health>,
    /// Behind a lock only for being exchanged; `None` while it is broken or closed.
    open: RwLock<Option<redb::Database>>,
    /// Asks those who read for long to let go, so that the file can be opened anew.
    leave: AtomicBool,
    /// Held as long as the file is open, however the writer ends.
    directory: Mutex<Option<Directory>>,
}

/// One consistent state of the tables.
pub(super) struct View<'a> {
    database: &'a Database,
    transaction: ReadTransaction,
    /// Opened when first asked for: each costs a search.
    tables: [OnceCell<Rows>; Table::ALL.len()],
    /// The file must not be opened a second time while somebody reads by the first.
    _open: RwLockReadGuard<'a, Option<redb::Database>>,
}

impl Database {
    /// Opens the file, or makes an empty one. `verify` reads all of it and checks every page.
    pub(super) fn open(
        path: PathBuf,
        environment: Arc<dyn Environment>,
        directory: Option<Directory>,
        verify: bool,
    ) -> Result<Self, DatabaseError> {
        let database = Self {
            path,
            environment,
            health: Arc::default(),
            open: RwLock::new(None),
            leave: AtomicBool::new(false),
            directory: Mutex::new(directory),
        };
        *database.open.write().unwrap_or_else(PoisonError::into_inner) = Some(database.open_file(verify)?);
        Ok(database)
    }

    fn open_file(&self, verify: bool) -> Result<redb::Database, DatabaseError> {
        let file =
            self.environment.open(&self.path).map_err(|error| DatabaseError::Storage(StorageError::Io(error)))?;
        let backend = Backend { file, environment: self.environment.clone(), health: self.health.clone() };
        redb::Builder::new().set_cache_size(CACHE).set_check_integrity_on_open(verify).create_with_backend(backend)
    }

    /// As [`Self::commit`]; makes the tables that are not there.
    pub(super) fn create_tables(&self, changes: &Changes) -> Result<(), Failure> {
        self.write(Durability::Immediate, Table::ALL.into_iter(), changes)
    }

    /// Applies all changes or none, and syncs.
    pub(super) fn commit(&self, changes: &Changes) -> Result<(), Failure> {
        self.write(Durability::Immediate, std::iter::empty(), changes)
    }

    /// Applies all changes or none. They are lost with the process unless [`Self::commit`] follows.
    pub(super) fn commit_unsynced(&self, changes: &Changes) -> Result<(), Failure> {
        self.write(Durability::None, std::iter::empty(), changes)
    }

    fn write(
        &self,
        durability: Durability,
        create: impl Iterator<Item = Table>,
        changes: &Changes,
    ) -> Result<(), Failure> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let database = open.as_ref().ok_or_else(closed)?;
        let mut transaction = database.begin_write().map_err(|error| self.failure(&error))?;
        transaction.set_durability(durability).map_err(|error| self.failure(&error))?;
        for table in create {
            transaction.open_table(definition(table)).map_err(|error| self.failure(&error))?;
        }
        self.apply(&transaction, changes).map_err(|error| self.failure(&error))?;
        transaction.commit().map_err(|error| self.failure(&error))
    }

    fn apply(&self, transaction: &redb::WriteTransaction, changes: &Changes) -> Result<(), redb::Error> {
        let mut tables = Table::ALL.map(|_| None);
        for (index, (table, key, value)) in changes.iter().enumerate() {
            if index == changes.len() / 2 {
                self.environment.reach(Point::MidTransaction);
            }
            let slot = &mut tables[table as usize];
            let rows = match slot {
                Some(rows) => rows,
                None => slot.insert(transaction.open_table(definition(table))?),
            };
            match value {
                Some(value) => rows.insert(key, value)?,
                None => rows.remove(key)?,
            };
        }
        Ok(())
    }

    /// A snapshot of what is committed.
    pub(super) fn view(&self) -> Result<View<'_>, Failure> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let transaction = open.as_ref().ok_or_else(closed)?.begin_read().map_err(|error| self.failure(&error))?;
        Ok(View { database: self, transaction, tables: Default::default(), _open: open })
    }

    /// Whether it must be opened anew before it can be written to again.
    pub(super) fn is_broken(&self) -> bool {
        self.health.failure().is_some() || self.open.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Opens the file anew. What was committed without a sync is forgotten by that.
    pub(super) fn reopen(&self) -> Result<(), Failure> {
        self.leave.store(true, Ordering::Relaxed);
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        self.leave.store(false, Ordering::Relaxed);
        // Closing the broken one fails as it must, and is noted; only a failed sync stays so.
        drop(open.take());
        self.health.reset();
        if let Some(lost) = self.health.failure() {
            return Err(lost);
        }
        match self.open_file(false) {
            Ok(database) => {
                *open = Some(database);
                Ok(())
            }
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// Ends it; whoever reads later is told that it is closed.
    pub(super) fn close(&self) -> Result<(), Failure> {
        self.leave.store(true, Ordering::Relaxed);
        let database = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        let outcome = database.map_or(Ok(()), |database| database.close().map_err(|error| self.failure(&error)));
        self.directory.lock().unwrap_or_else(PoisonError::into_inner).take();
        outcome
    }

    /// Does something with the store's directory, if the file is in one and not closed.
    pub(super) fn with_directory(&self, act: impl FnOnce(&Directory) -> io::Result<()>) -> io::Result<()> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(Ok(()), act)
    }

    /// What the backend saw tells more than the database's error.
    pub(super) fn failure(&self, error: &dyn std::error::Error) -> Failure {
        let failure = self.health.failure().unwrap_or_else(|| Failure::Other(error.to_string()));
        // Whatever it was, the database takes nothing any more in its present state.
        self.health.note(failure.clone());
        failure
    }
}

fn closed() -> Failure {
    Failure::Other("the store is not open".to_owned())
}

impl View<'_> {
    fn table(&self, table: Table) -> Result<&Rows, Failure> {
        let cell = &self.tables[table as usize];
        if let Some(rows) = cell.get() {
            return Ok(rows);
        }
        let rows = self.transaction.open_table(definition(table)).map_err(|error| self.failure(&error))?;
        Ok(cell.get_or_init(|| rows))
    }

    /// Whether there is such a table.
    pub(super) fn has(&self, table: Table) -> Result<bool, Failure> {
        match self.transaction.open_table(definition(table)) {
            Ok(_) => Ok(true),
            Err(TableError::Storage(error)) => Err(self.failure(&error)),
            Err(_) => Ok(false),
        }
    }

    /// One row.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let rows = self.table(table)?;
        let found = rows.get(key).map_err(|error| self.failure(&error))?;
        Ok(found.map(|row| row.value().to_vec()))
    }

    /// Visits rows from the first key to the last until told to stop.
    pub(super) fn each(
        &self,
        table: Table,
        keys: RangeInclusive<&[u8]>,
        visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        let rows = self.table(table)?;
        let range = rows.range::<&[u8]>(keys).map_err(|error| self.failure(&error))?;
        self.visit(range, visit)
    }

    /// As [`Self::each`], from the last key to the first.
    pub(super) fn each_backwards(
        &self,
        table: Table,
        keys: RangeInclusive<&[u8]>,
        visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        let rows = self.table(table)?;
        let range = rows.range::<&[u8]>(keys).map_err(|error| self.failure(&error))?;
        self.visit(range.rev(), visit)
    }

    /// Visits all rows of a table.
    pub(super) fn all(
        &self,
        table: Table,
        visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        let rows = self.table(table)?;
        let range = rows.range::<&[u8]>(..).map_err(|error| self.failure(&error))?;
        self.visit(range, visit)
    }

    fn visit<'r>(
        &self,
        rows: impl Iterator<Item = Result<Row<'r>, StorageError>>,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        for row in rows {
            let (key, value) = row.map_err(|error| self.failure(&error))?;
            if visit(key.value(), value.value())?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Whether the writer waits for this view to end.
    pub(super) fn is_unwanted(&self) -> bool {
        self.database.leave.load(Ordering::Relaxed)
    }

    fn failure(&self, error: &dyn std::error::Error) -> Failure {
        self.database.failure(error)
    }
}

type Rows = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;
type Row<'r> = (redb::AccessGuard<'r, &'static [u8]>, redb::AccessGuard<'r, &'static [u8]>);

impl From<Damaged> for Failure {
    fn from(_: Damaged) -> Self {
        Self::Other("a row of the database is damaged; restore a backup".to_owned())
    }
}

/// Applies changes that were read from a journal.
pub(super) fn collect<'a>(changes: impl Iterator<Item = Change<'a>>) -> Changes {
    let mut collected = Changes::default();
    for (table, key, value) in changes {
        match value {
            Some(value) => collected.put(table, key, value),
            None => collected.delete(table, key),
        }
    }
    collected
}
