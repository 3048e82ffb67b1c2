//! Who may connect, publish and subscribe, and what a reload changes.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use realtime_server::config::{Config, PublisherKey, UnixSocket};
use realtime_server::rules::{Access, ChannelRule, Pattern};
use serde_json::json;
use support::frame::text;
use support::http::{Answer, request, upgrade};
use support::{Client, TestServer, config, start};

const PING: &str = r#"{"type":"ping"}"#;

/// A `POST /broadcast` of a ping with these headers.
fn post(headers: &[(&str, &str)]) -> String {
    request("POST /broadcast", &[&[("Content-Length", "15")], headers]) + PING
}

fn rule(pattern: &str, subscribe: Access) -> ChannelRule {
    ChannelRule { subscribe: Some(subscribe), ..ChannelRule::of(Pattern::parse(pattern).unwrap()) }
}

/// The status of an upgrade of a page.
fn page(server: &TestServer, origin: &str, host: &str) -> u16 {
    server.plain().ask(upgrade("/", &[("Origin", origin), ("Host", host)])).status
}

#[test]
fn pages_on_localhost_or_the_servers_own_address_may_connect_and_others_must_be_listed() {
    let origins = ["https://app.example.com", "https://*.example.org"];
    let allowed_origins = origins.iter().map(|origin| origin.parse().unwrap()).collect();
    let server = start(Config { allowed_origins, ..config() });
    for (origin, host, status) in [
        ("http://localhost:3000", "localhost:8080", 101),
        ("http://127.0.0.1", "localhost:8080", 101),
        ("https://[::1]:8443", "127.0.0.1:8080", 101),
        ("http://192.168.1.5", "192.168.1.5:8080", 101),
        ("http://192.168.1.6", "192.168.1.5:8080", 403),
        ("http://localhost", "192.168.1.5:8080", 403),
        ("https://app.example.com", "rt.example.com", 101),
        ("https://APP.example.com", "rt.example.com", 101),
        ("http://app.example.com", "rt.example.com", 403),
        ("https://app.example.com:444", "rt.example.com", 403),
        ("https://rt.example.com", "rt.example.com", 403),
        ("https://a.b.example.org", "rt.example.com", 101),
        ("https://example.org", "rt.example.com", 403),
        ("https://badexample.org", "rt.example.com", 403),
        ("https://localhost.evil.example", "localhost", 403),
        ("null", "localhost", 403),
        ("", "localhost", 101),
    ] {
        assert_eq!(page(&server, origin, host), status, "{origin} at {host}");
    }
}

#[test]
fn no_trick_with_an_origin_gets_past_the_list() {
    let allowed_origins = ["https://app.example.com", "https://*.example.org", "http://plain.example:8000"];
    let allowed_origins = allowed_origins.iter().map(|origin| origin.parse().unwrap()).collect();
    let server = start(Config { allowed_origins, ..config() });
    for (origin, status) in [
        ("https://app.example.com:443", 101),
        ("HTTPS://App.Example.COM", 101),
        ("https://x.example.org:443", 101),
        ("http://plain.example:8000", 101),
        ("https://app.example.com.evil.example", 403),
        ("https://app.example.com-evil.example", 403),
        ("https://evilapp.example.com", 403),
        ("https://app.example.com.", 403),
        ("https://app.example.com/", 403),
        ("https://app.example.com:80", 403),
        ("https://app.example.com:8443", 403),
        ("http://app.example.com:443", 403),
        ("https://app.example.com@evil.example", 403),
        ("https://evil.example#https://app.example.com", 403),
        ("https://evil.example, https://app.example.com", 403),
        ("https://x.example.org.evil.example", 403),
        ("https://.example.org", 403),
        ("https://x.example.org:8443", 403),
        ("http://plain.example", 403),
        ("http://plain.example:80", 403),
        ("null", 403),
        ("Null", 403),
        ("file://", 403),
        ("chrome-extension://abcdefghijklmnop", 403),
        ("https://[::1]:8443", 403),
    ] {
        assert_eq!(page(&server, origin, "app.example.com"), status, "{origin}");
    }
}

