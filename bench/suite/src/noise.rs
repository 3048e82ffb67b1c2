//! How much others used the machine while something was measured.

use std::fs;
use std::io;
use std::time::Instant;

use wsload::account;

/// A stretch of time.
pub(crate) struct Noise {
    start: Instant,
    busy: u64,
    own: u64,
}

impl Noise {
    /// It begins.
    pub(crate) fn begin() -> io::Result<Self> {
        Ok(Self { start: Instant::now(), busy: account::machine_busy()?, own: own()? })
    }

    /// It ends: the share of all cores that neither this process used nor those that it started and that have ended.
    pub(crate) fn end(self, cores: usize) -> io::Result<f64> {
        let others = (account::machine_busy()? - self.busy).saturating_sub(own()? - self.own);
        Ok(others as f64 / self.start.elapsed().as_nanos() as f64 / cores as f64)
    }
}

/// CPU time of this process and of the children that it waited for, nanoseconds.
fn own() -> io::Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // After the name in parentheses: state is field 3; utime, stime, cutime and cstime are 14 to 17 (proc(5)).
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second())
}
