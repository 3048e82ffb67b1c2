use super::*;
use crate::rules::Pattern;

fn rule(pattern: &str, subscribe: Option<Access>) -> ChannelRule {
    ChannelRule { subscribe, ..ChannelRule::of(Pattern::parse(pattern).unwrap()) }
}

fn rules(list: &[(&str, Access)]) -> Rules {
    Rules::new(list.iter().map(|&(pattern, subscribe)| rule(pattern, Some(subscribe))).collect(), false)
}

fn ask(rules: &Rules, verb: Verb, channel: &str, user: Option<&str>, is_named: bool) -> Result<(), Denied> {
    let user = user.map(|id| UserId::parse(id).unwrap());
    let standing = Standing { user: user.as_ref(), is_named };
    rules.decide(verb, &ChannelName::parse(channel).unwrap(), standing).outcome
}

fn outcome(rules: &Rules, channel: &str, user: Option<&str>) -> Result<(), Denied> {
    ask(rules, Verb::Subscribe, channel, user, false)
}

#[test]
fn without_a_matching_rule_anyone_may_subscribe_but_not_to_protected_names() {
    let none = Rules::default();
    assert_eq!(outcome(&none, "orders.42", None), Ok(()));
    assert_eq!(outcome(&none, "private", None), Ok(()));
    assert_eq!(outcome(&none, "private-orders", Some("u7")), Err(Denied::Protected));
    assert_eq!(outcome(&none, "presence-room", Some("u7")), Err(Denied::Protected));
}

#[test]
fn with_tokens_whatever_no_rule_opens_needs_one() {
    let tokens = Rules::new(vec![rule("orders.*", None), rule("news", Some(Access::Anyone))], true);
    for channel in ["orders.42", "else"] {
        assert_eq!(outcome(&tokens, channel, Some("u7")), Err(Denied::NeedsToken));
        assert_eq!(ask(&tokens, Verb::Subscribe, channel, Some("u7"), true), Ok(()));
    }
    assert_eq!(outcome(&tokens, "news", None), Ok(()));
}

#[test]
fn a_token_opens_protected_names_but_never_more_than_the_rules() {
    let rules = rules(&[("private-{user}", Access::User), ("presence-vault", Access::Nobody)]);
    assert_eq!(ask(&rules, Verb::Subscribe, "private-u7", Some("u7"), true), Ok(()));
    assert_eq!(ask(&rules, Verb::Subscribe, "private-u8", Some("u7"), true), Err(Denied::OtherUser));
    assert_eq!(ask(&rules, Verb::Subscribe, "presence-room", Some("u7"), true), Ok(()));
    let denied = Err(Denied::Nobody(Verb::Subscribe));
    assert_eq!(ask(&rules, Verb::Subscribe, "presence-vault", Some("u7"), true), denied);
}

#[test]
fn no_rule_opens_protected_names_and_rules_may_close_them() {
    let open = rules(&[("presence-*", Access::Nobody), ("*", Access::Anyone)]);
    assert_eq!(outcome(&open, "private-orders", None), Err(Denied::Protected));
    assert_eq!(outcome(&open, "presence-room", None), Err(Denied::Nobody(Verb::Subscribe)));
    let user = rules(&[("private-{user}", Access::User)]);
    assert_eq!(outcome(&user, "private-u7", Some("u7")), Err(Denied::Protected));
}

#[test]
fn the_first_matching_rule_counts() {
    let rules = rules(&[
        ("news.internal.*", Access::Nobody),
        ("news.*", Access::Anyone),
        ("staff.*", Access::User),
        ("vault", Access::Token),
    ]);
    assert_eq!(outcome(&rules, "news.sports", None), Ok(()));
    assert_eq!(outcome(&rules, "news.internal.salaries", Some("u7")), Err(Denied::Nobody(Verb::Subscribe)));
    assert_eq!(outcome(&rules, "staff.lunch", None), Err(Denied::NoUser));
    assert_eq!(outcome(&rules, "staff.lunch", Some("u7")), Ok(()));
    assert_eq!(outcome(&rules, "vault", Some("u7")), Err(Denied::NeedsToken));
    assert_eq!(outcome(&rules, "vault2", None), Ok(()));
}

