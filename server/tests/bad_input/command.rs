//! What is wrong with a command is told, and the connection stays.

use realtime_server::config::Config;
use realtime_server::rules::{Access, ChannelRule, Pattern};
use serde_json::{Value, json};

use crate::support::frame::text;
use crate::support::{Client, Scene, config};

/// Sends each command to a client, which must be told `code` and a message with every one of the words, and stay.
fn refuses(scene: &mut Scene, code: &str, cases: &[(&str, &str)]) {
    let mut client = scene.server.client();
    refuses_to(&mut client, code, cases);
    scene.nobody_else_notices();
}

fn refuses_to(client: &mut Client, code: &str, cases: &[(&str, &str)]) {
    for (command, words) in cases {
        let reply = client.ask(command);
        let shown: String = command.chars().take(100).collect();
        assert_eq!((&reply["type"], &reply["code"]), (&json!("error"), &json!(code)), "{shown}: {reply}");
        let message = reply["message"].as_str().unwrap();
        for word in words.split('|') {
            assert!(message.contains(word), "{shown}: no {word:?} in {message:?}");
        }
        client.assert_silent();
    }
}

/// The commands that differ only in one field's value.
fn with<'a>(values: &[&'a str], command: impl Fn(&'a str) -> String) -> Vec<String> {
    values.iter().map(|value| command(value)).collect()
}

fn all<'a>(commands: &'a [String], words: &'a str) -> Vec<(&'a str, &'a str)> {
    commands.iter().map(|command| (&**command, words)).collect()
}

// docs: broken JSON; JSON that is no object
#[test]
fn broken_json_and_json_that_is_no_object() {
    let mut scene = Scene::default();
    let deep = ["[".repeat(60_000), "{\"a\":".repeat(10_000), format!("{}{}", "[".repeat(300), "]".repeat(300))];
    let broken = [
        "",
        " ",
        "nonsense",
        "{",
        "{\"type\":\"ping\"",
        "{'type':'ping'}",
        "{type:\"ping\"}",
        "{\"type\":\"ping\"}}",
        "{\"type\":\"ping\"},",
        "{\"type\":\"pi\nng\"}",
        "{\"type\":\"\\x\"}",
        "{\"type\":\"ping\",\"n\":01}",
        "\u{feff}{\"type\":\"ping\"}",
        &deep[0],
        &deep[1],
    ];
    refuses(&mut scene, "bad_request", &broken.map(|command| (command, "not valid JSON")));
    let no_object = ["[]", "[{\"type\":\"ping\"}]", "\"ping\"", "1", "null", "true", &deep[2]];
    refuses(&mut scene, "bad_request", &no_object.map(|command| (command, "must be a JSON object")));
    let mut publisher = scene.server.publisher();
    let nested = format!("[{}]", deep[2]);
    refuses_to(&mut publisher, "bad_request", &[("{", "not valid JSON"), ("[1,", "not valid JSON"), ("7", "object")]);
    for (command, errors) in [("[7,[]]", 2), (&nested, 1)] {
        let replies = publisher.ask(command);
        let codes: Vec<_> = replies.as_array().unwrap().iter().map(|reply| reply["code"].clone()).collect();
        assert_eq!(codes, vec![json!("bad_request"); errors], "{replies}");
    }
}

