//! What must hold between values, and what is allowed but probably not meant.

use super::load::Layer;
use super::mistake::Mistake;
use super::publisher;
use super::units::show_size;
use crate::rules::Access;
use crate::tls::Certificate;
use crate::token::Algorithm;

/// Room for the frame around a publication.
const ENVELOPE: usize = 1 << 10;

pub(super) fn all(layer: &mut Layer) {
    for (key, address) in [("listen", Some(layer.config.listen)), ("tls_listen", layer.config.tls_listen)] {
        let Some(address) = address.filter(|address| !address.ip().is_loopback()) else { continue };
        if layer.config.echo {
            let message = format!(
                "echo is for tests on this machine and does not go with {key} = \"{address}\", which others can reach; use \
                 127.0.0.1, or leave echo out"
            );
            mistake(layer, &[key, "echo"], message);
        }
        if layer.config.dev {
            let message = format!(
                "dev admits publishers without a key, so it does not go with {key} = \"{address}\", which others can \
                 reach; use 127.0.0.1, or a publisher key instead of dev"
            );
            mistake(layer, &[key, "dev"], message);
        }
    }
    let config = &layer.config;
    if config.outbox_max < config.max_publication + ENVELOPE {
        let message = format!(
            "outbox_max is {}, too little for one publication of max_publication, {}; make it at least {}",
            show_size(config.outbox_max),
            show_size(config.max_publication),
            show_size(config.max_publication + ENVELOPE),
        );
        mistake(layer, &["outbox_max", "max_publication"], message);
    }
    tokens(layer);
    let config = &layer.config;
    if config.data_dir.is_none() {
        let message = "history.store = \"disk\" needs data_dir, as in data_dir = \"/var/lib/realtime\"";
        let places: Vec<_> = (config.channels.iter().zip(&layer.rules_at))
            .filter(|(rule, _)| rule.stream.is_on_disk())
            .map(|(_, place)| Some(place.clone()))
            .chain(config.users.is_on_disk().then_some(None))
            .collect();
        layer.mistakes.extend(places.into_iter().map(|place| Mistake { place, message: message.to_owned() }));
    }
    let config = &layer.config;
    if config.proxy_protocol && config.trusted_proxies.is_empty() {
        let message = "proxy_protocol admits trusted_proxies only, and there are none; name your proxies, as in \
                       trusted_proxies = [\"10.0.0.1\"]";
        mistake(layer, &["proxy_protocol"], message.to_owned());
    }
    if layer.config.proxy_protocol && layer.config.dev {
        let message = "dev must not stand behind a proxy, so it does not go with proxy_protocol";
        mistake(layer, &["proxy_protocol", "dev"], message.to_owned());
    }
    publisher::check(layer);
    tls(layer);
    rules(layer);
}

fn tls(layer: &mut Layer) {
    let config = &layer.config;
    let (listen, cert, key) = (config.tls_listen, config.tls_cert.clone(), config.tls_key.clone());
    match (listen, cert, key) {
        (None, None, None) => {}
        (Some(address), ..) if address == config.listen && address.port() != 0 => {
            let message = "listen and tls_listen are the same address; TLS needs a port of its own".to_owned();
            mistake(layer, &["tls_listen"], message);
        }
        (_, Some(cert), Some(key)) => {
            match Certificate::load(&cert, &key) {
                Ok(certificate) => layer.warnings.extend(certificate.warnings),
                Err(error) => mistake(layer, &[error.about()], format!("{}: {error}", error.about())),
            }
            if listen.is_none() {
                let message =
                    "tls_cert and tls_key are of no use without tls_listen, as in tls_listen = \"0.0.0.0:443\"";
                layer.warnings.push(message.to_owned());
            }
        }
        (_, None, Some(_)) => mistake(layer, &["tls_key"], "tls_key needs tls_cert, its certificate".to_owned()),
        (_, Some(_), None) => mistake(layer, &["tls_cert"], "tls_cert needs tls_key, its private key".to_owned()),
        (Some(_), None, None) => {
            mistake(layer, &["tls_listen"], "tls_listen needs tls_cert and tls_key, files in PEM".to_owned());
        }
    }
}

/// A mistake in what the keys say together, placed where the first of them was set.
fn mistake(layer: &mut Layer, keys: &[&str], message: String) {
    let place = keys.iter().find_map(|key| layer.set_by.get(key)).cloned();
    layer.mistakes.push(Mistake { place, message });
}

fn tokens(layer: &mut Layer) {
    let tokens = &layer.config.tokens;
    let is_used = tokens.is_used();
    if tokens.algorithm == Algorithm::Hs256 && tokens.jwks_url.is_some() {
        let message = "tokens.jwks_url has public keys, and HS256 has none; set tokens.algorithm to \"RS256\", \"ES256\" or \
                       \"EdDSA\"";
        mistake(layer, &["tokens.jwks_url", "tokens.algorithm"], message.to_owned());
    } else if tokens.required && !is_used {
        let message = "tokens.required admits nobody, since there is nothing to verify tokens with; set tokens.secret, \
                       tokens.keys or tokens.jwks_url";
        mistake(layer, &["tokens.required"], message.to_owned());
    } else if !is_used && (tokens.audience.is_some() || layer.set_by.contains_key("tokens.algorithm")) {
        layer.warnings.push(
            "[tokens] says how tokens look, but there is nothing to verify them with; set tokens.secret, tokens.keys or \
             tokens.jwks_url"
                .to_owned(),
        );
    } else if tokens.jwks_url.is_some() && tokens.audience.is_none() {
        // RFC 8725 §3.9: an issuer's signature says nothing of whom a token is for.
        layer.warnings.push(
            "tokens.jwks_url without tokens.audience: whatever token the issuer signs, for whichever application, opens \
             connections here; set tokens.audience to the aud of this application's"
                .to_owned(),
        );
    }
}

fn rules(layer: &mut Layer) {
    let with_tokens = layer.config.tokens.is_used();
    for (index, (rule, place)) in layer.config.channels.iter().zip(&layer.rules_at).enumerate() {
        let pattern = rule.pattern.as_str();
        if let Some(first) = layer.config.channels[..index].iter().position(|other| other.pattern.covers(&rule.pattern))
        {
            let number = first + 1;
            layer
                .warnings
                .push(format!("{place}: the rule for {pattern:?} never counts, since rule {number} comes first"));
        } else if rule.pattern.is_protected()
            && rule.subscribe.is_none_or(|asked| asked < Access::Token)
            && !with_tokens
        {
            layer.warnings.push(format!(
                "{place}: {pattern:?} needs a token whatever the rule says, because of how it begins; no [tokens] are \
                 configured, so it admits nobody"
            ));
        } else if rule.subscribe == Some(Access::Token) && !with_tokens {
            layer.warnings.push(format!(
                "{place}: subscribe = \"token\" for {pattern:?} admits nobody, since no [tokens] are configured"
            ));
        }
        let is_open = rule.subscribe.map_or(!with_tokens, |asked| asked == Access::Anyone);
        if rule.pattern.has_user() && is_open {
            let message =
                "a rule with {user} in its pattern needs subscribe = \"user\", \"token\" or \"nobody\"".to_owned();
            layer.mistakes.push(Mistake { place: Some(place.clone()), message });
        }
    }
}
