//! How many connections can there be?

use std::fs;

use nix::sys::resource::{Resource, getrlimit};

use super::Finding;

/// Files that the server keeps back for publishers, health checks and itself.
const KEPT_BACK: u64 = 64;
/// Fewer connections than this are likely to run out.
const ENOUGH: u64 = 10_000;

/// The limit of the running server `pid`; without one, the limit of what would be started from here.
pub(super) fn check(pid: Option<i32>) -> Finding {
    let of_server =
        pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/limits")).ok()).and_then(|text| soft(&text));
    let (limit, whose) = match of_server {
        Some(limit) => (limit, "the running server"),
        // `start` raises the soft limit to the hard one.
        None => match getrlimit(Resource::RLIMIT_NOFILE) {
            Ok((_, hard)) => (hard, "a server started from here"),
            Err(error) => {
                return Finding::bad(format!("the limit on open files is unknown: {error}"), "run doctor as root");
            }
        },
    };
    judge(limit, whose)
}

fn judge(limit: u64, whose: &str) -> Finding {
    let connections = limit.saturating_sub(KEPT_BACK);
    let what = format!("{whose} may have {limit} open files, enough for {connections} connections");
    if connections >= ENOUGH {
        return Finding::Good(what);
    }
    Finding::bad(
        what,
        "raise it: LimitNOFILE=1048576 in the systemd unit, or nofile in /etc/security/limits.conf, and restart the server",
    )
}

/// The soft limit on open files in `/proc/PID/limits`.
fn soft(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_understood() {
        let table = "Limit                     Soft Limit           Hard Limit           Units\n\
                     Max processes             96283                96283                processes\n\
                     Max open files            1024                 524288               files\n";
        assert_eq!(soft(table), Some(1024));
        assert_eq!(soft(""), None);
        assert!(soft(&fs::read_to_string("/proc/self/limits").unwrap()).is_some());
    }

    #[test]
    fn few_files_are_a_failure_with_a_mend() {
        assert!(matches!(judge(1024, "it"), Finding::Bad { mend, .. } if mend.contains("LimitNOFILE")));
        assert_eq!(
            judge(20_064, "it"),
            Finding::Good("it may have 20064 open files, enough for 20000 connections".into())
        );
    }
}
