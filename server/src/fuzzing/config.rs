//! The configuration file.

use realtime_protocol::PUBLISHER_KEY_PREFIX;

use super::policy;
use crate::config::{Config, Loaded, load_text};
use crate::token::TokenConfig;

/// The text of a configuration file.
pub fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // These keys name files that are read; which ones there are is no matter of the text.
    if text.contains("file") || text.contains("tls_") {
        return;
    }
    match load_text(text) {
        Err(mistakes) => {
            let told = mistakes.to_string();
            assert!(!told.is_empty(), "refused without a reason");
            assert!(!shows_a_key(&told), "a mistake shows a key: {told}");
        }
        Ok(loaded) => check(&loaded),
    }
}

/// What was taken is shown as a file that sets the same.
fn check(loaded: &Loaded) {
    drop(policy(&loaded.config));
    let shown = loaded.effective();
    assert!(!shown.lines().any(|line| line.starts_with("publisher_key =")), "a key is shown: {shown}");
    match load_text(&shown) {
        Ok(again) => assert_eq!(values(&again.config), values(&loaded.config), "shown as:\n{shown}"),
        Err(mistakes) => panic!("what is shown is refused: {mistakes}\n{shown}"),
    }
}

/// Every value but the secrets, which are not shown.
fn values(config: &Config) -> String {
    let tokens = TokenConfig { keys: Vec::new(), required: false, ..config.tokens.clone() };
    format!("{:?}", Config { publisher_key: None, publishers: Vec::new(), tokens, ..config.clone() })
}

fn shows_a_key(text: &str) -> bool {
    let is_key = |rest: &str| rest.len() >= 43 && rest.bytes().take(43).all(|byte| byte.is_ascii_alphanumeric());
    text.split(PUBLISHER_KEY_PREFIX).skip(1).any(is_key)
}
