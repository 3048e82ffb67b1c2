//! The yardstick.

use std::process::Command;

use wsload::{Dialect, Publish, Subscribe, Upgrade};

use super::{Ready, Subject, ours, spawn};
use crate::bench::Bench;
use crate::error::SuiteError;

/// It relays what it is given: the same bytes as our server's publications.
pub(super) fn dialect() -> Dialect {
    let upgrade = Upgrade { path: "/".to_owned(), ..Upgrade::default() };
    Dialect {
        subscribe: Subscribe::WebSocket(upgrade.clone()),
        publish: Publish::WebSocket(upgrade),
        ..ours::dialect(1)
    }
}

pub(super) fn start(bench: &Bench, uring: bool) -> Result<Subject, SuiteError> {
    let mut command = Command::new(&bench.limit);
    command.arg("127.0.0.1:0").args(uring.then_some("--uring"));
    spawn(bench, "limit", &command, &Ready::Log)
}