#[test]
fn a_users_channels_are_open_to_that_user_only() {
    let rules = rules(&[("user:{user}:*", Access::User)]);
    assert_eq!(outcome(&rules, "user:u7:orders", Some("u7")), Ok(()));
    assert_eq!(outcome(&rules, "user:u7:", Some("u7")), Ok(()));
    for other in ["u", "u77", "U7", "*", "{user}", "u7:orders"] {
        assert_eq!(outcome(&rules, "user:u7:orders", Some(other)), Err(Denied::OtherUser), "{other}");
    }
    assert_eq!(outcome(&rules, "user:u7:orders", None), Err(Denied::NoUser));
    assert_eq!(outcome(&rules, "user::orders", Some("u7")), Err(Denied::OtherUser));
    assert_eq!(outcome(&rules, "user:u7", Some("u8")), Ok(()), "of another shape, so the default holds");
}

#[test]
fn an_id_with_the_character_after_user_never_matches() {
    let rules = rules(&[("user:{user}:*", Access::User)]);
    assert_eq!(outcome(&rules, "user:a:b:c", Some("a:b")), Err(Denied::OtherUser));
    assert_eq!(outcome(&rules, "user:a:b:c", Some("a")), Ok(()));
}

#[test]
fn an_owned_channel_needs_its_user_even_under_anyone() {
    let rules = rules(&[("user_{user}", Access::Anyone)]);
    assert_eq!(outcome(&rules, "user_u7", Some("u7")), Ok(()));
    assert_eq!(outcome(&rules, "user_u7", Some("u8")), Err(Denied::OtherUser));
    assert_eq!(outcome(&rules, "user_u7", None), Err(Denied::NoUser));
}

#[test]
fn clients_publish_only_where_a_rule_says_so() {
    let chat = ChannelRule { publish: Access::User, ..rule("chat.*", None) };
    let mine = ChannelRule { publish: Access::Anyone, ..rule("desk:{user}", None) };
    let open = ChannelRule { publish: Access::Anyone, ..rule("presence-*", None) };
    let rules = Rules::new(vec![chat, mine, open], false);
    assert_eq!(ask(&rules, Verb::Publish, "chat.1", Some("u7"), false), Ok(()));
    assert_eq!(ask(&rules, Verb::Publish, "chat.1", None, false), Err(Denied::NoUser));
    assert_eq!(ask(&rules, Verb::Publish, "orders.1", Some("u7"), true), Err(Denied::Nobody(Verb::Publish)));
    assert_eq!(ask(&rules, Verb::Publish, "desk:u8", Some("u7"), false), Err(Denied::OtherUser));
    assert_eq!(ask(&rules, Verb::Publish, "presence-room", Some("u7"), false), Err(Denied::Protected));
    assert_eq!(ask(&rules, Verb::Publish, "presence-room", Some("u7"), true), Ok(()));
}

#[test]
fn who_is_there_is_seen_by_those_who_may_subscribe_and_not_by_more_than_the_rule_says() {
    let room = ChannelRule { visible_to: Access::User, ..rule("room", Some(Access::Anyone)) };
    let vault = ChannelRule { visible_to: Access::Anyone, ..rule("vault", Some(Access::Token)) };
    let rules = Rules::new(vec![room, vault], false);
    assert_eq!(ask(&rules, Verb::See, "room", None, false), Err(Denied::NoUser));
    assert_eq!(ask(&rules, Verb::See, "room", Some("u7"), false), Ok(()));
    assert_eq!(ask(&rules, Verb::See, "vault", Some("u7"), false), Err(Denied::NeedsToken));
    assert_eq!(ask(&rules, Verb::See, "else", None, false), Ok(()));
}

#[test]
fn a_decision_explains_itself_to_the_operator() {
    let rules = rules(&[("orders.*", Access::Anyone), ("private-*", Access::User)]);
    let said = |verb, channel: &str| {
        rules.decide(verb, &ChannelName::parse(channel).unwrap(), Standing::default()).to_string()
    };
    assert_eq!(said(Verb::Subscribe, "orders.42"), r#"allowed (rule 1: pattern "orders.*", subscribe "anyone")"#);
    assert_eq!(said(Verb::Subscribe, "else"), r#"allowed (no rule matches; the default is "anyone")"#);
    assert!(said(Verb::Publish, "orders.42").ends_with(r#"(rule 1: pattern "orders.*", publish "nobody")"#));
    assert_eq!(
        said(Verb::Subscribe, "private-x"),
        "refused: channels that begin with private- or presence- need a token that names them: in the channels of the \
         connection's token, or a channel token (in PHP: channelToken()) (rule 2: pattern \"private-*\", subscribe \
         \"user\", raised to \"token\" by the name)"
    );
}
