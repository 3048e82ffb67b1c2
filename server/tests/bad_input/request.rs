//! What is wrong with a request is answered in HTTP.

use std::net::Shutdown;
use std::time::Duration;

use realtime_server::config::Config;

use crate::support::http::{Answer, Http, request, upgrade};
use crate::support::{Scene, TestServer, config};

/// The request is refused with this status and a message with every one of the words; the connection stays.
fn refuses(server: &TestServer, status: u16, request: &str, words: &str) -> Answer {
    let mut http = server.plain();
    let answer = http.ask(request);
    assert_eq!(answer.status, status, "{request}: {answer:?}");
    let message = answer.error().1;
    for word in words.split('|') {
        assert!(message.contains(word), "{request}: no {word:?} in {message:?}");
    }
    assert!(http.stays(), "{request}");
    answer
}

/// The connection ends after an answer of 400 or 431, or without any.
fn hangs_up(scene: &Scene, what: &str, bytes: &[u8]) {
    let mut http = scene.server.plain();
    http.send_in_vain(bytes);
    if let Some(answer) = http.answer() {
        assert!([400, 431].contains(&answer.status), "{what}: {answer:?}");
        http.end();
    }
    assert!(http.rest.is_empty(), "{what}");
}

// docs: garbage instead of HTTP; a request head over 16 KiB or with more than 100 headers
#[test]
fn garbage_and_heads_that_are_too_long() {
    let mut scene = Scene::default();
    let tls = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3][..], &[7; 512]].concat();
    let binary: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let many: String = (0..101).map(|n| format!("X-{n}: 1\r\n")).collect();
    let long = "x".repeat(20_000);
    for (what, bytes) in [
        ("words", b"hello there, is this the mail server?\r\n\r\n".to_vec()),
        ("a TLS handshake", tls),
        ("binary", binary),
        ("zeros", vec![0; 10_000]),
        ("line ends only", b"\r\n".repeat(10_000)),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("another version", b"GET / HTTP/3.0\r\nHost: x\r\n\r\n".to_vec()),
        ("a WebSocket frame", crate::support::frame::text("{}")),
        ("a header without a colon", b"GET / HTTP/1.1\r\nHost\r\n\r\n".to_vec()),
        ("a control character in a header", b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n".to_vec()),
        ("a length that is no number", b"POST /broadcast HTTP/1.1\r\nContent-Length: many\r\n\r\n".to_vec()),
        ("a length of 2^70", b"POST /broadcast HTTP/1.1\r\nContent-Length: 1180591620717411303424\r\n\r\n".to_vec()),
        ("two lengths", b"POST /broadcast HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_vec()),
        ("too many headers", format!("GET / HTTP/1.1\r\n{many}\r\n").into_bytes()),
        ("a long header", format!("GET / HTTP/1.1\r\nX: {long}\r\n\r\n").into_bytes()),
        ("a long path", format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()),
        ("a long line that never ends", long.clone().into_bytes()),
    ] {
        hangs_up(&scene, what, &bytes);
    }
    let long = format!("GET / HTTP/1.1\r\nX: {long}\r\n\r\n");
    assert_eq!(scene.server.plain().ask(long).status, 431);
    let headers = format!("GET /health/live HTTP/1.1\r\n{}\r\n", &many[..many.len() - "X-100: 1\r\n".len()]);
    assert_eq!(scene.server.plain().ask(headers).status, 200, "100 headers are fine");
    scene.nobody_else_notices();
}

// docs: a request that is not complete within `handshake_timeout`
#[test]
fn a_request_that_is_not_complete_in_time() {
    let mut scene = Scene::new(Config { handshake_timeout: Duration::from_millis(300), ..config() });
    let key = scene.server.bearer();
    let post = format!("POST /broadcast HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\nContent-Length: 100\r\n\r\n{{");
    for (what, begun) in [
        ("nothing", ""),
        ("half a head", "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: webs"),
        ("half a body", &post),
        ("an idle connection", &request("GET /health/live", &[])),
    ] {
        let mut http = scene.server.plain();
        http.send(begun);
        while let Some(answer) = http.answer() {
            assert!([200, 408].contains(&answer.status), "{what}: {answer:?}");
        }
    }
    let mut slow = scene.server.plain();
    let mut drip = slow.stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // One more byte of a header, again and again, until the server has had enough.
            while std::io::Write::write_all(&mut drip, b"x").is_ok() {
                std::thread::yield_now();
            }
        });
        slow.end();
        let _ = slow.stream.shutdown(Shutdown::Both);
    });
    scene.nobody_else_notices();
}

