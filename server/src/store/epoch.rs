//! When a store begins another epoch: when an offset that somebody has seen might be given out again.

use super::meta::Past;

/// Why the epoch is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Break {
    /// A backup was put in place; what came after it is gone.
    Restored,
    /// A sync failed: the disk may hold something else than was read back.
    SyncFailed,
    /// The machine stopped while something was acknowledged and not synced.
    MachineStopped,
}

impl std::fmt::Display for Break {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Restored => "a backup was restored",
            Self::SyncFailed => "a sync failed in the run before",
            Self::MachineStopped => "the machine stopped before everything was synced",
        })
    }
}

/// Whether the machine has run on since then. Where that cannot be known it counts as stopped.
pub(super) fn is_same_boot(then: Option<&str>, now: Option<&str>) -> bool {
    then.is_some() && then == now
}

/// Whether this start breaks with the past.
pub(super) fn decide(past: &Past, sync_failed: bool, boot: Option<&str>) -> Option<Break> {
    if past.is_backup {
        return Some(Break::Restored);
    }
    if sync_failed {
        return Some(Break::SyncFailed);
    }
    let run = past.unclean.as_ref()?;
    (run.is_unsynced && !is_same_boot(run.boot.as_deref(), boot)).then_some(Break::MachineStopped)
}

#[cfg(test)]
mod tests {
    use super::super::meta::Run;
    use super::*;

    fn past(is_backup: bool, unclean: Option<(bool, Option<&str>)>) -> Past {
        let run = |(is_unsynced, boot): (bool, Option<&str>)| Run { life: 1, is_unsynced, boot: boot.map(Into::into) };
        Past { epoch: "e".into(), is_backup, unclean: unclean.map(run) }
    }

    #[test]
    fn only_what_may_have_lost_something_breaks_with_the_past() {
        let (always, interval) = (false, true);
        for (past, sync_failed, boot, expected) in [
            (past(false, None), false, Some("b"), None),
            (past(false, Some((always, Some("a")))), false, Some("b"), None),
            (past(false, Some((interval, Some("b")))), false, Some("b"), None),
            (past(false, Some((interval, Some("a")))), false, Some("b"), Some(Break::MachineStopped)),
            (past(false, Some((interval, None))), false, None, Some(Break::MachineStopped)),
            (past(false, None), true, Some("b"), Some(Break::SyncFailed)),
            (past(true, None), false, Some("b"), Some(Break::Restored)),
        ] {
            assert_eq!(decide(&past, sync_failed, boot), expected, "{past:?}, {sync_failed}, {boot:?}");
        }
    }
}
