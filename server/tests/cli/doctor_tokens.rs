use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::sys::signal::Signal;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};

use crate::doctor::{assert_finds, doctor};
use crate::program::{Running, Setup};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "another-secret-another-secret-an";
const MEND: &str = "systemctl reload realtime-server";

fn with_secret(secret: &str) -> String {
    format!("[tokens]\nsecret = {secret:?}\n")
}

fn assert_says(setup: &Setup, server: &Running, what: &str) {
    let out = doctor(setup, server, &[]).out;
    assert!(out.lines().any(|line| line.starts_with(what)), "{what}\n{out}");
    assert!(!out.contains(SECRET) && !out.contains(OTHER), "{out}");
}

#[test]
fn a_server_with_the_configured_secret_takes_tokens_under_the_strictest_settings() {
    let strict = "require_origin = true\nallowed_origins = [\"https://app.example.com\"]\n[tokens]\nrequired = true\n\
                  max_ttl = \"1s\"\naudience = \"shop\"\n";
    let setup = Setup::new(&format!("{strict}secret = {SECRET:?}\n"));
    let server = setup.start(&[]);
    assert_says(&setup, &server, "ok    the server takes tokens that are signed with the configured secret");
    server.stop();
}

#[test]
fn another_secret_than_the_servers_is_found_and_mended_by_a_reload() {
    let setup = Setup::new(&with_secret(SECRET));
    let mut server = setup.start(&[]);
    setup.write("realtime.toml", &with_secret(OTHER));
    let outcome = doctor(&setup, &server, &[]);
    assert_finds(&outcome, "refuses a token that is signed with the configured secret: the signature is wrong", MEND);
    assert_finds(&outcome, "refuses a token", "realtime.token_secret in PHP");
    assert!(!outcome.out.contains(SECRET) && !outcome.out.contains(OTHER), "{}", outcome.out);
    server.signal(Signal::SIGHUP);
    server.wait_for("reloaded the publisher keys");
    assert_says(&setup, &server, "ok    the server takes tokens that are signed with the configured secret");
    server.stop();
}

#[test]
fn each_secret_of_several_is_tried() {
    let setup = Setup::new(&format!("[tokens]\nkeys = [{{ kid = \"may\", secret = {SECRET:?} }}]\n"));
    let server = setup.start(&[]);
    let both = format!("{{ kid = \"nov\", secret = {OTHER:?} }}, {{ kid = \"may\", secret = {SECRET:?} }}");
    setup.write("realtime.toml", &format!("[tokens]\nkeys = [{both}]\n"));
    assert_says(&setup, &server, "ok    the server takes tokens that are signed with the secret \"may\"");
    assert_finds(&doctor(&setup, &server, &[]), "the secret \"nov\": no key of the server has the token's kid", MEND);
    server.stop();
}

#[test]
fn a_server_that_verifies_no_tokens_is_found() {
    let setup = Setup::new("");
    let server = setup.start(&[]);
    assert!(!doctor(&setup, &server, &[]).out.contains("token"), "none are configured");
    setup.write("realtime.toml", &with_secret(SECRET));
    assert_finds(&doctor(&setup, &server, &[]), "this server verifies no tokens", MEND);
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    setup.write("token.pem", &pair.public_key_pem());
    let file = setup.arg("token.pem");
    setup.write("realtime.toml", &format!("[tokens]\nalgorithm = \"EdDSA\"\nkeys = [{{ file = {file:?} }}]\n"));
    assert_finds(&doctor(&setup, &server, &[]), "does not verify tokens by EdDSA: this server verifies no", MEND);
    server.stop();
}

#[test]
fn with_public_keys_it_is_found_that_signatures_are_verified() {
    for (name, algorithm) in [("RS256", &PKCS_RSA_SHA256), ("ES256", &PKCS_ECDSA_P256_SHA256), ("EdDSA", &PKCS_ED25519)]
    {
        let setup = Setup::new("");
        setup.write("token.pem", &KeyPair::generate_for(algorithm).unwrap().public_key_pem());
        let file = setup.arg("token.pem");
        setup.write("realtime.toml", &format!("[tokens]\nalgorithm = {name:?}\nkeys = [{{ file = {file:?} }}]\n"));
        let server = setup.start(&[]);
        assert_says(&setup, &server, &format!("note  the server verifies tokens by {name}; "));
        setup.write("realtime.toml", &with_secret(SECRET));
        assert_finds(&doctor(&setup, &server, &[]), &format!("the server takes {name:?} only"), MEND);
        server.stop();
    }
}

/// An issuer that answers this to every request until the test's process ends, and its URL.
fn issuer(body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut guest in listener.incoming().map_while(Result::ok) {
            let _ = guest.read(&mut [0; 4096]);
            let length = body.len();
            let _ = write!(guest, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        }
    });
    url
}

#[test]
fn the_issuers_keys_are_fetched_and_counted() {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key_raw());
    let url =
        issuer(format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"a","x":"{x}"}},{{"kty":"strange"}}]}}"#));
    let configure = |url: &str| format!("[tokens]\nalgorithm = \"EdDSA\"\njwks_url = {url:?}\n");
    let setup = Setup::new(&configure(&url));
    let mut server = setup.start(&[]);
    if !server.said("token keys from") {
        server.wait_for("token keys from");
    }
    assert_says(&setup, &server, &format!("ok    {url} has 1 key for EdDSA"));
    assert_says(&setup, &server, "note  the server verifies tokens by EdDSA; ");
    let other = issuer("{}".to_owned());
    setup.write("realtime.toml", &configure(&other));
    assert_finds(&doctor(&setup, &server, &[]), &format!("no token keys from {other}: "), "tokens.jwks_url");
    server.stop();
}

#[test]
fn without_a_server_tokens_are_not_tried() {
    let setup = Setup::new(&with_secret(SECRET));
    let outcome = setup.run(&["doctor", "--listen", "127.0.0.1:1", "--unix-socket", "off"]);
    assert!(outcome.out.contains("note  tokens cannot be tried while no server answers"), "{}", outcome.out);
}
