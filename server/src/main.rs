//! The `realtime-server` program: arguments in, one call into the library, an exit code out.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

/// Gives memory back after bursts: glibc keeps 15 KB for each of 10,000 overlapping handshakes for good. Its settings
/// are in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::run()
}
