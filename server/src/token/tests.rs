use jsonwebtoken::{EncodingKey, Header};
use realtime_protocol::UserId;
use serde_json::{Value, json};

use super::*;
use crate::rules::Pattern;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: u64 = 1_000_000;

/// A key pair of Ed25519 (openssl genpkey), for these tests only.
const ED_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIMOnhzf6Uj7jJWSLdAcHn+fZZaGSHVMa/qmVCVl+UtHS\n\
                          -----END PRIVATE KEY-----\n";
const ED_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAEJMYGKXmEsBxq0YuXNJMTTziUoMzXa8S5kjcXLnJQjc=\n\
                         -----END PUBLIC KEY-----\n";

fn config(keys: Vec<TokenKey>) -> TokenConfig {
    TokenConfig { keys, ..TokenConfig::default() }
}

fn key(kid: Option<&str>, secret: &[u8]) -> TokenKey {
    TokenKey::from_secret(kid.map(str::to_owned), secret).unwrap()
}

fn verifier(config: &TokenConfig) -> Verifier {
    Verifier::new(config, None, &Arc::new(Revocations::new(config.max_ttl))).unwrap()
}

fn signed(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

fn hs256(claims: &Value) -> String {
    signed(&Header::default(), claims, &EncodingKey::from_secret(SECRET))
}

fn claims() -> Value {
    json!({"sub": "u7", "iat": NOW, "exp": NOW + 100})
}

/// The claims of these with some changed, `null` taking one away.
fn with(changes: &Value) -> Value {
    let mut all = claims();
    for (name, value) in changes.as_object().unwrap() {
        all[name] = value.clone();
    }
    all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    all
}

fn outcome(config: &TokenConfig, token: &str) -> Result<Claims, Refused> {
    verifier(config).verify(token, NOW)
}

fn refused(changes: &Value) -> Refused {
    outcome(&config(vec![key(None, SECRET)]), &hs256(&with(changes))).unwrap_err()
}

fn accepted(changes: &Value) -> Claims {
    outcome(&config(vec![key(None, SECRET)]), &hs256(&with(changes))).unwrap()
}

#[test]
fn a_token_says_whose_it_is_and_what_for() {
    let said = accepted(&json!({"info": {"name": "Ana"}, "channels": ["user:u7", "orders.*"]}));
    assert_eq!((said.user.as_str(), said.proof.issued, said.expires), ("u7", NOW, NOW + 100));
    assert_eq!(said.info.unwrap().get(), "{\"name\":\"Ana\"}");
    let patterns = ["user:u7", "orders.*"].map(|text| Pattern::parse(text).unwrap());
    assert_eq!(said.scope, Scope::Connection(patterns.into()));
    let channel = accepted(&json!({"channel": "orders.42"})).scope;
    assert_eq!(channel, Scope::Channel(realtime_protocol::ChannelName::parse("orders.42").unwrap()));
    assert_eq!(accepted(&json!({"sub": 42})).user, UserId::parse("42").unwrap());
    assert_eq!(accepted(&json!({"exp": NOW as f64 + 5.5})).expires, NOW + 5);
    assert!(accepted(&json!({"info": null})).info.is_none());
}

#[test]
fn a_token_that_php_makes_is_accepted() {
    use realtime_protocol::token::{self, Grant, Secret};
    let user = UserId::parse("u7").unwrap();
    let grant = Grant::Connection { channels: &[], info: None };
    let claims = token::Claims { user: &user, grant, audience: Some("a"), issued: NOW, expires: NOW + 60 };
    let made = token::mint(&claims, &Secret::parse(SECRET).unwrap(), Some("one"));
    assert_eq!(outcome(&config(vec![key(Some("one"), SECRET)]), &made).unwrap().user, user);
}

#[test]
fn what_is_missing_or_makes_no_sense_is_named() {
    for claim in ["sub", "exp", "iat"] {
        assert_eq!(refused(&json!({claim: null})), Refused::Missing(claim));
    }
    assert!(matches!(refused(&json!({"sub": ""})), Refused::User(_)));
    assert!(matches!(refused(&json!({"sub": "u".repeat(129)})), Refused::User(_)));
    assert!(matches!(refused(&json!({"channel": "a\nb"})), Refused::Channel(_)));
    assert!(matches!(refused(&json!({"channels": ["a*b"]})), Refused::Channels(_)));
    assert!(matches!(refused(&json!({"channel": "a", "channels": []})), Refused::Claims(_)));
    for nonsense in [json!({"exp": "tomorrow"}), json!({"exp": -1}), json!({"exp": 1e300}), json!({"channels": "a"})] {
        assert!(matches!(refused(&nonsense), Refused::Claims(_)), "{nonsense}");
    }
    assert!(matches!(refused(&json!({"info": "x".repeat(5_000)})), Refused::Info { found: 5_002, .. }));
}

#[test]
fn time_counts_with_ten_seconds_of_patience() {
    assert!(outcome(&config(vec![key(None, SECRET)]), &hs256(&with(&json!({"exp": NOW - 9})))).is_ok());
    assert_eq!(refused(&json!({"iat": NOW - 50, "exp": NOW - 10})), Refused::Expired { since: 10 });
    for claim in ["iat", "nbf"] {
        let ahead = json!({claim: NOW + 10, "exp": NOW + 50});
        assert!(outcome(&config(vec![key(None, SECRET)]), &hs256(&with(&ahead))).is_ok());
        assert_eq!(refused(&json!({claim: NOW + 11, "exp": NOW + 50})), Refused::Early { claim, by: 11 });
    }
}

#[test]
fn a_token_that_would_outlive_its_revocation_is_refused() {
    let month = 30 * 24 * 3600;
    assert!(accepted(&json!({"exp": NOW + month})).expires > NOW);
    assert_eq!(refused(&json!({"exp": NOW + month + 1})), Refused::TooLongValid { max: month });
}

#[test]
fn a_token_is_for_the_audience_that_is_configured() {
    let shop = TokenConfig { audience: Some("shop".into()), ..config(vec![key(None, SECRET)]) };
    for good in [json!("shop"), json!(["x", "shop"])] {
        assert!(outcome(&shop, &hs256(&with(&json!({"aud": good})))).is_ok());
    }
    assert_eq!(outcome(&shop, &hs256(&claims())).unwrap_err(), Refused::Missing("aud"));
    for bad in [json!("Shop"), json!([])] {
        assert_eq!(outcome(&shop, &hs256(&with(&json!({"aud": bad})))).unwrap_err(), Refused::Audience);
    }
    assert!(outcome(&config(vec![key(None, SECRET)]), &hs256(&with(&json!({"aud": "x"})))).is_ok());
}

#[test]
fn keys_rotate_by_their_names() {
    let old = key(Some("old"), SECRET);
    let new = key(Some("new"), &[b'n'; 32]);
    let both = config(vec![new.clone(), old.clone()]);
    let header = |kid: &str| Header { kid: Some(kid.to_owned()), ..Header::default() };
    let with_old = signed(&header("old"), &claims(), &EncodingKey::from_secret(SECRET));
    assert!(outcome(&both, &with_old).is_ok());
    assert!(outcome(&both, &hs256(&claims())).is_ok(), "without a name each is tried");
    let unknown = Refused::UnknownKey { kid: Some("old".into()) };
    assert_eq!(outcome(&config(vec![new]), &with_old).unwrap_err(), unknown);
    let wrong = signed(&header("new"), &claims(), &EncodingKey::from_secret(SECRET));
    assert_eq!(outcome(&both, &wrong).unwrap_err(), Refused::Signature, "the name says which key, not any");
}

/// A token with this header and payload, and a signature over them that HMAC makes with `key`.
fn forged(header: &Value, payload: &Value, key: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(payload));
    let key = EncodingKey::from_secret(key);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

#[test]
fn no_algorithm_but_the_configured_one_is_taken() {
    let secret = config(vec![key(None, SECRET)]);
    for alg in ["none", "None", "HS384", "HS512", "RS256", "hs256", ""] {
        let token = forged(&json!({"alg": alg, "typ": "JWT"}), &claims(), SECRET);
        let expected = Refused::Algorithm { found: alg.to_owned(), expected: "HS256" };
        assert_eq!(outcome(&secret, &token).unwrap_err(), expected);
        let unsigned = format!("{}.", &token[..token.rfind('.').unwrap()]);
        assert_eq!(outcome(&secret, &unsigned).unwrap_err(), expected);
    }
    // The classic: HMAC with the public key, which everybody has.
    let public = TokenKey::from_pem(None, Algorithm::EdDsa, ED_PUBLIC.as_bytes()).unwrap();
    let eddsa = TokenConfig { algorithm: Algorithm::EdDsa, ..config(vec![public]) };
    for alg in ["HS256", "EdDSA"] {
        let token = forged(&json!({"alg": alg}), &claims(), ED_PUBLIC.as_bytes());
        assert!(outcome(&eddsa, &token).is_err(), "{alg}");
    }
    let header = Header::new(jsonwebtoken::Algorithm::EdDSA);
    let real = signed(&header, &claims(), &EncodingKey::from_ed_pem(ED_PRIVATE.as_bytes()).unwrap());
    assert_eq!(outcome(&eddsa, &real).unwrap().user.as_str(), "u7");
}

#[test]
fn a_token_that_demands_an_extension_is_refused() {
    let header = json!({"alg": "HS256", "crit": ["exp"], "exp": 1});
    let token = forged(&header, &claims(), SECRET);
    assert_eq!(outcome(&config(vec![key(None, SECRET)]), &token).unwrap_err(), Refused::Critical);
}

#[test]
fn every_change_of_a_token_breaks_it() {
    let config = config(vec![key(None, SECRET)]);
    let verifier = verifier(&config);
    let token = hs256(&claims());
    assert!(verifier.verify(&token, NOW).is_ok());
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'Q' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(verifier.verify(&changed, NOW).is_err(), "{at}: {changed}");
        assert!(verifier.verify(&token[..at], NOW).is_err(), "cut at {at}");
    }
    for junk in
        ["", ".", "..", "...", "a.b.c", &"x".repeat(20_000), "é.é.é", &format!("{token}."), &format!(" {token}")]
    {
        assert!(verifier.verify(junk, NOW).is_err(), "{junk}");
    }
}

