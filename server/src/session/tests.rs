use std::time::Duration;

use super::*;
use crate::config::Config;
use crate::token::{TokenConfig, TokenKey};

fn publisher() -> Option<Arc<Grant>> {
    let config = Config { dev: true, ..Config::default() };
    crate::policy::of(&config).grants.dev().cloned()
}

fn said(session: &mut Session, config: &Config, text: &str) -> Vec<String> {
    let mut seen = Vec::new();
    session.on_text(Now::read(), text, &crate::policy::of(config), &mut |action| seen.push(format!("{action:?}")));
    seen
}

#[test]
fn a_claimed_user_counts_only_under_insecure_identity() {
    let text = r#"{"action":"register","userId":42,"channels":["a",""]}"#;
    let safe = said(&mut Session::new(None, None), &Config::default(), text);
    assert!(safe[0].contains(r#"\"user\":null"#), "{safe:?}");
    assert!(safe[1].starts_with("Subscribe"), "{safe:?}");
    assert!(safe[2].contains("invalid_name"), "{safe:?}");
    let config = Config { insecure_identity: true, ..Config::default() };
    let mut session = Session::new(None, None);
    assert!(said(&mut session, &config, text)[0].contains(r#"UserId("42")"#));
    let other = said(&mut session, &config, r#"{"action":"register","userId":"43","channels":["a"]}"#);
    assert!(other.len() == 1 && other[0].contains("forbidden"), "{other:?}");
}

#[test]
fn only_who_authenticated_as_a_publisher_may_publish() {
    let text = r#"{"type":"broadcast_update","id":1,"channel":"a","data":1}"#;
    let refused = said(&mut Session::new(None, None), &Config::default(), text);
    assert!(refused[0].contains("unauthorized") && refused[0].contains("/publisher"), "{refused:?}");
    assert!(said(&mut Session::new(publisher(), None), &Config::default(), text)[0].starts_with("Publish"));
}

#[test]
fn who_was_to_show_a_token_stays_when_none_is_needed_any_more() {
    let tokens = |required| {
        let keys = vec![TokenKey::from_secret(None, &[7; 32]).unwrap()];
        Config { tokens: TokenConfig { keys, required, ..TokenConfig::default() }, ..Config::default() }
    };
    for (is_still_needed, said) in [(false, 0), (true, 2)] {
        let (mut session, now, mut seen) = (Session::new(None, None), Now::read(), Vec::new());
        let patience = Duration::from_secs(5);
        session.begin(now, None, &crate::policy::of(&tokens(true)), patience, &mut |action| {
            panic!("{action:?}");
        });
        assert_eq!(session.next_deadline(now), Some(patience));
        let later = Now { instant: now.instant + patience, ..now };
        session.on_time(later, &crate::policy::of(&tokens(is_still_needed)), &mut |action| {
            seen.push(format!("{action:?}"));
        });
        assert_eq!(seen.len(), said, "{seen:?}");
        assert_eq!(session.next_deadline(later), None);
    }
}

#[test]
fn who_authenticated_as_a_publisher_may_look_on_anywhere() {
    let text = r#"{"type":"subscribe","channel":"private-x"}"#;
    assert!(said(&mut Session::new(None, None), &Config::default(), text)[0].contains("forbidden"));
    assert!(said(&mut Session::new(publisher(), None), &Config::default(), text)[0].starts_with("Subscribe"));
}