#[test]
fn where_an_origin_is_required_only_who_has_a_key_needs_none() {
    let allowed_origins = vec!["https://app.example.com".parse().unwrap()];
    let server = start(Config { allowed_origins, require_origin: true, ..config() });
    assert_eq!(page(&server, "https://app.example.com", "rt.example.com"), 101);
    let answer = server.plain().ask(upgrade("/ws", &[]));
    assert_eq!((answer.status, answer.error().0), (403, "forbidden".into()));
    assert!(answer.error().1.contains("require_origin"), "{answer:?}");
    let key = server.bearer();
    assert_eq!(server.plain().ask(upgrade("/", &[("Authorization", &key)])).status, 101);
    assert_eq!(server.plain().ask(upgrade("/publisher", &[("Authorization", &key)])).status, 101);
    let page = [("Authorization", &*key), ("Origin", "https://evil.example")];
    assert_eq!(server.plain().ask(upgrade("/", &page)).status, 403, "a page with a key is a page");
}

#[test]
fn the_host_that_a_proxy_names_counts_from_a_trusted_one_only() {
    let home = ("Origin", "http://192.0.2.5:3000");
    let via = |server: &TestServer, headers: &[(&str, &str)]| {
        let headers = [&[home, ("Host", "127.0.0.1:8080")], headers].concat();
        server.plain().ask(upgrade("/", &headers)).status
    };
    let anybody = TestServer::default();
    let behind = start(Config { trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()], ..config() });
    let named = [("X-Forwarded-Host", "192.0.2.5")];
    assert_eq!((via(&anybody, &named), via(&behind, &named)), (403, 101));
    assert_eq!(via(&behind, &[]), 403, "without the header the Host counts");
    // A browser's own header stands before what the proxy adds.
    assert_eq!(via(&behind, &[("X-Forwarded-Host", "192.0.2.5, app.example.com")]), 403);
    assert_eq!(via(&behind, &[("X-Forwarded-Host", "app.example.com, 192.0.2.5:443")]), 101);
    for none in ["x y", ",", "192.0.2.5.evil.example", "\u{e9}"] {
        assert_eq!(via(&behind, &[("X-Forwarded-Host", none)]), 403, "{none}");
    }
    // A page on the visitor's own machine is not on the server's, whatever the proxy calls that.
    let local =
        [("Origin", "http://localhost:3000"), ("Host", "127.0.0.1:8080"), ("X-Forwarded-Host", "app.example.com")];
    assert_eq!(behind.plain().ask(upgrade("/", &local)).status, 403);
    assert_eq!(anybody.plain().ask(upgrade("/", &local)).status, 101);
}