// docs: an upgrade without `Connection: Upgrade`, or without a `Sec-WebSocket-Key`
#[test]
fn an_upgrade_that_is_not_whole() {
    let mut scene = Scene::default();
    let key = ("Authorization", &*scene.server.bearer());
    for (path, auth) in [("/", None), ("/ws", None), ("/publisher", Some(key))] {
        let with = |header: (&'static str, &'static str)| {
            let headers: Vec<_> = auth.into_iter().chain([header]).collect();
            upgrade(path, &headers)
        };
        for connection in ["", "keep-alive", "Upgraded"] {
            refuses(&scene.server, 400, &with(("Connection", connection)), "Connection: Upgrade|proxy");
        }
        refuses(&scene.server, 400, &with(("Sec-WebSocket-Key", "")), "Sec-WebSocket-Key is missing");
        for bad in ["x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSBhbmQgbW9yZQ==", "é hlIHNhbXBsZSBub25jZQ=="]
        {
            refuses(&scene.server, 400, &with(("Sec-WebSocket-Key", bad)), "Sec-WebSocket-Key");
        }
    }
    for ok in ["keep-alive, Upgrade", "upgrade", "Keep-Alive,UPGRADE"] {
        assert_eq!(scene.server.plain().ask(upgrade("/", &[("Connection", ok)])).status, 101, "{ok}");
    }
    scene.nobody_else_notices();
}

// docs: an upgrade with a method other than GET
#[test]
fn an_upgrade_by_another_kind_of_request() {
    let mut scene = Scene::default();
    let key = scene.server.bearer();
    let auth = ("Authorization", &*key);
    for method in ["POST", "PUT", "OPTIONS", "DELETE"] {
        for path in ["/", "/publisher"] {
            let head = upgrade(path, &[auth]).replacen("GET", method, 1);
            refuses(&scene.server, 400, &head, "GET");
        }
    }
    let body = upgrade("/publisher", &[auth, ("Content-Length", "15")]) + r#"{"type":"ping"}"#;
    refuses(&scene.server, 400, &body, "no body");
    let chunked = upgrade("/", &[("Transfer-Encoding", "chunked")]) + "2\r\n{}\r\n0\r\n\r\n";
    refuses(&scene.server, 400, &chunked, "no body");
    let old = upgrade("/", &[]).replacen("HTTP/1.1", "HTTP/1.0", 1);
    let answer = scene.server.plain().ask(old);
    assert_eq!(answer.status, 400, "{answer:?}");
    scene.nobody_else_notices();
}

// docs: an upgrade with another `Sec-WebSocket-Version` than 13
#[test]
fn an_upgrade_to_another_version() {
    let mut scene = Scene::default();
    for version in ["8", "14", "13, 8", "x", ""] {
        let head = upgrade("/", &[("Sec-WebSocket-Version", version)]);
        let answer = refuses(&scene.server, 426, &head, "Sec-WebSocket-Version must be 13");
        assert_eq!(answer.header("Sec-WebSocket-Version"), Some("13"));
    }
    scene.nobody_else_notices();
}

// docs: no upgrade on a WebSocket path
#[test]
fn no_upgrade_on_a_websocket_path() {
    let mut scene = Scene::default();
    for path in ["/", "/ws", "/publisher", "/?x=1"] {
        let answer = refuses(&scene.server, 426, &request(&format!("GET {path}"), &[]), "WebSocket|POST /broadcast");
        assert_eq!(answer.header("Upgrade"), Some("websocket"));
    }
    refuses(&scene.server, 426, &upgrade("/", &[("Upgrade", "h2c")]), "WebSocket");
    scene.nobody_else_notices();
}

// docs: an `Origin` that is not allowed
#[test]
fn an_origin_that_is_not_allowed() {
    let mut scene = Scene::default();
    for origin in ["https://evil.example", "null", "http://localhost.evil.example", "nonsense"] {
        let answer = refuses(&scene.server, 403, &upgrade("/", &[("Origin", origin)]), origin);
        assert_eq!(answer.error().0, "forbidden");
    }
    refuses(&scene.server, 403, &upgrade("/ws", &[("Origin", "https://a.example")]), "allowed_origins = [\"https://a.");
    scene.nobody_else_notices();
}

// docs: an `Origin` on `/publisher`
#[test]
fn an_origin_on_the_publishers_path() {
    let mut scene = Scene::default();
    let headers = [("Origin", "http://localhost"), ("Authorization", &*scene.server.bearer())];
    refuses(&scene.server, 403, &upgrade("/publisher", &headers), "not for browsers");
    scene.nobody_else_notices();
}

// docs: no publisher key, or a wrong one
#[test]
fn no_publisher_key_or_a_wrong_one() {
    let mut scene = Scene::default();
    let wrong = format!("{}x", scene.server.bearer());
    let cases =
        [("", "needs the publisher key"), (&wrong, "none that"), ("Bearer rtk_", "none that"), ("Bearer a.b", "rtk_")];
    for (auth, words) in cases {
        for line in ["POST /broadcast", "POST /"] {
            let answer = refuses(&scene.server, 401, &request(line, &[&[("Authorization", auth)]]), words);
            assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"));
            assert_eq!(answer.error().0, "unauthorized");
        }
        refuses(&scene.server, 401, &upgrade("/publisher", &[("Authorization", auth)]), words);
    }
    refuses(&scene.server, 401, &upgrade("/", &[("Authorization", &wrong)]), "none that");
    scene.nobody_else_notices();
}

