//! The rows that concern the whole store.

use super::changes::{Changes, Table};
use super::database::View;
use super::failure::Failure;
use super::record;

/// Of the layout of tables and rows; a store of a later version is refused. Format 1 had no table of what processes have
/// sent: their keys were among those of applications, where they are found until they end.
pub(super) const VERSION: u64 = 2;
/// The oldest that is read, and made one of this version by that.
pub(super) const OLDEST: u64 = 1;

pub(super) const FORMAT: &[u8] = b"format";
pub(super) const EPOCH: &[u8] = b"epoch";
pub(super) const COUNTERS: &[u8] = b"counters";
/// There while a process has the store open.
pub(super) const RUNNING: &[u8] = b"running";
/// There in a backup until it is opened.
pub(super) const BACKUP: &[u8] = b"backup";

/// One run of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Tells its journal from that of another.
    pub(super) life: u64,
    /// It acknowledged what was not synced.
    pub(super) is_unsynced: bool,
    /// The machine's run, if known.
    pub(super) boot: Option<String>,
}

impl Run {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = record::numbers([self.life, u64::from(self.is_unsynced)]);
        bytes.extend_from_slice(self.boot.as_deref().unwrap_or_default().as_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Self, record::Damaged> {
        let [life, is_unsynced] = record::parse_numbers(bytes)?;
        let boot = String::from_utf8(bytes[16..].to_vec()).map_err(|_| record::Damaged)?;
        Ok(Self { life, is_unsynced: is_unsynced != 0, boot: (!boot.is_empty()).then_some(boot) })
    }
}

/// What a store says of its past when it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) epoch: Box<str>,
    pub(super) is_backup: bool,
    /// The run that did not end cleanly.
    pub(super) unclean: Option<Run>,
}

impl Past {
    pub(super) fn load(view: &View<'_>) -> Result<Self, Failure> {
        let epoch = view.get(Table::Meta, EPOCH)?.ok_or(record::Damaged)?;
        let unclean = view.get(Table::Meta, RUNNING)?.map(|bytes| Run::parse(&bytes)).transpose()?;
        Ok(Self {
            epoch: String::from_utf8(epoch).map_err(|_| record::Damaged)?.into(),
            is_backup: view.get(Table::Meta, BACKUP)?.is_some(),
            unclean,
        })
    }
}

/// What a store begins with.
pub(super) fn create(changes: &mut Changes, epoch: &str, counters: &[u8]) {
    changes.put(Table::Meta, FORMAT, &record::numbers([VERSION]));
    changes.put(Table::Meta, EPOCH, epoch.as_bytes());
    changes.put(Table::Meta, COUNTERS, counters);
}

/// What a run begins with.
pub(super) fn begin(changes: &mut Changes, epoch: &str, run: &Run) {
    changes.put(Table::Meta, FORMAT, &record::numbers([VERSION]));
    changes.put(Table::Meta, EPOCH, epoch.as_bytes());
    changes.put(Table::Meta, RUNNING, &run.to_bytes());
    changes.delete(Table::Meta, BACKUP);
}
