//! What nobody sends by mistake. The server may refuse it or put up with it; others must not notice.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use realtime_server::config::{Config, UnixSocket};
use realtime_server::rules::{Overflow, StreamRule};
use serde_json::json;
use support::frame::{CONTINUE, FIN, PING, TEXT, frame, text};
use support::http::{Http, request, upgrade};
use support::{Client, PATIENCE, Scene, TestServer, config};

/// Writes the same bytes again and again until the other end hangs up.
fn write_until_hung_up(stream: &mut TcpStream, bytes: &[u8]) {
    let begun = Instant::now();
    stream.set_nonblocking(true).unwrap();
    loop {
        match stream.write(bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(_) => break,
        }
        assert!(begun.elapsed() < PATIENCE, "it takes them without end");
    }
    stream.set_nonblocking(false).unwrap();
}

#[test]
fn frames_sent_together_with_the_upgrade_are_read() {
    let mut scene = Scene::default();
    let ping = text(r#"{"type":"ping","id":1}"#);
    let (first, second) = ping.split_at(7);
    let mut together = scene.server.plain();
    together.send([upgrade("/", &[]).as_bytes(), &ping, &ping, first].concat());
    assert_eq!(together.answer().unwrap().status, 101);
    together.send(second);
    let mut heard = Vec::new();
    while heard.windows(6).filter(|window| window == b"\"pong\"").count() < 3 {
        let mut buffer = [0; 1000];
        heard.append(&mut together.rest);
        let n = together.stream.read(&mut buffer).unwrap();
        assert!(n > 0);
        heard.extend(&buffer[..n]);
    }
    let mut rude = scene.server.plain();
    rude.send([upgrade("/", &[]).as_bytes(), &frame(0xF3, b"x")].concat());
    assert_eq!(rude.answer().unwrap().status, 101);
    rude.stream.shutdown(Shutdown::Write).unwrap();
    rude.end();
    scene.nobody_else_notices();
}

#[test]
fn pipelined_requests_are_answered_in_order_and_an_upgrade_may_be_the_last() {
    let mut scene = Scene::default();
    let mut http = scene.server.plain();
    let (live, none) = (request("GET /health/live", &[]), request("GET /nothing", &[]));
    http.send(format!("{live}{none}").repeat(50) + &upgrade("/", &[]));
    for _ in 0..50 {
        assert_eq!(http.answer().unwrap().status, 200);
        assert_eq!(http.answer().unwrap().status, 404);
    }
    assert_eq!(http.answer().unwrap().status, 101);
    // What comes after the upgrade is no request any more.
    let mut http = scene.server.plain();
    http.send(upgrade("/", &[]) + &live);
    assert_eq!(http.answer().unwrap().status, 101);
    http.stream.shutdown(Shutdown::Write).unwrap();
    http.end();
    assert!(!String::from_utf8_lossy(&http.rest).contains("HTTP/1.1"), "{:?}", http.rest);
    scene.nobody_else_notices();
}

#[test]
fn unusual_http_is_answered_like_the_usual() {
    let scene = Scene::default();
    let key = scene.server.bearer();
    let auth = ("Authorization", &*key);
    let ask = |bytes: String| scene.server.plain().ask(bytes);
    assert_eq!(ask("GET /health/live HTTP/1.0\r\n\r\n".into()).status, 200);
    assert_eq!(ask("GET http://elsewhere.example/health/live HTTP/1.1\r\nHost: x\r\n\r\n".into()).status, 200);
    assert_eq!(ask(request("OPTIONS *", &[])).status, 404);
    assert_eq!(ask("CONNECT localhost:1 HTTP/1.1\r\nHost: x\r\n\r\n".into()).status, 404);
    let chunked = [auth, ("Transfer-Encoding", "chunked")];
    let body = "5;x=y\r\n{\"typ\r\n0a\r\ne\":\"ping\"}\r\n0\r\nTrailer: 1\r\n\r\n";
    assert_eq!(ask(request("POST /broadcast", &[&chunked]) + body).status, 200);
    let expecting = [auth, ("Content-Length", "15"), ("Expect", "100-continue")];
    let mut http = scene.server.plain();
    assert_eq!(http.ask(request("POST /broadcast", &[&expecting])).status, 100);
    assert_eq!(http.ask(r#"{"type":"ping"}"#).status, 200);
    for broken in ["zz\r\n{}\r\n0\r\n\r\n", "fffffffffffffffff\r\n", "-1\r\n"] {
        assert_eq!(ask(request("POST /broadcast", &[&chunked]) + broken).status, 400, "{broken:?}");
    }
    for path in ["/health/live", "/realtime.js"] {
        let mut http = scene.server.plain();
        http.send(request(&format!("HEAD {path}"), &[]));
        http.send(request("GET /nothing", &[]));
        let mut heard = String::new();
        while !heard.contains("404") {
            let mut buffer = [0; 1000];
            let n = http.stream.read(&mut buffer).unwrap();
            heard += std::str::from_utf8(&buffer[..n]).unwrap();
        }
        assert!(heard.contains("\r\n\r\nHTTP/1.1 404"), "HEAD {path} has no body: {heard}");
    }
}

#[test]
fn a_client_that_pings_without_reading_is_closed() {
    let mut scene = Scene::default();
    let mut publisher = scene.server.publisher();
    for ping in [frame(FIN | PING, &[b'x'; 125]), frame(FIN | PING, b"")] {
        let mut client = scene.server.client();
        client.subscribe("c");
        client.stream().set_nonblocking(true).unwrap();
        let flood = ping.repeat(1000);
        let mut at = 0;
        // A connection that is closed is out of its channels at once.
        while publisher.publish("c", &json!(1)) == 1 {
            match client.stream_mut().write(&flood[at..]) {
                Ok(n) => at = (at + n) % flood.len(),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    }
    scene.nobody_else_notices();
}

// docs: requests that go on, or answers that are not taken, for twice `handshake_timeout`
#[test]
fn requests_whose_answers_are_not_taken_do_not_keep_a_place_among_the_handshakes() {
    let mut scene = Scene::new(Config { handshake_timeout: Duration::from_millis(300), ..config() });
    let mut http = scene.server.plain();
    write_until_hung_up(&mut http.stream, request("GET /realtime.js", &[]).repeat(50).as_bytes());
    scene.nobody_else_notices();
}

#[test]
fn requests_without_end_do_not_keep_a_place_among_the_handshakes_but_publishers_stay() {
    let scene = Scene::new(Config { handshake_timeout: Duration::from_millis(300), ..config() });
    let key = scene.server.bearer();
    let auth = [("Authorization", &*key), ("Content-Length", "15")];
    let post = request("POST /broadcast", &[&auth]) + r#"{"type":"ping"}"#;
    let mut publisher = scene.server.plain();
    let mut idler = scene.server.plain();
    while idler.stays() {
        assert_eq!(publisher.ask(&post).status, 200);
    }
    assert_eq!(publisher.ask(&post).status, 200);
}

#[test]
fn a_flood_of_empty_fragments_changes_nothing() {
    let mut scene = Scene::default();
    let mut client = scene.server.client();
    client.send_raw(&frame(TEXT, br#"{"type":"#));
    client.send_raw(&frame(CONTINUE, b"").repeat(100_000));
    client.send_raw(&frame(FIN | CONTINUE, br#""ping"}"#));
    assert_eq!(client.json()["type"], "pong");
    scene.nobody_else_notices();
}

#[test]
fn numbers_and_strings_of_all_kinds_are_forwarded_or_refused_but_never_changed() {
    let mut scene = Scene::default();
    let mut client = scene.server.client();
    client.subscribe("c");
    let mut publisher = scene.server.publisher();
    let digits = "9".repeat(20_000);
    let all =
        ["-0", "1E+400", &digits, r#""\ud800""#, r#""\u0000""#, r#"{"a":1,"a":2}"#, r#""</script>""#, "\"\u{2028}\""];
    for data in all {
        publisher.send(&format!(r#"{{"type":"broadcast_update","channel":"c","data":{data}}}"#));
        assert_eq!(client.text(), format!(r#"{{"type":"broadcast_update","channel":"c","data":{data}}}"#));
    }
    for broken in ["01", "1.", ".5", "+1", "NaN", "Infinity", "0x10", "1_000", "'x'", "undefined", "\"\t\""] {
        let reply = publisher.ask(&format!(r#"{{"type":"broadcast_update","channel":"c","data":{broken}}}"#));
        assert_eq!(reply["code"], "bad_request", "{broken}");
    }
    client.assert_silent();
    scene.nobody_else_notices();
}

#[test]
fn a_channel_that_all_leave_while_it_is_passed_on_and_one_joins_again() {
    // One shard in whose turn not all of them fit, and another that keeps the channel alive.
    const EACH: usize = 300;
    let rule = support::rule("*", StreamRule::new(Some(Overflow::Latest), None, None));
    let config = Config { channels: vec![rule], commands_per_second: 1_000_000, command_burst: 1_000_000, ..config() };
    let mut server = support::start(config);
    let mut others = Vec::new();
    let mut clients: Vec<Client> = (0..EACH)
        .map(|_| {
            let client = server.client();
            others.push(server.client());
            client
        })
        .collect();
    others[0].subscribe("c");
    let mut publisher = server.publisher();
    let subscribe = text(r#"{"type":"subscribe","channel":"c"}"#);
    let leave = text(r#"{"type":"unsubscribe","channel":"c"}"#);
    let until_pong = |client: &mut Client| {
        client.send(r#"{"type":"ping"}"#);
        while client.json()["type"] != "pong" {}
    };
    let publication = json!({"type": "broadcast_update", "channel": "c", "data": "x".repeat(20_000)}).to_string();
    for _ in 0..5 {
        for client in &mut clients {
            client.send_raw(&subscribe);
        }
        clients.iter_mut().for_each(until_pong);
        publisher.send(&publication);
        let (last, first) = clients.split_last_mut().unwrap();
        for client in first {
            client.send_raw(&leave);
        }
        last.send_raw(&[&leave[..], &subscribe].concat());
        clients.iter_mut().for_each(until_pong);
        until_pong(&mut others[0]);
    }
    drop((clients, others, publisher));
    server.stop();
}

#[test]
fn garbage_on_the_unix_socket_harms_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(Config { unix_socket: UnixSocket::Path(directory.path().join("rt.sock")), ..config() });
    for garbage in [&b"\0\0\0\0\r\n\r\n"[..], b"PING\r\n\r\n", b"*1\r\n$4\r\nPING\r\n", &[0xFF; 100_000]] {
        let mut http = scene.server.unix();
        http.send_in_vain(garbage);
        if let Some(answer) = http.answer() {
            assert!([400, 431].contains(&answer.status), "{answer:?}");
        }
        http.end();
    }
    let mut publisher = scene.server.unix();
    assert_eq!(publisher.ask(upgrade("/publisher", &[])).status, 101);
    publisher.send(b"\xFF".repeat(1000));
    publisher.stream.shutdown(Shutdown::Write).unwrap();
    publisher.end();
    scene.nobody_else_notices();
}

/// Bytes that look random and are the same in each run.
fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
}

#[test]
fn noise_of_all_kinds_harms_nobody() {
    let mut scene = Scene::default();
    for seed in 0..60 {
        let noise: Vec<u8> = noise(seed).take(3000).collect();
        let mut http: Http<_> = scene.server.plain();
        http.send_in_vain(&noise);
        http.end();
        for mut client in [scene.server.client(), scene.server.publisher()] {
            let _ = client.stream_mut().write_all(&noise);
            let _ = client.stream().shutdown(Shutdown::Write);
            client.closed();
        }
        // Well framed, so that it gets through to the parser of commands.
        let mut client = scene.server.client();
        let printable: String = noise.iter().take(200).map(|byte| char::from(b' ' + byte % 95)).collect();
        assert_eq!(client.ask(&printable)["type"], "error");
    }
    scene.nobody_else_notices();
}

#[test]
fn names_that_mean_something_elsewhere_are_only_names_here() {
    let server = TestServer::default();
    let mut client = server.client();
    let mut publisher = server.publisher();
    for name in
        ["__proto__", "constructor", "*", "user:{user}:*", "../../etc/passwd", "<b>", "'; DROP TABLE--", "%00", "null"]
    {
        client.subscribe(name);
        assert_eq!(publisher.publish(name, &json!(name)), 1);
        assert_eq!(client.json()["channel"], name);
    }
}
