//! Why a benchmark could not be made.

use std::io;

use wsload::LoadError;

/// Every cause, with what was being done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SuiteError {
    /// A system call or a file.
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    /// A server did not come up; the end of its log.
    #[error("{name} did not start: {log}")]
    Start { name: &'static str, log: String },
    /// The load could not be made.
    #[error("load on {name}: {source}")]
    Load { name: &'static str, source: LoadError },
    /// What the row needs is not installed.
    #[error("{0} is not installed")]
    Missing(&'static str),
    /// The command line asks for something that does not exist.
    #[error("there is no row {0}; --list shows them")]
    NoSuchRow(String),
    /// Rows failed; each was reported.
    #[error("{0} rows failed")]
    Failed(usize),
    /// The results of an earlier run cannot be read.
    #[error("{path}: {source}")]
    Results { path: String, source: serde_json::Error },
}

impl SuiteError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what.into(), source }
    }

    pub(crate) fn load(name: &'static str) -> impl FnOnce(LoadError) -> Self {
        move |source| Self::Load { name, source }
    }
}