// docs: no `type` (and no `action`)
#[test]
fn a_command_without_a_type() {
    let mut scene = Scene::default();
    let cases = ["{}", r#"{"channel":"c"}"#, r#"{"type":null}"#, r#"{"type":null,"action":null,"channel":"c"}"#];
    refuses(&mut scene, "bad_request", &cases.map(|command| (command, r#"needs a type|{"type":"ping"}"#)));
    let mut publisher = scene.server.publisher();
    refuses_to(&mut publisher, "bad_request", &[(r#"{"action":"ping"}"#, "needs a type|broadcast_update")]);
}

// docs: an unknown `type`
#[test]
fn an_unknown_type() {
    let mut scene = Scene::default();
    let long = format!(r#"{{"type":"{}"}}"#, "é".repeat(1000));
    let cases = [
        (
            r#"{"type":"sing"}"#,
            "unknown type \"sing\"|connect, subscribe, unsubscribe, register, publish, history, presence and ping",
        ),
        (r#"{"type":""}"#, "unknown type \"\""),
        (r#"{"type":"Ping"}"#, "unknown type \"Ping\""),
        (r#"{"action":"dance"}"#, "unknown type \"dance\""),
        (r#"{"type":"__proto__"}"#, "unknown type"),
        (long.as_str(), "unknown type|…"),
    ];
    refuses(&mut scene, "unknown_type", &cases);
    let mut publisher = scene.server.publisher();
    let cases = [(
        r#"{"type":"subscribe","channel":"c"}"#,
        "unknown type \"subscribe\"|broadcast_update, history, position, presence, channels, subscribers, disconnect, unsubscribe, revoke, backup and ping",
    )];
    refuses_to(&mut publisher, "unknown_type", &cases);
    let reply = publisher.ask(r#"{"type":"sing","id":"x1"}"#);
    assert_eq!(reply["id"], "x1", "an error carries the command's id");
}

// docs: a field of a wrong type
#[test]
fn a_field_of_a_wrong_type() {
    let mut scene = Scene::default();
    let others = ["1", "[]", "{}", "true", r#"["c"]"#];
    let channels = with(&others, |value| format!(r#"{{"type":"subscribe","channel":{value}}}"#));
    refuses(&mut scene, "bad_request", &all(&channels, "channel must be a string"));
    let lists = with(&["1", "\"c\"", "{}", "[1]", "[null]", "[[]]", r#"["c",2]"#], |value| {
        format!(r#"{{"action":"register","channels":{value}}}"#)
    });
    refuses(&mut scene, "bad_request", &all(&lists, "channels must be a list of strings"));
    let users = with(&["1.5", "1e3", "[]", "{}", "true"], |value| {
        format!(r#"{{"action":"register","channels":["c"],"userId":{value}}}"#)
    });
    refuses(&mut scene, "bad_request", &all(&users, "userId must be a string or an integer"));
    let long = format!("\"{}\"", "x".repeat(65));
    let digits = "1".repeat(65);
    let ids =
        with(&["[]", "{}", "true", "false", &long, &digits], |value| format!(r#"{{"type":"ping","id":{value}}}"#));
    refuses(&mut scene, "bad_request", &all(&ids, "id must be a number or a string|64 bytes"));
    let types = with(&others, |value| format!(r#"{{"type":{value}}}"#));
    refuses(&mut scene, "bad_request", &all(&types, "type must be a string"));
    let halves = [r#"{"type":"subscribe","channel":"\ud800"}"#, r#"{"type":"subscribe","channel":"a\udc00b"}"#];
    refuses(&mut scene, "bad_request", &halves.map(|command| (command, "channel is not valid Unicode|surrogate")));
    let twice = r#"{"type":"subscribe","channel":"a","channel":"b"}"#;
    refuses(&mut scene, "bad_request", &[(twice, "duplicate field `channel`")]);
    let mut publisher = scene.server.publisher();
    let cases = [
        (r#"{"type":"broadcast_update","channel":"c","data":1,"event":2}"#, "event must be a string"),
        (r#"{"type":"broadcast_update","channel":"c","data":1,"exclude":2}"#, "exclude must be a string"),
        (r#"{"type":"broadcast_update","user":7,"data":1}"#, "user must be a string"),
        (r#"{"type":"broadcast_update","connection":[],"data":1}"#, "connection must be a string"),
        (r#"{"type":"broadcast_update","channels":"c","data":1}"#, "channels must be a list of strings"),
        (r#"{"type":"broadcast_update","channel":"c","data":1,"data":2}"#, "duplicate field `data`"),
    ];
    refuses_to(&mut publisher, "bad_request", &cases);
}

#[test]
fn an_id_comes_back_exactly_as_it_was_sent() {
    let scene = Scene::default();
    let mut client = scene.server.client();
    let longest = format!("\"{}\"", "x".repeat(64));
    for id in ["0", "-1.5e300", "1e999999", &"9".repeat(64), "\"\"", r#""\u00e9\ud800""#, &longest] {
        client.send(&format!(r#"{{"type":"ping","id":{id}}}"#));
        assert_eq!(client.text(), format!(r#"{{"type":"pong","id":{id}}}"#));
    }
}

// docs: `since` that is neither a position nor `"earliest"`
#[test]
fn a_position_that_is_none() {
    let mut scene = Scene::default();
    let values = ["1", "\"latest\"", "[]", "{}", r#"{"epoch":"e"}"#, r#"{"epoch":"e","offset":-1}"#];
    let positions = with(&values, |value| format!(r#"{{"type":"subscribe","channel":"c","since":{value}}}"#));
    refuses(&mut scene, "bad_request", &all(&positions, "since must be|earliest|offset"));
    let own = with(&values, |value| format!(r#"{{"action":"register","userId":"u","user_since":{value}}}"#));
    refuses(&mut scene, "bad_request", &all(&own, "user_since must be"));
    let ids = format!("[{}]", vec!["\"x\""; 17].join(","));
    let previous = format!(r#"{{"type":"subscribe","channel":"c","previous":{ids}}}"#);
    let cases = [
        (r#"{"type":"subscribe","channel":"c","mode":"some"}"#, "mode must be"),
        (&*previous, "previous names 17|16"),
        (r#"{"type":"subscribe","channel":"c","previous":[1]}"#, "previous must be a list of strings"),
        (r#"{"action":"register","channels":["c"],"since":["c"]}"#, "since must be an object"),
        (r#"{"type":"history","channel":"c","limit":0}"#, "limit must be a number"),
        (r#"{"type":"presence","channel":"c","limit":"x"}"#, "limit must be a number"),
        (r#"{"type":"presence"}"#, "channel is missing"),
    ];
    refuses(&mut scene, "bad_request", &cases);
}

// docs: `channel` missing; a publication without `data`
#[test]
fn a_missing_or_ambiguous_receiver_or_no_data() {
    let mut scene = Scene::default();
    let cases = [
        (r#"{"type":"subscribe"}"#, "channel is missing"),
        (r#"{"type":"subscribe","channel":null}"#, "channel is missing"),
        (r#"{"type":"unsubscribe","id":1}"#, "channel is missing"),
    ];
    refuses(&mut scene, "bad_request", &cases);
    let mut publisher = scene.server.publisher();
    let cases = [
        (r#"{"type":"broadcast_update","channel":"c"}"#, "data is missing|null"),
        (r#"{"type":"broadcast_update","data":1}"#, "channel is missing|channels, a user or a connection"),
        (r#"{"type":"broadcast_update","channel":null,"data":1}"#, "channel is missing"),
        (r#"{"type":"broadcast_update","channel":"c","user":"u","data":1}"#, "only one of"),
        (r#"{"type":"broadcast_update","channel":"c","channels":["c"],"data":1}"#, "only one of"),
        (r#"{"type":"broadcast_update","user":"u","connection":"x","data":1}"#, "only one of"),
        (r#"{"type":"broadcast_update","channels":[],"data":1}"#, "channels must not be empty"),
    ];
    refuses_to(&mut publisher, "bad_request", &cases);
}

// docs: a channel name that is empty, over 200 bytes, or holds control characters
#[test]
fn names_that_are_none() {
    let mut scene = Scene::default();
    let (ascii, wide, user) = ("x".repeat(201), "é".repeat(101), "u".repeat(129));
    let bad = [
        ("", "must not be empty"),
        (&ascii, "longer than 200 bytes"),
        (&wide, "longer than 200 bytes"),
        ("a\\u0000b", "control characters"),
        ("a\\nb", "control characters"),
        ("\\u007f", "control characters"),
        ("\\u0085", "control characters"),
        ("\u{9f}", "control characters"),
    ];
    let names = |what: &str, command: &dyn Fn(&str) -> String| -> Vec<(String, String)> {
        bad.iter().map(|(name, words)| (command(name), format!("{what}|{words}"))).collect()
    };
    let cases = |commands: &[(String, String)]| -> Vec<(String, String)> { commands.to_vec() };
    let mut client = scene.server.client();
    let mut publisher = scene.server.publisher();
    let subscribe = cases(&names("channel names", &|name| format!(r#"{{"type":"subscribe","channel":"{name}"}}"#)));
    let register = cases(&names("channel names", &|name| format!(r#"{{"action":"register","channels":["{name}"]}}"#)));
    for (command, words) in subscribe.iter().chain(&register) {
        refuses_to(&mut client, "invalid_name", &[(command, words)]);
    }
    let channels =
        names("channel names", &|name| format!(r#"{{"type":"broadcast_update","channel":"{name}","data":1}}"#));
    let events = names("event names", &|name| {
        format!(r#"{{"type":"broadcast_update","channel":"c","event":"{name}","data":1}}"#)
    });
    for (command, words) in channels.iter().chain(&events) {
        refuses_to(&mut publisher, "invalid_name", &[(command, words)]);
    }
    let users = [
        (format!(r#"{{"type":"broadcast_update","user":"{user}","data":1}}"#), "user ids|128 bytes"),
        (r#"{"type":"broadcast_update","user":"","data":1}"#.into(), "user ids|empty"),
        (r#"{"type":"broadcast_update","connection":"","data":1}"#.into(), "connection ids|empty"),
    ];
    for (command, words) in &users {
        refuses_to(&mut publisher, "invalid_name", &[(command, words)]);
    }
    let register = format!(r#"{{"action":"register","userId":"{user}","channels":[]}}"#);
    refuses_to(&mut client, "invalid_name", &[(&register, "user ids|128 bytes")]);
    for fine in ["x".repeat(200), "é".repeat(100), "__proto__".into(), " ".into(), "\u{200b}".into()] {
        client.subscribe(&fine);
    }
    scene.nobody_else_notices();
}

// docs: nesting deeper than 32 levels, or than 512 inside `data`
#[test]
fn nesting_that_is_too_deep() {
    let mut scene = Scene::default();
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    // The command itself is the first level.
    let ping = |levels: usize| format!(r#"{{"type":"ping","ignored":{}}}"#, nested(levels));
    let publish =
        |levels: usize| format!(r#"{{"type":"broadcast_update","id":1,"channel":"c","data":{}}}"#, nested(levels));
    assert_eq!(scene.server.client().ask(&ping(31))["type"], "pong");
    refuses(&mut scene, "bad_request", &[(&ping(32), "nested deeper than 32")]);
    let mut publisher = scene.server.publisher();
    assert_eq!(publisher.ask(&publish(512))["type"], "ack");
    refuses_to(&mut publisher, "bad_request", &[(&publish(513), "data is nested deeper than 512")]);
    assert_eq!(scene.server.post(&publish(20_000)).0, 400);
}

// docs: a publication by a client without a publisher key
#[test]
fn a_publication_by_a_client() {
    let mut scene = Scene::default();
    let publish = r#"{"type":"broadcast_update","channel":"bystanders","data":1}"#;
    refuses(&mut scene, "unauthorized", &[(publish, "only publishers|Authorization: Bearer")]);
}

// docs: a channel that the rules deny
#[test]
fn a_channel_that_the_rules_deny() {
    let rule = |pattern: &str, subscribe| ChannelRule {
        subscribe: Some(subscribe),
        ..ChannelRule::of(Pattern::parse(pattern).unwrap())
    };
    let channels = vec![rule("internal.*", Access::Nobody), rule("user:{user}:*", Access::User)];
    let mut scene = Scene::new(Config { channels, ..config() });
    let cases = [
        (r#"{"type":"subscribe","channel":"internal.x"}"#, "no client may subscribe"),
        (r#"{"type":"subscribe","channel":"user:u7:x"}"#, "connect with a token"),
        (r#"{"type":"subscribe","channel":"private-x"}"#, "need a token"),
        (r#"{"action":"register","channels":["presence-x"]}"#, "need a token"),
    ];
    refuses(&mut scene, "forbidden", &cases);
    let reply = scene.server.client().ask(r#"{"type":"subscribe","id":3,"channel":"private-x"}"#);
    assert_eq!((&reply["id"], &reply["channel"]), (&json!(3), &json!("private-x")));
}

// docs: `register` as another user than before
#[test]
fn registering_as_another_user() {
    let mut scene = Scene::new(Config { insecure_identity: true, ..config() });
    let mut client = scene.server.client();
    let register = |user: &str| format!(r#"{{"action":"register","userId":"{user}"}}"#);
    assert_eq!(client.ask(&register("u7"))["user"], "u7");
    refuses_to(&mut client, "forbidden", &[(&register("u8"), "another user|open a new one")]);
    assert_eq!(client.ask(&register("u7"))["user"], "u7");
    scene.nobody_else_notices();
}

// docs: more channels than `max_channels`
#[test]
fn more_channels_than_a_connection_may_have() {
    let mut scene = Scene::new(Config { max_channels: 2, insecure_identity: true, ..config() });
    let mut client = scene.server.client();
    client.subscribe("a");
    client.subscribe("b");
    client.subscribe("a");
    refuses_to(&mut client, "limit_exceeded", &[(r#"{"type":"subscribe","channel":"c"}"#, "2 channels|unsubscribe")]);
    let reply = client.ask(r#"{"action":"register","userId":"u7"}"#);
    assert_eq!(reply["user"], "u7");
    let to_user = r#"{"type":"broadcast_update","id":1,"user":"u7","data":1}"#;
    assert_eq!(scene.server.publisher().ask(to_user)["receivers"], 1, "a user's messages need no channel");
    assert_eq!(client.json()["type"], "message");
    let many = json!({"action": "register", "channels": vec![""; 3], "userId": "u7"}).to_string();
    refuses_to(&mut client, "limit_exceeded", &[(&many, "3 channels|may have 2|name fewer")]);
    client.ask(r#"{"type":"unsubscribe","id":1,"channel":"a"}"#);
    client.subscribe("c");
    scene.nobody_else_notices();
}

// docs: a publication over `max_publication`
#[test]
fn a_publication_that_is_too_large() {
    let mut scene = Scene::new(Config { max_publication: 1000, ..config() });
    let publish = |bytes: usize| {
        format!(r#"{{"type":"broadcast_update","id":1,"channel":"c","data":"{}"}}"#, "x".repeat(bytes - 2))
    };
    let mut publisher = scene.server.publisher();
    assert_eq!(publisher.ask(&publish(1000))["type"], "ack");
    refuses_to(&mut publisher, "too_large", &[(&publish(1001), "1001 bytes|1000 (max_publication)|send less")]);
    let (status, reply) = scene.server.post(&publish(1001));
    assert_eq!((status, &reply["error"]["code"]), (413, &json!("too_large")));
    scene.nobody_else_notices();
}

// docs: more than 100,000 channels, users and connections in one frame or body
#[test]
fn more_receivers_than_a_frame_may_name() {
    let mut scene = Scene::default();
    let publish =
        |names: usize| json!({"type": "broadcast_update", "id": names, "channels": vec!["c"; names], "data": 1});
    let mut publisher = scene.server.publisher();
    refuses_to(&mut publisher, "limit_exceeded", &[(&publish(100_001).to_string(), "100000 channels|send several")]);
    let replies = publisher.ask(&json!([publish(60_000), publish(60_000), publish(40_000)]).to_string());
    let kinds: Vec<_> = replies.as_array().unwrap().iter().map(|r| (&r["id"], &r["type"])).collect();
    let expected = [(60_000, "ack"), (60_000, "error"), (40_000, "ack")].map(|(id, kind)| (json!(id), json!(kind)));
    assert_eq!(kinds, expected.iter().map(|(id, kind)| (id, kind)).collect::<Vec<_>>());
    assert_eq!(scene.server.post(&publish(100_001).to_string()).0, 429);
    scene.nobody_else_notices();
}

/// What a client hears that sends so many pings at once, and how it is closed.
fn flood(scene: &Scene, pings: usize) -> (Vec<Value>, u16) {
    let mut client = scene.server.client();
    client.send_raw(&text(r#"{"type":"ping","id":1}"#).repeat(pings));
    let (texts, close) = client.closed();
    (texts, close.map_or(0, |close| close.code.into()))
}

// docs: more than `command_burst` commands at once
// docs: … and `command_burst` more in spite of the errors
#[test]
fn commands_that_come_too_fast() {
    let mut scene = Scene::default();
    let (mut texts, code) = flood(&scene, 2500);
    assert_eq!(code, 4010);
    assert_eq!(
        texts.pop().unwrap(),
        json!({"type": "disconnect", "code": 4010, "reason": "rate limit", "reconnect": true})
    );
    let (pongs, errors): (Vec<_>, Vec<_>) = texts.into_iter().partition(|reply| reply["type"] == "pong");
    assert!(pongs.len() >= 200, "{} were answered", pongs.len());
    assert!(errors.len() >= 200, "{} errors", errors.len());
    for error in errors {
        assert_eq!((&error["code"], &error["id"]), (&json!("rate_limited"), &json!(1)));
        assert!(error["message"].as_str().unwrap().contains("100 commands a second"), "{error}");
    }
    scene.nobody_else_notices();
}
