//! What is fuzzed: each function takes arbitrary bytes, and panics when what comes of them is not as promised.
//!
//! `fuzz/` runs them under libFuzzer, and `tests/corpus.rs` runs them over what that has found.

mod body;
mod client;
mod config;
mod frames;
mod node;
mod publisher;
mod token;

pub use self::body::body;
pub use self::client::client;
pub use self::config::config;
pub use self::frames::frames;
pub use self::publisher::publisher;
pub use self::token::token;

use std::sync::Arc;

use crate::config::{Config, load_text};
use crate::policy::Policy;
use crate::token::Revocations;

/// What is fuzzed with arbitrary bytes.
pub type Target = fn(&[u8]);

/// A target by its name, as in `fuzz/fuzz_targets/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("frames", frames),
    ("client", client),
    ("publisher", publisher),
    ("body", body),
    ("config", config),
    ("token", token),
];

/// An answer is one JSON text with a type.
fn check_answer(text: &str) {
    #[derive(serde::Deserialize)]
    struct Answer<'a> {
        #[serde(borrow, rename = "type")]
        _kind: std::borrow::Cow<'a, str>,
    }
    let read = serde_json::from_str::<Answer<'_>>(text);
    assert!(read.is_ok(), "{text:?} is no answer: {:?}", read.err());
}

/// The policy of a configuration.
fn policy(config: &Config) -> Policy {
    Policy::new(config, &Arc::new(Revocations::new(config.tokens.max_ttl)), None)
}

/// The configuration in a text of ours.
fn trusted(text: &str) -> Config {
    load_text(text).unwrap_or_else(|mistakes| panic!("{mistakes}")).config
}