#[test]
fn a_revoked_token_is_refused_and_a_new_one_is_not() {
    let config = config(vec![key(None, SECRET)]);
    let revocations = Arc::new(Revocations::new(config.max_ttl));
    let verifier = Verifier::new(&config, None, &revocations).unwrap();
    let token = hs256(&claims());
    assert!(verifier.verify(&token, NOW).is_ok());
    revocations.revoke(&UserId::parse("u7").unwrap(), NOW, drop);
    assert_eq!(verifier.verify(&token, NOW).unwrap_err(), Refused::Revoked);
    assert!(verifier.verify(&hs256(&with(&json!({"iat": NOW + 1}))), NOW).is_ok());
    assert!(verifier.verify(&hs256(&with(&json!({"sub": "u8"}))), NOW).is_ok());
}

#[test]
fn secrets_are_long_and_never_shown() {
    let error = TokenKey::from_secret(None, &SECRET[1..]).unwrap_err();
    assert_eq!(error, KeyError::Short { found: 31 });
    assert!(!error.to_string().contains("123456"));
    assert_eq!(format!("{:?}", key(Some("a"), SECRET)), "TokenKey(Some(\"a\"), hidden)");
    assert_eq!(format!("{:?}", Secret::new("x")), "Secret(hidden)");
}

#[test]
fn what_is_no_public_key_is_refused() {
    for (algorithm, pem) in [
        (Algorithm::Rs256, ED_PUBLIC),
        (Algorithm::Es256, ED_PUBLIC),
        (Algorithm::EdDsa, "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----"),
        (Algorithm::EdDsa, ""),
        (Algorithm::EdDsa, ED_PRIVATE),
    ] {
        let refused = TokenKey::from_pem(None, algorithm, pem.as_bytes()).unwrap_err();
        assert_eq!(refused, KeyError::NoKey(algorithm), "{pem}");
    }
}
