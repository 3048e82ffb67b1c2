//! The program as an operator uses it: arguments, exit codes, output, signals.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod abuse;
mod backup;
mod check_config;
mod doctor;
mod doctor_tokens;
mod program;
mod reload;
mod start;
mod talk;
mod talk_tls;
mod tls;
mod token;
