//! Keys of tokens from a URL: fetched from an issuer that changes them, fails, and comes back.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as Signs, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use realtime_server::config::Config;
use realtime_server::token::{Algorithm, TokenConfig};
use serde_json::{Value, json};

use support::token::{connect, now};
use support::{TestServer, config, start};

/// Longest wait for what must come. A token with an unknown key may have a fetch made every ten seconds only.
const PATIENCE: Duration = Duration::from_secs(60);

/// A key of the issuer.
struct Signer {
    kid: &'static str,
    algorithm: Signs,
    pair: KeyPair,
}

impl Signer {
    fn ed25519(kid: &'static str) -> Self {
        Self { kid, algorithm: Signs::EdDSA, pair: KeyPair::generate_for(&PKCS_ED25519).unwrap() }
    }

    fn p256(kid: &'static str) -> Self {
        Self { kid, algorithm: Signs::ES256, pair: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap() }
    }

    /// The public part (RFC 7518 §6.2.1, RFC 8037 §2).
    fn jwk(&self) -> Value {
        let raw = self.pair.public_key_raw();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self.algorithm {
            Signs::EdDSA => json!({"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": text(raw)}),
            // An uncompressed point: 4, x, y.
            _ => json!({"kty": "EC", "crv": "P-256", "kid": self.kid, "x": text(&raw[1..33]), "y": text(&raw[33..])}),
        }
    }

    fn token(&self) -> String {
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(self.algorithm) };
        let pem = self.pair.serialize_pem();
        let key = match self.algorithm {
            Signs::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
            _ => EncodingKey::from_ec_pem(pem.as_bytes()),
        };
        let claims = json!({"sub": "u7", "iat": now(), "exp": now() + 600, "aud": "shop"});
        encode(&header, &claims, &key.unwrap()).unwrap()
    }
}

/// An HTTP server with a JWK set, until the test's process ends.
struct Issuer {
    url: String,
    /// The status line and the body that it answers.
    answer: Arc<Mutex<(&'static str, String)>>,
    /// A word for each request that it has answered.
    asked: Receiver<()>,
}

impl Issuer {
    fn new(signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let answer = Arc::default();
        let (tell, asked) = channel();
        let served = Arc::clone(&answer);
        thread::spawn(move || serve(&listener, &served, &tell));
        let issuer = Self { url, answer, asked };
        issuer.publish(signers);
        issuer
    }

    fn publish(&self, signers: &[&Signer]) {
        let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
        *self.answer.lock().unwrap() = ("200 OK", json!({"keys": keys}).to_string());
    }

    fn fail(&self) {
        *self.answer.lock().unwrap() = ("503 Service Unavailable", String::new());
    }

    fn await_request(&self) {
        self.asked.recv_timeout(PATIENCE).unwrap();
    }

    /// A configuration that takes keys from here.
    fn config(&self, algorithm: Algorithm) -> Config {
        let (jwks_url, audience) = (Some(self.url.parse().unwrap()), Some("shop".to_owned()));
        Config { tokens: TokenConfig { algorithm, jwks_url, audience, ..TokenConfig::default() }, ..config() }
    }
}

fn serve(listener: &TcpListener, answer: &Mutex<(&'static str, String)>, tell: &Sender<()>) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let head = BufReader::new(&stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty());
        assert!(head.collect::<Vec<_>>()[0].starts_with("GET /jwks.json "));
        let (status, body) = answer.lock().unwrap().clone();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
        if tell.send(()).is_err() {
            return;
        }
    }
}

fn shown(server: &TestServer, token: &str) -> Value {
    server.client().ask(&connect(token))
}

/// Shows a token until it counts: the server takes keys over a moment after it got them. Until then it says `code`.
fn await_welcome(server: &TestServer, token: &str, code: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = shown(server, token);
        if reply["type"] == "connected" {
            return;
        }
        assert_eq!(reply["code"], code, "{reply}");
        assert!(Instant::now() < deadline, "{reply}");
    }
}

#[test]
fn keys_are_fetched_at_the_start() {
    for (signer, other, algorithm) in [
        (Signer::ed25519("a"), Signer::ed25519("a"), Algorithm::EdDsa),
        (Signer::p256("a"), Signer::p256("a"), Algorithm::Es256),
    ] {
        let issuer = Issuer::new(&[&signer]);
        let server = start(issuer.config(algorithm));
        issuer.await_request();
        await_welcome(&server, &signer.token(), "unavailable");
        let reply = shown(&server, &other.token());
        assert_eq!(reply["code"], "token_invalid", "another key of the same name: {reply}");
    }
}

#[test]
fn a_key_that_the_issuer_has_added_is_fetched_when_a_token_names_it() {
    let (old, new) = (Signer::ed25519("old"), Signer::ed25519("new"));
    let issuer = Issuer::new(&[&old]);
    let server = start(issuer.config(Algorithm::EdDsa));
    issuer.await_request();
    await_welcome(&server, &old.token(), "unavailable");
    issuer.publish(&[&old, &new]);
    let reply = shown(&server, &new.token());
    assert!(reply["message"].as_str().unwrap().contains("\"new\""), "{reply}");
    issuer.await_request();
    await_welcome(&server, &new.token(), "token_invalid");
    assert_eq!(shown(&server, &old.token())["type"], "connected");
}

#[test]
fn an_issuer_that_fails_is_asked_again_and_its_keys_stay_meanwhile() {
    let signer = Signer::ed25519("a");
    let issuer = Issuer::new(&[&signer]);
    issuer.fail();
    let server = start(issuer.config(Algorithm::EdDsa));
    issuer.await_request();
    let reply = shown(&server, &signer.token());
    assert_eq!(reply["code"], "unavailable", "{reply}");
    issuer.publish(&[&signer]);
    issuer.await_request();
    await_welcome(&server, &signer.token(), "unavailable");
    issuer.fail();
    server.server.as_ref().unwrap().reload(&issuer.config(Algorithm::EdDsa));
    issuer.await_request();
    assert_eq!(shown(&server, &signer.token())["type"], "connected");
}

#[test]
fn a_reload_fetches_keys_at_once_from_whatever_url_it_names() {
    let (first, second) = (Signer::ed25519("a"), Signer::ed25519("b"));
    let (here, there) = (Issuer::new(&[&first]), Issuer::new(&[&second]));
    let server = start(config());
    let reply = shown(&server, &first.token());
    assert_eq!(reply["code"], "token_invalid", "no [tokens]: {reply}");
    let turn_to = |issuer: &Issuer, signer: &Signer| {
        server.server.as_ref().unwrap().reload(&issuer.config(Algorithm::EdDsa));
        issuer.await_request();
        await_welcome(&server, &signer.token(), "unavailable");
    };
    turn_to(&here, &first);
    let mut let_in = server.client();
    assert_eq!(let_in.ask(&connect(&first.token()))["type"], "connected");
    turn_to(&here, &first);
    assert_eq!(let_in.ask(r#"{"type":"ping","id":1}"#)["type"], "pong", "the same URL");
    turn_to(&there, &second);
    assert_eq!(u16::from(let_in.closed().1.unwrap().code), 4004, "another URL");
    let reply = shown(&server, &first.token());
    assert_eq!(reply["code"], "token_invalid", "its issuer is not asked any more: {reply}");
}
