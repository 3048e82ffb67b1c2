//! Redis: pub/sub to subscribers on plain TCP, without any handshake.

use std::process::Command;

use wsload::{Dialect, Publish, Subscribe};

use super::{Ready, Subject, free_port, in_path, spawn};
use crate::bench::Bench;
use crate::error::SuiteError;

pub(super) fn installed() -> bool {
    in_path("redis-server")
}

pub(super) fn dialect(channels: usize) -> Dialect {
    Dialect {
        subscribe: Subscribe::Redis,
        publish: Publish::Redis,
        template: "{p}".to_owned(),
        channel: "bench".to_owned(),
        channels,
    }
}

/// Nothing is stored. Protected mode would refuse all of 127.0.0.0/8 but 127.0.0.1.
pub(super) fn start(bench: &Bench) -> Result<Subject, SuiteError> {
    let address = free_port()?;
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--protected-mode", "no"]);
    command.args(["--save", "", "--appendonly", "no", "--maxclients", "19000"]);
    command.arg("--dir").arg(&bench.scratch);
    spawn(bench, "Redis", &command, &Ready::Port(address))
}
