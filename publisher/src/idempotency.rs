//! Idempotency keys: what lets a broadcast be sent again without being delivered twice.

use std::fmt::{self, Write};

/// Longest key of an application, bytes.
const MAX_KEY: usize = 200;
/// What the keys that we make begin with. The server remembers the last counters of each prefix, and no ttl.
const MADE: char = '~';
/// Random bytes in a prefix.
const RANDOM: usize = 16;
/// The characters of base64url (RFC 4648, §5).
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Why an application's key was refused. The text completes "the key …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRefusal {
    /// No or too many bytes.
    Length,
    /// A control character.
    Control,
    /// It looks like one that was made here, and was not.
    Reserved,
}

impl fmt::Display for KeyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "must have between 1 and {MAX_KEY} bytes"),
            Self::Control => f.write_str("must not contain control characters"),
            Self::Reserved => f.write_str(
                "must not begin with ~, which marks keys that the extension makes, unless this process has made it",
            ),
        }
    }
}

impl std::error::Error for KeyRefusal {}

/// Where the keys of one process come from: a random prefix and a counter. A fork needs a new one, else two processes
/// would make equal keys.
pub(crate) struct Keys {
    prefix: String,
    made: u64,
}

impl Keys {
    pub(crate) fn new() -> Self {
        let mut random = [0; RANDOM];
        getrandom::fill(&mut random).expect("every system that PHP runs on has a source of random bytes");
        let mut prefix = String::with_capacity(24);
        prefix.push(MADE);
        push_base64url(&mut prefix, &random);
        prefix.push('.');
        Self { prefix, made: 0 }
    }

    /// Appends a new key, which needs no escaping in JSON.
    pub(crate) fn push_next(&mut self, text: &mut String) {
        self.made += 1;
        text.push_str(&self.prefix);
        // Writing to a string cannot fail.
        let _ = write!(text, "{}", self.made);
    }

    /// Checks a key that the application gives. One of ours is taken only if we made it: that is how a broadcast without
    /// an acknowledgement is repeated, with the key that its exception tells.
    pub(crate) fn check(&self, key: &str) -> Result<(), KeyRefusal> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(KeyRefusal::Length);
        }
        if key.chars().any(char::is_control) {
            return Err(KeyRefusal::Control);
        }
        if key.starts_with(MADE) && !self.has_made(key) {
            return Err(KeyRefusal::Reserved);
        }
        Ok(())
    }

    fn has_made(&self, key: &str) -> bool {
        let counter = key.strip_prefix(self.prefix.as_str()).and_then(|counter| counter.parse::<u64>().ok());
        counter.is_some_and(|counter| {
            (1..=self.made).contains(&counter) && key.len() == self.prefix.len() + counter.to_string().len()
        })
    }
}

/// Without padding.
fn push_base64url(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0, |group, &byte| group << 8 | usize::from(byte)) << (8 * (3 - chunk.len()));
        for i in 0..=chunk.len() {
            text.push(char::from(ALPHABET[group >> (18 - 6 * i) & 63]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(keys: &mut Keys) -> String {
        let mut text = String::new();
        keys.push_next(&mut text);
        text
    }

    #[test]
    fn keys_are_a_random_prefix_and_a_counter() {
        let (mut one, mut other) = (Keys::new(), Keys::new());
        let first = next(&mut one);
        let (prefix, counter) = first.split_once('.').unwrap();
        assert_eq!((prefix.len(), counter), (23, "1"));
        assert!(prefix[1..].bytes().all(|byte| ALPHABET.contains(&byte)));
        assert_eq!(next(&mut one), format!("{prefix}.2"));
        assert_ne!(next(&mut other), first);
    }

    #[test]
    fn base64url_is_that_of_the_rfc() {
        for (bytes, expected) in
            [(&b""[..], ""), (b"a", "YQ"), (b"ab", "YWI"), (b"abc", "YWJj"), (b"\xff\xef\xbe", "_---")]
        {
            let mut text = String::new();
            push_base64url(&mut text, bytes);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn an_application_gives_keys_of_its_own_or_repeats_ours() {
        let mut keys = Keys::new();
        let made = next(&mut keys);
        let (prefix, _) = made.split_once('.').unwrap();
        for key in ["x", "order 42: paid", "ü", &"x".repeat(MAX_KEY), &made] {
            assert_eq!(keys.check(key), Ok(()), "{key:?}");
        }
        for (key, refusal) in [
            ("", KeyRefusal::Length),
            (&*"x".repeat(MAX_KEY + 1), KeyRefusal::Length),
            ("a\nb", KeyRefusal::Control),
            ("a\u{85}", KeyRefusal::Control),
            ("~", KeyRefusal::Reserved),
            ("~x.1", KeyRefusal::Reserved),
            (&format!("{prefix}.2"), KeyRefusal::Reserved),
            (&format!("{prefix}.01"), KeyRefusal::Reserved),
            (&format!("{prefix}.+1"), KeyRefusal::Reserved),
            (&next(&mut Keys::new()), KeyRefusal::Reserved),
        ] {
            assert_eq!(keys.check(key), Err(refusal), "{key:?}");
        }
    }
}
