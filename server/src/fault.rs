//! Named moments at which a test ends the process or holds a thread, and a disk that fails. There only with the feature
//! `fault-points`, which the crate's own tests turn on; without it nothing of this is in the program.

/// A moment at which a crash or a pause is interesting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A group's retries are found and its offsets given out; nothing is written.
    AfterDedup,
    /// Half of the group is in the transaction.
    MidTransaction,
    /// All of it is written, nothing synced.
    BeforeSync,
    /// All of it is synced.
    AfterSync,
    /// One shard has a publication in its inbox, and the next one not yet.
    BetweenInboxes,
    /// A publication or group is visible, and no publisher was told.
    BeforeAck,
    /// The kernel has taken a part of a frame.
    MidFrame,
    /// A subscriber's place is decided, and the subscriber not yet registered.
    InCut,
}

#[cfg(not(feature = "fault-points"))]
mod off {
    use std::io;
    use std::path::Path;

    use super::Point;

    /// Nothing.
    #[inline(always)]
    pub fn reach(_point: Point) {}

    /// Nothing.
    #[inline(always)]
    pub fn sync(_path: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "fault-points")]
mod on {
    use std::cell::RefCell;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Mutex, OnceLock, PoisonError};

    use super::Point;

    /// Where this process is to end, as in `BetweenInboxes:3`: when it comes there for the third time.
    const VARIABLE: &str = "FAULT_POINT";

    /// What a thread does at a point.
    type Hook = Box<dyn Fn()>;

    thread_local! {
        static HOOK: RefCell<Option<(Point, Hook)>> = const { RefCell::new(None) };
    }

    static END: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();

    fn end() -> Option<(String, AtomicU64)> {
        let value = std::env::var(VARIABLE).ok()?;
        let (name, times) = value.split_once(':')?;
        Some((name.to_owned(), AtomicU64::new(times.parse().ok()?)))
    }

    /// Ends the process, or calls what [`on_this_thread`] has set, if this is the point.
    pub fn reach(point: Point) {
        if let Some((name, left)) = END.get_or_init(end)
            && *name == format!("{point:?}")
            && left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            std::process::abort();
        }
        HOOK.with_borrow(|hook| match hook {
            Some((at, hook)) if *at == point => hook(),
            _ => {}
        });
    }

    /// Calls `hook` whenever this thread comes to a point.
    pub fn on_this_thread(point: Point, hook: impl Fn() + 'static) {
        HOOK.set(Some((point, Box::new(hook))));
    }

    /// Directories of which the disk does not keep what was written.
    static FAILING: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

    /// From now on no file of a directory can be synced; or they can again.
    pub fn fail_syncs(directory: &Path, fail: bool) {
        let mut failing = FAILING.lock().unwrap_or_else(PoisonError::into_inner);
        failing.retain(|known| known != directory);
        failing.extend(fail.then(|| directory.to_owned()));
    }

    /// Whether a file may be synced.
    pub fn sync(path: &Path) -> io::Result<()> {
        let failing = FAILING.lock().unwrap_or_else(PoisonError::into_inner);
        if failing.iter().any(|directory| path.parent() == Some(directory)) {
            // EIO, 5 on every Linux.
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }
}

#[cfg(not(feature = "fault-points"))]
pub use self::off::{reach, sync};
#[cfg(feature = "fault-points")]
pub use self::on::{fail_syncs, on_this_thread, reach, sync};