#[test]
fn a_refused_page_is_told_before_the_upgrade_and_the_line_to_add() {
    let server = TestServer::default();
    let mut http = server.plain();
    let answer = http.ask(upgrade("/", &[("Origin", "https://shop.example"), ("Host", "rt.shop.example")]));
    let (code, message) = answer.error();
    assert_eq!((answer.status, &*code), (403, "forbidden"));
    assert!(message.contains(r#"allowed_origins = ["https://shop.example"]"#), "{message}");
    assert!(message.contains("rt.shop.example"), "{message}");
    assert_eq!(answer.header("Sec-WebSocket-Accept"), None);
}

#[test]
fn an_origin_that_is_no_text_or_one_of_two_does_not_pass_for_none() {
    let server = TestServer::default();
    let head = upgrade("/", &[("Origin", "PLACE")]);
    let (before, after) = head.split_once("PLACE").unwrap();
    for origin in ["https://\u{e9}vil.example".as_bytes(), b"http://localhost\xE9", b"\xFF"] {
        let bytes = [before.as_bytes(), origin, after.as_bytes()].concat();
        assert_eq!(server.plain().ask(bytes).status, 403, "{origin:?}");
    }
    for two in [["http://localhost", "https://evil.example"], ["https://evil.example", "http://localhost"]] {
        let head = head.replace("PLACE", &two.join("\r\nOrigin: "));
        assert_eq!(server.plain().ask(head).status, 403, "{two:?}");
    }
}

#[test]
fn over_tcp_publishers_present_the_key() {
    let server = TestServer::default();
    let key = server.bearer();
    let auth = ("Authorization", &*key);
    assert_eq!(server.plain().ask(post(&[auth])).status, 200);
    assert_eq!(server.plain().ask(post(&[("authorization", &key.replacen("Bearer", "bearer", 1))])).status, 200);
    assert_eq!(server.plain().ask(post(&[])).status, 401);
    assert_eq!(server.plain().ask(post(&[("Authorization", &key.replacen("Bearer", "Basic", 1))])).status, 401);
    assert_eq!(server.plain().ask(post(&[("Authorization", "Bearer")])).status, 401);
    assert_eq!(server.plain().ask(upgrade("/publisher", &[auth])).status, 101);
    assert_eq!(server.plain().ask(upgrade("/publisher", &[])).status, 401);
    // With the key a proxy may be between; a page may not, for it would have to know the key.
    assert_eq!(server.plain().ask(upgrade("/publisher", &[auth, ("X-Forwarded-For", "192.0.2.1")])).status, 101);
    assert_eq!(server.plain().ask(upgrade("/publisher", &[auth, ("Origin", "http://localhost")])).status, 403);
    let protocol = ("Sec-WebSocket-Protocol", "other, realtime.publisher.v1");
    let answer = server.plain().ask(upgrade("/publisher", &[auth, protocol]));
    assert_eq!(answer.header("Sec-WebSocket-Protocol"), Some("realtime.publisher.v1"));
}

#[test]
fn without_a_key_nobody_publishes_over_tcp() {
    let server = start(Config { publisher_key: None, ..config() });
    let some = format!("Bearer {}", PublisherKey::generate().unwrap().secret());
    for headers in [&[][..], &[("Authorization", &*some)]] {
        let answer = server.plain().ask(post(headers));
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    let refused = server.client().ask(r#"{"type":"broadcast_update","channel":"c","data":1}"#);
    assert_eq!(refused["code"], "unauthorized");
}

#[test]
fn on_the_clients_path_the_key_makes_a_client_that_may_publish_and_look_on() {
    let server = TestServer::default();
    let mut request = server.request("/ws");
    request.headers_mut().insert("authorization", server.bearer().parse().unwrap());
    let mut client = Client::open(request);
    client.subscribe("private-x");
    assert_eq!(client.publish("c", &json!(1)), 0);
    let answer = server.plain().ask(upgrade("/", &[("Authorization", "Bearer rtk_wrong")]));
    assert_eq!(answer.status, 401);
    assert!(answer.error().1.contains("none that this server"), "{answer:?}");
    let basic = upgrade("/", &[("Authorization", "Basic dTpw")]);
    assert_eq!(server.plain().ask(basic).status, 101, "what a proxy in front asks for is not the server's affair");
}

#[test]
fn in_dev_mode_this_machine_publishes_without_a_key_but_no_page_and_no_proxy() {
    let server = start(Config { dev: true, publisher_key: None, ..config() });
    assert_eq!(server.plain().ask(post(&[])).status, 200);
    assert_eq!(server.plain().ask(upgrade("/publisher", &[])).status, 101);
    for relayed in [
        ("Origin", "http://localhost"),
        ("Forwarded", "for=192.0.2.1"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("x-forwarded-anything", "1"),
    ] {
        let answer = server.plain().ask(post(&[relayed]));
        assert_eq!((answer.status, answer.error().0), (403, "forbidden".into()), "{relayed:?}");
        assert_eq!(server.plain().ask(upgrade("/publisher", &[relayed])).status, 403, "{relayed:?}");
    }
    // On the clients' path both get in; only who is no page may publish there.
    let mut plain = server.client();
    assert_eq!(plain.publish("c", &json!(1)), 0);
    let mut request = server.request("/");
    request.headers_mut().insert("origin", "http://localhost".parse().unwrap());
    let refused = Client::open(request).ask(r#"{"type":"broadcast_update","channel":"c","data":1}"#);
    assert_eq!(refused["code"], "unauthorized");
    assert_eq!(server.client().ask(r#"{"action":"register","userId":"u7"}"#)["user"], "u7", "identities are believed");
}

/// A server with a unix socket in a directory of its own.
fn with_unix_socket() -> (TestServer, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let unix_socket = UnixSocket::Path(directory.path().join("rt.sock"));
    (start(Config { unix_socket, ..config() }), directory)
}

#[test]
fn the_unix_socket_serves_publishers_and_health_only_and_asks_for_no_key() {
    let (server, _directory) = with_unix_socket();
    assert_eq!(server.unix().ask(post(&[])).status, 200);
    assert_eq!(server.unix().ask(request("GET /health/live", &[])).status, 200);
    assert_eq!(server.unix().ask(request("GET /health", &[])).status, 200);
    let mut publisher = server.unix();
    assert_eq!(publisher.ask(upgrade("/publisher", &[])).status, 101);
    let mut client = server.client();
    client.subscribe("c");
    publisher.send(text(r#"{"type":"broadcast_update","channel":"c","data":"unix"}"#));
    assert_eq!(client.json()["data"], "unix");
    for (what, head) in [
        ("clients", upgrade("/", &[])),
        ("clients", upgrade("/ws", &[])),
        ("POST /", post(&[]).replacen("/broadcast", "/", 1)),
        ("the browser client", request("GET /realtime.js", &[])),
    ] {
        assert_eq!(server.unix().ask(head).status, 404, "{what}");
    }
}

#[test]
fn the_unix_socket_refuses_what_a_proxy_or_a_browser_sends() {
    let (server, _directory) = with_unix_socket();
    let refused = |answer: Answer| {
        assert_eq!((answer.status, answer.error().0), (403, "forbidden".into()));
        answer.error().1
    };
    for relayed in [("Origin", "http://localhost"), ("Forwarded", "for=x"), ("X-Forwarded-For", "192.0.2.1")] {
        let message = refused(server.unix().ask(post(&[relayed])));
        assert!(message.contains("through a proxy"), "{message}");
        refused(server.unix().ask(upgrade("/publisher", &[relayed])));
        let key = server.bearer();
        refused(server.unix().ask(post(&[relayed, ("Authorization", &key)])));
    }
}

#[test]
fn a_reload_changes_keys_origins_and_rules_for_who_comes_next() {
    let first = Config { channels: vec![rule("news.*", Access::Nobody)], ..config() };
    let server = start(first.clone());
    let mut client = server.client();
    client.subscribe("orders");
    let mut publisher = server.publisher();
    assert_eq!(client.ask(r#"{"type":"subscribe","channel":"news.a"}"#)["code"], "forbidden");
    assert_eq!(page(&server, "https://app.example.com", "rt.example.com"), 403);

    let key = PublisherKey::generate().unwrap();
    server.server.as_ref().unwrap().reload(&Config {
        publisher_key: Some(key.clone()),
        allowed_origins: vec!["https://app.example.com".parse().unwrap()],
        channels: vec![rule("orders", Access::Nobody)],
        ..first
    });
    client.subscribe("news.a");
    assert_eq!(server.client().ask(r#"{"type":"subscribe","channel":"orders"}"#)["code"], "forbidden");
    assert_eq!(page(&server, "https://app.example.com", "rt.example.com"), 101);
    assert_eq!(server.plain().ask(post(&[("Authorization", &server.bearer())])).status, 401, "the former key");
    assert_eq!(server.plain().ask(post(&[("Authorization", &format!("Bearer {}", key.secret()))])).status, 200);
    // Browsers stay, with what they have; who has published by the former key does not.
    assert_eq!(publisher.close_code(), 4001);
    let body = r#"{"type":"broadcast_update","channel":"orders","data":1}"#;
    let headers =
        [("Authorization", &*format!("Bearer {}", key.secret())), ("Content-Length", &*body.len().to_string())];
    assert_eq!(server.plain().ask(request("POST /broadcast", &[&headers]) + body).status, 200);
    assert_eq!(client.json()["data"], 1);
}

#[test]
fn private_and_presence_channels_need_a_token_whatever_the_rules_say() {
    let server = start(Config { channels: vec![rule("*", Access::Anyone)], insecure_identity: true, ..config() });
    let mut client = server.client();
    assert_eq!(client.ask(r#"{"action":"register","userId":"u7"}"#)["user"], "u7");
    for name in ["private-x", "presence-x", "private-", "presence-a.b"] {
        let reply = client.ask(&json!({"type": "subscribe", "channel": name}).to_string());
        assert_eq!((&reply["code"], &reply["channel"]), (&json!("forbidden"), &json!(name)));
        assert!(reply["message"].as_str().unwrap().contains("token"), "{reply}");
    }
    for name in ["private", "Private-x", "my-private-x"] {
        client.subscribe(name);
    }
    assert_eq!(server.publisher().publish("private-x", &json!(1)), 0, "publishing there is nobody's secret");
}
