//! Bad input: one test for each row of the tables in `docs/protocol.md`, which each test names by the row's beginning
//! (`// docs: …`). `tests/manual.rs` checks that none is missing.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod command;
mod frame;
mod request;
#[path = "../support/mod.rs"]
mod support;
