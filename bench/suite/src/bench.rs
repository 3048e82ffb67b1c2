//! What all scenarios share: where the programs are, which cores to use, and how large the work is.

use std::path::PathBuf;
use std::time::Duration;

/// Time without progress after which a scenario is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Connections being opened at a time.
pub(crate) const OPENING: usize = 200;
/// The core of the servers; the load is made on [`LOAD_CORE`].
pub(crate) const SERVER_CORE: usize = 0;
/// The core of the load generator.
pub(crate) const LOAD_CORE: usize = 1;

/// The setting of every row.
pub(crate) struct Bench {
    /// Our server's binary.
    pub(crate) server: PathBuf,
    /// The yardstick's binary.
    pub(crate) limit: PathBuf,
    /// Logs and configurations of servers under test.
    pub(crate) scratch: PathBuf,
    /// Only show that everything works: small work, one round, no conclusions.
    pub(crate) quick: bool,
}

impl Bench {
    /// The size of some work: as the row says, or small.
    pub(crate) fn size(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// A time to wait: as the row says, or short.
    pub(crate) fn time(&self, full: Duration) -> Duration {
        if self.quick { full / 10 } else { full }
    }
}
