//! A browser's commands, through its session.

use std::sync::LazyLock;

use realtime_protocol::{CloseCode, Target};
use serde::de::IgnoredAny;

use super::{check_answer, policy, trusted};
use crate::policy::Policy;
use crate::session::{Action, Author, Now, Session};

/// Rules of every kind, and an allowance that is never used up.
const RULES: &str = r#"
    dev = true
    insecure_identity = true
    commands_per_second = 1000000
    command_burst = 1000000
    subscriptions_per_second = 0
    publications_per_second = 0
    per_user.commands_per_second = 0
    tokens.secret = "0123456789abcdef0123456789abcdef"
    channels = [
        { pattern = "user:{user}:*", subscribe = "user" },
        { pattern = "room-*", subscribe = "user" },
        { pattern = "none", subscribe = "nobody" },
        { pattern = "wall", subscribe = "anyone", publish = "anyone" },
    ]
"#;

/// Each line is one text message of one connection.
pub fn client(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    static POLICY: LazyLock<Policy> = LazyLock::new(|| policy(&trusted(RULES)));
    let now = Now::read();
    for is_publisher in [false, true] {
        let grant = POLICY.grants.dev().filter(|_| is_publisher);
        let mut session = Session::new(grant.cloned(), None);
        for line in text.lines() {
            session.on_text(now, line, &POLICY, &mut |action| check(line, is_publisher, action));
        }
    }
}

fn check(line: &str, is_publisher: bool, action: Action<'_>) {
    match action {
        Action::Reply(text) => check_answer(&text),
        Action::Publish { publish, by, .. } => {
            let is_wall = matches!(&publish.target, Target::Channel(channel) if channel.as_str() == "wall");
            assert!(is_publisher || is_wall, "a browser publishes where it may not");
            assert!(is_publisher || matches!(by, Author::Client { .. }), "a browser passes for a publisher");
            let data = publish.data.get();
            assert!(line.as_bytes().as_ptr_range().contains(&data.as_ptr()), "data was copied");
            assert!(serde_json::from_str::<IgnoredAny>(data).is_ok(), "{data:?} is no JSON");
        }
        Action::Subscribe { subscribe, .. } => {
            let name = subscribe.channel.as_str();
            assert!(is_publisher || !matches!(name, "none"), "a rule does not count");
            assert!(is_publisher || !name.starts_with("private-"), "a protected channel is open");
        }
        // A refused token ends who has shown none before.
        Action::Close(code) => assert_eq!(code, CloseCode::Unauthorized),
        Action::Unsubscribe { .. } | Action::Identify { .. } | Action::Ask { .. } => {}
        Action::Expel { .. } | Action::HideMembers(_) | Action::RefusedToken(_) | Action::Review => {}
    }
}
