//! A consistent copy while the store goes on: one snapshot, written to a database of its own.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::changes::{Changes, Table};
use super::database::{Database, View};
use super::failure::Failure;
use super::meta;

/// Bytes copied in one transaction.
const SLICE: usize = 8 << 20;

/// Why there is no backup.
#[derive(Debug)]
pub enum BackupError {
    /// There is such a file.
    Exists(PathBuf),
    /// The store had to be opened anew meanwhile.
    Interrupted,
    /// The copy could not be written or the store not be read; says why.
    Failed(PathBuf, String),
}

impl std::fmt::Display for BackupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exists(path) => {
                write!(f, "{}: is there already; remove it or choose another name", path.display())
            }
            Self::Interrupted => f.write_str("the store had to be opened anew during the backup; try again"),
            Self::Failed(path, why) => write!(f, "{}: no backup: {why}", path.display()),
        }
    }
}

impl std::error::Error for BackupError {}

/// Copies what is committed. The file gets its name when it is whole.
pub(super) fn copy(database: &Database, to: &Path) -> Result<(), BackupError> {
    let failed = |error: io::Error| BackupError::Failed(to.to_owned(), error.to_string());
    let environment = &database.environment;
    if environment.exists(to).map_err(failed)? {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let mut unfinished = to.as_os_str().to_owned();
    unfinished.push(".part");
    let unfinished = PathBuf::from(unfinished);
    if environment.exists(&unfinished).map_err(failed)? {
        environment.remove(&unfinished).map_err(failed)?;
    }
    let copied = copy_to(database, unfinished.clone());
    if copied.is_err() {
        // What is left of it is of no use, and the error tells more than a second one would.
        let _ = environment.remove(&unfinished);
    }
    match copied {
        Ok(()) => environment.rename(&unfinished, to).map_err(failed),
        Err(None) => Err(BackupError::Interrupted),
        Err(Some(failure)) => Err(BackupError::Failed(to.to_owned(), failure.to_string())),
    }
}

/// `Err(None)`: interrupted.
fn copy_to(database: &Database, path: PathBuf) -> Result<(), Option<Failure>> {
    let view = database.view()?;
    let copy = Database::open(path, database.environment.clone(), None, false)
        .map_err(|error| Failure::Other(error.to_string()))?;
    let mut mark = Changes::default();
    mark.put(Table::Meta, meta::BACKUP, &[]);
    copy.create_tables(&mark)?;
    for table in Table::ALL {
        copy_table(&view, &copy, table)?;
    }
    Ok(copy.close()?)
}

fn copy_table(view: &View<'_>, copy: &Database, table: Table) -> Result<(), Option<Failure>> {
    let mut slice = Changes::default();
    let mut is_interrupted = false;
    view.all(table, |key, value| {
        if view.is_unwanted() {
            is_interrupted = true;
            return Ok(ControlFlow::Break(()));
        }
        // Nobody runs the copy.
        if table != Table::Meta || key != meta::RUNNING {
            slice.put(table, key, value);
        }
        if slice.as_bytes().len() >= SLICE {
            copy.commit(&std::mem::take(&mut slice))?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    copy.commit(&slice)?;
    if is_interrupted { Err(None) } else { Ok(()) }
}
