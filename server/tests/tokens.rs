//! Who a connection is by its token, and what that opens.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::time::Duration;

use jsonwebtoken::{Algorithm as Signs, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ED25519};
use realtime_server::config::Config;
use realtime_server::rules::{Access, ChannelRule, Pattern, PresenceRule, StreamRule};
use realtime_server::token::{Algorithm, TokenConfig, TokenKey};
use serde_json::{Value, json};

use support::token::{SECRET, connect, ending_in, now, signed, token, with_tokens};
use support::{Client, TestServer, config, rule, start};

fn signed_in(server: &TestServer, claims: Value) -> Client {
    let mut client = server.client();
    let reply = client.ask(&connect(&token(claims)));
    assert_eq!(reply["type"], "connected", "{reply}");
    client
}

fn subscribe(client: &mut Client, channel: &str, token: Option<&str>) -> Value {
    client.ask(&json!({"type": "subscribe", "channel": channel, "token": token}).to_string())
}

fn access(pattern: &str, subscribe: Access) -> ChannelRule {
    ChannelRule { subscribe: Some(subscribe), ..ChannelRule::of(Pattern::parse(pattern).unwrap()) }
}

#[test]
fn connect_says_whose_a_connection_is() {
    let server = start(with_tokens());
    let mut client = server.client();
    let expires = now() + 600;
    let reply = client.ask(&connect(&token(json!({"exp": expires}))));
    assert_eq!(reply, json!({"type": "connected", "id": 1, "user": "u7", "expires": expires}));
    let sent = server.post(r#"{"type":"broadcast_update","user":"u7","data":"for you"}"#);
    assert_eq!(sent.1["receivers"], 1);
    assert_eq!(client.json(), json!({"type": "message", "user": true, "data": "for you"}));
}

#[test]
fn a_token_may_come_with_the_request() {
    let server = start(with_tokens());
    let token = token(json!({}));
    for (header, value, path) in [
        ("authorization", format!("Bearer {token}"), "/".to_owned()),
        ("cookie", format!("a=b; realtime_token={token}"), "/ws".to_owned()),
        ("x-nothing", String::new(), format!("/?token={token}")),
    ] {
        let mut request = server.request(&path);
        request.headers_mut().insert(header, value.parse().unwrap());
        let mut client = Client::open(request);
        let said = client.json();
        assert_eq!((&said["type"], &said["user"], &said["id"]), (&json!("connected"), &json!("u7"), &Value::Null));
    }
}

/// What a connection is told and how it ends, when its request carries this token.
fn turned_away(server: &TestServer, token: &str) -> (Value, Value, u16) {
    let mut client = Client::raw(server.request(&format!("/?token={token}")));
    let (texts, close) = client.closed();
    (texts[0].clone(), texts[1].clone(), close.unwrap().code.into())
}

#[test]
fn a_refused_token_is_explained_and_ends_the_connection() {
    let server = start(with_tokens());
    let forged = format!("{}x", token(json!({})));
    let (error, end, code) = turned_away(&server, &forged);
    assert_eq!((&error["code"], code), (&json!("token_invalid"), 4001));
    assert_eq!((&end["code"], &end["reconnect"]), (&json!(4001), &json!(false)));
    let (error, end, code) = turned_away(&server, &token(json!({"iat": 1, "exp": 2})));
    assert_eq!((&error["code"], code), (&json!("token_expired"), 4004));
    assert_eq!((&end["code"], &end["reconnect"]), (&json!(4004), &json!(true)));

    let mut client = server.client();
    client.send(&connect(&forged));
    let (texts, close) = client.closed();
    assert_eq!((&texts[0]["code"], &texts[0]["id"]), (&json!("token_invalid"), &json!(1)));
    assert_eq!(u16::from(close.unwrap().code), 4001);

    let (error, _, code) = turned_away(&start(config()), &token(json!({})));
    assert_eq!((&error["code"], code), (&json!("token_invalid"), 4001));
    assert!(error["message"].as_str().unwrap().contains("no [tokens]"), "{error}");
}

#[test]
fn a_refused_refresh_leaves_the_connection_as_it_is() {
    let server = start(with_tokens());
    let mut client = signed_in(&server, json!({"channels": ["a"]}));
    assert_eq!(client.ask(&connect("nonsense"))["code"], "token_invalid");
    assert_eq!(client.ask(&connect(&token(json!({"sub": "u8"}))))["code"], "forbidden");
    client.subscribe("a");
}

#[test]
fn where_no_rule_says_otherwise_a_channel_needs_a_token_that_names_it() {
    let channels = vec![access("news", Access::Anyone), access("staff", Access::User)];
    let server = start(Config { channels, ..with_tokens() });
    let mut nobody = server.client();
    nobody.subscribe("news");
    for channel in ["staff", "orders.42"] {
        assert_eq!(subscribe(&mut nobody, channel, None)["code"], "forbidden", "{channel}");
    }
    let mut client = signed_in(&server, json!({"channels": ["orders.*", "private-me"]}));
    for channel in ["news", "staff", "orders.42", "private-me"] {
        client.subscribe(channel);
    }
    let refused = subscribe(&mut client, "other", None);
    assert_eq!((&refused["code"], &refused["channel"]), (&json!("forbidden"), &json!("other")));
}

#[test]
fn a_channel_token_opens_its_channel_to_its_user() {
    let server = start(with_tokens());
    let mut client = signed_in(&server, json!({}));
    let for_orders = token(json!({"channel": "orders.42"}));
    assert_eq!(subscribe(&mut client, "orders.42", Some(&for_orders))["type"], "subscribed");
    assert_eq!(client.ask(r#"{"type":"history","channel":"orders.42"}"#)["type"], "history");
    for (token, code, words) in [
        (token(json!({"channel": "other"})), "token_invalid", "for the channel \"other\""),
        (token(json!({})), "token_invalid", "belongs into connect; a single channel wants one of channelToken()"),
        (token(json!({"channel": "orders.43", "sub": "u8"})), "forbidden", "\"u8\"'s"),
        (token(json!({"channel": "orders.43", "iat": 1, "exp": 2})), "token_expired", "ran out"),
    ] {
        let refused = subscribe(&mut client, "orders.43", Some(&token));
        assert_eq!((&refused["code"], &refused["channel"]), (&json!(code), &json!("orders.43")), "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(words), "{refused}");
    }
    let mut nobody = server.client();
    assert_eq!(subscribe(&mut nobody, "orders.42", Some(&for_orders))["code"], "forbidden");
    // In connect it is out of place.
    assert_eq!(nobody.ask(&connect(&for_orders))["code"], "token_invalid");
    client.send(r#"{"type":"unsubscribe","channel":"orders.42"}"#);
    assert_eq!(subscribe(&mut client, "orders.42", None)["code"], "forbidden", "left is left");
}

#[test]
fn rules_cap_what_a_token_says() {
    let channels = vec![access("user:{user}:*", Access::User), access("internal.*", Access::Nobody)];
    let server = start(Config { channels, ..with_tokens() });
    let mut client = signed_in(&server, json!({"channels": ["*"]}));
    client.subscribe("user:u7:orders");
    client.subscribe("anything");
    assert_eq!(subscribe(&mut client, "user:u8:orders", None)["code"], "forbidden");
    assert_eq!(subscribe(&mut client, "internal.x", None)["code"], "forbidden");
}

#[test]
fn a_token_that_runs_out_is_announced_and_can_be_renewed_on_the_spot() {
    let server = start(with_tokens());
    let mut client = server.client();
    assert_eq!(client.ask(&connect(&ending_in(3)))["type"], "connected");
    let said = client.json();
    assert_eq!(said["type"], "token_expiring");
    assert!(said["in"].as_u64().unwrap() <= 3, "{said}");
    assert_eq!(client.ask(&connect(&ending_in(4)))["type"], "connected");
    assert_eq!(client.json()["type"], "token_expiring", "the new one runs out, too");
    let (texts, close) = client.closed();
    assert_eq!((&texts[0]["reason"], &texts[0]["reconnect"]), (&json!("token expired"), &json!(true)));
    assert_eq!(u16::from(close.unwrap().code), 4004);
}

#[test]
fn a_channel_token_that_runs_out_ends_the_subscription_only() {
    let server = start(with_tokens());
    let mut client = signed_in(&server, json!({"channels": ["kept"]}));
    let short = |channel: &str| token(json!({"channel": channel, "iat": now() - 60, "exp": now() - 7}));
    for channel in ["orders.42", "kept"] {
        assert_eq!(subscribe(&mut client, channel, Some(&short(channel)))["type"], "subscribed");
    }
    let mut told = [client.json(), client.json()];
    told.sort_by_key(|said| said["channel"].to_string());
    assert_eq!((&told[0]["type"], &told[0]["channel"]), (&json!("token_expiring"), &json!("kept")));
    assert_eq!((&told[1]["type"], &told[1]["channel"]), (&json!("token_expiring"), &json!("orders.42")));
    let reason = "token expired";
    assert_eq!(client.json(), json!({"type": "unsubscribed", "channel": "orders.42", "reason": reason}));
    let mut publisher = server.publisher();
    assert_eq!(publisher.publish("orders.42", &json!(1)), 0);
    assert_eq!(publisher.publish("kept", &json!(2)), 1, "the connection's token names it");
    assert_eq!(client.json()["data"], 2);
}

#[test]
fn a_new_token_that_allows_less_ends_what_it_does_not_allow() {
    let server = start(with_tokens());
    let mut client = signed_in(&server, json!({"channels": ["a", "b"]}));
    client.subscribe("a");
    client.subscribe("b");
    assert_eq!(client.ask(&connect(&token(json!({"channels": ["b"]}))))["type"], "connected");
    let said = client.json();
    assert_eq!((&said["type"], &said["channel"]), (&json!("unsubscribed"), &json!("a")));
    assert_eq!(server.publisher().publish("b", &json!(1)), 1);
}

#[test]
fn a_server_may_want_a_token_of_everybody() {
    let tokens = TokenConfig { required: true, ..with_tokens().tokens };
    let channels = vec![access("*", Access::Anyone)];
    let server = start(Config { tokens, channels, handshake_timeout: Duration::from_millis(300), ..with_tokens() });
    let mut client = server.client();
    assert_eq!(client.ask(r#"{"type":"ping"}"#)["type"], "pong");
    assert_eq!(subscribe(&mut client, "a", None)["code"], "unauthorized");
    let mut known = signed_in(&server, json!({}));
    known.subscribe("a");
    let (texts, close) = client.closed();
    assert!(texts[0]["message"].as_str().unwrap().contains("tokens.required"), "{texts:?}");
    assert_eq!(u16::from(close.unwrap().code), 4001);
    known.assert_silent();
    // Publishers have their key.
    assert_eq!(server.publisher().publish("a", &json!(1)), 1);
}

#[test]
fn a_claimed_id_must_be_the_tokens() {
    let channels = vec![access("general", Access::Anyone)];
    let server = start(Config { channels, ..with_tokens() });
    let mut client = signed_in(&server, json!({}));
    assert_eq!(client.ask(r#"{"action":"register","userId":"u8","channels":["general"]}"#)["code"], "forbidden");
    client.send(r#"{"action":"register","userId":"u7","channels":["general"]}"#);
    assert_eq!(client.json()["user"], "u7");
    assert_eq!(client.json()["type"], "subscribed");
    let nobody = server.client().ask(r#"{"action":"register","userId":"u7","channels":["general"]}"#);
    assert_eq!((&nobody["type"], &nobody["user"]), (&json!("connected"), &Value::Null));
}

#[test]
fn a_reload_takes_keys_over_for_what_is_shown_from_then_on() {
    let server = start(with_tokens());
    let mut client = signed_in(&server, json!({}));
    let tokens = TokenConfig { audience: Some("shop".to_owned()), ..with_tokens().tokens };
    server.server.as_ref().unwrap().reload(&Config { tokens, ..with_tokens() });
    assert_eq!(client.ask(&connect(&token(json!({}))))["code"], "token_invalid");
    assert_eq!(client.ask(&connect(&token(json!({"aud": "shop"}))))["type"], "connected");
}

#[test]
fn a_key_that_is_taken_away_takes_what_was_let_in_by_it() {
    const OTHER: &str = "another secret of at least 32 bytes";
    let first = config();
    let keys = |secrets: &[&str]| {
        let keys = secrets.iter().map(|secret| TokenKey::from_secret(None, secret.as_bytes()).unwrap());
        Config { tokens: TokenConfig { keys: keys.collect(), ..TokenConfig::default() }, ..first.clone() }
    };
    let server = start(keys(&[SECRET, OTHER]));
    let mut gone = signed_in(&server, json!({"sub": "u7"}));
    let mut stays = server.client();
    let by_other = |claims| signed(OTHER, claims);
    assert_eq!(stays.ask(&connect(&by_other(json!({"sub": "u8"}))))["type"], "connected");
    for (channel, secret) in [("private-a", SECRET), ("private-b", OTHER)] {
        let one = signed(secret, json!({"sub": "u8", "channel": channel}));
        assert_eq!(subscribe(&mut stays, channel, Some(&one))["type"], "subscribed");
    }
    server.server.as_ref().unwrap().reload(&keys(&[OTHER]));
    let (told, close) = gone.closed();
    assert_eq!((&told[0]["reason"], &told[0]["reconnect"]), (&json!("token revoked"), &json!(true)));
    assert_eq!(u16::from(close.unwrap().code), 4004);
    let ended = stays.json();
    assert_eq!((&ended["type"], &ended["channel"]), (&json!("unsubscribed"), &json!("private-a")));
    assert_eq!(server.publisher().publish("private-b", &json!(1)), 1);
    assert_eq!(stays.json()["data"], 1);
    assert_eq!(server.client().ask(&connect(&token(json!({}))))["code"], "token_invalid");
}

#[test]
fn a_key_that_is_only_written_otherwise_takes_nothing() {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let (pem, first) = (pair.public_key_pem(), config());
    let keys = |pem: &str| {
        let keys = vec![TokenKey::from_pem(None, Algorithm::EdDsa, pem.as_bytes()).unwrap()];
        Config { tokens: TokenConfig { algorithm: Algorithm::EdDsa, keys, ..TokenConfig::default() }, ..first.clone() }
    };
    let server = start(keys(&pem));
    let claims = json!({"sub": "u7", "iat": now(), "exp": now() + 60});
    let signs = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap();
    let token = encode(&Header::new(Signs::EdDSA), &claims, &signs).unwrap();
    let mut client = server.client();
    assert_eq!(client.ask(&connect(&token))["user"], "u7");
    for other in [format!("{pem}\n"), pem.replace('\n', "\r\n"), format!("The key of 2026\n{pem}")] {
        server.server.as_ref().unwrap().reload(&keys(&other));
    }
    assert_eq!(client.ask(r#"{"type":"ping","id":1}"#)["type"], "pong");
}

#[test]
fn members_show_what_the_token_says_of_them_to_those_who_may_see_it() {
    let presence = Some(PresenceRule { grace: Duration::ZERO, events: true });
    let room = ChannelRule {
        subscribe: Some(Access::Anyone),
        visible_to: Access::User,
        ..rule("room", StreamRule::new(None, None, presence))
    };
    let server = start(Config { channels: vec![room], ..with_tokens() });
    let mut nobody = server.client();
    let reply = subscribe(&mut nobody, "room", None);
    assert_eq!((&reply["type"], &reply["members"]), (&json!("subscribed"), &Value::Null));
    assert_eq!(nobody.ask(r#"{"type":"presence","channel":"room"}"#)["code"], "forbidden");

    let info = json!({"name": "Ana"});
    let mut ana = signed_in(&server, json!({"info": info}));
    let listed = json!([{"user": "u7", "info": info, "connections": 1}]);
    assert_eq!(subscribe(&mut ana, "room", None)["members"], listed);
    let member = |user: &str, info: &Value| json!({"user": user, "info": info});
    assert_eq!(ana.json(), json!({"type": "join", "channel": "room", "member": member("u7", &info)}));
    let mut bo = signed_in(&server, json!({"sub": "bo"}));
    subscribe(&mut bo, "room", None);
    assert_eq!(ana.json()["member"], member("bo", &Value::Null));
    drop(bo);
    assert_eq!(ana.json(), json!({"type": "leave", "channel": "room", "member": member("bo", &Value::Null)}));
    // Who may not see them hears nothing but what is published.
    assert_eq!(server.publisher().publish("room", &json!(1)), 2);
    assert_eq!(nobody.json()["data"], 1);
}

#[test]
fn who_has_no_token_any_more_that_lets_it_see_members_sees_none() {
    let presence = Some(PresenceRule { grace: Duration::ZERO, events: true });
    let room = ChannelRule {
        subscribe: Some(Access::User),
        visible_to: Access::Token,
        ..rule("room", StreamRule::new(None, None, presence))
    };
    let server = start(Config { channels: vec![room], limits_dry_run: true, ..with_tokens() });
    let mut renewed = signed_in(&server, json!({"sub": "renewed", "channels": ["room"]}));
    assert!(subscribe(&mut renewed, "room", None)["members"].is_array());
    assert_eq!(renewed.json()["type"], "join");
    assert_eq!(renewed.ask(&connect(&token(json!({"sub": "renewed"}))))["type"], "connected");

    let mut lapsed = signed_in(&server, json!({"sub": "lapsed"}));
    let short = token(json!({"sub": "lapsed", "channel": "room", "iat": now() - 60, "exp": now() - 7}));
    assert!(subscribe(&mut lapsed, "room", Some(&short))["members"].is_array());
    assert_eq!(lapsed.json()["type"], "join");
    assert_eq!(lapsed.json()["type"], "token_expiring");
    let query = r#"{"type":"presence","channel":"room"}"#;
    assert!(std::iter::repeat_with(|| lapsed.ask(query)).take(100_000).any(|said| said["code"] == "forbidden"));

    let mut other = signed_in(&server, json!({"sub": "other"}));
    subscribe(&mut other, "room", None);
    assert_eq!(server.publisher().publish("room", &json!(1)), 3);
    assert_eq!(renewed.json()["data"], 1);
    assert_eq!(lapsed.json()["data"], 1);
}
