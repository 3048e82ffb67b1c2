//! `wss://`: encrypted, and only with a server whose certificate is trusted.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod support;

use std::io;
use std::path::PathBuf;

use native_tls::{Identity, TlsAcceptor};
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use realtime_publisher::{Publisher, Settings};
use support::{Server, accept, message, patient, publish, serve, target};

/// A certificate for `localhost`, its own authority, and its key; both in PEM.
fn certificate() -> (Vec<u8>, Vec<u8>) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "localhost").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    let names = SubjectAlternativeName::new().dns("localhost").build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build().to_pem().unwrap(), key.private_key_to_pem_pkcs8().unwrap())
}

/// A server with a certificate of its own, and the file of that certificate.
fn server(name: &str) -> (Server, PathBuf) {
    let (certificate, key) = certificate();
    let file = std::env::temp_dir().join(format!("realtime-publisher-{name}-{}.pem", std::process::id()));
    std::fs::write(&file, &certificate).unwrap();
    let acceptor = TlsAcceptor::new(Identity::from_pkcs8(&certificate, &key).unwrap()).unwrap();
    let server = Server::start(move |guest| {
        // Fails where the client does not trust us, which is what some tests are about.
        if let Ok(stream) = acceptor.accept(guest.stream) {
            serve(accept(stream), &guest.report, usize::MAX);
        }
    });
    (server, file)
}

fn trusting(file: &std::path::Path) -> Settings {
    Settings { tls_authority: Some(file.to_owned()), ..patient() }
}

#[test]
fn a_trusted_server_is_used_over_one_encrypted_connection() -> io::Result<()> {
    let (server, file) = server("trusted");
    let target = target(&format!("wss://localhost:{}", server.address.port()));
    let publisher = Publisher::default();
    for _ in 0..3 {
        publish(&publisher, &target, &trusting(&file), "1").unwrap();
    }
    assert_eq!(server.seen().0, 1);
    std::fs::remove_file(file)
}

#[test]
fn an_unknown_authority_and_another_host_are_refused() -> io::Result<()> {
    let (server, file) = server("refused");
    let port = server.address.port();
    let publisher = Publisher::default();
    let text = message(publish(&publisher, &target(&format!("wss://localhost:{port}")), &patient(), "1"));
    assert!(text.contains("TLS:") && text.contains("unknown authority; realtime.tls_ca"), "{text}");
    let text = message(publish(&publisher, &target(&format!("wss://127.0.0.1:{port}")), &trusting(&file), "1"));
    assert!(text.contains("TLS:"), "{text}");
    assert_eq!(server.seen().1, Vec::<String>::new());
    std::fs::remove_file(file)
}

#[test]
fn a_certificate_of_another_authority_than_the_configured_one_names_its_file() -> io::Result<()> {
    let (server, own) = server("of-one");
    let (_, other) = self::server("of-another");
    let target = target(&format!("wss://localhost:{}", server.address.port()));
    let text = message(publish(&Publisher::default(), &target, &trusting(&other), "1"));
    let file = other.display();
    assert!(text.contains(&format!("not signed by an authority in {file};")), "{text}");
    assert!(!text.contains("unknown authority"), "{text}");
    std::fs::remove_file(own)?;
    std::fs::remove_file(other)
}

#[test]
fn a_missing_or_empty_authority_file_is_named() -> io::Result<()> {
    let (server, file) = server("missing");
    let target = target(&format!("wss://localhost:{}", server.address.port()));
    std::fs::write(&file, "")?;
    let text = message(publish(&Publisher::default(), &target, &trusting(&file), "1"));
    assert!(text.contains("realtime.tls_ca") && text.contains(&file.display().to_string()), "{text}");
    std::fs::remove_file(&file)?;
    let text = message(publish(&Publisher::default(), &target, &trusting(&file), "1"));
    assert!(text.contains(&file.display().to_string()), "{text}");
    Ok(())
}
