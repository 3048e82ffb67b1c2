//! What goes wrong below the store, by what is to be done about it.

use std::io;
use std::sync::{Mutex, PoisonError};

/// Why a step of the store failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No room; it may be had again.
    Full,
    /// What is on the disk is not known any more: nothing may be written until a restart has looked.
    Lost(String),
    /// Anything else; the next attempt may succeed.
    Other(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::Full,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full => f.write_str("no space left"),
            Self::Lost(why) | Self::Other(why) => f.write_str(why),
        }
    }
}

/// What the backend has seen fail. The database reports only that something did, and after the first time not even
/// what, while all depends on whether it was a sync.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Option<Failure>>);

impl Health {
    /// Keeps the first failure; a lost sync outweighs all.
    pub(super) fn note(&self, failure: Failure) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.is_none() || matches!(failure, Failure::Lost(_)) {
            *noted = Some(failure);
        }
    }

    /// The failure, if there was one.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets what a new look at the file makes good.
    pub(super) fn reset(&self) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*noted, Some(Failure::Lost(_))) {
            *noted = None;
        }
    }
}
