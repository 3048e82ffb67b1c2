//! Does the running server take the tokens that the configuration's keys sign?

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realtime_protocol::UserId;
use realtime_protocol::token::{Claims, Grant};
use realtime_server::config::Config;
use realtime_server::token::{Algorithm, TokenConfig, TokenKey, fetch};
use serde_json::{Value, json};
use tungstenite::{Error, Message};

use super::Finding;
use crate::cli::Failure;
use crate::cli::client::{Address, Endpoint};
use crate::cli::token::{now, sign};

/// How long our own tokens are valid, seconds; `tokens.max_ttl` may be less.
const TTL: u64 = 30;

/// How a server of this version and of others begins to say that a signature is wrong.
const WRONG_SIGNATURE: &str = "the signature is wrong";

const RELOAD: &str = "let the server read its configuration again: systemctl reload realtime-server";

/// Nothing where no tokens are configured.
pub(super) fn check(config: &Config, is_reachable: bool) -> Vec<Finding> {
    let tokens = &config.tokens;
    let mut findings: Vec<_> = issuer(tokens).into_iter().collect();
    if !tokens.is_used() {
        return findings;
    }
    if !is_reachable {
        findings.push(Finding::Note("tokens cannot be tried while no server answers".to_owned()));
        return findings;
    }
    let endpoint = Endpoint { address: Address::listening(config), key: None };
    if tokens.algorithm == Algorithm::Hs256 {
        findings.extend(tokens.keys.iter().map(|key| signed(&endpoint, tokens, key)));
    } else {
        findings.push(forged(&endpoint, tokens.algorithm));
    }
    findings
}

/// Whether the issuer's keys can be fetched.
fn issuer(tokens: &TokenConfig) -> Option<Finding> {
    let (url, algorithm) = (tokens.jwks_url.as_ref()?, tokens.algorithm);
    Some(match fetch(url, algorithm) {
        Ok(keys) => Finding::Good(format!("{url} has {} for {}", counted(keys.len()), algorithm.as_str())),
        Err(error) => Finding::bad(
            format!("no token keys from {url}: {error}"),
            "fetch it from here with curl, and correct tokens.jwks_url, or tokens.algorithm to that of the issuer's keys",
        ),
    })
}

fn counted(keys: usize) -> String {
    if keys == 1 { "1 key".to_owned() } else { format!("{keys} keys") }
}

/// Shows a token that `key` has signed.
fn signed(endpoint: &Endpoint, tokens: &TokenConfig, key: &TokenKey) -> Finding {
    let which = key.kid().map_or("the configured secret".to_owned(), |kid| format!("the secret {kid:?}"));
    let answer = made(tokens, key).and_then(|token| show(endpoint, &token));
    match answer {
        Ok(Answer::Taken) => Finding::Good(format!("the server takes tokens that are signed with {which}")),
        Ok(Answer::Refused(why)) => Finding::bad(
            format!("the server refuses a token that is signed with {which}: {why}"),
            format!("{RELOAD}; and set the same secret as realtime.token_secret in PHP"),
        ),
        Err(failure) => untried(failure),
    }
}

fn made(tokens: &TokenConfig, key: &TokenKey) -> Result<String, Failure> {
    let user = UserId::parse("realtime-doctor").map_err(|error| Failure::Run(error.to_string()))?;
    let (issued, ttl) = (now(), tokens.max_ttl.as_secs().min(TTL));
    let grant = Grant::Connection { channels: &[], info: None };
    let claims = Claims { user: &user, grant, audience: tokens.audience.as_deref(), issued, expires: issued + ttl };
    sign(&claims, key)
}

/// Shows a token that nobody has signed: who verifies tokens refuses it for its signature, and for nothing else.
fn forged(endpoint: &Endpoint, algorithm: Algorithm) -> Finding {
    let name = algorithm.as_str();
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    let token = format!("{}.{}.{}", part(json!({ "alg": name }).to_string()), part("{}".into()), part("forged".into()));
    match show(endpoint, &token) {
        Ok(Answer::Refused(why)) if why.starts_with(WRONG_SIGNATURE) => Finding::Note(format!(
            "the server verifies tokens by {name}; whether it takes those of your issuer, only one of them can show: \
             realtime-server token --check (the refused token in the server's log was doctor's)"
        )),
        Ok(Answer::Refused(why)) => Finding::bad(format!("the server does not verify tokens by {name}: {why}"), RELOAD),
        Ok(Answer::Taken) => Finding::bad(
            format!("what answers on {} takes a token that nobody has signed", endpoint.address),
            "stop it: it is not this server",
        ),
        Err(failure) => untried(failure),
    }
}

/// What the server makes of a token.
enum Answer {
    Taken,
    Refused(String),
}

fn show(endpoint: &Endpoint, token: &str) -> Result<Answer, Failure> {
    let lost = |error: Error| Failure::Run(format!("{} does not answer: {error}", endpoint.address));
    // As a page at the server's own address, which may connect whatever `allowed_origins` and `require_origin` say.
    let origin = format!("http://{}", endpoint.address.authority_and_prefix());
    let mut socket = endpoint.connect("/", Some(&origin))?;
    let command = json!({ "type": "connect", "id": 1, "token": token });
    socket.send(Message::text(command.to_string())).map_err(lost)?;
    loop {
        let Message::Text(text) = socket.read().map_err(lost)? else { continue };
        let reply: Value = serde_json::from_str(&text).unwrap_or_default();
        let answer = match reply["type"].as_str() {
            Some("connected") => Answer::Taken,
            Some("error") => Answer::Refused(reply["message"].as_str().unwrap_or("without a reason").to_owned()),
            _ => continue,
        };
        // It has answered; how it takes our leave changes nothing.
        let _ = socket.close(None);
        return Ok(answer);
    }
}

fn untried(failure: Failure) -> Finding {
    let why = match failure {
        Failure::Run(why) | Failure::Usage(why) => why,
        Failure::Told | Failure::OutputClosed => "the connection broke".to_owned(),
    };
    Finding::bad(format!("tokens cannot be tried: {why}"), "see the server's log: journalctl -u realtime-server")
}