// docs: an unknown path
#[test]
fn an_unknown_path() {
    let mut scene = Scene::default();
    for path in ["/nothing", "/../etc/passwd", "/broadcast/", "/health/", "//", "/%2e%2e/", "/realtime.js.map"] {
        for request in [request(&format!("GET {path}"), &[]), upgrade(path, &[])] {
            refuses(&scene.server, 404, &request, "there is nothing here|/health/ready");
        }
    }
    scene.nobody_else_notices();
}

// docs: another method than POST on `/broadcast`
#[test]
fn another_method_on_broadcast() {
    let mut scene = Scene::default();
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let answer = refuses(&scene.server, 405, &request(&format!("{method} /broadcast"), &[]), "POST /broadcast");
        assert_eq!(answer.header("Allow"), Some("POST"));
    }
    scene.nobody_else_notices();
}

// docs: a body over 8 MiB
#[test]
fn a_body_that_is_too_large() {
    let mut scene = Scene::default();
    let key = scene.server.bearer();
    let head = |length: &str| request("POST /broadcast", &[&[("Authorization", &key), ("Content-Length", length)]]);
    let mut http = scene.server.plain();
    let answer = http.ask(head("8388609"));
    assert_eq!((answer.status, answer.error().0), (413, "too_large".into()), "refused by its announced length");
    assert!(answer.error().1.contains("8388608 bytes"), "{answer:?}");
    assert!(!http.stays());
    let mut http = scene.server.plain();
    http.send(request("POST /broadcast", &[&[("Authorization", &key), ("Transfer-Encoding", "chunked")]]));
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    for _ in 0..9 {
        http.send_in_vain(&chunk);
    }
    assert_eq!(http.answer().map(|answer| answer.status), Some(413));
    assert!(!http.stays());
    let ping = [r#"{"type":"ping"}"#, &" ".repeat((8 << 20) - 15)].concat();
    assert_eq!(scene.server.plain().ask(head("8388608") + &ping).status, 200, "8 MiB are fine");
    scene.nobody_else_notices();
}

#[test]
fn a_body_that_is_no_command_has_the_errors_own_status() {
    let mut scene = Scene::default();
    let post = |body: &[u8]| {
        let (key, length) = (scene.server.bearer(), body.len().to_string());
        let head = request("POST /broadcast", &[&[("Authorization", &key), ("Content-Length", &length)]]);
        let mut http = scene.server.plain();
        let answer = http.ask([head.as_bytes(), body].concat());
        assert!(http.stays());
        (answer.status, if answer.status == 200 { answer.body } else { answer.error().0 })
    };
    for body in [&b""[..], b"{", b"\xFF", b"[1", b"7", "[".repeat(100_000).as_bytes()] {
        assert_eq!(post(body), (400, "bad_request".into()), "{:?}", String::from_utf8_lossy(body));
    }
    assert_eq!(post(br#"{"type":"sing"}"#), (400, "unknown_type".into()));
    assert_eq!(post(b"[]"), (200, "[]".into()));
    assert!(post(b"[7]").1.contains("bad_request"));
    scene.nobody_else_notices();
}

// docs: more handshakes in flight than `max_handshakes`
#[test]
fn more_handshakes_than_may_be_in_flight() {
    let mut scene = Scene::new(Config { max_handshakes: 2, handshake_timeout: Duration::from_secs(60), ..config() });
    let begun: Vec<_> = (0..2)
        .map(|_| {
            let mut http = scene.server.plain();
            http.send("GET / HTTP/1.1\r\nHos");
            http
        })
        .collect();
    // Which of three sockets the server counts first is its own affair; the two above are counted soon.
    let mut http: Http<_>;
    let answer = loop {
        http = scene.server.plain();
        let answer = http.ask(upgrade("/", &[]));
        if answer.status != 101 {
            break answer;
        }
    };
    assert_eq!((answer.status, answer.error().0), (503, "unavailable".into()));
    assert_eq!(answer.header("Retry-After"), Some("1"));
    assert!(http.stays(), "a health check is answered");
    assert_eq!(http.ask(request("GET /health/ready", &[])).status, 200);
    let mut publisher = scene.server.publisher();
    assert_eq!(publisher.publish("nobody", &1.into()), 0);
    assert_eq!(scene.server.post(r#"{"type":"ping"}"#).0, 200);
    scene.nobody_else_notices();
    drop(begun);
    while scene.server.plain().ask(upgrade("/", &[])).status != 101 {}
}
