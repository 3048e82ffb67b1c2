//! A browser's commands, through its session.

use std::sync::LazyLock;
use std::time::Instant;

use serde::de::IgnoredAny;

use super::{check_answer, trusted};
use crate::policy::Policy;
use crate::session::{Action, Session};

/// Rules of every kind, and an allowance that is never used up.
const RULES: &str = r#"
    insecure_identity = true
    commands_per_second = 1000000
    command_burst = 1000000
    channels = [
        { pattern = "user:{user}:*", subscribe = "user" },
        { pattern = "room-*", subscribe = "user" },
        { pattern = "none", subscribe = "nobody" },
    ]
"#;

/// Each line is one text message of one connection.
pub fn client(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy::new(&trusted(RULES)));
    let now = Instant::now();
    for is_publisher in [false, true] {
        let mut session = Session::new(is_publisher);
        for line in text.lines() {
            session.on_text(now, line, &POLICY, &mut |action| check(line, is_publisher, action));
        }
    }
}

fn check(line: &str, is_publisher: bool, action: Action<'_>) {
    match action {
        Action::Reply(text) => check_answer(&text),
        Action::Publish { publish, .. } => {
            assert!(is_publisher, "a browser publishes");
            let data = publish.data.get();
            assert!(line.as_bytes().as_ptr_range().contains(&data.as_ptr()), "data was copied");
            assert!(serde_json::from_str::<IgnoredAny>(data).is_ok(), "{data:?} is no JSON");
        }
        Action::Subscribe { subscribe, .. } => {
            let name = subscribe.channel.as_str();
            assert!(is_publisher || !matches!(name, "none"), "a rule does not count");
            assert!(is_publisher || !name.starts_with("private-"), "a protected channel is open");
        }
        Action::Close(code) => panic!("closed with {code:?}, though the allowance is endless"),
        Action::Unsubscribe { .. } | Action::Identify { .. } | Action::Ask { .. } => {}
    }
}
